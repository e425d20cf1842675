//! Reading rows of data files back, without a query engine.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use futures::StreamExt;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowPredicateFn, ArrowReaderBuilder, ParquetRecordBatchReaderBuilder, RowFilter,
};
use parquet::arrow::async_reader::ParquetRecordBatchStreamBuilder;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, RowGroupMetaData};
use parquet::file::statistics::Statistics;
use serde::Deserialize;

use crate::error::{Cause, LakeError, Result};
use crate::storage::{Location, Remote, StoredFile, is_store_failure};
use crate::table::{FileEntry, Snapshot};

/// A range of offsets of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) topic_uuid: String,
    pub(crate) partition: i32,
    pub(crate) offsets: Range<i64>,
}

/// The columns that say where a row belongs.
const PLACE: [&str; 3] = ["topic_uuid", "kafka_partition", "kafka_offset"];

/// Batch by batch, in order.
pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// Reads the columns `names` (all if `None`) of a file. Partition columns are not in files. Like
/// everything here it waits for the disk or the store: for threads that may block.
pub(crate) fn read(
    snapshot: &Snapshot,
    file: &FileEntry,
    names: Option<&[&str]>,
) -> Result<Vec<RecordBatch>> {
    scan(snapshot, &file.path, names)?.collect()
}

/// The same, batch by batch.
pub(crate) fn scan(snapshot: &Snapshot, path: &str, names: Option<&[&str]>) -> Result<Batches> {
    struct Columns<'a>(Option<&'a [&'a str]>);
    impl Narrow for Columns<'_> {
        fn narrow<T>(self, builder: ArrowReaderBuilder<T>) -> ArrowReaderBuilder<T> {
            let Some(names) = self.0 else { return builder };
            let mask = ProjectionMask::columns(builder.parquet_schema(), names.iter().copied());
            builder.with_projection(mask)
        }
    }
    open(snapshot, path, Columns(names))
}

/// Reads the columns `names` of the rows at `place`; the other rows are not decoded further than
/// it takes to see that they belong elsewhere.
pub(crate) fn read_at(
    snapshot: &Snapshot,
    file: &FileEntry,
    names: &[&str],
    place: &Place,
) -> Result<Vec<RecordBatch>> {
    struct Rows<'a>(&'a [&'a str], Place);
    impl Narrow for Rows<'_> {
        fn narrow<T>(self, builder: ArrowReaderBuilder<T>) -> ArrowReaderBuilder<T> {
            let Self(names, place) = self;
            let groups = groups_at(builder.metadata(), &place.offsets);
            let schema = builder.parquet_schema();
            let wanted = ProjectionMask::columns(schema, names.iter().copied());
            let here = ProjectionMask::columns(schema, PLACE);
            let here = ArrowPredicateFn::new(here, move |batch| {
                let selected = place.select(&batch);
                selected.map_err(|e| ArrowError::ExternalError(Box::new(e)))
            });
            builder
                .with_row_groups(groups)
                .with_projection(wanted)
                .with_row_filter(RowFilter::new(vec![Box::new(here)]))
        }
    }
    open(snapshot, &file.path, Rows(names, place.clone()))?.collect()
}

/// What of a file is wanted.
trait Narrow {
    fn narrow<T>(self, builder: ArrowReaderBuilder<T>) -> ArrowReaderBuilder<T>;
}

fn open(snapshot: &Snapshot, path: &str, wanted: impl Narrow) -> Result<Batches> {
    let location = snapshot.location();
    match location.remote() {
        Some(remote) => from_store(location, remote, path, wanted),
        None => from_disk(location, path, wanted),
    }
}

fn from_disk(location: &Location, path: &str, wanted: impl Narrow) -> Result<Batches> {
    let (place, below) = (location.clone(), path.to_owned());
    let failed = move |e: Cause| unreadable(&place, &below, e);
    let local = location.local_file(path).unwrap_or_default();
    let file = File::open(local).map_err(|e| failed(e.into()))?;
    let reader = ParquetRecordBatchReaderBuilder::try_new(file)
        .and_then(|builder| wanted.narrow(builder).build())
        .map_err(|e| failed(e.into()))?;
    Ok(Box::new(
        reader.map(move |batch| batch.map_err(|e| failed(e.into()))),
    ))
}

