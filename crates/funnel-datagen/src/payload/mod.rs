//! LivePerson's payload shapes, one builder per documented form.

use chrono::{DateTime, FixedOffset};

/// ISO 8601 with milliseconds at UTC-5, as the Chat API prints it.
pub fn iso(ms: i64) -> String {
    let offset = FixedOffset::west_opt(5 * 3600);
    match (DateTime::from_timestamp_millis(ms), offset) {
        (Some(t), Some(o)) => t.with_timezone(&o).format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        _ => String::new(),
    }
}
