//! What goes into the core and what comes out: the whole conversation between the parts.
//!
//! The core is a state machine without I/O. Sources and the committer send it [`Input`]s; it
//! answers with [`Effect`]s, which the driver carries out.

use std::collections::BTreeMap;
use std::sync::mpsc::SyncSender;

use arrow::array::RecordBatch;
use funnel_lake::{Halt, LedgerEntry, OffsetKey, RecentEvent};

use crate::core::Recovered;
use crate::error::IngestError;
use crate::record::{Epoch, Records, Tp};

/// A partition that this process has to read, with what the broker says of it.
#[derive(Debug, Clone)]
pub struct Owned {
    /// The partition.
    pub tp: Tp,
    /// The topic's identity: its UUID, or the cluster's id where the broker gives none.
    pub topic_uuid: String,
    /// The first offset that the broker has.
    pub low: i64,
    /// The broker's last stable offset.
    pub high: i64,
    /// Where `start_from` puts a partition that the lake does not know, when only the source can
    /// tell.
    pub wanted: Option<i64>,
}

/// Tells a source that the core is done with what it was asked.
pub type Ack = SyncSender<()>;

/// Everything that happens to the core.
#[derive(Debug)]
pub enum Input {
    /// Read these partitions, from where the lake says.
    Owned(Vec<Owned>),
    /// The watermarks of a partition, read again on request.
    Watermarks(Owned),
    /// Records, in order per partition.
    Records(Records),
    /// There is no record below `next` that was not sent.
    AtEnd {
        /// The partition.
        tp: Tp,
        /// The start that this belongs to.
        epoch: Epoch,
        /// The next offset that can hold a record.
        next: i64,
    },
    /// These partitions will go away: commit what is there, then acknowledge.
    Revoking {
        /// The partitions.
        tps: Vec<Tp>,
        /// Where the source waits.
        done: Ack,
    },
    /// These partitions are gone; what was not committed is somebody else's work.
    Dropped(Vec<Tp>),
    /// The broker's ends, for the lag.
    Ends(Vec<(Tp, i64)>),
    /// With an end in sight: read to these offsets, then finish.
    Targets(BTreeMap<Tp, i64>),
    /// What the lake knows of a partition.
    Loaded {
        /// The partition.
        tp: Tp,
        /// The start that this belongs to.
        epoch: Epoch,
        /// The answer.
        loaded: Box<Loaded>,
    },
    /// A commit has an outcome.
    Committed(CommitReport),
    /// Positions of partitions in the lake, whoever reads them.
    Stored(BTreeMap<Tp, i64>),
    /// Commit what is there, then finish.
    Stop,
    /// Nothing can go on.
    Failed(IngestError),
}

/// What the lake knows of one partition.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The next offset, from `events`.
    pub stored: Option<i64>,
    /// The next offset, from `rejects`.
    pub rejects_stored: Option<i64>,
    /// The job has offsets of this topic, of whatever partition.
    pub topic_known: bool,
    /// Rows of `rejects` at or after `stored`.
    pub recovered: Recovered,
    /// The newest events, oldest first.
    pub recent: Vec<RecentEvent>,
    /// The halt that stands.
    pub halt: Option<Halt>,
}

/// One partition's share of a commit.
#[derive(Debug, Clone)]
pub struct Part {
    /// The partition in this process.
    pub tp: Tp,
    /// The start that it belongs to.
    pub epoch: Epoch,
    /// The partition in the lake.
    pub key: OffsetKey,
    /// The position in `events` that the rows follow on.
    pub from: Option<i64>,
    /// The position after them.
    pub to: i64,
    /// The position in `rejects` that new rows there follow on.
    pub rejects_from: Option<i64>,
    /// Entries of the ledger.
    pub ledger: Vec<LedgerEntry>,
    /// Rows of `events`.
    pub events: Option<RecordBatch>,
    /// Rows of `rejects`.
    pub rejects: Option<RecordBatch>,
}