/// Fetches the wanted columns of one row group at a time, neighbours in one request.
fn from_store(
    location: &Location,
    remote: &Arc<Remote>,
    path: &str,
    wanted: impl Narrow,
) -> Result<Batches> {
    let (place, below) = (location.clone(), path.to_owned());
    let failed = move |e: ParquetError| unreadable(&place, &below, e);
    let store = Arc::clone(location.root_store());
    let reader = StoredFile::new(store, location.full_path(path)?);
    let runtime = remote.runtime().clone();
    let mut batches = runtime
        .block_on(ParquetRecordBatchStreamBuilder::new(reader))
        .and_then(|builder| wanted.narrow(builder).build())
        .map_err(&failed)?;
    Ok(Box::new(std::iter::from_fn(move || {
        let next = runtime.block_on(batches.next())?;
        Some(next.map_err(&failed))
    })))
}

impl Place {
    /// Which rows belong here.
    fn select(&self, batch: &RecordBatch) -> Result<BooleanArray> {
        let uuids = texts(batch, "topic_uuid")?;
        let partitions = column(batch, "kafka_partition")?
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| wrong_column("kafka_partition"))?;
        let offsets = column(batch, "kafka_offset")?
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| wrong_column("kafka_offset"))?;
        let rows = partitions.values().iter().zip(offsets.values()).enumerate();
        Ok(rows
            .map(|(row, (partition, offset))| {
                Some(
                    *partition == self.partition
                        && self.offsets.contains(offset)
                        && uuids.value(row) == self.topic_uuid,
                )
            })
            .collect())
    }
}

/// Row groups whose range of offsets meets `offsets`, or is not known.
fn groups_at(metadata: &ParquetMetaData, offsets: &Range<i64>) -> Vec<usize> {
    let bounds = |group: &RowGroupMetaData| {
        let mut columns = group.columns().iter();
        let column = columns.find(|column| column.column_path().string() == "kafka_offset")?;
        match column.statistics()? {
            Statistics::Int64(range) => range.min_opt().copied().zip(range.max_opt().copied()),
            _ => None,
        }
    };
    metadata
        .row_groups()
        .iter()
        .enumerate()
        .filter(|(_, group)| {
            bounds(group).is_none_or(|(low, high)| low < offsets.end && high >= offsets.start)
        })
        .map(|(number, _)| number)
        .collect()
}

/// A store that does not answer says nothing about the file.
fn unreadable(location: &Location, path: &str, source: impl Into<Cause>) -> LakeError {
    let source = source.into();
    if location.remote().is_some() && is_store_failure(source.as_ref()) {
        return location.failed("read the file", path, source);
    }
    let name = match location.local_file(path) {
        Some(local) => local.display().to_string(),
        None => format!("{}{path}", location.url()),
    };
    LakeError::corrupt(format!("could not read the file `{name}`")).with_source(source)
}

/// Whether a file may hold rows at `place`, by its statistics.
pub(crate) fn may_hold(file: &FileEntry, place: &Place) -> bool {
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
    let stats = file.stats.as_deref();
    let stats: Option<Stats> = stats.and_then(|text| serde_json::from_str(text).ok());
    let Some(Stats {
        min_values: low,
        max_values: high,
    }) = stats
    else {
        return true;
    };
    let uuid = place.topic_uuid.as_str();
    low.topic_uuid.is_none_or(|low| low.as_str() <= uuid)
        && high.topic_uuid.is_none_or(|high| high.as_str() >= uuid)
        && low.kafka_partition.is_none_or(|low| low <= place.partition)
        && high
            .kafka_partition
            .is_none_or(|high| high >= place.partition)
        && low.kafka_offset.is_none_or(|low| low < place.offsets.end)
        && high
            .kafka_offset
            .is_none_or(|high| high >= place.offsets.start)
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
