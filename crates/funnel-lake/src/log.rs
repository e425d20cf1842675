//! State of a table's log, kept by reading each new entry once.
//!
//! The hot path never lists the log and never rebuilds the list of files: what a commit has to
//! know (version, stored positions, whether somebody removed rows) follows from the entries
//! after the one it knows. So a commit costs the same however long the table has been running.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int64Type, Schema, SchemaRef};
use bytes::Bytes;
use deltalake::DeltaTable;
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoArrow;
use deltalake::logstore::LogStoreRef;
use futures::TryStreamExt;
use object_store::ObjectStore;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use crate::error::{ErrorKind, LakeError, Result};
use crate::storage::Location;

/// Key of `commitInfo` under which our commits name their batch; commits without it are foreign.
pub(crate) const BATCH_ID: &str = "batch_id";
/// Key of `commitInfo` with the entries of the ledger.
pub(crate) const LEDGER: &str = "ledger";
/// The property that lets Delta forget positions; a table that has it cannot hold ours.
const TXN_RETENTION: &str = "delta.setTransactionRetentionDuration";

/// What a commit has to know about a table.
#[derive(Debug, Clone)]
pub(crate) struct LogState {
    pub(crate) version: u64,
    pub(crate) checkpoint: Option<u64>,
    pub(crate) offsets: Arc<BTreeMap<String, i64>>,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_columns: Vec<String>,
    pub(crate) configuration: HashMap<String, String>,
    /// Rows removed by somebody else since our last commit.
    pub(crate) rewrite: Option<Rewrite>,
    /// Why nothing can be appended any more.
    pub(crate) refusal: Option<String>,
}

/// A foreign commit that removed rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rewrite {
    pub(crate) version: u64,
    pub(crate) operation: String,
}

/// One entry of the log: the parts that we look at.
#[derive(Debug, Default)]
pub(crate) struct LogEntry {
    pub(crate) info: HashMap<String, serde_json::Value>,
    pub(crate) txns: Vec<(String, i64)>,
    pub(crate) adds: Vec<AddLine>,
    removes_data: bool,
    metadata: Option<MetadataLine>,
    protocol: Option<ProtocolLine>,
}

#[derive(Debug, Deserialize)]
struct Line {
    txn: Option<TxnLine>,
    add: Option<AddLine>,
    remove: Option<RemoveLine>,
    #[serde(rename = "metaData")]
    metadata: Option<MetadataLine>,
    protocol: Option<ProtocolLine>,
    #[serde(rename = "commitInfo")]
    commit_info: Option<HashMap<String, serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TxnLine {
    app_id: String,
    version: i64,
}

/// A file that an entry added.
#[derive(Debug, Deserialize)]
pub(crate) struct AddLine {
    stats: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveLine {
    data_change: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct MetadataLine {
    schema_string: String,
    partition_columns: Vec<String>,
    #[serde(default)]
    configuration: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ProtocolLine {
    min_reader_version: i32,
    min_writer_version: i32,
}

/// The path of an entry below the table's root.
pub(crate) fn entry_path(version: u64) -> String {
    format!("_delta_log/{version:020}.json")
}

impl AddLine {
    /// The number of rows, if the writer said so.
    pub(crate) fn num_records(&self) -> Option<i64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            num_records: Option<i64>,
        }
        let stats: Stats = serde_json::from_str(self.stats.as_deref()?).ok()?;
        stats.num_records
    }
}

impl LogEntry {
    /// Reads entry `version`; `None` if there is no such entry.
    pub(crate) async fn read(location: &Location, version: u64) -> Result<Option<Self>> {
        let path = entry_path(version);
        match location.read(&path).await? {
            None => Ok(None),
            Some(bytes) => Self::parse(&bytes).map(Some).map_err(|e| {
                LakeError::corrupt(format!(
                    "entry `{}{path}` of the table's log is torn",
                    location.url()
                ))
                .with_source(e)
            }),
        }
    }

