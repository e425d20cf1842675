//! Reading rows of data files back, without a query engine.

use std::fs::File;
use std::ops::Range;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReaderBuilder};
use parquet::errors::ParquetError;
use parquet::file::statistics::Statistics;
use serde::Deserialize;

use crate::error::{LakeError, Result};
use crate::table::{FileEntry, Snapshot};

/// Reads the columns `names` (all if `None`) of a file. Partition columns are not in files.
pub(crate) fn read(
    snapshot: &Snapshot,
    file: &FileEntry,
    names: Option<&[&str]>,
) -> Result<Vec<RecordBatch>> {
    read_where(snapshot, file, names, |_| true)
}

/// The same for the row groups whose range of `kafka_offset` meets `offsets`.
pub(crate) fn read_offsets(
    snapshot: &Snapshot,
    file: &FileEntry,
    names: &[&str],
    offsets: &Range<i64>,
) -> Result<Vec<RecordBatch>> {
    read_where(snapshot, file, Some(names), |bounds| {
        bounds.is_none_or(|(low, high)| low < offsets.end && high >= offsets.start)
    })
}

fn read_where(
    snapshot: &Snapshot,
    file: &FileEntry,
    names: Option<&[&str]>,
    keep: impl Fn(Option<(i64, i64)>) -> bool,
) -> Result<Vec<RecordBatch>> {
    let path = snapshot
        .location()
        .local_file(&file.path)
        .ok_or_else(|| LakeError::config("files can be read from a lake on a local disk only"))?;
    let failed = |e: ParquetError| {
        LakeError::corrupt(format!("could not read the file `{}`", path.display())).with_source(e)
    };
    let opened = File::open(&path).map_err(|e| failed(e.into()))?;
    let metadata = ArrowReaderMetadata::load(&opened, Default::default()).map_err(failed)?;
    let groups = groups_to_read(&metadata, keep);
    let mut builder = ParquetRecordBatchReaderBuilder::new_with_metadata(opened, metadata)
        .with_row_groups(groups);
    if let Some(names) = names {
        let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
        builder = builder.with_projection(mask);
    }
    builder
        .build()
        .map_err(failed)?
        .map(|batch| batch.map_err(|e| failed(e.into())))
        .collect()
}

fn groups_to_read(
    metadata: &ArrowReaderMetadata,
    keep: impl Fn(Option<(i64, i64)>) -> bool,
) -> Vec<usize> {
    let groups = metadata.metadata().row_groups();
    let bounds = |group: &parquet::file::metadata::RowGroupMetaData| {
        let column = group
            .columns()
            .iter()
            .find(|column| column.column_path().string() == "kafka_offset")?;
        match column.statistics()? {
            Statistics::Int64(range) => range.min_opt().copied().zip(range.max_opt().copied()),
            _ => None,
        }
    };
    groups
        .iter()
        .enumerate()
        .filter(|(_, group)| keep(bounds(group)))
        .map(|(number, _)| number)
        .collect()
}

/// Whether a file may hold rows of this partition and these offsets, by its statistics.
pub(crate) fn may_hold(
    file: &FileEntry,
    topic_uuid: &str,
    partition: i32,
    offsets: &Range<i64>,
) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Bounds {
        topic_uuid: Option<String>,
        kafka_partition: Option<i32>,
        kafka_offset: Option<i64>,
    }
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct Stats {
        min_values: Bounds,
        max_values: Bounds,
    }
    // Without statistics, or with ones that cannot be read, the file may hold anything.
    let stats: Option<Stats> = file
        .stats
        .as_deref()
        .and_then(|s| serde_json::from_str(s).ok());
    let Some(Stats {
        min_values: low,
        max_values: high,
    }) = stats
    else {
        return true;
    };
    low.topic_uuid.is_none_or(|low| low.as_str() <= topic_uuid)
        && high
            .topic_uuid
            .is_none_or(|high| high.as_str() >= topic_uuid)
        && low.kafka_partition.is_none_or(|low| low <= partition)
        && high.kafka_partition.is_none_or(|high| high >= partition)
        && low.kafka_offset.is_none_or(|low| low < offsets.end)
        && high.kafka_offset.is_none_or(|high| high >= offsets.start)
}

/// The column of that name.
pub(crate) fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| wrong_column(name))
}

/// The text column of that name.
pub(crate) fn texts<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a StringArray> {
    column(batch, name)?
        .as_string_opt::<i32>()
        .ok_or_else(|| wrong_column(name))
}

/// The value at `row`, if it is not null.
pub(crate) fn text_at(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

/// The error for a column that is missing or has another type.
pub(crate) fn wrong_column(name: &str) -> LakeError {
    LakeError::corrupt(format!(
        "a data file has no column `{name}` of the right type"
    ))
}