impl Part {
    /// The position of `rejects` once this part's rows are there. It has to move even when the
    /// rows lie below a position that an earlier, unfinished commit left.
    pub fn rejects_to(&self) -> i64 {
        self.rejects_from
            .map_or(self.to, |from| self.to.max(from + 1))
    }
}

/// What made a flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Trigger {
    /// Enough rows.
    Rows,
    /// Enough bytes.
    Bytes,
    /// The oldest record is old enough.
    Age,
    /// Partitions go away.
    Revoke,
    /// The end seen at start is reached.
    End,
    /// The process ends.
    Shutdown,
}

impl Trigger {
    /// The label in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::Bytes => "bytes",
            Self::Age => "age",
            Self::Revoke => "revoke",
            Self::End => "end",
            Self::Shutdown => "shutdown",
        }
    }
}

/// One commit to be.
#[derive(Debug, Clone)]
pub struct Sealed {
    /// Its identity; a column of the rows.
    pub batch_id: String,
    /// Why now.
    pub trigger: Trigger,
    /// Its partitions.
    pub parts: Vec<Part>,
}

/// What became of one partition's share of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PartOutcome {
    /// Durable.
    Done {
        /// The version of `events` that holds it, or when it was seen there.
        version: i64,
        /// The position of `rejects` now.
        rejects_stored: Option<i64>,
    },
    /// Another owner moved the position: the rows were dropped.
    Fenced,
}

/// What became of a commit.
#[derive(Debug)]
pub struct CommitReport {
    /// Per partition.
    pub parts: Vec<(Part, PartOutcome)>,
    /// Commits to `events` that were made.
    pub commits: u64,
}

/// Everything that the core wants done.
#[derive(Debug)]
pub enum Effect {
    /// Read what the lake knows and answer with [`Input::Loaded`].
    Load {
        /// The partition.
        tp: Tp,
        /// The start to answer with.
        epoch: Epoch,
        /// The partition in the lake.
        key: OffsetKey,
    },
    /// Fetch from this offset, under this epoch; replaces an earlier start.
    Start {
        /// The partition.
        tp: Tp,
        /// The start to tag records with.
        epoch: Epoch,
        /// The next offset to read.
        offset: i64,
    },
    /// Stop fetching.
    Release(Tp),
    /// Read the watermarks again after a while and answer with [`Input::Watermarks`].
    Recheck(Tp),
    /// Make it durable and answer with [`Input::Committed`]. One at a time.
    Commit(Sealed),
    /// Make a halt durable.
    SetHalt(Halt),
    /// Take a halt back.
    ClearHalt(OffsetKey),
    /// Tell Kafka how far the lake is, for its lag tools.
    CommitKafka {
        /// Next offsets.
        offsets: Vec<(Tp, i64)>,
        /// The version of `events`.
        version: i64,
    },
    /// Answer with [`Input::Stored`].
    AskStored,
    /// Nothing is left to do.
    Finished,
    /// Nothing can go on.
    Fail(IngestError),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_position_of_rejects_moves_on_whatever_range_the_rows_are_from() {
        let part = |rejects_from, to| Part {
            tp: Tp::new("t", 0),
            epoch: Epoch(1),
            key: OffsetKey {
                job: "job".to_owned(),
                topic: "t".to_owned(),
                topic_uuid: "u".to_owned(),
                partition: 0,
            },
            from: None,
            to,
            rejects_from,
            ledger: Vec::new(),
            events: None,
            rejects: None,
        };
        assert_eq!(part(None, 5).rejects_to(), 5);
        assert_eq!(part(Some(3), 5).rejects_to(), 5);
        // Rows below the position that an unfinished commit left behind.
        assert_eq!(part(Some(5), 5).rejects_to(), 6);
        assert_eq!(part(Some(9), 5).rejects_to(), 10);
    }
}
