//! Appending rows and offsets in one step.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use bytes::Bytes;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, Add, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};
use futures::FutureExt;
use uuid::Uuid;

use crate::error::{ErrorKind, LakeError, Result};
use crate::ledger::LedgerEntry;
use crate::log::{BATCH_ID, LEDGER, LogEntry, LogState, entry_path, last_checkpoint};
use crate::order;
use crate::table::{DeltaLog, as_version};
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
    ///
    /// The comparison and the append see the same version: the positions are those of version
    /// `n`, and the entry is written as `n + 1` or not at all. Whatever else happens (somebody
    /// else wrote `n + 1`, the store failed, its answer was lost) is settled by reading the log
    /// again. So an error leaves the outcome open but never wrong, and the same commit may be
    /// tried again: it lands once.
    pub async fn commit(&self, commit: Commit) -> Result<Outcome> {
        commit.check(self)?;
        let append = Append {
            batch_id: commit.batch_id.clone(),
            advances: commit
                .advances
                .iter()
                .map(|advance| Advance {
                    app_id: advance.key.app_id(),
                    from: advance.from,
                    to: advance.to,
                })
                .collect(),
            entry: entry_bytes(self, &commit, &[])?,
        };
        self.append(append).await
    }

    /// Appends `commit` under positions that are not a Kafka partition's.
    pub(crate) async fn commit_as(&self, commit: &Commit, advance: Advance) -> Result<Outcome> {
        let entry = entry_bytes(self, commit, std::slice::from_ref(&advance))?;
        let append = Append {
            batch_id: commit.batch_id.clone(),
            advances: vec![advance],
            entry,
        };
        self.append(append).await
    }

    async fn append(&self, append: Append) -> Result<Outcome> {
        let mut state = self.state().lock().await;
        let known = state.version;
        let mut failures = 0;
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                pause(attempt).await;
                let refreshed = state.refresh(self.location(), self.log_store()).await;
                if let Err(error) = refreshed {
                    self.count_failure(&mut failures, error)?;
                    continue;
                }
            }
            match self.standing(&state, &append)? {
                Standing::Ready => {}
                // Believe anything else only after looking: a state that nobody refreshed for a
                // while may simply be behind.
                _ if attempt == 0 => continue,
                Standing::There => {
                    return self.already_there(&append, known..=state.version).await;
                }
                Standing::Elsewhere(partitions) => return Ok(Outcome::Fenced { partitions }),
            }
            match self.try_append(&state, &append).await {
                Ok(Some(version)) => {
                    state.advance(version, append.positions());
                    let version = as_version(version)?;
                    return Ok(Outcome::Committed { version });
                }
                Ok(None) => {}
                Err(error) => self.count_failure(&mut failures, error)?,
            }
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            format!(
                "could not append to table `{}`: other writers were faster {ATTEMPTS_MAX} times",
                self.name()
            ),
        ))
    }

    /// Whether what failed is worth another look. The entry may be there all the same.
    fn count_failure(&self, failures: &mut u32, error: LakeError) -> Result<()> {
        *failures += 1;
        if error.kind() == ErrorKind::Corrupt || *failures >= FAILURES_MAX {
            return Err(error);
        }
        tracing::warn!(
            table = self.name(),
            error = &error as &dyn std::error::Error,
            "the outcome of a commit is not known; reading the log"
        );
        Ok(())
    }

    fn standing(&self, state: &LogState, append: &Append) -> Result<Standing> {
        let mut there = 0;
        let mut elsewhere = Vec::new();
        for advance in &append.advances {
            let stored = state.offsets.get(&advance.app_id).copied();
            if stored == Some(advance.to) {
                there += 1;
            }
            if stored != advance.from {
                elsewhere.push((advance.app_id.clone(), stored));
            }
        }
        if there == append.advances.len() {
            return Ok(Standing::There);
        }
        if let Some(rewrite) = &state.rewrite {
            return Err(LakeError::new(
                ErrorKind::HaltedTableRewritten,
                format!(
                    "could not append to table `{}`: {} at version {} removed rows after our last \
                     commit, and the stored offsets no longer say what is there",
                    self.name(),
                    rewrite.operation,
                    rewrite.version
                ),
            ));
        }
        if let Some(refusal) = &state.refusal {
            return Err(LakeError::config(format!(
                "could not append to table `{}`: {refusal}",
                self.name()
            )));
        }
        Ok(if elsewhere.is_empty() {
            Standing::Ready
        } else {
            Standing::Elsewhere(elsewhere)
        })
    }

    /// Writes the entry after the version that `state` knows. `None`: not as that version.
    async fn try_append(&self, state: &LogState, append: &Append) -> Result<Option<u64>> {
        let version = state.version + 1;
        let path = entry_path(version);
        let entry = append.entry.clone();
        let written = AssertUnwindSafe(self.location().create(&path, entry))
            .catch_unwind()
            .await
            .map_err(|_| {
                let message = format!("could not write `{path}`: the store panicked");
                LakeError::new(ErrorKind::Unavailable, message)
            })??;
        // A checkpoint of this version or a later one means that this version had been there: the
        // log was cleaned past what we know, and what we wrote is before its beginning, where
        // nobody reads. (If the checkpoint is of our own entry, reading the log again tells.)
        let dead = last_checkpoint(self.location())
            .await?
            .is_some_and(|checkpoint| checkpoint >= version);
        Ok((written && !dead).then_some(version))
    }

    /// The positions are where the commit would put them. If it was us and only the answer was
    /// lost, nobody has told the disk yet.
    async fn already_there(
        &self,
        append: &Append,
        versions: RangeInclusive<u64>,
    ) -> Result<Outcome> {
        let mut found = *versions.end();
        for version in versions.rev() {
            let path = entry_path(version);
            let entry = LogEntry::read(self.location(), version).await?;
            if entry.is_some_and(|e| e.batch_id() == Some(append.batch_id.as_str())) {
                self.location().make_durable(&path).await?;
                found = version;
                break;
            }
        }
        Ok(Outcome::AlreadyThere {
            version: as_version(found)?,
        })
    }
}