    fn parse(bytes: &Bytes) -> Result<Self, serde_json::Error> {
        let mut entry = Self::default();
        let mut lines = 0_usize;
        for line in serde_json::Deserializer::from_slice(bytes).into_iter::<Line>() {
            entry.take(line?);
            lines += 1;
        }
        if lines == 0 {
            return Err(serde::de::Error::custom("the entry is empty"));
        }
        Ok(entry)
    }

    fn take(&mut self, line: Line) {
        if let Some(txn) = line.txn {
            self.txns.push((txn.app_id, txn.version));
        }
        self.adds.extend(line.add);
        self.removes_data |= line.remove.is_some_and(|remove| remove.data_change);
        if line.metadata.is_some() {
            self.metadata = line.metadata;
        }
        if line.protocol.is_some() {
            self.protocol = line.protocol;
        }
        self.info.extend(line.commit_info.unwrap_or_default());
    }

    /// The batch, if the entry is ours.
    pub(crate) fn batch_id(&self) -> Option<&str> {
        self.info.get(BATCH_ID)?.as_str()
    }

    /// When it was made, in microseconds.
    pub(crate) fn committed_time(&self) -> i64 {
        self.info
            .get("timestamp")
            .and_then(serde_json::Value::as_i64)
            .unwrap_or_default()
            .saturating_mul(1000)
    }

    fn operation(&self) -> &str {
        self.info
            .get("operation")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("an operation without a name")
    }

    /// Whether a foreign entry took rows away (or put the table back to an older state).
    fn rewrites(&self) -> bool {
        let restored = self.operation().eq_ignore_ascii_case("RESTORE");
        self.batch_id().is_none() && (self.removes_data || restored)
    }
}

impl LogState {
    /// Reads the state of the table from its newest checkpoint and the entries after it.
    pub(crate) async fn load(location: &Location, log_store: &LogStoreRef) -> Result<Self> {
        let listing = Listing::read(location).await?;
        let version = listing.newest;
        let mut table = DeltaTable::new(Arc::clone(log_store));
        table
            .load_version(version)
            .await
            .map_err(|e| delta_failed(location, "load", e))?;
        let state = table
            .snapshot()
            .map_err(|e| delta_failed(location, "load", e))?;
        let offsets = listing.checkpoint_offsets(location).await?;
        let mut loaded = Self {
            version,
            checkpoint: listing.checkpoint,
            offsets: Arc::new(offsets),
            schema: state.snapshot().arrow_schema(),
            partition_columns: state.metadata().partition_columns().to_vec(),
            configuration: state.metadata().configuration().clone(),
            rewrite: None,
            refusal: None,
        };
        loaded.check_protocol(
            state.protocol().min_reader_version(),
            state.protocol().min_writer_version(),
        );
        loaded.check_configuration();
        for version in listing.checkpoint.map_or(0, |c| c + 1)..=version {
            let entry = Self::must_read(location, version).await?;
            Arc::make_mut(&mut loaded.offsets).extend(entry.txns);
        }
        loaded.rewrite = Self::find_rewrite(location, version).await?;
        Ok(loaded)
    }

    /// Reads the entries that were added since.
    pub(crate) async fn refresh(
        &mut self,
        location: &Location,
        log_store: &LogStoreRef,
    ) -> Result<()> {
        if !location.exists(&entry_path(self.version)).await? {
            // The log was cleaned past the version we know. What lies after it there, if anything,
            // is before the log's beginning: the table is somewhere else.
            *self = Self::load(location, log_store).await?;
            return Ok(());
        }
        while let Some(entry) = LogEntry::read(location, self.version + 1).await? {
            self.version += 1;
            self.apply(entry)?;
        }
        Ok(())
    }

