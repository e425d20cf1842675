//! Events to Arrow.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use crate::column::table;
use crate::event::{Event, EventColumns};
use crate::origin::{RecordOrigin, Stamp};
use crate::schema::events_schema;

table! {
    /// The columns of `events` that come from the place of the record, not from what it says.
    pub(crate) struct Origin, OriginColumns;
    received_us: i64 => "received_time" Time,
    ingested_us: i64 => "ingested_time" Time,
    topic: String => "kafka_topic" Text,
    topic_uuid: String => "topic_uuid" Text,
    partition: i32 => "kafka_partition" Int32,
    offset: i64 => "kafka_offset" Int64,
    timestamp_us: Option<i64> => "kafka_timestamp" Time,
    batch_id: String => "batch_id" Text,
    event_date: i32 => "event_date" Day,
}

/// Collects events into one batch of the `events` table.
pub struct EventsBuilder {
    events: EventColumns,
    origins: OriginColumns,
    rows: usize,
}

impl std::fmt::Debug for EventsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventsBuilder")
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl Default for EventsBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl EventsBuilder {
    #[must_use]
    pub fn new() -> Self {
        Self {
            events: EventColumns::new(),
            origins: OriginColumns::new(),
            rows: 0,
        }
    }

    /// Adds one event of the record at `origin`.
    pub fn append(&mut self, event: &Event, origin: &RecordOrigin<'_>) {
        self.events.append(event);
        let received_us = origin
            .timestamp_us()
            .or(event.produced_time_us)
            .unwrap_or(event.event_time_us);
        let columns = &mut self.origins;
        columns.received_us.append_value(received_us);
        columns.topic.append_value(origin.topic);
        columns.topic_uuid.append_value(origin.topic_uuid);
        columns.partition.append_value(origin.partition);
        columns.offset.append_value(origin.offset);
        columns.timestamp_us.append_option(origin.timestamp_us());
        columns.event_date.append_value(event.event_date());
        self.rows += 1;
    }

    /// Rows collected so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes held by the collected rows, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.events.bytes() + self.origins.bytes()
    }

    /// The batch of all collected rows; the builder is empty afterwards.
    pub fn finish(&mut self, stamp: &Stamp<'_>) -> RecordBatch {
        for _ in 0..self.rows {
            self.origins.ingested_us.append_value(stamp.ingested_us);
            self.origins.batch_id.append_value(stamp.batch_id);
        }
        self.rows = 0;
        let schema = events_schema();
        let mut arrays: HashMap<_, _> = self
            .events
            .finish()
            .into_iter()
            .chain(self.origins.finish())
            .collect();
        let columns = schema
            .fields()
            .iter()
            .filter_map(|field| arrays.remove(field.name().as_str()))
            .collect();
        assemble(&schema, columns)
    }
}

/// Puts arrays under their schema. Both come from the same declaration, so they cannot disagree.
#[expect(
    clippy::expect_used,
    reason = "schema and arrays are generated from one list of columns"
)]
pub(crate) fn assemble(
    schema: &arrow::datatypes::SchemaRef,
    columns: Vec<arrow::array::ArrayRef>,
) -> RecordBatch {
    RecordBatch::try_new(std::sync::Arc::clone(schema), columns)
        .expect("columns and schema are declared together")
}
