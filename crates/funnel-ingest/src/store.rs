//! The tables as the ingestor needs them: a seam, so that the state machine can be tested against
//! a store that fails on request.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use chrono::NaiveDate;
use funnel_lake::{
    Commit, DataFile, Halt, Lake, LakeError, OffsetKey, Outcome, discard_files, encode_files,
};

use crate::core::Recovered;
use crate::message::Loaded;

/// Which of the two tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Table {
    /// Accepted events.
    Events,
    /// What was refused.
    Rejects,
}

impl Table {
    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Rejects => "rejects",
        }
    }
}

/// What went wrong in the store, and whether the same call may succeed later.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct StoreError {
    /// Trying again may help.
    pub retryable: bool,
    /// What was attempted.
    pub message: String,
    /// The cause.
    #[source]
    pub source: Option<LakeError>,
}

impl From<LakeError> for StoreError {
    fn from(error: LakeError) -> Self {
        Self {
            retryable: error.is_retryable(),
            message: "the lake refused".to_owned(),
            source: Some(error),
        }
    }
}

/// Tables with offsets inside their commits.
///
/// `commit` compares every position with the stored one and either does everything or nothing;
/// after an error it is unknown which, and the same call again finds out and never does it twice.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What is known of a partition, with the events of its last `window` offsets.
    async fn load(&self, key: &OffsetKey, window: u64) -> Result<Loaded, StoreError>;

    /// Writes rows as durable files that no commit names yet.
    async fn encode(
        &self,
        table: Table,
        batches: Vec<RecordBatch>,
        batch_id: String,
    ) -> Result<Vec<DataFile>, StoreError>;

    /// Makes files and positions part of the table.
    async fn commit(&self, table: Table, commit: Commit) -> Result<Outcome, StoreError>;

    /// Removes files of a commit that did not happen; those that the table names stay.
    async fn discard(&self, table: Table, files: Vec<DataFile>) -> Result<(), StoreError>;

    /// Stored next offsets of all partitions of a job in `events`.
    async fn stored(&self, job: &str) -> Result<BTreeMap<OffsetKey, i64>, StoreError>;

    /// Makes a halt durable.
    async fn set_halt(&self, halt: Halt) -> Result<(), StoreError>;

    /// Takes a halt back.
    async fn clear_halt(&self, key: &OffsetKey) -> Result<(), StoreError>;

    /// Writes checkpoints that are due.
    async fn checkpoint(&self, every: u64) -> Result<(), StoreError>;

    /// Takes the bytes out of records that were refused before `day` (UTC); says of how many.
    async fn empty_rejects_before(&self, day: NaiveDate) -> Result<u64, StoreError>;
}

/// The real tables.
#[derive(Debug, Clone)]
pub struct LakeStore {
    lake: Lake,
}

impl LakeStore {
    /// The tables of a lake.
    pub fn new(lake: Lake) -> Self {
        Self { lake }
    }

    fn table(&self, table: Table) -> &funnel_lake::DeltaLog {
        match table {
            Table::Events => self.lake.events(),
            Table::Rejects => self.lake.rejects(),
        }
    }

    /// Rows of `rejects` from a commit whose events never followed.
    async fn recovered(
        &self,
        key: &OffsetKey,
        stored: Option<i64>,
        rejects_stored: Option<i64>,
    ) -> Result<Recovered, LakeError> {
        let mut recovered = Recovered::new();
        let from = stored.unwrap_or_default();
        if let Some(to) = rejects_stored.filter(|to| *to > from) {
            for (offset, entry) in self.lake.rejected_coordinates(key, from, to).await? {
                recovered.entry(offset).or_default().insert(entry);
            }
        }
        Ok(recovered)
    }
}

fn stopped(table: Table, error: &tokio::task::JoinError) -> StoreError {
    StoreError {
        retryable: true,
        message: format!("the writer of `{}` stopped: {error}", table.as_str()),
        source: None,
    }
}

#[async_trait]
impl Store for LakeStore {
    async fn load(&self, key: &OffsetKey, window: u64) -> Result<Loaded, StoreError> {
        let app_id = key.app_id();
        // `events` first: a commit of another owner between the two reads can only make the
        // range of recovered rejects too long, never too short.
        let events = self.lake.events().load().await?;
        let stored = events.offset(&app_id);
        let siblings = format!("{}/{}/{}/", key.job, key.topic, key.topic_uuid);
        let topic_known = !events.offsets(&siblings).is_empty();
        let rejects_stored = self.lake.rejects().load().await?.offset(&app_id);
        let recovered = self.recovered(key, stored, rejects_stored).await?;
        let recent = match stored {
            None => Vec::new(),
            Some(to) => {
                let window = i64::try_from(window).unwrap_or(i64::MAX);
                let from = to.saturating_sub(window).max(0);
                self.lake.recent_event_ids(key, from, to).await?
            }
        };
        let halts = self.lake.halts().await?;
        Ok(Loaded {
            stored,
            rejects_stored,
            topic_known,
            recovered,
            recent,
            halt: halts.into_iter().find(|halt| halt.key == *key),
        })
    }

    async fn encode(
        &self,
        table: Table,
        batches: Vec<RecordBatch>,
        batch_id: String,
    ) -> Result<Vec<DataFile>, StoreError> {
        let log = self.table(table).clone();
        let encoded =
            tokio::task::spawn_blocking(move || encode_files(&batches, &log, &batch_id)).await;
        match encoded {
            Ok(files) => Ok(files?),
            // A full disk can make the writer panic; what it wrote is not part of any table.
            Err(error) => Err(stopped(table, &error)),
        }
    }

