//! The ledger: what became of every offset.
//!
//! Each commit of `events` carries one entry per topic-partition in its `commitInfo`. The
//! maintenance folds entries into the table `ledger` before the log is cleaned.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMicrosecondType};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::commit::{Advance, Commit, Outcome};
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::log::{LEDGER, LogEntry};
use crate::rows;
use crate::storage::blocking;
use crate::table::{DeltaLog, Snapshot};
use crate::writer::{discard_files, encode_files};

/// Where the table `ledger` keeps the next version of `events` to fold.
const FOLD: &str = "fold/events";

/// What an entry says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LedgerKind {
    /// Offsets that were read.
    Data,
    /// Offsets that could not be read, and why.
    Gap,
}

impl LedgerKind {
    /// The value of the column `kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Gap => "gap",
        }
    }
}

/// One commit and topic-partition. Counts without a word are records; `*_rows`, `*_entries` and
/// `dup_differs` count entries, of which one record can hold several.
///
/// `to_offset - from_offset = accepted + rejected + duplicate + empty + tombstone + holes`
/// for [`LedgerKind::Data`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The version of `events` that carries it; filled when read, ignored when written.
    #[serde(skip)]
    pub version: i64,
    /// Time of that commit in microseconds; filled when read, ignored when written.
    #[serde(skip)]
    pub committed_time: i64,
    /// The batch; filled from the commit when read.
    #[serde(skip)]
    pub batch_id: String,
    /// Data or gap.
    pub kind: LedgerKind,
    /// The topic's name.
    pub kafka_topic: String,
    /// The topic's UUID.
    pub topic_uuid: String,
    /// The partition's number.
    pub kafka_partition: i32,
    /// First offset covered.
    pub from_offset: i64,
    /// First offset not covered.
    pub to_offset: i64,
    /// Records that gave at least one row of `events`.
    pub accepted: i64,
    /// Records that gave no row of `events` and at least one of `rejects`.
    pub rejected: i64,
    /// Records all of whose events were there already.
    pub duplicate: i64,
    /// Valid records that hold no event.
    pub empty: i64,
    /// Records without a value.
    pub tombstone: i64,
    /// Offsets at which there is no record.
    pub holes: i64,
    /// Rows of `events`.
    pub event_rows: i64,
    /// Rows of `rejects`.
    pub reject_rows: i64,
    /// Entries left out because their event was there already.
    pub duplicate_entries: i64,
    /// Of these, entries whose content differs from the stored one.
    pub dup_differs: i64,
    /// Why the offsets of a gap could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_reason: Option<String>,
    /// Earliest event time in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_event_time: Option<i64>,
    /// Latest event time in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_event_time: Option<i64>,
    /// Latest Kafka timestamp in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_kafka_timestamp: Option<i64>,
}

impl LedgerEntry {
    /// An entry for `[from_offset, to_offset)` with every count at zero.
    pub fn new(
        kind: LedgerKind,
        topic: &str,
        topic_uuid: &str,
        partition: i32,
        offsets: std::ops::Range<i64>,
    ) -> Self {
        Self {
            version: 0,
            committed_time: 0,
            batch_id: String::new(),
            kind,
            kafka_topic: topic.to_owned(),
            topic_uuid: topic_uuid.to_owned(),
            kafka_partition: partition,
            from_offset: offsets.start,
            to_offset: offsets.end,
            accepted: 0,
            rejected: 0,
            duplicate: 0,
            empty: 0,
            tombstone: 0,
            holes: 0,
            event_rows: 0,
            reject_rows: 0,
            duplicate_entries: 0,
            dup_differs: 0,
            gap_reason: None,
            min_event_time: None,
            max_event_time: None,
            max_kafka_timestamp: None,
        }
    }

    /// Records and holes that the entry accounts for.
    pub fn accounted(&self) -> i64 {
        self.accepted + self.rejected + self.duplicate + self.empty + self.tombstone + self.holes
    }
}

/// What a fold did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FoldSummary {
    /// Entries written to the table `ledger`.
    pub entries: u64,
    /// Everything up to this version of `events` is folded now.
    pub through_version: Option<i64>,
}

impl Lake {
    /// Every entry: the folded ones and those of the commits after them, oldest first.
    pub async fn ledger_entries(&self) -> Result<Vec<LedgerEntry>> {
        // In this order: what is folded in between is then read from the commits, not missed.
        let folded = self.ledger().load().await?;
        let newest = self.events().load().await?.version();
        self.ledger_entries_until(&folded, newest).await
    }

