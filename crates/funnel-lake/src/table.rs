//! One Delta table of the lake.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use deltalake::DeltaTable;
use deltalake::checkpoints::create_checkpoint;
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, EagerSnapshot, Protocol, StructType, new_metadata};
use deltalake::logstore::LogStoreRef;
use deltalake::protocol::{DeltaOperation, SaveMode};
use tokio::sync::Mutex;

use crate::error::{LakeError, Result};
use crate::log::{LogState, delta_failed, entry_path};
use crate::order;
use crate::storage::{Location, blocking, sync_dir};

/// The columns with minimum and maximum in the log; other columns cost more than they skip.
const STATS_COLUMNS: &str = "delta.dataSkippingStatsColumns";

/// A Delta table with the state of its log. Clones share their state.
#[derive(Debug, Clone)]
pub struct DeltaLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
    location: Location,
    log_store: LogStoreRef,
    schema: SchemaRef,
    partition_column: Option<String>,
    stats_columns: Vec<String>,
    /// Held for the whole of a commit, so that commits of one process queue up here instead of
    /// fighting over version numbers.
    state: Mutex<LogState>,
    /// The list of files, read forward from the version that it has.
    files: Mutex<Option<DeltaTable>>,
}

/// What a table is made of.
#[derive(Debug, Clone)]
pub(crate) struct TableDefinition {
    pub(crate) name: &'static str,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_column: Option<&'static str>,
    pub(crate) stats_columns: &'static [&'static str],
}

/// One file of a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct FileEntry {
    /// Path below the table's root, decoded.
    pub path: String,
    /// Size in bytes.
    pub size: i64,
    /// When it was written, milliseconds since 1970.
    pub modification_time: i64,
    /// Partition column to value.
    pub partition_values: BTreeMap<String, Option<String>>,
    /// Rows, where the writer said so.
    pub num_records: Option<i64>,
    /// The Delta statistics (JSON), where there are any.
    pub stats: Option<String>,
    /// Whether its rows lie in the order of account, visitor and time.
    pub sorted: bool,
}

/// A table as of one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    location: Location,
    version: i64,
    schema: SchemaRef,
    partition_columns: Vec<String>,
    offsets: Arc<BTreeMap<String, i64>>,
    files: Arc<Vec<FileEntry>>,
}

impl DeltaLog {
    /// Opens the table at `location`.
    pub(crate) async fn open(location: Location, name: &str) -> Result<Self> {
        let log_store = location.log_store()?;
        let state = LogState::load(&location, &log_store).await?;
        let stats_columns = match state.configuration.get(STATS_COLUMNS) {
            Some(columns) => columns.split(',').map(|c| c.trim().to_owned()).collect(),
            None => Vec::new(),
        };
        Ok(Self {
            inner: Arc::new(Inner {
                name: name.to_owned(),
                location,
                log_store,
                schema: Arc::clone(&state.schema),
                partition_column: state.partition_columns.first().cloned(),
                stats_columns,
                state: Mutex::new(state),
                files: Mutex::new(None),
            }),
        })
    }

    /// Makes the table at `location` unless there is one. Several may try at once: one makes it.
    pub(crate) async fn create_if_missing(
        location: &Location,
        definition: &TableDefinition,
    ) -> Result<()> {
        if location.exists(&entry_path(0)).await? || has_log(location).await? {
            return Ok(());
        }
        let entry = first_entry(location, definition)?;
        make_folder_durable(location).await?;
        // Somebody else may have been faster; then theirs is the table.
        location.create(&entry_path(0), entry).await.map(|_| ())
    }

    /// The table's name, for messages.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The schema as of when the table was opened, partition column included.
    pub fn schema(&self) -> &SchemaRef {
        &self.inner.schema
    }

    /// The column whose value names a file's folder.
    pub fn partition_column(&self) -> Option<&str> {
        self.inner.partition_column.as_deref()
    }

    /// The columns that get minimum and maximum in the log.
    pub(crate) fn stats_columns(&self) -> &[String] {
        &self.inner.stats_columns
    }

    pub(crate) fn location(&self) -> &Location {
        &self.inner.location
    }

    pub(crate) fn log_store(&self) -> &LogStoreRef {
        &self.inner.log_store
    }

    pub(crate) fn state(&self) -> &Mutex<LogState> {
        &self.inner.state
    }

