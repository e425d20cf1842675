//! State of a table's log, kept by reading each new entry once.
//!
//! The hot path never lists the log and never rebuilds the list of files: what a commit has to
//! know (version, stored positions, whether somebody removed rows) follows from the entries
//! after the one it knows. So a commit costs the same however long the table has been running.

mod entry;
mod listing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use deltalake::DeltaTable;
use deltalake::kernel::StructType;
use deltalake::kernel::engine::arrow_conversion::TryIntoArrow;
use deltalake::logstore::LogStoreRef;

use self::entry::MetadataLine;
pub(crate) use self::entry::{LogEntry, entry_path};
use self::listing::Listing;
pub(crate) use self::listing::last_checkpoint;
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
    /// Reader and writer version.
    protocol: (i32, i32),
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

impl LogState {
    /// Reads the state of the table from its newest checkpoint and the entries after it.
    pub(crate) async fn load(location: &Location, log_store: &LogStoreRef) -> Result<Self> {
        let listing = Listing::read(location).await?;
        let mut state = match listing.checkpoint {
            Some(version) => {
                let offsets = listing.checkpoint_offsets(location).await?;
                Self::at_checkpoint(location, log_store, version, offsets).await?
            }
            None => Self::at_first_entry(location).await?,
        };
        while state.version < listing.newest {
            let entry = Self::must_read(location, state.version + 1).await?;
            state.version += 1;
            state.apply(entry);
        }
        // What changed before we were there is how the table is, as long as it can hold our rows.
        state.refusal = None;
        state.check();
        state.rewrite = Self::find_rewrite(location, state.version).await?;
        Ok(state)
    }

    async fn at_checkpoint(
        location: &Location,
        log_store: &LogStoreRef,
        version: u64,
        offsets: BTreeMap<String, i64>,
    ) -> Result<Self> {
        let mut table = DeltaTable::new(Arc::clone(log_store));
        table
            .load_version(version)
            .await
            .map_err(|e| delta_failed(location, "load", e))?;
        let state = table
            .snapshot()
            .map_err(|e| delta_failed(location, "load", e))?;
        Ok(Self {
            version,
            checkpoint: Some(version),
            offsets: Arc::new(offsets),
            schema: state.snapshot().arrow_schema(),
            partition_columns: state.metadata().partition_columns().to_vec(),
            configuration: state.metadata().configuration().clone(),
            protocol: (
                state.protocol().min_reader_version(),
                state.protocol().min_writer_version(),
            ),
            rewrite: None,
            refusal: None,
        })
    }

    async fn at_first_entry(location: &Location) -> Result<Self> {
        let entry = Self::must_read(location, 0).await?;
        let (Some(metadata), Some(protocol)) = (&entry.metadata, &entry.protocol) else {
            return Err(LakeError::corrupt(format!(
                "the log of `{}` begins without protocol and metadata",
                location.url()
            )));
        };
        let mut state = Self {
            version: 0,
            checkpoint: None,
            offsets: Arc::default(),
            schema: Arc::new(parse_schema(&metadata.schema_string)?),
            partition_columns: metadata.partition_columns.clone(),
            configuration: HashMap::new(),
            protocol: protocol.versions(),
            rewrite: None,
            refusal: None,
        };
        state.apply(entry);
        Ok(state)
    }

    /// Reads the entries that were added since.
    pub(crate) async fn refresh(
        &mut self,
        location: &Location,
        log_store: &LogStoreRef,
    ) -> Result<()> {
        // Entries before a checkpoint may be gone, and what lies there instead may be the entry of
        // somebody who did not notice. So the way forward never leads past a checkpoint.
        let behind = last_checkpoint(location)
            .await?
            .is_some_and(|checkpoint| checkpoint > self.version);
        if behind || !location.exists(&entry_path(self.version)).await? {
            *self = Self::load(location, log_store).await?;
            return Ok(());
        }
        while let Some(entry) = LogEntry::read(location, self.version + 1).await? {
            self.version += 1;
            self.apply(entry);
        }
        Ok(())
    }

    fn apply(&mut self, entry: LogEntry) {
        if entry.rewrites() {
            self.rewrite = Some(Rewrite {
                version: self.version,
                operation: entry.operation().to_owned(),
            });
        } else if entry.batch_id().is_some() {
            // Whoever went on after a removal had accepted it.
            self.rewrite = None;
        }
        if !entry.txns.is_empty() {
            Arc::make_mut(&mut self.offsets).extend(entry.txns);
        }
        if let Some(protocol) = entry.protocol {
            self.protocol = protocol.versions();
        }
        if let Some(metadata) = entry.metadata {
            self.change_metadata(metadata);
        }
        self.check();
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

    fn change_metadata(&mut self, metadata: MetadataLine) {
        match parse_schema(&metadata.schema_string) {
            Ok(schema) => {
                if let Some(lost) = first_lost_column(&self.schema, &schema) {
                    self.refusal = Some(format!("its column `{lost}` was changed or dropped"));
                }
                self.schema = Arc::new(schema);
            }
            Err(error) => self.refusal = Some(error.to_string()),
        }
        if metadata.partition_columns != self.partition_columns {
            self.refusal = Some("its partition columns were changed".to_owned());
            self.partition_columns = metadata.partition_columns;
        }
        self.configuration = metadata.configuration;
    }

    /// Refuses what we must not write to.
    fn check(&mut self) {
        let (reader, writer) = self.protocol;
        if reader > 1 || writer > 2 {
            self.refusal = Some(format!(
                "its protocol was raised to reader {reader}, writer {writer}; \
                 we write reader 1, writer 2"
            ));
        }
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
    let attempted = format!("could not {what} the table at `{}`", location.url());
    match source {
        deltalake::DeltaTableError::NotATable(_) => {
            LakeError::new(ErrorKind::NotFound, attempted).with_source(source)
        }
        source => location.explained(attempted, source),
    }
}