    /// The entries up to version `newest` of `events`.
    pub(crate) async fn ledger_entries_until(
        &self,
        folded: &Snapshot,
        newest: i64,
    ) -> Result<Vec<LedgerEntry>> {
        let next = folded.offset(FOLD).unwrap_or(0);
        let mut entries = read_folded(folded).await?;
        entries.retain(|entry| entry.version <= newest);
        entries.extend(committed_entries(self.events(), next, newest).await?);
        entries.sort_by(|a, b| {
            (a.version, &a.topic_uuid, a.kafka_partition, a.from_offset).cmp(&(
                b.version,
                &b.topic_uuid,
                b.kafka_partition,
                b.from_offset,
            ))
        });
        Ok(entries)
    }

    /// Moves the entries of commits that are not folded yet into the table `ledger`. Several may
    /// fold at once: each entry is folded once.
    pub async fn fold_ledger(&self) -> Result<FoldSummary> {
        let folded = self.ledger().load().await?;
        let from = folded.offset(FOLD);
        let next = from.unwrap_or(0);
        let newest = self.events().load().await?.version();
        if newest < next {
            let through_version = from.map(|from| from - 1);
            return Ok(FoldSummary {
                entries: 0,
                through_version,
            });
        }
        let entries = committed_entries(self.events(), next, newest).await?;
        let count = entries.len() as u64;
        let batch_id = Uuid::now_v7().to_string();
        let files = if entries.is_empty() {
            Vec::new()
        } else {
            let (table, id) = (self.ledger().clone(), batch_id.clone());
            blocking(move || encode_files(&[to_batch(&entries, &table)?], &table, &id)).await?
        };
        let commit = Commit {
            files,
            batch_id,
            ..Commit::default()
        };
        let advance = Advance {
            app_id: FOLD.to_owned(),
            from,
            to: newest + 1,
        };
        match self.ledger().commit_as(&commit, advance).await? {
            Outcome::Committed { .. } => Ok(FoldSummary {
                entries: count,
                through_version: Some(newest),
            }),
            // Somebody else folded the same versions; ours are not in the table.
            Outcome::AlreadyThere { .. } | Outcome::Fenced { .. } => {
                discard_files(self.ledger(), &commit.files);
                let now = self.ledger().load().await?.offset(FOLD);
                Ok(FoldSummary {
                    entries: 0,
                    through_version: now.map(|next| next - 1),
                })
            }
        }
    }
}

/// The entries that commits `from..=to` of `events` carry.
async fn committed_entries(events: &DeltaLog, from: i64, to: i64) -> Result<Vec<LedgerEntry>> {
    let mut entries = Vec::new();
    for version in from..=to {
        let at = u64::try_from(version)
            .map_err(|e| LakeError::corrupt("a version is negative").with_source(e))?;
        let commit = LogEntry::read(events.location(), at)
            .await?
            .ok_or_else(|| {
                LakeError::corrupt(format!(
                    "entry {version} of the log of `events` is gone before its ledger was folded"
                ))
            })?;
        entries.extend(entries_of(&commit, version)?);
    }
    Ok(entries)
}

/// The entries that one commit carries.
pub(crate) fn entries_of(commit: &LogEntry, version: i64) -> Result<Vec<LedgerEntry>> {
    let (Some(batch_id), Some(ledger)) = (commit.batch_id(), commit.info.get(LEDGER)) else {
        return Ok(Vec::new());
    };
    let mut entries = Vec::<LedgerEntry>::deserialize(ledger).map_err(|e| {
        LakeError::corrupt(format!(
            "the ledger in version {version} of `events` cannot be read"
        ))
        .with_source(e)
    })?;
    for entry in &mut entries {
        entry.version = version;
        entry.committed_time = commit.committed_time();
        entry.batch_id = batch_id.to_owned();
    }
    Ok(entries)
}

async fn read_folded(snapshot: &Snapshot) -> Result<Vec<LedgerEntry>> {
    let snapshot = snapshot.clone();
    blocking(move || {
        let mut entries = Vec::new();
        for file in snapshot.files() {
            for batch in rows::read(&snapshot, file, None)? {
                from_batch(&batch, &mut entries)?;
            }
        }
        Ok(entries)
    })
    .await
}

type NumberColumn = (
    &'static str,
    fn(&LedgerEntry) -> i64,
    fn(&mut LedgerEntry) -> &mut i64,
);

/// The columns that are plain numbers.
const NUMBERS: [NumberColumn; 13] = [
    ("version", |e| e.version, |e| &mut e.version),
    ("from_offset", |e| e.from_offset, |e| &mut e.from_offset),
    ("to_offset", |e| e.to_offset, |e| &mut e.to_offset),
    ("accepted", |e| e.accepted, |e| &mut e.accepted),
    ("rejected", |e| e.rejected, |e| &mut e.rejected),
    ("duplicate", |e| e.duplicate, |e| &mut e.duplicate),
    ("empty", |e| e.empty, |e| &mut e.empty),
    ("tombstone", |e| e.tombstone, |e| &mut e.tombstone),
    ("holes", |e| e.holes, |e| &mut e.holes),
    ("event_rows", |e| e.event_rows, |e| &mut e.event_rows),
    ("reject_rows", |e| e.reject_rows, |e| &mut e.reject_rows),
    (
        "duplicate_entries",
        |e| e.duplicate_entries,
        |e| &mut e.duplicate_entries,
    ),
    ("dup_differs", |e| e.dup_differs, |e| &mut e.dup_differs),
];

