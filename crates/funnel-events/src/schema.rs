//! The Arrow schemas of the lake's tables.

use std::sync::{Arc, LazyLock};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

use crate::builder::OriginColumns;
use crate::event::EventColumns;
use crate::reject_builder::RejectColumns;

/// The partition column of `events`; last, and not stored inside the Parquet files.
pub const EVENT_DATE: &str = "event_date";
/// The partition column of `rejects`.
pub const INGEST_DATE: &str = "ingest_date";

/// The end of `events`, where columns of the event and of its origin stand mixed.
const EVENTS_TAIL: [&str; 14] = [
    "received_time",
    "ingested_time",
    "schema_version",
    "producer_event_id",
    "content_hash",
    "kafka_topic",
    "topic_uuid",
    "kafka_partition",
    "kafka_offset",
    "entry_index",
    "kafka_timestamp",
    "batch_id",
    "extra_json",
    EVENT_DATE,
];

static EVENTS: LazyLock<SchemaRef> = LazyLock::new(|| {
    let mut fields = EventColumns::fields();
    fields.extend(OriginColumns::fields());
    // A stable sort: columns that the tail does not name keep their order in front of it.
    fields.sort_by_key(|field| {
        EVENTS_TAIL
            .iter()
            .position(|name| name == field.name())
            .map_or(0, |place| place + 1)
    });
    Arc::new(Schema::new(fields))
});

static REJECTS: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(RejectColumns::fields())));

static LEDGER: LazyLock<SchemaRef> = LazyLock::new(|| {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("version", DataType::Int64, false),
        Field::new("committed_time", time.clone(), false),
        Field::new("batch_id", DataType::Utf8, false),
        Field::new("kind", DataType::Utf8, false),
        Field::new("kafka_topic", DataType::Utf8, false),
        Field::new("topic_uuid", DataType::Utf8, false),
        Field::new("kafka_partition", DataType::Int32, false),
    ];
    for name in [
        "from_offset",
        "to_offset",
        "accepted",
        "rejected",
        "duplicate",
        "empty",
        "tombstone",
        "holes",
        "event_rows",
        "reject_rows",
        "duplicate_entries",
        "dup_differs",
    ] {
        fields.push(Field::new(name, DataType::Int64, false));
    }
    fields.push(Field::new("gap_reason", DataType::Utf8, true));
    for name in ["min_event_time", "max_event_time", "max_kafka_timestamp"] {
        fields.push(Field::new(name, time.clone(), true));
    }
    Arc::new(Schema::new(fields))
});

/// Columns of `events`, one row per fact.
#[must_use]
pub fn events_schema() -> SchemaRef {
    Arc::clone(&EVENTS)
}

/// Columns of `rejects`, one row per refused record or entry.
#[must_use]
pub fn rejects_schema() -> SchemaRef {
    Arc::clone(&REJECTS)
}

/// Columns of `ledger`, one row per commit and topic partition.
#[must_use]
pub fn ledger_schema() -> SchemaRef {
    Arc::clone(&LEDGER)
}

/// A schema as text, a line per column, for people and for comparison.
#[must_use]
pub fn schema_text(schema: &Schema) -> String {
    let mut text = String::new();
    for field in schema.fields() {
        let null = if field.is_nullable() {
            "null"
        } else {
            "not null"
        };
        text.push_str(&format!("{} {} {null}\n", field.name(), field.data_type()));
    }
    text
}
