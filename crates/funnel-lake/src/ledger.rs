//! The ledger: what became of every offset.
//!
//! Each commit of `events` carries one entry per topic-partition in its `commitInfo`. The
//! maintenance folds entries into the table `ledger` before the log is cleaned.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::lake::Lake;

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
        Err(crate::error::LakeError::internal("ledger: not written yet"))
    }

    /// Moves the entries of commits that are not folded yet into the table `ledger`.
    pub async fn fold_ledger(&self) -> Result<FoldSummary> {
        Err(crate::error::LakeError::internal("ledger: not written yet"))
    }
}