pub(crate) fn to_batch(entries: &[LedgerEntry], table: &DeltaLog) -> Result<RecordBatch> {
    let text = |of: fn(&LedgerEntry) -> Option<&str>| -> ArrayRef {
        Arc::new(entries.iter().map(of).collect::<StringArray>())
    };
    let time = |of: fn(&LedgerEntry) -> Option<i64>| -> ArrayRef {
        let times: TimestampMicrosecondArray = entries.iter().map(of).collect();
        Arc::new(times.with_timezone("UTC"))
    };
    let mut columns: BTreeMap<&str, ArrayRef> = BTreeMap::from([
        ("committed_time", time(|e| Some(e.committed_time))),
        ("batch_id", text(|e| Some(&e.batch_id))),
        ("kind", text(|e| Some(e.kind.as_str()))),
        ("kafka_topic", text(|e| Some(&e.kafka_topic))),
        ("topic_uuid", text(|e| Some(&e.topic_uuid))),
        ("gap_reason", text(|e| e.gap_reason.as_deref())),
        ("min_event_time", time(|e| e.min_event_time)),
        ("max_event_time", time(|e| e.max_event_time)),
        ("max_kafka_timestamp", time(|e| e.max_kafka_timestamp)),
    ]);
    let partitions: Int32Array = entries.iter().map(|e| Some(e.kafka_partition)).collect();
    columns.insert("kafka_partition", Arc::new(partitions));
    for (name, get, _) in NUMBERS {
        let numbers: Int64Array = entries.iter().map(|e| Some(get(e))).collect();
        columns.insert(name, Arc::new(numbers));
    }
    let failed = || LakeError::internal("the ledger's columns are not those of its table");
    let schema = Arc::clone(table.schema());
    let arrays: Option<Vec<ArrayRef>> = schema
        .fields()
        .iter()
        .map(|field| columns.remove(field.name().as_str()))
        .collect();
    RecordBatch::try_new(schema, arrays.ok_or_else(failed)?).map_err(|e| failed().with_source(e))
}

fn from_batch(batch: &RecordBatch, entries: &mut Vec<LedgerEntry>) -> Result<()> {
    let start = entries.len();
    let kinds = rows::texts(batch, "kind")?;
    let (topics, uuids) = (
        rows::texts(batch, "kafka_topic")?,
        rows::texts(batch, "topic_uuid")?,
    );
    let (batch_ids, reasons) = (
        rows::texts(batch, "batch_id")?,
        rows::texts(batch, "gap_reason")?,
    );
    let partitions = rows::column(batch, "kafka_partition")?.as_primitive_opt::<Int32Type>();
    let partitions = partitions.ok_or_else(|| rows::wrong_column("kafka_partition"))?;
    let time = |name| -> Result<_> {
        let column = rows::column(batch, name)?;
        let times = column.as_primitive_opt::<TimestampMicrosecondType>();
        Ok(times.ok_or_else(|| rows::wrong_column(name))?.iter())
    };
    let committed = time("committed_time")?;
    let times = time("min_event_time")?
        .zip(time("max_event_time")?)
        .zip(time("max_kafka_timestamp")?);
    for (row, (committed_time, ((low, high), kafka))) in committed.zip(times).enumerate() {
        let kind = match kinds.value(row) {
            "gap" => LedgerKind::Gap,
            _ => LedgerKind::Data,
        };
        let mut entry = LedgerEntry::new(
            kind,
            topics.value(row),
            uuids.value(row),
            partitions.value(row),
            0..0,
        );
        entry.committed_time = committed_time.unwrap_or_default();
        batch_ids.value(row).clone_into(&mut entry.batch_id);
        entry.gap_reason = rows::text_at(reasons, row).map(str::to_owned);
        (
            entry.min_event_time,
            entry.max_event_time,
            entry.max_kafka_timestamp,
        ) = (low, high, kafka);
        entries.push(entry);
    }
    for (name, _, slot) in NUMBERS {
        let numbers = rows::column(batch, name)?.as_primitive_opt::<Int64Type>();
        let numbers = numbers.ok_or_else(|| rows::wrong_column(name))?;
        for (entry, number) in entries.iter_mut().skip(start).zip(numbers.values()) {
            *slot(entry) = *number;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
