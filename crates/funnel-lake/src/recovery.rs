//! What a restarted ingestor has to know from the tables.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{Array, ArrowPrimitiveType, AsArray, PrimitiveArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};

use crate::commit::OffsetKey;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::rows::{self, Place};
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
        for batch in rows_at(self.rejects(), key, from..to, &COORDINATES).await? {
            let offsets = numbers::<Int64Type>(&batch, "kafka_offset")?;
            let entries = numbers::<Int32Type>(&batch, "entry_index")?;
            found.extend((0..batch.num_rows()).map(|row| {
                let entry = entries.is_valid(row).then(|| entries.value(row));
                (offsets.value(row), entry)
            }));
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
        for batch in rows_at(self.events(), key, from..to, &IDENTITIES).await? {
            take_events(&batch, &mut found)?;
        }
        found.sort_by_key(|event| (event.offset, event.entry_index));
        Ok(found)
    }
}

const COORDINATES: [&str; 2] = ["kafka_offset", "entry_index"];

const IDENTITIES: [&str; 7] = [
    "event_id",
    "content_hash",
    "producer_event_id",
    "source_system",
    "received_time",
    "kafka_offset",
    "entry_index",
];

/// The rows at `place`, from the files that may hold some.
async fn rows_at(
    table: &DeltaLog,
    key: &OffsetKey,
    offsets: Range<i64>,
    columns: &'static [&'static str],
) -> Result<Vec<RecordBatch>> {
    if offsets.is_empty() {
        return Ok(Vec::new());
    }
    let snapshot = table.load().await?;
    let place = Place {
        topic_uuid: key.topic_uuid.clone(),
        partition: key.partition,
        offsets,
    };
    blocking(move || {
        let mut found = Vec::new();
        for file in snapshot.files() {
            if rows::may_hold(file, &place) {
                found.extend(rows::read_at(&snapshot, file, columns, &place)?);
            }
        }
        Ok(found)
    })
    .await
}

fn numbers<'a, T: ArrowPrimitiveType>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a PrimitiveArray<T>> {
    rows::column(batch, name)?
        .as_primitive_opt::<T>()
        .ok_or_else(|| rows::wrong_column(name))
}

fn take_events(batch: &RecordBatch, found: &mut Vec<RecentEvent>) -> Result<()> {
    let ids = rows::texts(batch, "event_id")?;
    let producer_ids = rows::texts(batch, "producer_event_id")?;
    let sources = rows::texts(batch, "source_system")?;
    let hashes = numbers::<Int64Type>(batch, "content_hash")?;
    let entries = numbers::<Int32Type>(batch, "entry_index")?;
    let offsets = numbers::<Int64Type>(batch, "kafka_offset")?;
    let times = numbers::<TimestampMicrosecondType>(batch, "received_time")?;
    for row in 0..batch.num_rows() {
        found.push(RecentEvent {
            event_id: parse_event_id(ids.value(row))?,
            content_hash: hashes.value(row),
            producer_event_id: rows::text_at(producer_ids, row).map(str::to_owned),
            source_system: sources.value(row).to_owned(),
            entry_index: entries.is_valid(row).then(|| entries.value(row)),
            offset: offsets.value(row),
            received_time: times.value(row),
        });
    }
    Ok(())
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
