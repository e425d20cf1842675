//! Appending rows and offsets in one step.

use crate::error::Result;
use crate::ledger::LedgerEntry;
use crate::table::DeltaLog;
use crate::writer::DataFile;

/// One partition of one incarnation of a topic, as read by one job.
///
/// The topic's UUID is part of the identity: a topic that was deleted and made again under the
/// same name is another one, and its offsets are never compared with the old ones.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct OffsetKey {
    /// The ingest job; unique per lake and environment.
    pub job: String,
    /// The topic's name.
    pub topic: String,
    /// The topic's UUID as the broker reports it (URL-safe base64).
    pub topic_uuid: String,
    /// The partition's number.
    pub partition: i32,
}

impl OffsetKey {
    /// The application id under which the Delta log keeps the next offset.
    pub fn app_id(&self) -> String {
        format!(
            "{}/{}/{}/{}",
            self.job, self.topic, self.topic_uuid, self.partition
        )
    }

    /// The key behind an application id, or `None` if the id is not one of ours.
    pub fn from_app_id(app_id: &str) -> Option<Self> {
        let mut parts = app_id.rsplitn(4, '/');
        let partition = parts.next()?.parse().ok()?;
        let topic_uuid = parts.next()?.to_owned();
        let topic = parts.next()?.to_owned();
        let job = parts.next()?.to_owned();
        Some(Self {
            job,
            topic,
            topic_uuid,
            partition,
        })
    }
}

/// Moves the stored position of one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OffsetAdvance {
    /// Which partition.
    pub key: OffsetKey,
    /// The stored next offset that must be there now; `None`: nothing stored yet.
    pub from: Option<i64>,
    /// The next offset to read once this commit is in.
    pub to: i64,
}

/// What one commit adds to a table.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// Files that are already durable.
    pub files: Vec<DataFile>,
    /// Positions that move with them.
    pub advances: Vec<OffsetAdvance>,
    /// The batch: also part of the file names and a column of the rows.
    pub batch_id: String,
    /// What became of the offsets.
    pub ledger: Vec<LedgerEntry>,
}

/// What became of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the table, once, at this version.
    Committed {
        /// The version that holds it.
        version: i64,
    },
    /// Every position is already where this commit would put it: an earlier attempt (its reply was
    /// lost) or another owner with the same range was there first.
    AlreadyThere {
        /// The table's version when this was seen.
        version: i64,
    },
    /// These partitions are not where the batch starts. Nothing was written: drop their rows, go
    /// on from the stored position, commit the others as a new batch.
    Fenced {
        /// Application id and stored position of each partition that did not match.
        partitions: Vec<(String, Option<i64>)>,
    },
}

impl DeltaLog {
    /// Appends `commit` if every position stands where the batch starts.
    pub async fn commit(&self, commit: Commit) -> Result<Outcome> {
        let _ = commit;
        Err(crate::error::LakeError::internal("commit: not written yet"))
    }
}
