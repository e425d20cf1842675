//! Putting files in the place of others: the same table, or the same rows, written differently.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, Transaction};
use deltalake::protocol::{DeltaOperation, SaveMode};

use crate::commit::{add_action, pause};
use crate::error::{ErrorKind, LakeError, Result};
use crate::log::{BATCH_ID, LogEntry, entry_path, last_checkpoint};
use crate::marts::remove_action;
use crate::table::{DeltaLog, FileEntry, Snapshot};
use crate::writer::DataFile;

/// How often other writers may be faster.
const ATTEMPTS_MAX: u32 = 60;
/// How often the store may fail meanwhile.
const FAILURES_MAX: u32 = 6;

/// Files, and those whose place they take.
pub(crate) struct Swap<'a> {
    /// What the log calls the one who did it.
    pub(crate) batch_id: &'a str,
    pub(crate) old: &'a [FileEntry],
    pub(crate) new: &'a [DataFile],
    /// Whether the rows differ. Where they do not, readers of changes see none.
    pub(crate) data_change: bool,
}

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Swapped {
    /// The new files are in the table, the old ones are not.
    Done,
    /// Somebody took an old file away. Nothing was written: start again from what is there.
    Overtaken,
}

impl Swap<'_> {
    /// Writes the entry of the log. Appends of others in between do no harm: the entry follows
    /// the newest version, as long as that still has every old file. After an error the outcome
    /// is open, and `new` must stay.
    pub(crate) async fn commit(&self, table: &DeltaLog) -> Result<Swapped> {
        let mut failures = 0;
        let mut first = None;
        for attempt in 0..ATTEMPTS_MAX {
            if attempt > 0 {
                pause(attempt).await;
            }
            match self.attempt(table, &mut first).await {
                Ok(Some(swapped)) => return Ok(swapped),
                Ok(None) => {}
                Err(error) if error.kind() == ErrorKind::Unavailable && failures < FAILURES_MAX => {
                    failures += 1;
                    tracing::warn!(
                        table = table.name(),
                        error = &error as &dyn std::error::Error,
                        "the outcome of a replacement of files is not known; reading the log"
                    );
                }
                Err(error) => return Err(error),
            }
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            format!(
                "could not replace files of table `{}`: other writers were faster {ATTEMPTS_MAX} \
                 times",
                table.name()
            ),
        ))
    }

    /// `None`: somebody else wrote the version that this one was to be. `first` is the first
    /// version that was tried.
    async fn attempt(&self, table: &DeltaLog, first: &mut Option<u64>) -> Result<Option<Swapped>> {
        let snapshot = table.load().await?;
        let version = number(snapshot.version() + 1)?;
        let first = *first.get_or_insert(version);
        if let Some(settled) = self.settled(&snapshot) {
            if settled == Swapped::Done {
                // An earlier attempt whose answer was lost: nobody has told the disk yet.
                for tried in first..version {
                    table.location().make_durable(&entry_path(tried)).await?;
                }
            }
            return Ok(Some(settled));
        }
        if !table.may_follow(number(snapshot.version())?).await? {
            return Ok(None);
        }
        self.follow(table, version).await
    }

    /// Writes the entry as `version`, or after appends that were faster: they change nothing here,
    /// and reading one entry is quick enough to overtake writers that never rest.
    async fn follow(&self, table: &DeltaLog, mut version: u64) -> Result<Option<Swapped>> {
        let location = table.location();
        loop {
            let entry = self.entry(table, version)?;
            if location.create(&entry_path(version), entry).await? {
                // A checkpoint of this version means that the log was cleaned past what we know.
                let checkpoint = last_checkpoint(location).await?;
                let dead = checkpoint.is_some_and(|checkpoint| checkpoint >= version);
                return Ok((!dead).then_some(Swapped::Done));
            }
            match LogEntry::read(location, version).await? {
                Some(other) if other.only_appends() => version += 1,
                _ => return Ok(None),
            }
        }
    }

    /// What is clear without writing anything.
    fn settled(&self, snapshot: &Snapshot) -> Option<Swapped> {
        let live: HashSet<&str> = snapshot.files().iter().map(|f| f.path.as_str()).collect();
        let all_new = self.new.iter().all(|f| live.contains(f.path.as_str()));
        let old = self.old.iter().filter(|f| live.contains(f.path.as_str()));
        match old.count() {
            0 if all_new => Some(Swapped::Done),
            count if count == self.old.len() => None,
            _ => Some(Swapped::Overtaken),
        }
    }

    fn entry(&self, table: &DeltaLog, version: u64) -> Result<Bytes> {
        let failed = || {
            LakeError::internal(format!(
                "could not describe the new files of table `{}`",
                table.name()
            ))
        };
        let removes = self.old.iter().map(remove_action);
        let actions = removes
            .chain(self.new.iter().map(add_action))
            .map(|action| {
                let mut action = action;
                match &mut action {
                    Action::Add(add) => add.data_change = self.data_change,
                    Action::Remove(remove) => remove.data_change = self.data_change,
                    _ => {}
                }
                action
            });
        let operation = DeltaOperation::Write {
            mode: SaveMode::Overwrite,
            partition_by: table.partition_column().map(|c| vec![c.to_owned()]),
            predicate: None,
        };
        // The batch id marks the entry as ours: only foreign ones that remove rows are alarms.
        let info = HashMap::from([
            (BATCH_ID.to_owned(), self.batch_id.into()),
            ("code".to_owned(), env!("CARGO_PKG_VERSION").into()),
        ]);
        // Moves with every replacement, so that Delta's own writers see two of them as a conflict.
        let moved = i64::try_from(version).map_err(|e| failed().with_source(e))?;
        let app_id = format!("maintenance/{}", table.name());
        let txns = vec![Transaction::new(app_id, moved)];
        CommitData::new(actions.collect(), operation, info, txns)
            .get_bytes()
            .map_err(|e| failed().with_source(e))
    }
}

impl DeltaLog {
    /// Whether `version` is the newest, and the table one that we may write to. Our entry would
    /// hide the loss of rows that others removed from those who look for it.
    async fn may_follow(&self, version: u64) -> Result<bool> {
        let state = self.state().lock().await;
        if state.version != version {
            return Ok(false);
        }
        if let Some(rewrite) = &state.rewrite {
            return Err(LakeError::new(
                ErrorKind::HaltedTableRewritten,
                format!(
                    "could not replace files of table `{}`: {} at version {} removed rows after \
                     our last commit; `funnel audit` says what is missing",
                    self.name(),
                    rewrite.operation,
                    rewrite.version
                ),
            ));
        }
        match &state.refusal {
            Some(refusal) => Err(LakeError::config(format!(
                "could not replace files of table `{}`: {refusal}",
                self.name()
            ))),
            None => Ok(true),
        }
    }
}

fn number(version: i64) -> Result<u64> {
    u64::try_from(version).map_err(|e| LakeError::corrupt("a version is negative").with_source(e))
}