    async fn commit(&self, table: Table, commit: Commit) -> Result<Outcome, StoreError> {
        let log = self.table(table).clone();
        // In a task of its own: a panic below is one more way not to know what became of a
        // commit, and the next try finds out.
        match tokio::spawn(async move { log.commit(commit).await }).await {
            Ok(outcome) => Ok(outcome?),
            Err(error) => Err(stopped(table, &error)),
        }
    }

    async fn discard(&self, table: Table, files: Vec<DataFile>) -> Result<(), StoreError> {
        let log = self.table(table);
        // A commit whose answer was lost may have landed before another owner moved on: what the
        // table names is never ours to remove.
        let snapshot = log.load().await?;
        let named = |file: &DataFile| snapshot.files().iter().any(|known| known.path == file.path);
        if !files.iter().any(named) {
            discard_files(log, &files);
        }
        Ok(())
    }

    async fn stored(&self, job: &str) -> Result<BTreeMap<OffsetKey, i64>, StoreError> {
        let snapshot = self.lake.events().load().await?;
        let offsets = snapshot.offsets(&format!("{job}/"));
        Ok(offsets
            .into_iter()
            .filter_map(|(id, offset)| Some((OffsetKey::from_app_id(&id)?, offset)))
            .collect())
    }

    async fn set_halt(&self, halt: Halt) -> Result<(), StoreError> {
        Ok(self.lake.set_halt(&halt).await?)
    }

    async fn clear_halt(&self, key: &OffsetKey) -> Result<(), StoreError> {
        self.lake.clear_halt(key).await?;
        Ok(())
    }

    async fn checkpoint(&self, every: u64) -> Result<(), StoreError> {
        self.lake.events().checkpoint_if_due(every).await?;
        self.lake.rejects().checkpoint_if_due(every).await?;
        Ok(())
    }

    async fn empty_rejects_before(&self, day: NaiveDate) -> Result<u64, StoreError> {
        Ok(self.lake.empty_rejects_before(day).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use funnel_events::{Decoder, DecoderConfig, RejectsPolicy, Stamp};
    use funnel_lake::OffsetAdvance;

    use super::*;
    use crate::config::DedupWindow;
    use crate::core::{Buffer, Window};
    use crate::record::Record;

    fn key() -> OffsetKey {
        OffsetKey {
            job: "job".to_owned(),
            topic: "t".to_owned(),
            topic_uuid: "u".to_owned(),
            partition: 0,
        }
    }

    /// One refused record as a row of `rejects`.
    fn refused(batch_id: &str) -> RecordBatch {
        let now = Instant::now();
        let remembered = DedupWindow {
            age: Duration::from_secs(60),
            max_ids: 10,
        };
        let policy = RejectsPolicy::default();
        let window = Window::new(remembered, now);
        let mut buffer = Buffer::new(key(), 0, None, window, Recovered::new(), policy);
        let record = Record {
            offset: 0,
            timestamp_ms: None,
            key: None,
            value: Some(b"not json"),
        };
        let decoder = Decoder::new(DecoderConfig::default());
        buffer.apply(std::iter::once((record, Vec::new())), &decoder, now);
        let stamp = Stamp {
            batch_id,
            ingested_us: 0,
        };
        buffer.seal(&stamp).rejects.expect("a row")
    }

    fn commit(batch_id: &str, files: Vec<DataFile>, from: Option<i64>, to: i64) -> Commit {
        Commit {
            files,
            advances: vec![OffsetAdvance {
                key: key(),
                from,
                to,
            }],
            batch_id: batch_id.to_owned(),
            ledger: Vec::new(),
        }
    }

    #[tokio::test]
    async fn only_files_that_the_table_does_not_name_are_removed() {
        let dir = tempfile::tempdir().expect("a folder");
        let url = dir.path().to_string_lossy();
        let lake = Lake::create_or_open(&url).await.expect("a lake");
        let store = LakeStore::new(lake);
        let mut files = Vec::new();
        for name in ["ours", "theirs", "lost"] {
            let rows = vec![refused(name)];
            let written = store.encode(Table::Rejects, rows, name.to_owned()).await;
            files.push(written.expect("files"));
        }
        let [ours, theirs, lost] = [0, 1, 2].map(|n: usize| files[n].clone());
        // Ours landed and nobody heard of it; then another owner moved on.
        for commit in [
            commit("ours", ours.clone(), None, 1),
            commit("theirs", theirs, Some(1), 2),
        ] {
            let outcome = store.commit(Table::Rejects, commit).await.expect("commits");
            assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
        }
        for (batch_id, files) in [("ours", &ours), ("lost", &lost)] {
            let again = commit(batch_id, files.clone(), None, 1);
            let outcome = store.commit(Table::Rejects, again).await.expect("answers");
            assert!(matches!(outcome, Outcome::Fenced { .. }), "{outcome:?}");
            let discarded = store.discard(Table::Rejects, files.clone()).await;
            discarded.expect("discards");
        }
        let is_there = |file: &DataFile| dir.path().join("rejects").join(&file.path).is_file();
        assert!(ours.iter().all(is_there), "the table names it");
        assert!(!lost.iter().any(is_there), "nothing names it");
    }
}
