//! Parquet files of the lake.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use chrono::Utc;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{LakeError, Result};
use crate::stats::{FileStats, day};
use crate::storage::sync_dir;
use crate::table::DeltaLog;

/// Rows per row group: fine enough to skip, coarse enough to compress.
const ROW_GROUP_ROWS: usize = 256 * 1024;

/// Numbers that mostly grow: their differences are small.
const GROWING_COLUMNS: &[&str] = &[
    "event_time",
    "received_time",
    "produced_time",
    "kafka_timestamp",
    "kafka_offset",
    "line_seq",
    "from_offset",
    "to_offset",
    "version",
];

/// Texts that hardly repeat: a dictionary of them is as large as they are.
const UNIQUE_TEXT_COLUMNS: &[&str] = &[
    "event_id",
    "producer_event_id",
    "reject_id",
    "url",
    "referrer_url",
    "payload_sha",
];

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

/// Writes `batches` as Parquet files of `table`, one per partition value, and makes them durable.
/// Blocking: call it on a thread that may block. The batches have the table's schema, partition
/// column included. If it fails it leaves nothing behind; a file whose commit never comes is
/// not part of the table.
pub fn encode_files(
    batches: &[RecordBatch],
    table: &DeltaLog,
    batch_id: &str,
) -> Result<Vec<DataFile>> {
    check_batch_id(batch_id)?;
    let folder = table
        .location()
        .local()
        .ok_or_else(|| LakeError::config("files can be written to a lake on a local disk only"))?;
    let mut files = Vec::new();
    for (number, (value, batches)) in split(batches, table)?.into_iter().enumerate() {
        let partition = table.partition_column().map(str::to_owned).zip(value);
        let name = format!("{batch_id}-{number:04}.parquet");
        let path = match &partition {
            Some((column, value)) => format!("{column}={value}/{name}"),
            None => name,
        };
        match write_file(&folder.join(&path), &batches, table) {
            Ok((size, stats)) => files.push(DataFile {
                path,
                size,
                rows: stats.rows(),
                partition,
                stats: stats.to_json(),
                modification_time: Utc::now().timestamp_millis(),
            }),
            Err(e) => {
                discard_files(table, &files);
                return Err(e);
            }
        }
    }
    Ok(files)
}

/// Removes files that no commit will name. What cannot be removed stays as an orphan, which
/// costs space and nothing else.
pub fn discard_files(table: &DeltaLog, files: &[DataFile]) {
    for file in files {
        let Some(path) = table.location().local_file(&file.path) else {
            continue;
        };
        if let Err(error) = std::fs::remove_file(&path) {
            tracing::warn!(path = %path.display(), %error, "could not remove an unused file");
        }
    }
}

fn check_batch_id(batch_id: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if batch_id.is_empty() || !batch_id.chars().all(plain) {
        return Err(LakeError::config(format!(
            "batch id `{batch_id}` cannot be part of a file name; use letters, digits, - and _"
        )));
    }
    Ok(())
}

type Parts = BTreeMap<Option<String>, Vec<RecordBatch>>;

/// The rows by value of the partition column, without that column.
fn split(batches: &[RecordBatch], table: &DeltaLog) -> Result<Parts> {
    let mut parts = Parts::new();
    for batch in batches.iter().filter(|batch| batch.num_rows() > 0) {
        check_schema(batch, table)?;
        let Some(column) = table.partition_column() else {
            parts.entry(None).or_default().push(batch.clone());
            continue;
        };
        for (value, part) in split_by_day(batch, column)? {
            parts.entry(Some(value)).or_default().push(part);
        }
    }
    Ok(parts)
}

fn check_schema(batch: &RecordBatch, table: &DeltaLog) -> Result<()> {
    let names_and_types = |schema: &SchemaRef| -> Vec<(String, DataType)> {
        let fields = schema.fields().iter();
        fields
            .map(|f| (f.name().clone(), f.data_type().clone()))
            .collect()
    };
    let (ours, theirs) = (
        names_and_types(table.schema()),
        names_and_types(batch.schema_ref()),
    );
    // The names of list items differ between writers and mean nothing.
    let same = |(a, b): (&(String, DataType), &(String, DataType))| {
        a.0 == b.0 && a.1.equals_datatype(&b.1)
    };
    if ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same) {
        return Ok(());
    }
    let other = ours.iter().zip(&theirs).find(|pair| !same(*pair));
    Err(LakeError::config(format!(
        "rows for table `{}` have other columns than the table ({} for {}): {other:?}",
        table.name(),
        theirs.len(),
        ours.len(),
    )))
}

