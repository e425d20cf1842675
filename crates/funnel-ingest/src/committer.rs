//! Carries out commits: rejects first, then events, each compared with the stored positions.
//!
//! Runs beside the core, one job after the other, so that a question about a partition is
//! answered after the commit that was cut before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use funnel_lake::{Commit, DataFile, Halt, OffsetAdvance, OffsetKey, Outcome};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use uuid::Uuid;

use crate::error::{ErrorKind, IngestError, Result};
use crate::health::Health;
use crate::inbox::Inbox;
use crate::message::{CommitReport, Input, Part, PartOutcome, Sealed};
use crate::metrics::Metrics;
use crate::record::{Epoch, Tp};
use crate::store::{Store, StoreError, Table};

/// Work for the committer.
#[derive(Debug)]
pub(crate) enum Job {
    Load {
        tp: Tp,
        epoch: Epoch,
        key: OffsetKey,
    },
    Commit(Sealed),
    SetHalt(Halt),
    ClearHalt(OffsetKey),
    AskStored,
}

/// Storage that does not answer is asked again, ever more slowly.
pub(crate) const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Committer {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) job: String,
    /// Offsets of which the known events are read back when a partition starts.
    pub(crate) window: u64,
    /// The first pause after a failure; it doubles.
    pub(crate) retry_first: Duration,
    /// How long storage may fail; `None`: for ever.
    pub(crate) patience: Option<Duration>,
    pub(crate) abort: CancellationToken,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Committer {
    /// Works until the channel closes.
    pub(crate) async fn run(self, mut jobs: mpsc::Receiver<Job>, inbox: Arc<Inbox<Input>>) {
        while let Some(job) = jobs.recv().await {
            match self.work(job).await {
                Ok(Some(answer)) => inbox.push(answer),
                Ok(None) => {}
                Err(error) => {
                    inbox.push(Input::Failed(error));
                    return;
                }
            }
        }
    }

    pub(crate) async fn work(&self, job: Job) -> Result<Option<Input>> {
        match job {
            Job::Load { tp, epoch, key } => {
                let loaded = self
                    .persist("read the positions", || self.store.load(&key, self.window))
                    .await?;
                let loaded = Box::new(loaded);
                Ok(Some(Input::Loaded { tp, epoch, loaded }))
            }
            Job::Commit(sealed) => Ok(Some(Input::Committed(self.commit(sealed).await?))),
            Job::SetHalt(halt) => {
                warn!(
                    topic = halt.key.topic,
                    partition = halt.key.partition,
                    reason = halt.reason,
                    hint = halt.flag_hint,
                    "partition halted"
                );
                self.persist("write a halt", || self.store.set_halt(halt.clone()))
                    .await?;
                Ok(None)
            }
            Job::ClearHalt(key) => {
                info!(
                    topic = key.topic,
                    partition = key.partition,
                    "halt resolved"
                );
                self.persist("clear a halt", || self.store.clear_halt(&key))
                    .await?;
                Ok(None)
            }
            Job::AskStored => {
                let stored = self
                    .persist("read the positions", || self.store.stored(&self.job))
                    .await?;
                Ok(Some(Input::Stored(newest_incarnation(stored))))
            }
        }
    }

    /// Makes a sealed batch durable, or finds out that others were there first.
    pub(crate) async fn commit(&self, sealed: Sealed) -> Result<CommitReport> {
        let began = Instant::now();
        let trigger = sealed.trigger;
        let mut work = Work::new(sealed);
        self.commit_rejects(&mut work).await?;
        self.commit_events(&mut work).await?;
        self.metrics.flushed(trigger, began.elapsed());
        Ok(CommitReport {
            parts: work.done,
            commits: work.commits,
        })
    }

    async fn commit_rejects(&self, work: &mut Work) -> Result<()> {
        loop {
            let rows: Vec<RecordBatch> = work
                .parts
                .iter()
                .filter_map(|part| part.rejects.clone())
                .collect();
            if rows.is_empty() {
                return Ok(());
            }
            let advances = work
                .parts
                .iter()
                .filter(|part| part.rejects.is_some())
                .map(|part| OffsetAdvance {
                    key: part.key.clone(),
                    from: part.rejects_from,
                    to: part.rejects_to(),
                })
                .collect();
            let commit = Commit {
                files: Vec::new(),
                advances,
                batch_id: work.batch_id.clone(),
                ledger: Vec::new(),
            };
            match self.append(Table::Rejects, rows, commit).await? {
                Outcome::Fenced { partitions } => work.fence(&partitions),
                Outcome::Committed { .. } | Outcome::AlreadyThere { .. } => {
                    work.rejects_are_durable();
                    return Ok(());
                }
            }
        }
    }

    async fn commit_events(&self, work: &mut Work) -> Result<()> {
        while !work.parts.is_empty() {
            let rows: Vec<RecordBatch> = work
                .parts
                .iter()
                .filter_map(|part| part.events.clone())
                .collect();
            let advance = |part: &Part| OffsetAdvance {
                key: part.key.clone(),
                from: part.from,
                to: part.to,
            };
            let commit = Commit {
                files: Vec::new(),
                advances: work.parts.iter().map(advance).collect(),
                batch_id: work.batch_id.clone(),
                ledger: work
                    .parts
                    .iter()
                    .flat_map(|part| part.ledger.clone())
                    .collect(),
            };
            match self.append(Table::Events, rows, commit).await? {
                Outcome::Fenced { partitions } => work.fence(&partitions),
                Outcome::Committed { version } => {
                    work.commits += 1;
                    work.finish(version);
                }
                Outcome::AlreadyThere { version } => work.finish(version),
            }
        }
        Ok(())
    }

    /// Encodes once and commits until it is known what became of it.
    async fn append(
        &self,
        table: Table,
        rows: Vec<RecordBatch>,
        mut commit: Commit,
    ) -> Result<Outcome> {
        if !rows.is_empty() {
            let began = Instant::now();
            let mut attempt = 0_u32;
            commit.files = self
                .persist("write files", || {
                    // A name is never used twice: an earlier attempt may have left its file.
                    attempt += 1;
                    let name = match attempt {
                        1 => commit.batch_id.clone(),
                        _ => format!("{}-{attempt}", commit.batch_id),
                    };
                    self.store.encode(table, rows.clone(), name)
                })
                .await?;
            self.metrics.encoded(table, &commit.files, began.elapsed());
        }
        let began = Instant::now();
        let outcome = self
            .persist("commit", || self.store.commit(table, commit.clone()))
            .await?;
        self.metrics.committed(table, &outcome, began.elapsed());
        if !commit.files.is_empty() && !matches!(outcome, Outcome::Committed { .. }) {
            self.discard(table, std::mem::take(&mut commit.files)).await;
        }
        match &outcome {
            Outcome::Committed { version } => info!(
                table = table.as_str(),
                version,
                batch_id = commit.batch_id,
                partitions = commit.advances.len(),
                files = commit.files.len(),
                rows = commit.files.iter().map(|file| file.rows).sum::<i64>(),
                "committed"
            ),
            Outcome::AlreadyThere { version } => {
                info!(
                    table = table.as_str(),
                    version, "the batch was there already"
                );
            }
            Outcome::Fenced { partitions } => warn!(
                table = table.as_str(),
                partitions = partitions.len(),
                "another owner moved these partitions, their rows are dropped here"
            ),
        }
        Ok(outcome)
    }

    /// What is not removed stays as an orphan, which costs space and nothing else.
    async fn discard(&self, table: Table, files: Vec<DataFile>) {
        if let Err(error) = self.store.discard(table, files).await {
            warn!(
                table = table.as_str(),
                error = chain(&error),
                "files of a lost commit stay behind"
            );
        }
    }

    /// Tries until it works, is hopeless, or patience ends.
    async fn persist<T, F>(&self, what: &str, mut call: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = std::result::Result<T, StoreError>>,
    {
        let began = Instant::now();
        let mut pause = self.retry_first;
        loop {
            let error = match call().await {
                Ok(value) => {
                    self.health.storage(None);
                    return Ok(value);
                }
                Err(error) => error,
            };
            if !error.retryable {
                let message = format!("the lake cannot {what}");
                return Err(IngestError::new(ErrorKind::Lake, message).with_source(error));
            }
            self.metrics.storage_error();
            self.health.storage(Some(chain(&error)));
            warn!(
                error = chain(&error),
                "the lake did not {what}, trying again"
            );
            let tired = self
                .patience
                .is_some_and(|patience| began.elapsed() > patience);
            if tired || self.abort.is_cancelled() {
                let message = format!("the lake did not {what} in time");
                return Err(IngestError::unavailable(message).with_source(error));
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.abort.cancelled() => {}
            }
            pause = (pause * 2).min(RETRY_MAX);
        }
    }
}

/// A batch while it is being committed.
struct Work {
    batch_id: String,
    parts: Vec<Part>,
    done: Vec<(Part, PartOutcome)>,
    commits: u64,
}

impl Work {
    fn new(sealed: Sealed) -> Self {
        Self {
            batch_id: sealed.batch_id,
            parts: sealed.parts,
            done: Vec::new(),
            commits: 0,
        }
    }

    /// Puts the lost partitions aside; the others become a new batch.
    fn fence(&mut self, lost: &[(String, Option<i64>)]) {
        let is_lost = |part: &Part| {
            let id = part.key.app_id();
            lost.iter().any(|(app_id, _)| *app_id == id)
        };
        let (fenced, kept): (Vec<Part>, Vec<Part>) = std::mem::take(&mut self.parts)
            .into_iter()
            .partition(is_lost);
        // A store that fences without naming one of ours would make us try for ever.
        let (fenced, kept) = if fenced.is_empty() {
            (kept, fenced)
        } else {
            (fenced, kept)
        };
        self.done
            .extend(fenced.into_iter().map(|part| (part, PartOutcome::Fenced)));
        self.batch_id = Uuid::now_v7().to_string();
        self.parts = kept;
        for part in &mut self.parts {
            part.events = part
                .events
                .take()
                .map(|rows| restamp(&rows, &self.batch_id));
            part.rejects = part
                .rejects
                .take()
                .map(|rows| restamp(&rows, &self.batch_id));
        }
    }

    fn rejects_are_durable(&mut self) {
        for part in &mut self.parts {
            if part.rejects.take().is_some() {
                part.rejects_from = Some(part.rejects_to());
            }
        }
    }

    fn finish(&mut self, version: i64) {
        for part in self.parts.drain(..) {
            let outcome = PartOutcome::Done {
                version,
                rejects_stored: part.rejects_from,
            };
            self.done.push((part, outcome));
        }
    }
}

/// The same rows under another batch.
fn restamp(rows: &RecordBatch, batch_id: &str) -> RecordBatch {
    let Ok(at) = rows.schema_ref().index_of("batch_id") else {
        return rows.clone();
    };
    let ids: ArrayRef = Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
        batch_id,
        rows.num_rows(),
    )));
    let mut columns = rows.columns().to_vec();
    columns[at] = ids;
    // Type and length are those of the column that it replaces.
    RecordBatch::try_new(rows.schema(), columns).unwrap_or_else(|_| rows.clone())
}

/// Positions by partition. Where a topic was made anew, the furthest one stands: this only tells
/// when others are done.
fn newest_incarnation(stored: BTreeMap<OffsetKey, i64>) -> BTreeMap<Tp, i64> {
    let mut positions = BTreeMap::new();
    for (key, offset) in stored {
        let position = positions
            .entry(Tp::new(key.topic, key.partition))
            .or_insert(0);
        *position = offset.max(*position);
    }
    positions
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
