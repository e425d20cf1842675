//! The columns of `events_enriched`: those of `events`, then what the rules add.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};

/// The columns that the rules add, in order.
pub fn added_fields() -> Vec<Field> {
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    vec![
        Field::new("is_duplicate", DataType::Boolean, false),
        Field::new("duplicate_kind", DataType::Utf8, true),
        Field::new("is_derived", DataType::Boolean, false),
        Field::new("is_late", DataType::Boolean, false),
        Field::new("stale_offer", DataType::Boolean, true),
        Field::new("join_quality", DataType::Utf8, true),
        Field::new("session_start_time", time, true),
        Field::new("session_start_date", DataType::Date32, true),
        Field::new("local_date", DataType::Date32, false),
        Field::new("time_zone", DataType::Utf8, false),
        Field::new("agent_state_at_event", DataType::Int16, true),
        Field::new("conversation_key", DataType::Utf8, true),
        Field::new("leg_number", DataType::Int32, true),
        Field::new("visitor_key", DataType::Utf8, true),
    ]
}

/// The schema of `events_enriched` over an `events` table of schema `events`.
pub fn enriched_schema(events: &Schema) -> SchemaRef {
    let mut fields: Vec<_> = events.fields().iter().cloned().collect();
    fields.extend(added_fields().into_iter().map(Arc::new));
    Arc::new(Schema::new(fields))
}
