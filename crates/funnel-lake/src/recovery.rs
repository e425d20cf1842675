//! What a restarted ingestor has to know from the tables.

use std::collections::HashSet;

use crate::commit::OffsetKey;
use crate::error::{LakeError, Result};
use crate::lake::Lake;

/// Offset, and index of the entry inside the record (`None`: the whole record).
pub type Coordinate = (i64, Option<i32>);

/// What the window of known events keeps of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentEvent {
    /// The event's identity.
    pub event_id: [u8; 16],
    /// Hash of its content.
    pub content_hash: i64,
    /// The producer's own id.
    pub producer_event_id: Option<String>,
    /// The source system.
    pub source_system: String,
    /// The entry's index in its record.
    pub entry_index: Option<i32>,
    /// Its offset.
    pub offset: i64,
    /// Time of the record in microseconds: the Kafka timestamp, else when it was received.
    pub received_time: i64,
}

impl Lake {
    /// Coordinates of the rows of `rejects` in `[from, to)` of one partition.
    pub async fn rejected_coordinates(
        &self,
        key: &OffsetKey,
        from: i64,
        to: i64,
    ) -> Result<HashSet<Coordinate>> {
        let _ = (key, from, to);
        Err(LakeError::internal("recovery: not written yet"))
    }

    /// The events of one partition with an offset in `[from, to)`, in offset order.
    pub async fn recent_event_ids(
        &self,
        key: &OffsetKey,
        from: i64,
        to: i64,
    ) -> Result<Vec<RecentEvent>> {
        let _ = (key, from, to);
        Err(LakeError::internal("recovery: not written yet"))
    }
}