fn split_by_day(batch: &RecordBatch, column: &str) -> Result<Vec<(String, RecordBatch)>> {
    let no_dates = || LakeError::config(format!("column `{column}` does not hold dates"));
    let at = batch
        .schema_ref()
        .index_of(column)
        .map_err(|e| no_dates().with_source(e))?;
    let days = batch
        .column(at)
        .as_primitive_opt::<Date32Type>()
        .filter(|days| days.null_count() == 0)
        .ok_or_else(no_dates)?;
    let mut rest = batch.clone();
    rest.remove_column(at);
    let mut distinct: Vec<i32> = days.values().to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let mut parts = Vec::with_capacity(distinct.len());
    for value in &distinct {
        let part = if distinct.len() == 1 {
            rest.clone()
        } else {
            let mask: BooleanArray = days.values().iter().map(|d| Some(d == value)).collect();
            filter_record_batch(&rest, &mask)
                .map_err(|e| LakeError::internal("could not split rows by day").with_source(e))?
        };
        parts.push((day(*value).ok_or_else(no_dates)?.to_string(), part));
    }
    Ok(parts)
}

fn write_file(path: &Path, batches: &[RecordBatch], table: &DeltaLog) -> Result<(i64, FileStats)> {
    let failed = |e: ParquetError| {
        LakeError::unavailable(format!("could not write `{}`", path.display()), e)
    };
    let Some(first) = batches.first() else {
        return Err(LakeError::internal("a file without rows was asked for"));
    };
    make_folder(path, table.location().local())?;
    // Never over another file: a name that is taken belongs to a batch that may be committed.
    let file = File::create_new(path).map_err(|e| failed(e.into()))?;
    let unfinished = Unfinished(Some(path.to_owned()));
    let mut stats = FileStats::new(table.stats_columns());
    let schema = first.schema();
    let mut writer =
        ArrowWriter::try_new(file, SchemaRef::clone(&schema), Some(properties(&schema)?))
            .map_err(failed)?;
    for batch in batches {
        stats.add(batch);
        writer.write(batch).map_err(failed)?;
    }
    let file = writer.into_inner().map_err(failed)?;
    file.sync_all().map_err(|e| failed(e.into()))?;
    let size = file.metadata().map_err(|e| failed(e.into()))?.len();
    if let Some(folder) = path.parent() {
        sync_dir(folder)?;
    }
    unfinished.keep();
    Ok((i64::try_from(size).unwrap_or(i64::MAX), stats))
}

/// Makes the folder of `path`; a new folder's name is made durable as well.
fn make_folder(path: &Path, root: Option<&Path>) -> Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.is_dir()) else {
        return Ok(());
    };
    std::fs::create_dir_all(folder).map_err(|e| {
        LakeError::unavailable(
            format!("could not make the folder `{}`", folder.display()),
            e,
        )
    })?;
    root.map_or(Ok(()), sync_dir)
}

/// Removes a half-written file when the writer fails.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.0.take()
            && let Err(error) = std::fs::remove_file(&path)
        {
            tracing::warn!(path = %path.display(), %error, "could not remove a half-written file");
        }
    }
}

fn properties(schema: &SchemaRef) -> Result<WriterProperties> {
    let level = ZstdLevel::try_new(1)
        .map_err(|e| LakeError::internal("the compression level is wrong").with_source(e))?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page);
    for field in schema.fields() {
        let name = field.name().as_str();
        let encoding = if GROWING_COLUMNS.contains(&name) {
            Encoding::DELTA_BINARY_PACKED
        } else if UNIQUE_TEXT_COLUMNS.contains(&name) && field.data_type() == &DataType::Utf8 {
            Encoding::DELTA_LENGTH_BYTE_ARRAY
        } else if name == "content_hash" {
            Encoding::PLAIN
        } else {
            continue;
        };
        let column = ColumnPath::from(name);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, encoding);
    }
    Ok(properties.build())
}

#[cfg(test)]
mod tests;
