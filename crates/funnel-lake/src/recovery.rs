//! What a restarted ingestor has to know from the tables.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};

use crate::commit::OffsetKey;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::rows;
use crate::storage::blocking;
use crate::table::DeltaLog;

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
    /// When the record was received, in microseconds: its Kafka timestamp, else `producedAt`.
    pub received_time: i64,
}

impl Lake {
    /// Coordinates of the rows of `rejects` in `[from, to)` of one partition: records and entries
    /// that were refused before a crash kept their commit of `events` from happening.
    ///
    /// The exact set, not "every offset below": a record may be judged differently after a
    /// restart, and one that was good and not committed must not be lost.
    pub async fn rejected_coordinates(
        &self,
        key: &OffsetKey,
        from: i64,
        to: i64,
    ) -> Result<HashSet<Coordinate>> {
        let mut found = HashSet::new();
        let columns = &COORDINATES;
        for rows in matching(self.rejects(), key, from..to, columns).await? {
            let entries = rows::column(&rows.batch, "entry_index")?;
            let entries = entries
                .as_primitive_opt::<Int32Type>()
                .ok_or_else(|| rows::wrong_column("entry_index"))?;
            found.extend(
                rows.hits.iter().map(|&(row, offset)| {
                    (offset, entries.is_valid(row).then(|| entries.value(row)))
                }),
            );
        }
        Ok(found)
    }

    /// The events of one partition with an offset in `[from, to)`, in offset order.
    pub async fn recent_event_ids(
        &self,
        key: &OffsetKey,
        from: i64,
        to: i64,
    ) -> Result<Vec<RecentEvent>> {
        let mut found = Vec::new();
        for rows in matching(self.events(), key, from..to, &IDENTITIES).await? {
            rows.take_events(&mut found)?;
        }
        found.sort_by_key(|event| (event.offset, event.entry_index));
        Ok(found)
    }
}

const COORDINATES: [&str; 4] = [
    "topic_uuid",
    "kafka_partition",
    "kafka_offset",
    "entry_index",
];

const IDENTITIES: [&str; 9] = [
    "event_id",
    "content_hash",
    "producer_event_id",
    "source_system",
    "received_time",
    "topic_uuid",
    "kafka_partition",
    "kafka_offset",
    "entry_index",
];

/// Rows of one batch that belong to the wanted range: row number and offset.
struct Matching {
    batch: RecordBatch,
    hits: Vec<(usize, i64)>,
}

async fn matching(
    table: &DeltaLog,
    key: &OffsetKey,
    offsets: Range<i64>,
    columns: &'static [&'static str],
) -> Result<Vec<Matching>> {
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    let snapshot = table.load().await?;
    let (topic_uuid, partition) = (key.topic_uuid.clone(), key.partition);
    blocking(move || {
        let mut found = Vec::new();
        for file in snapshot.files() {
            if !rows::may_hold(file, &topic_uuid, partition, &offsets) {
                continue;
            }
            for batch in rows::read_offsets(&snapshot, file, columns, &offsets)? {
                let hits = hits(&batch, &topic_uuid, partition, &offsets)?;
                if !hits.is_empty() {
                    found.push(Matching { batch, hits });
                }
            }
        }
        Ok(found)
    })
    .await
}

fn hits(
    batch: &RecordBatch,
    topic_uuid: &str,
    partition: i32,
    offsets: &Range<i64>,
) -> Result<Vec<(usize, i64)>> {
    let uuids = rows::texts(batch, "topic_uuid")?;
    let partitions = rows::column(batch, "kafka_partition")?
        .as_primitive_opt::<Int32Type>()
        .ok_or_else(|| rows::wrong_column("kafka_partition"))?;
    let stored = rows::column(batch, "kafka_offset")?
        .as_primitive_opt::<Int64Type>()
        .ok_or_else(|| rows::wrong_column("kafka_offset"))?;
    Ok(stored
        .values()
        .iter()
        .copied()
        .enumerate()
        .filter(|&(row, offset)| {
            offsets.contains(&offset)
                && partitions.value(row) == partition
                && uuids.value(row) == topic_uuid
        })
        .collect())
}

impl Matching {
    fn take_events(&self, found: &mut Vec<RecentEvent>) -> Result<()> {
        let batch = &self.batch;
        let ids = rows::texts(batch, "event_id")?;
        let producer_ids = rows::texts(batch, "producer_event_id")?;
        let sources = rows::texts(batch, "source_system")?;
        let hashes = rows::column(batch, "content_hash")?
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| rows::wrong_column("content_hash"))?;
        let entries = rows::column(batch, "entry_index")?
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| rows::wrong_column("entry_index"))?;
        let times = rows::column(batch, "received_time")?
            .as_primitive_opt::<TimestampMicrosecondType>()
            .ok_or_else(|| rows::wrong_column("received_time"))?;
        for &(row, offset) in &self.hits {
            found.push(RecentEvent {
                event_id: parse_event_id(ids.value(row))?,
                content_hash: hashes.value(row),
                producer_event_id: rows::text_at(producer_ids, row).map(str::to_owned),
                source_system: sources.value(row).to_owned(),
                entry_index: entries.is_valid(row).then(|| entries.value(row)),
                offset,
                received_time: times.value(row),
            });
        }
        Ok(())
    }
}

fn parse_event_id(text: &str) -> Result<[u8; 16]> {
    u128::from_str_radix(text, 16)
        .ok()
        .filter(|_| text.len() == 32 && !text.starts_with('+'))
        .map(u128::to_be_bytes)
        .ok_or_else(|| LakeError::corrupt(format!("`{text}` is not an event id of 32 hex digits")))
}

#[cfg(test)]
mod tests;