    fn apply(&mut self, entry: LogEntry) -> Result<()> {
        if entry.rewrites() {
            self.rewrite = Some(Rewrite {
                version: self.version,
                operation: entry.operation().to_owned(),
            });
        }
        if !entry.txns.is_empty() {
            Arc::make_mut(&mut self.offsets).extend(entry.txns);
        }
        if let Some(protocol) = entry.protocol {
            self.check_protocol(protocol.min_reader_version, protocol.min_writer_version);
        }
        if let Some(metadata) = entry.metadata {
            self.change_metadata(metadata)?;
        }
        Ok(())
    }

    /// Notes a commit of our own without reading it back.
    pub(crate) fn advance(
        &mut self,
        version: u64,
        offsets: impl IntoIterator<Item = (String, i64)>,
    ) {
        self.version = version;
        Arc::make_mut(&mut self.offsets).extend(offsets);
    }

    fn change_metadata(&mut self, metadata: MetadataLine) -> Result<()> {
        let schema = parse_schema(&metadata.schema_string)?;
        if let Some(lost) = first_lost_column(&self.schema, &schema) {
            self.refusal = Some(format!("its column `{lost}` was changed or dropped"));
        }
        if metadata.partition_columns != self.partition_columns {
            self.refusal = Some("its partition columns were changed".to_owned());
        }
        self.schema = Arc::new(schema);
        self.configuration = metadata.configuration;
        self.check_configuration();
        Ok(())
    }

    fn check_protocol(&mut self, reader: i32, writer: i32) {
        if reader > 1 || writer > 2 {
            self.refusal = Some(format!(
                "its protocol was raised to reader {reader}, writer {writer}; \
                 we write reader 1, writer 2"
            ));
        }
    }

    fn check_configuration(&mut self) {
        if self.configuration.contains_key(TXN_RETENTION) {
            self.refusal = Some(format!(
                "its property `{TXN_RETENTION}` is set, which makes stored offsets expire; \
                 unset the property"
            ));
        }
    }

    async fn must_read(location: &Location, version: u64) -> Result<LogEntry> {
        LogEntry::read(location, version).await?.ok_or_else(|| {
            LakeError::corrupt(format!(
                "the log of `{}` lacks entry {version}",
                location.url()
            ))
        })
    }

    /// The newest foreign removal of rows after our last commit.
    async fn find_rewrite(location: &Location, newest: u64) -> Result<Option<Rewrite>> {
        for version in (0..=newest).rev() {
            let Some(entry) = LogEntry::read(location, version).await? else {
                return Ok(None);
            };
            if entry.batch_id().is_some() {
                return Ok(None);
            }
            if entry.rewrites() {
                let operation = entry.operation().to_owned();
                return Ok(Some(Rewrite { version, operation }));
            }
        }
        Ok(None)
    }
}

/// The names in `_delta_log`.
struct Listing {
    newest: u64,
    checkpoint: Option<u64>,
    checkpoint_parts: Vec<String>,
}

impl Listing {
    async fn read(location: &Location) -> Result<Self> {
        let folder = location.full_path("_delta_log")?;
        let names: Vec<String> = location
            .root_store()
            .list(Some(&folder))
            .try_filter_map(async |meta| Ok(meta.location.filename().map(str::to_owned)))
            .try_collect()
            .await
            .map_err(|e| {
                LakeError::unavailable(format!("could not list the log of `{}`", location.url()), e)
            })?;
        let entries = names.iter().filter_map(|n| version_of(n, ".json")).max();
        let checkpoint = complete_checkpoints(&names).max();
        let newest = entries.max(checkpoint).ok_or_else(|| {
            LakeError::new(
                ErrorKind::NotFound,
                format!("there is no Delta table at `{}`", location.url()),
            )
        })?;
        let prefix = checkpoint.map(|c| format!("{c:020}.checkpoint."));
        let checkpoint_parts = names
            .into_iter()
            .filter(|n| prefix.as_ref().is_some_and(|p| n.starts_with(p)))
            .collect();
        Ok(Self {
            newest,
            checkpoint,
            checkpoint_parts,
        })
    }

