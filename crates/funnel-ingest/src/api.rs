//! What callers see: start, watch, wait.

use std::net::SocketAddr;
use std::path::PathBuf;

use funnel_lake::Lake;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::config::IngestConfig;
use crate::error::{IngestError, Result};
use crate::run::{Input, Prepared};

/// What a person decided about a partition that stands still. It holds for this start only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltOverride {
    /// The topic.
    pub topic: String,
    /// The partition; `None`: every one of the topic.
    pub partition: Option<i32>,
    /// How to go on.
    pub action: HaltAction,
}

/// How a halted partition may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HaltAction {
    /// Forget the halt and look again: the cause was repaired outside.
    Recheck,
    /// Write what is missing into the ledger as a gap and go on at the broker's log start.
    RecordGap,
}

impl std::str::FromStr for HaltOverride {
    type Err = String;

    /// Reads `TOPIC[/PARTITION]=recheck|record_gap`.
    fn from_str(text: &str) -> Result<Self, String> {
        const HINT: &str = "write TOPIC[/PARTITION]=recheck or TOPIC[/PARTITION]=record_gap";
        let (place, action) = text.rsplit_once('=').ok_or(HINT)?;
        let action = match action {
            "recheck" => HaltAction::Recheck,
            "record_gap" => HaltAction::RecordGap,
            _ => return Err(HINT.to_owned()),
        };
        let (topic, partition) = match place.rsplit_once('/') {
            None => (place, None),
            Some((topic, partition)) => (topic, Some(partition.parse().map_err(|_| HINT)?)),
        };
        if topic.is_empty() {
            return Err(HINT.to_owned());
        }
        Ok(Self {
            topic: topic.to_owned(),
            partition,
            action,
        })
    }
}

impl HaltOverride {
    pub(crate) fn covers(&self, topic: &str, partition: i32) -> bool {
        self.topic == topic && self.partition.is_none_or(|only| only == partition)
    }
}

/// How one run behaves.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Drain to the high watermarks seen at start, commit, return.
    pub until_end: bool,
    /// Decisions about halted partitions.
    pub overrides: Vec<HaltOverride>,
    /// With an end in sight: how long Kafka may take to tell what there is to read. Default 30 s.
    pub first_answer_max: Option<std::time::Duration>,
}

/// Where a run is; for progress bars and dashboards. All counts since the start of this run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records read.
    pub consumed: u64,
    /// Records to read until the end seen at start; `None` while unknown or without an end.
    pub target: Option<u64>,
    /// Records whose fate is committed.
    pub committed_records: u64,
    /// Rows of `events` committed.
    pub event_rows: u64,
    /// Rows of `rejects` committed.
    pub reject_rows: u64,
    /// Records between what was read and the newest end of the partitions that we read.
    pub lag: u64,
    /// Commits to `events`.
    pub commits: u64,
    /// Partitions that stand still.
    pub halted: usize,
}

/// One partition that stands still, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HaltedPartition {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The state, such as `halted_truncated`.
    pub reason: String,
    /// What to do about it.
    pub hint: String,
}

/// What a run did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Records by fate, rows, commits.
    pub totals: Totals,
    /// Partitions that stand still at the end; their records are not in the lake.
    pub halted: Vec<HaltedPartition>,
}

/// Sums of the ledger entries that a run committed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Records that gave at least one new row of `events`.
    pub accepted: u64,
    /// Records that gave only rows of `rejects`.
    pub rejected: u64,
    /// Records all of whose events were there already.
    pub duplicate: u64,
    /// Valid records without an event.
    pub empty: u64,
    /// Records without a value.
    pub tombstone: u64,
    /// Offsets without a record.
    pub holes: u64,
    /// Rows of `events`.
    pub event_rows: u64,
    /// Rows of `rejects`.
    pub reject_rows: u64,
    /// Entries that were there already.
    pub duplicate_entries: u64,
    /// Commits to `events`.
    pub commits: u64,
    /// Batches that lost a race for their partitions and were dropped.
    pub fenced: u64,
}

/// A running ingestor. Dropping it stops it at once; nothing is lost, uncommitted work is redone.
#[derive(Debug)]
pub struct Ingest {
    progress: watch::Receiver<Progress>,
    http: Option<SocketAddr>,
    abort: CancellationToken,
    task: JoinHandle<Result<Summary>>,
}

impl Ingest {
    /// Starts reading from Kafka. `shutdown` ends the run in order: stop polling, flush, commit,
    /// leave the group.
    pub async fn start(
        config: IngestConfig,
        lake: Lake,
        shutdown: CancellationToken,
        options: Options,
    ) -> Result<Self> {
        Self::launch(config, lake, shutdown, options, Input::Kafka).await
    }

    /// Starts reading files: NDJSON, plain or gzip. Each file is a topic `file:<name>` with one
    /// partition, the line number its offset; reading the same file again adds nothing.
    pub async fn start_files(
        config: IngestConfig,
        lake: Lake,
        paths: Vec<PathBuf>,
        shutdown: CancellationToken,
    ) -> Result<Self> {
        let options = Options {
            until_end: true,
            ..Options::default()
        };
        Self::launch(config, lake, shutdown, options, Input::Files(paths)).await
    }

    async fn launch(
        config: IngestConfig,
        lake: Lake,
        shutdown: CancellationToken,
        options: Options,
        input: Input,
    ) -> Result<Self> {
        let (progress_tx, progress) = watch::channel(Progress::default());
        let abort = CancellationToken::new();
        let prepared = Prepared::new(
            config,
            lake,
            options,
            input,
            shutdown,
            abort.clone(),
            progress_tx,
        )
        .await?;
        let http = prepared.http();
        Ok(Self {
            progress,
            http,
            abort,
            task: prepared.spawn(),
        })
    }

    /// Where the run is.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.clone()
    }

    /// Where `/livez`, `/readyz` and `/metrics` answer.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http
    }

    /// Waits for the end.
    pub async fn finished(mut self) -> Result<Summary> {
        match (&mut self.task).await {
            Ok(result) => result,
            Err(error) => {
                Err(IngestError::internal("the ingest task ended early").with_source(error))
            }
        }
    }
}

impl Drop for Ingest {
    fn drop(&mut self) {
        self.abort.cancel();
    }
}

/// Starts and waits: see [`Ingest::start`].
pub async fn run(
    config: IngestConfig,
    lake: Lake,
    shutdown: CancellationToken,
    options: Options,
) -> Result<Summary> {
    Ingest::start(config, lake, shutdown, options)
        .await?
        .finished()
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_override_names_topic_partition_and_action() {
        let one: HaltOverride = "lp.chat.v1/3=record_gap".parse().expect("valid");
        assert!(one.covers("lp.chat.v1", 3) && !one.covers("lp.chat.v1", 4));
        let all: HaltOverride = "lp.chat.v1=recheck".parse().expect("valid");
        assert!(all.covers("lp.chat.v1", 4) && !all.covers("lp.click.v1", 4));
        for bad in ["", "=recheck", "a/b=recheck", "a/1", "a/1=skip"] {
            assert!(bad.parse::<HaltOverride>().is_err(), "{bad}");
        }
    }
}