    /// The newest version.
    pub async fn load(&self) -> Result<Snapshot> {
        let inner = &*self.inner;
        let mut files = inner.files.lock().await;
        let mut behind = None;
        loop {
            let (version, offsets) = {
                let mut state = inner.state.lock().await;
                state.refresh(&inner.location, &inner.log_store).await?;
                (state.version, Arc::clone(&state.offsets))
            };
            let table = self.table_at(&mut files, version).await?;
            match table.version() {
                Some(found) if found == version => {}
                // The list of files is ahead of the positions: read those again.
                Some(found) if found > version && behind != Some(version) => {
                    behind = Some(version);
                    continue;
                }
                found => {
                    let known = found.unwrap_or(version).max(version);
                    return Err(LakeError::corrupt(format!(
                        "the log of the table at `{}` went back: version {known} was read before and \
                         is gone; bring the entries of _delta_log back from a copy, or start what \
                         has read them again",
                        inner.location.url()
                    )));
                }
            }
            let eager = table
                .snapshot()
                .map_err(|e| delta_failed(&inner.location, "load", e))?
                .snapshot();
            return Snapshot::new(inner.location.clone(), eager, offsets);
        }
    }

    /// Writes a checkpoint if the newest is at least `every` versions old; returns its version.
    /// To be called from maintenance, never between a read and a commit. A failure is to be
    /// reported and tried again later; it never harms the table.
    pub async fn checkpoint_if_due(&self, every: u64) -> Result<Option<i64>> {
        let inner = &*self.inner;
        let (version, checkpoint) = {
            let mut state = inner.state.lock().await;
            state.refresh(&inner.location, &inner.log_store).await?;
            (state.version, state.checkpoint)
        };
        let age = version + 1 - checkpoint.map_or(0, |c| c + 1);
        if age < every.max(1) {
            return Ok(None);
        }
        let mut files = inner.files.lock().await;
        let table = self.table_at(&mut files, version).await?;
        let version = table.version().unwrap_or(version);
        self.write_checkpoint(table.clone()).await?;
        // From here the list of files is read from the checkpoint instead of the entries before.
        *files = None;
        drop(files);
        self.sync_checkpoint(version).await?;
        inner.state.lock().await.checkpoint = Some(version);
        as_version(version).map(Some)
    }

    /// Accepts that rows were removed by others up to `version`: the next commit may follow.
    pub async fn accept_rewrite(&self, version: i64) -> Result<()> {
        let mut state = self.inner.state.lock().await;
        state
            .refresh(&self.inner.location, &self.inner.log_store)
            .await?;
        if let Some(rewrite) = &state.rewrite
            && as_version(rewrite.version)? <= version
        {
            state.rewrite = None;
        }
        Ok(())
    }

    /// The list of files at `version` or, if that is not possible any more, a later one.
    async fn table_at<'a>(
        &self,
        files: &'a mut Option<DeltaTable>,
        version: u64,
    ) -> Result<&'a DeltaTable> {
        let inner = &*self.inner;
        let known = files.as_ref().and_then(DeltaTable::version);
        if known.is_none_or(|known| known < version) {
            let mut table = match files.take() {
                Some(table) => table,
                None => DeltaTable::new(Arc::clone(&inner.log_store)),
            };
            if table.update_incremental(Some(version)).await.is_err() {
                // The log may have been cleaned between the two: read it anew.
                table = DeltaTable::new(Arc::clone(&inner.log_store));
                table
                    .load()
                    .await
                    .map_err(|e| delta_failed(&inner.location, "load", e))?;
            }
            *files = Some(table);
        }
        files
            .as_ref()
            .ok_or_else(|| LakeError::internal("the list of files was not read"))
    }

    /// The library writes it without letting go of the thread.
    async fn write_checkpoint(&self, table: DeltaTable) -> Result<()> {
        let location = self.inner.location.clone();
        let runtime = tokio::runtime::Handle::current();
        blocking(move || {
            runtime
                .block_on(create_checkpoint(&table, None))
                .map_err(|e| delta_failed(&location, "write a checkpoint of", e))
        })
        .await
    }

    async fn sync_checkpoint(&self, version: u64) -> Result<()> {
        let location = &self.inner.location;
        for path in [
            format!("_delta_log/{version:020}.checkpoint.parquet"),
            "_delta_log/_last_checkpoint".to_owned(),
        ] {
            if location.exists(&path).await? {
                location.make_durable(&path).await?;
            }
        }
        Ok(())
    }
}

impl Snapshot {
    pub(crate) fn new(
        location: Location,
        eager: &EagerSnapshot,
        offsets: Arc<BTreeMap<String, i64>>,
    ) -> Result<Self> {
        refuse_what_we_cannot_read(&location, eager)?;
        let files = eager
            .log_data()
            .iter()
            .map(|file| FileEntry {
                path: file.path().into_owned(),
                size: file.size(),
                modification_time: file.modification_time(),
                partition_values: file.partition_values_map().into_iter().collect(),
                num_records: file.num_records().and_then(|n| i64::try_from(n).ok()),
                stats: file.stats(),
                sorted: order::is_sorted(&file),
            })
            .collect();
        Ok(Self {
            version: as_version(eager.version())?,
            schema: eager.arrow_schema(),
            partition_columns: eager.metadata().partition_columns().to_vec(),
            offsets,
            files: Arc::new(files),
            location,
        })
    }