    async fn checkpoint_offsets(&self, location: &Location) -> Result<BTreeMap<String, i64>> {
        let mut offsets = BTreeMap::new();
        for part in &self.checkpoint_parts {
            let path = format!("_delta_log/{part}");
            let unreadable = |source: parquet::errors::ParquetError| {
                LakeError::corrupt(format!(
                    "could not read the offsets in checkpoint `{}{path}`",
                    location.url()
                ))
                .with_source(source)
            };
            let bytes = location.read(&path).await?.unwrap_or_default();
            read_txn_column(bytes, &mut offsets).map_err(unreadable)?;
        }
        Ok(offsets)
    }
}

fn version_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// Versions of the checkpoints all of whose parts are there.
fn complete_checkpoints(names: &[String]) -> impl Iterator<Item = u64> {
    let mut parts: BTreeMap<(u64, usize), usize> = BTreeMap::new();
    for name in names {
        if let Some(version) = version_of(name, ".checkpoint.parquet") {
            parts.insert((version, 1), 1);
        } else if let Some((version, of)) = part_of_checkpoint(name) {
            *parts.entry((version, of)).or_default() += 1;
        }
    }
    parts
        .into_iter()
        .filter(|((_, of), there)| there == of)
        .map(|((version, _), _)| version)
}

/// Version and number of parts of `<version>.checkpoint.<part>.<parts>.parquet`.
fn part_of_checkpoint(name: &str) -> Option<(u64, usize)> {
    let (version, rest) = name.split_once(".checkpoint.")?;
    let (_part, of) = rest.strip_suffix(".parquet")?.split_once('.')?;
    Some((version.parse().ok()?, of.parse().ok()?))
}

fn read_txn_column(
    bytes: Bytes,
    offsets: &mut BTreeMap<String, i64>,
) -> Result<(), parquet::errors::ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["txn.appId", "txn.version"]);
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        let Some(txn) = batch.column_by_name("txn").and_then(|c| c.as_struct_opt()) else {
            continue;
        };
        let ids = txn
            .column_by_name("appId")
            .and_then(|c| c.as_string_opt::<i32>());
        let versions = txn
            .column_by_name("version")
            .and_then(|c| c.as_primitive_opt::<Int64Type>());
        let (Some(ids), Some(versions)) = (ids, versions) else {
            return Err(parquet::errors::ParquetError::General(
                "the column `txn` has another shape".to_owned(),
            ));
        };
        for row in (0..batch.num_rows()).filter(|row| txn.is_valid(*row) && ids.is_valid(*row)) {
            offsets.insert(ids.value(row).to_owned(), versions.value(row));
        }
    }
    Ok(())
}

fn parse_schema(text: &str) -> Result<Schema> {
    let failed = || LakeError::corrupt("the table's schema cannot be read");
    let schema: StructType = serde_json::from_str(text).map_err(|e| failed().with_source(e))?;
    (&schema)
        .try_into_arrow()
        .map_err(|e: arrow::error::ArrowError| failed().with_source(e))
}

fn first_lost_column<'a>(ours: &'a Schema, theirs: &Schema) -> Option<&'a str> {
    ours.fields()
        .iter()
        .find(|field| {
            theirs
                .field_with_name(field.name())
                .map_or(true, |other| other.data_type() != field.data_type())
        })
        .map(|field| field.name().as_str())
}

/// The error for a failure inside the Delta library.
pub(crate) fn delta_failed(
    location: &Location,
    what: &str,
    source: deltalake::DeltaTableError,
) -> LakeError {
    let kind = match source {
        deltalake::DeltaTableError::NotATable(_) => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    LakeError::new(
        kind,
        format!("could not {what} the table at `{}`", location.url()),
    )
    .with_source(source)
}