/// How often a commit is tried: enough for many writers, few enough to end.
const ATTEMPTS_MAX: u32 = 60;
/// How often the store may fail meanwhile.
const FAILURES_MAX: u32 = 6;
const PAUSE_MS_MAX: u64 = 250;

/// Moves one stored position.
#[derive(Debug, Clone)]
pub(crate) struct Advance {
    pub(crate) app_id: String,
    pub(crate) from: Option<i64>,
    pub(crate) to: i64,
}

/// An entry, and what must hold for it to be written.
struct Append {
    batch_id: String,
    advances: Vec<Advance>,
    entry: Bytes,
}

/// Where the stored positions are, as a commit sees them.
enum Standing {
    /// Where it starts.
    Ready,
    /// Where it ends.
    There,
    /// These are somewhere else.
    Elsewhere(Vec<(String, Option<i64>)>),
}

impl Append {
    fn positions(&self) -> Vec<(String, i64)> {
        self.advances
            .iter()
            .map(|advance| (advance.app_id.clone(), advance.to))
            .collect()
    }
}

impl Commit {
    fn check(&self, table: &DeltaLog) -> Result<()> {
        let refuse = |why: String| {
            Err(LakeError::config(format!(
                "could not append batch `{}` to table `{}`: {why}",
                self.batch_id,
                table.name()
            )))
        };
        if self.advances.is_empty() {
            return refuse(
                "it moves no offset, so a second try could not be told apart".to_owned(),
            );
        }
        let mut seen = HashSet::new();
        for advance in &self.advances {
            let app_id = advance.key.app_id();
            if OffsetKey::from_app_id(&app_id).as_ref() != Some(&advance.key) {
                return refuse(format!("`{app_id}` has a `/` where none may be"));
            }
            // A position that stands still could be committed again and again.
            if advance.to < 0 || advance.from.is_some_and(|from| from >= advance.to) {
                return refuse(format!(
                    "offset of `{app_id}` would go from {:?} to {}",
                    advance.from, advance.to
                ));
            }
            if !seen.insert(app_id.clone()) {
                return refuse(format!("`{app_id}` is named twice"));
            }
        }
        Ok(())
    }
}

fn entry_bytes(table: &DeltaLog, commit: &Commit, others: &[Advance]) -> Result<Bytes> {
    let failed = || {
        LakeError::internal(format!(
            "could not describe batch `{}` for table `{}`",
            commit.batch_id,
            table.name()
        ))
    };
    let ledger = serde_json::to_value(&commit.ledger).map_err(|e| failed().with_source(e))?;
    let mut info = HashMap::from([
        (BATCH_ID.to_owned(), commit.batch_id.clone().into()),
        ("code".to_owned(), env!("CARGO_PKG_VERSION").into()),
    ]);
    if !commit.ledger.is_empty() {
        info.insert(LEDGER.to_owned(), ledger);
    }
    let operation = DeltaOperation::Write {
        mode: SaveMode::Append,
        partition_by: table.partition_column().map(|c| vec![c.to_owned()]),
        predicate: None,
    };
    // Without `lastUpdated`: a position with a time can expire, and an expired position would be
    // read from the start again.
    let txns = commit
        .advances
        .iter()
        .map(|advance| Transaction::new(advance.key.app_id(), advance.to))
        .chain(
            others
                .iter()
                .map(|other| Transaction::new(&other.app_id, other.to)),
        )
        .collect();
    let adds = commit.files.iter().map(add_action).collect();
    CommitData::new(adds, operation, info, txns)
        .get_bytes()
        .map_err(|e| failed().with_source(e))
}

pub(crate) fn add_action(file: &DataFile) -> Action {
    Action::Add(Add {
        path: file.path.clone(),
        partition_values: file
            .partition
            .iter()
            .map(|(column, value)| (column.clone(), Some(value.clone())))
            .collect(),
        size: file.size,
        modification_time: file.modification_time,
        data_change: true,
        stats: Some(file.stats.clone()),
        tags: file.sorted.then(order::tags),
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
        clustering_provider: None,
    })
}

/// Waits a little longer each time, and never as long as another writer does.
pub(crate) async fn pause(attempt: u32) {
    let longest = (1_u64 << attempt.min(8)).min(PAUSE_MS_MAX);
    let chance = u64::from(Uuid::new_v4().as_fields().0);
    tokio::time::sleep(Duration::from_millis(chance % (longest + 1))).await;
}

#[cfg(test)]
mod random_tests;
#[cfg(test)]
mod tests;