    /// The same version of the table with other files.
    pub(crate) fn with_files(&self, files: Vec<FileEntry>) -> Self {
        Self {
            files: Arc::new(files),
            ..self.clone()
        }
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// The version.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// Columns, the partition columns among them.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Names of the partition columns.
    pub fn partition_columns(&self) -> &[String] {
        &self.partition_columns
    }

    /// The stored next offset of an application id.
    pub fn offset(&self, app_id: &str) -> Option<i64> {
        self.offsets.get(app_id).copied()
    }

    /// All stored positions whose application id starts with `prefix`.
    pub fn offsets(&self, prefix: &str) -> BTreeMap<String, i64> {
        self.offsets
            .range(prefix.to_owned()..)
            .take_while(|(id, _)| id.starts_with(prefix))
            .map(|(id, offset)| (id.clone(), *offset))
            .collect()
    }

    /// The files that make up the table.
    pub fn files(&self) -> &[FileEntry] {
        &self.files
    }
}

/// A version as the other side of the interface counts it.
pub(crate) fn as_version(version: u64) -> Result<i64> {
    i64::try_from(version)
        .map_err(|e| LakeError::corrupt(format!("version {version} is too large")).with_source(e))
}

fn refuse_what_we_cannot_read(location: &Location, eager: &EagerSnapshot) -> Result<()> {
    let deletes = eager
        .log_data()
        .iter()
        .any(|file| file.deletion_vector_descriptor().is_some());
    let mapping = eager
        .metadata()
        .configuration()
        .get("delta.columnMapping.mode")
        .is_some_and(|mode| mode != "none");
    let what = match (deletes, mapping) {
        (true, _) => "deletion vectors",
        (_, true) => "column mapping",
        _ => return Ok(()),
    };
    Err(LakeError::config(format!(
        "the table at `{}` uses {what}, which this reader does not know; rewrite it without",
        location.url()
    )))
}

/// Whether a log is there although its first entry is not (it may have been cleaned).
async fn has_log(location: &Location) -> Result<bool> {
    location.exists("_delta_log/_last_checkpoint").await
}

async fn make_folder_durable(location: &Location) -> Result<()> {
    let Some(folder) = location.local() else {
        return Ok(());
    };
    let log = folder.join("_delta_log");
    blocking(move || {
        std::fs::create_dir_all(&log).map_err(|e| {
            LakeError::unavailable(format!("could not make the folder `{}`", log.display()), e)
        })?;
        log.parent().map_or(Ok(()), sync_dir)?;
        // The names of folders above may be new as well; they may also be somebody else's, whom
        // we may not ask.
        for above in log.ancestors().skip(2).take(2) {
            if let Err(error) = sync_dir(above) {
                tracing::debug!(folder = %above.display(), %error, "did not sync");
            }
        }
        Ok(())
    })
    .await
}

/// Entry 0: protocol and metadata. Reader 1 / writer 2 is what every reader of Delta knows.
fn first_entry(location: &Location, definition: &TableDefinition) -> Result<Bytes> {
    let failed = || LakeError::internal(format!("could not define table `{}`", definition.name));
    let schema: StructType = definition
        .schema
        .as_ref()
        .try_into_kernel()
        .map_err(|e: arrow::error::ArrowError| failed().with_source(e))?;
    let configuration = HashMap::from([
        (STATS_COLUMNS, definition.stats_columns.join(",")),
        // Cleaning is a maintenance task; entries are folded into the ledger before.
        ("delta.enableExpiredLogCleanup", "false".to_owned()),
        ("delta.logRetentionDuration", "interval 30 days".to_owned()),
    ]);
    let metadata = new_metadata(&schema, definition.partition_column, configuration)
        .map_err(|e| failed().with_source(e))?;
    let protocol: Protocol = serde_json::from_str(r#"{"minReaderVersion":1,"minWriterVersion":2}"#)
        .map_err(|e| failed().with_source(e))?;
    let operation = DeltaOperation::Create {
        mode: SaveMode::ErrorIfExists,
        location: location.url().clone(),
        protocol: protocol.clone(),
        metadata: metadata.clone(),
    };
    let actions = vec![Action::Protocol(protocol), Action::Metadata(metadata)];
    CommitData::new(actions, operation, HashMap::new(), Vec::new())
        .get_bytes()
        .map_err(|e| failed().with_source(e))
}

#[cfg(test)]
mod tests;
