//! One Delta table of the lake.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::error::{LakeError, Result};

/// A Delta table with the state of its log. Clones share their state.
#[derive(Debug, Clone)]
pub struct DeltaLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    name: String,
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
}

/// A table as of one version.
#[derive(Debug, Clone)]
pub struct Snapshot {
    version: i64,
    schema: SchemaRef,
    partition_columns: Vec<String>,
    offsets: Arc<BTreeMap<String, i64>>,
    files: Arc<Vec<FileEntry>>,
}

impl DeltaLog {
    /// The table's name, for messages.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// The newest version.
    pub async fn load(&self) -> Result<Snapshot> {
        Err(LakeError::internal("load: not written yet"))
    }

    /// Writes a checkpoint if the newest is at least `every` versions old; returns its version.
    /// To be called from maintenance, never between a read and a commit. A failure is to be
    /// reported and tried again later; it never harms the table.
    pub async fn checkpoint_if_due(&self, every: u64) -> Result<Option<i64>> {
        let _ = every;
        Err(LakeError::internal("checkpoint: not written yet"))
    }

    /// Accepts that rows were removed by others up to `version`: the next commit may follow.
    pub async fn accept_rewrite(&self, version: i64) -> Result<()> {
        let _ = version;
        Err(LakeError::internal("accept: not written yet"))
    }
}

impl Snapshot {
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
