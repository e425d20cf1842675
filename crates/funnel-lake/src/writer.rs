//! Parquet files of the lake.

use arrow::array::RecordBatch;

use crate::error::{LakeError, Result};
use crate::table::DeltaLog;

/// A durable Parquet file that no commit names yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Path below the table's root.
    pub path: String,
    /// Size in bytes.
    pub size: i64,
    /// Rows.
    pub rows: i64,
    /// The partition column and its value.
    pub partition: Option<(String, String)>,
    /// The Delta statistics (JSON).
    pub stats: String,
    /// When it was written, milliseconds since 1970.
    pub modification_time: i64,
}

/// Writes `batches` as Parquet files of `table`, one or more per partition value, and makes them
/// durable. Blocking: call it on a thread that may block. The batches have the table's schema,
/// partition column included.
pub fn encode_files(
    batches: &[RecordBatch],
    table: &DeltaLog,
    batch_id: &str,
) -> Result<Vec<DataFile>> {
    let _ = (batches, table, batch_id);
    Err(LakeError::internal("encode: not written yet"))
}
