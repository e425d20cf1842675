//! Enriched rows written by hand, for tests of what reads them.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::json::ReaderBuilder;
use chrono::{DateTime, Utc};
use datafusion::datasource::MemTable;
use funnel_datagen::golden::{self, Variant};
use funnel_datagen::message::Message;
use funnel_events::{Decoded, Decoder, DecoderConfig, Entry, EventsBuilder, RecordOrigin, Stamp};
use serde_json::{Value, json};

use crate::enrich::schema::enriched_schema;
use crate::{QueryOptions, QuerySession};

pub(crate) const ACCOUNT: &str = "a";

/// A funnel of offers: shown, then clicked.
pub(crate) const TWO_STEPS: &str = r#"
name = "two"
question = "?"
unit = "offer"
[[steps]]
name = "shown"
when = "event_type = 'engagement_impression'"
[[steps]]
name = "clicked"
when = "event_type = 'engagement_click'"
"#;

/// A row of `session` (`None`: of no session) at second `at` of 2024-03-04, UTC; `more` overrides.
#[expect(
    clippy::needless_pass_by_value,
    reason = "callers write the overrides in place, with json!"
)]
pub(crate) fn row(event_type: &str, session: Option<&str>, at: u32, more: Value) -> Value {
    let time = format!(
        "2024-03-04T{:02}:{:02}:{:02}Z",
        at / 3600,
        at / 60 % 60,
        at % 60
    );
    let mut row = json!({
        "event_id": format!("{event_type}-{}-{at}", session.unwrap_or("none")),
        "event_type": event_type,
        "account_id": ACCOUNT,
        "flow": "monitored",
        "event_time": time,
        "event_date": "2024-03-04",
        "local_date": "2024-03-04",
        "time_zone": "UTC",
        "is_duplicate": false,
        "is_derived": false,
        "is_late": false,
    });
    if let Some(session) = session {
        row["session_id"] = json!(session);
        row["visitor_id"] = json!("v");
        row["visitor_key"] = json!("a|v");
        row["session_key"] = json!(format!("a|v|{session}"));
        row["session_start_time"] = json!("2024-03-04T00:00:00Z");
        row["session_start_date"] = json!("2024-03-04");
    }
    for (key, value) in more.as_object().into_iter().flatten() {
        row[key] = value.clone();
    }
    row
}

/// A session whose `events_enriched` are `rows`, with every view over them.
pub(crate) async fn session(rows: &[Value]) -> QuerySession {
    session_at(rows, None).await
}

/// The same, with rows that are complete up to `as_of`.
pub(crate) async fn session_at(rows: &[Value], as_of: Option<DateTime<Utc>>) -> QuerySession {
    let options = QueryOptions {
        as_of,
        ..QueryOptions::default()
    };
    let session = QuerySession::without_lake(options).unwrap();
    let batch = batch(rows);
    for table in ["events", "events_enriched"] {
        let provider = MemTable::try_new(batch.schema(), vec![vec![batch.clone()]]).unwrap();
        session
            .ctx()
            .register_table(table, Arc::new(provider))
            .unwrap();
    }
    let rejects = MemTable::try_new(funnel_events::rejects_schema(), vec![Vec::new()]).unwrap();
    session
        .ctx()
        .register_table("rejects", Arc::new(rejects))
        .unwrap();
    session
        .ctx()
        .register_table("ledger", Arc::new(ledger(&[])))
        .unwrap();
    crate::table_function::register(
        session.ctx(),
        batch.schema(),
        session.options().clone(),
        session.as_of(),
        None,
    );
    crate::views::register(session.ctx(), session.as_of())
        .await
        .unwrap();
    session
}

/// A ledger of these entries, with the columns that somebody here reads; counts are zero unless given.
pub(crate) fn ledger(entries: &[Value]) -> MemTable {
    const TEXTS: [&str; 3] = ["kind", "kafka_topic", "topic_uuid"];
    const COUNTS: [&str; 8] = [
        "from_offset",
        "to_offset",
        "accepted",
        "rejected",
        "duplicate",
        "empty",
        "tombstone",
        "holes",
    ];
    const TIMES: [&str; 2] = ["max_kafka_timestamp", "max_event_time"];
    let micros = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let texts = TEXTS.map(|name| Field::new(name, DataType::Utf8, false));
    let counts = COUNTS.map(|name| Field::new(name, DataType::Int64, false));
    let times = TIMES.map(|name| Field::new(name, micros.clone(), true));
    let partition = Field::new("kafka_partition", DataType::Int32, false);
    let fields = texts
        .into_iter()
        .chain([partition])
        .chain(counts)
        .chain(times);
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let rows: Vec<Value> = entries
        .iter()
        .map(|entry| {
            let mut row = json!({"kind": "data", "kafka_topic": "t", "topic_uuid": "u", "kafka_partition": 0});
            COUNTS.iter().for_each(|name| row[*name] = json!(0));
            for (key, value) in entry.as_object().into_iter().flatten() {
                row[key] = value.clone();
            }
            row
        })
        .collect();
    let batch = decoded(&schema, &rows);
    MemTable::try_new(schema, vec![vec![batch]]).unwrap()
}

fn batch(rows: &[Value]) -> RecordBatch {
    let schema = nullable(&enriched_schema(&funnel_events::events_schema()));
    decoded(&schema, rows)
}

fn decoded(schema: &SchemaRef, rows: &[Value]) -> RecordBatch {
    let mut decoder = ReaderBuilder::new(Arc::clone(schema))
        .build_decoder()
        .unwrap();
    decoder.serialize(rows).unwrap();
    decoder
        .flush()
        .unwrap()
        .unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema)))
}

/// Rows written by hand say only what the test is about.
fn nullable(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::clone(field).with_nullable(true);
    Arc::new(Schema::new(
        schema.fields().iter().map(field).collect::<Vec<_>>(),
    ))
}

/// A session over the golden scenario as it would lie in the lake, every message decoded.
pub(crate) async fn golden_session(variant: Variant) -> QuerySession {
    let batch = golden_events(variant);
    QuerySession::from_batches(vec![batch], QueryOptions::default())
        .await
        .unwrap()
}

/// The events of the golden scenario, every message decoded and nothing removed.
pub(crate) fn golden_events(variant: Variant) -> RecordBatch {
    let messages = golden::messages(variant);
    let (events, rejects) = decode(&messages);
    assert_eq!(rejects, 0, "the scenario holds no bad record");
    events
}

/// The events of the messages, every copy of them, and the number of rejects.
pub(crate) fn decode(messages: &[Message]) -> (RecordBatch, usize) {
    let mut rejects = 0;
    let decoder = Decoder::new(DecoderConfig::default());
    let mut builder = EventsBuilder::new();
    for (offset, message) in messages.iter().enumerate() {
        let value = message.value.as_deref();
        let Decoded::Entries(entries) = decoder.decode(value) else {
            continue;
        };
        let origin = RecordOrigin {
            topic: message.topic,
            topic_uuid: "u",
            partition: 0,
            offset: i64::try_from(offset).unwrap(),
            timestamp_ms: Some(message.timestamp_ms),
            key: Some(&message.key),
            headers: &[],
            value,
        };
        for entry in entries {
            match entry {
                Entry::Event(event) => builder.append(&event, &origin),
                Entry::Reject(_) => rejects += 1,
            }
        }
    }
    (
        builder.finish(&Stamp {
            batch_id: "b",
            ingested_us: 0,
        }),
        rejects,
    )
}
