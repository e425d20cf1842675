//! Parquet files of the lake.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Date32Type, SchemaRef};
use chrono::Utc;
use parquet::arrow::{ArrowSchemaConverter, ArrowWriter};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{BloomFilterPosition, EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use crate::error::{LakeError, Result};
use crate::order::SORT_KEY;
use crate::stats::{FileStats, day};
use crate::storage::Sink;
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

/// Columns that every funnel reads in all rows, dense by their encoding: taking a block apart costs a scan more than the
/// hundredth of a file that compression saves. Sorted files have them uncompressed.
const SCANNED_COLUMNS: &[&str] = &["account_id", "visitor_id", "event_type", "event_time"];

/// Columns by which single rows are looked for; sorted files have Bloom filters of them.
const LOOKED_UP_COLUMNS: &[&str] = &["visitor_id", "session_id"];
const BLOOM_FALSE_POSITIVES: f64 = 0.01;

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
    /// Whether its rows lie in the order of account, visitor and time.
    pub sorted: bool,
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
    let mut files = Vec::new();
    for (number, (value, batches)) in split(batches, table)?.into_iter().enumerate() {
        let partition = table.partition_column().map(str::to_owned).zip(value);
        let name = format!("{batch_id}-{number:04}.parquet");
        let path = match &partition {
            Some((column, value)) => format!("{column}={value}/{name}"),
            None => name,
        };
        match write_file(&path, &batches, table) {
            Ok((size, stats)) => files.push(DataFile {
                path,
                size,
                rows: stats.rows(),
                partition,
                stats: stats.to_json(),
                modification_time: Utc::now().timestamp_millis(),
                sorted: false,
            }),
            Err(e) => {
                discard_files(table, &files);
                return Err(e);
            }
        }
    }
    Ok(files)
}

/// Removes files that no commit will name, in an object store a little later. What cannot be
/// removed stays as an orphan, which costs space and nothing else.
pub fn discard_files(table: &DeltaLog, files: &[DataFile]) {
    for file in files {
        table.location().discard(&file.path);
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

fn write_file(path: &str, batches: &[RecordBatch], table: &DeltaLog) -> Result<(i64, FileStats)> {
    let Some(first) = batches.first() else {
        return Err(LakeError::internal("a file without rows was asked for"));
    };
    let mut writer = FileWriter::create(path, &first.schema(), table, Layout::Arrival)?;
    for batch in batches {
        writer.write(batch)?;
    }
    writer.finish()
}

/// How the rows of a file lie, and how long it is meant to stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// As they arrived; rewritten once their day is closed.
    Arrival,
    /// In the order of [`SORT_KEY`]; stays.
    Sorted,
}

/// One data file being written; what is not finished is removed.
pub(crate) struct FileWriter {
    table: DeltaLog,
    path: String,
    /// There until the file is ended.
    writer: Option<ArrowWriter<Sink>>,
    stats: FileStats,
}

impl FileWriter {
    /// Starts a file below the table that must not be there yet.
    pub(crate) fn create(
        path: &str,
        schema: &SchemaRef,
        table: &DeltaLog,
        layout: Layout,
    ) -> Result<Self> {
        let properties = properties(schema, layout)?;
        let sink = Sink::create(table.location(), path)?;
        let writer = ArrowWriter::try_new(sink, SchemaRef::clone(schema), Some(properties))
            .map_err(|e| table.location().failed("write", path, e))?;
        Ok(Self {
            table: table.clone(),
            path: path.to_owned(),
            writer: Some(writer),
            stats: FileStats::new(table.stats_columns()),
        })
    }

    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.stats.add(batch);
        let written = self.writer.as_mut().map(|writer| writer.write(batch));
        written
            .transpose()
            .map_err(|e| self.table.location().failed("write", &self.path, e))?;
        Ok(())
    }

    /// Ends the file and makes it durable; its size in bytes and its statistics.
    pub(crate) fn finish(mut self) -> Result<(i64, FileStats)> {
        let stats = std::mem::take(&mut self.stats);
        let Some(writer) = self.writer.take() else {
            return Err(LakeError::internal("a file was ended twice"));
        };
        let sink = writer.into_inner();
        let sink = sink.map_err(|e| self.table.location().failed("write", &self.path, e))?;
        let size = sink.finish()?;
        Ok((i64::try_from(size).unwrap_or(i64::MAX), stats))
    }
}

impl Drop for FileWriter {
    /// The writer empties its buffer when it is dropped, which may be where nobody may wait.
    fn drop(&mut self) {
        if let Some(writer) = &mut self.writer {
            writer.inner_mut().give_up();
        }
    }
}

fn properties(schema: &SchemaRef, layout: Layout) -> Result<WriterProperties> {
    let level = match layout {
        Layout::Arrival => 1,
        // Written once and read for years.
        Layout::Sorted => 3,
    };
    let level = ZstdLevel::try_new(level)
        .map_err(|e| LakeError::internal("the compression level is wrong").with_source(e))?;
    let mut properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_statistics_enabled(EnabledStatistics::Page);
    if layout == Layout::Sorted {
        properties = properties
            .set_sorting_columns(Some(sorting_columns(schema)?))
            .set_bloom_filter_position(BloomFilterPosition::End);
        for column in SCANNED_COLUMNS {
            let column = ColumnPath::from(*column);
            properties = properties.set_column_compression(column, Compression::UNCOMPRESSED);
        }
        for column in LOOKED_UP_COLUMNS {
            let column = ColumnPath::from(*column);
            properties = properties
                .set_column_bloom_filter_enabled(column.clone(), true)
                .set_column_bloom_filter_fpp(column.clone(), BLOOM_FALSE_POSITIVES)
                .set_column_bloom_filter_max_ndv(column, ROW_GROUP_ROWS as u64);
        }
    }
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

/// [`SORT_KEY`] by the numbers of its columns in the file: ascending, nulls last.
fn sorting_columns(schema: &SchemaRef) -> Result<Vec<SortingColumn>> {
    let failed = || LakeError::internal("the order of a file could not be described");
    let parquet = ArrowSchemaConverter::new()
        .convert(schema)
        .map_err(|e| failed().with_source(e))?;
    SORT_KEY
        .iter()
        .map(|name| {
            let mut columns = parquet.columns().iter();
            let at = columns.position(|column| column.path().parts() == [*name]);
            Ok(SortingColumn {
                column_idx: at
                    .and_then(|at| i32::try_from(at).ok())
                    .ok_or_else(failed)?,
                descending: false,
                nulls_first: false,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests;
