//! The output contract: types that every reader knows, what a number was made from, and whether
//! two answers are the same.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::compute::{
    SortColumn, SortOptions, cast, concat_batches, lexsort_to_indices, take_record_batch,
};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow::row::{RowConverter, SortField};
use chrono::{DateTime, Utc};

/// When the rows were made; the only column that a repetition may change.
pub(super) const COMPUTED_AT: &str = "computed_at";

/// What every row of a mart says about itself.
#[derive(Debug, Clone, Copy)]
pub(super) struct Origin<'a> {
    pub(super) data_from: Option<DateTime<Utc>>,
    pub(super) data_to: Option<DateTime<Utc>>,
    pub(super) window_seconds: Option<i64>,
    pub(super) definition_hash: &'a str,
    pub(super) computed_at: DateTime<Utc>,
}

fn time_type() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

/// The type in which a column is written: no unsigned numbers, no views, no nanoseconds.
fn stored_type(found: &DataType) -> DataType {
    match found {
        DataType::Utf8View | DataType::LargeUtf8 | DataType::Null => DataType::Utf8,
        DataType::UInt8 => DataType::Int16,
        DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Int8 => DataType::Int16,
        DataType::Float32 => DataType::Float64,
        DataType::Timestamp(_, _) => time_type(),
        DataType::Dictionary(_, value) => stored_type(value),
        other => other.clone(),
    }
}

/// The batches as one, in stored types, every column nullable.
pub(super) fn stored(schema: &Schema, batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| Field::new(field.name(), stored_type(field.data_type()), true))
        .collect();
    let target: SchemaRef = Arc::new(Schema::new(fields));
    let converted: Vec<RecordBatch> = batches
        .iter()
        .map(|batch| conform(batch, &target))
        .collect::<Result<_, _>>()?;
    concat_batches(&target, &converted)
}

/// The columns of `target` by name, cast to its types.
pub(super) fn conform(batch: &RecordBatch, target: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let column = |field: &FieldRef| {
        let found = batch.column_by_name(field.name()).ok_or_else(|| {
            ArrowError::SchemaError(format!("there is no column `{}`", field.name()))
        })?;
        cast(found, field.data_type())
    };
    let columns: Vec<ArrayRef> = target
        .fields()
        .iter()
        .map(column)
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(target), columns)
}

/// The rows in ascending order of some columns, NULL last.
pub(super) fn sorted(batch: &RecordBatch, by: &[&str]) -> Result<RecordBatch, ArrowError> {
    let options = Some(SortOptions {
        descending: false,
        nulls_first: false,
    });
    let column = |name: &&str| {
        let values = batch.column_by_name(name).map(Arc::clone);
        let missing = || ArrowError::SchemaError(format!("there is no column `{name}`"));
        Ok::<_, ArrowError>(SortColumn {
            values: values.ok_or_else(missing)?,
            options,
        })
    };
    let columns = by.iter().map(column).collect::<Result<Vec<_>, _>>()?;
    take_record_batch(batch, &lexsort_to_indices(&columns, None)?)
}

/// Appends what the rows were made from.
pub(super) fn with_origin(
    batch: &RecordBatch,
    origin: &Origin<'_>,
) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let time = |time: Option<DateTime<Utc>>| -> ArrayRef {
        let micros = time.map(|time| time.timestamp_micros());
        Arc::new(TimestampMicrosecondArray::from(vec![micros; rows]).with_timezone("UTC"))
    };
    let hash = StringArray::from(vec![origin.definition_hash; rows]);
    let added: [ArrayRef; 5] = [
        time(origin.data_from),
        time(origin.data_to),
        Arc::new(Int64Array::from(vec![origin.window_seconds; rows])),
        Arc::new(hash),
        time(Some(origin.computed_at)),
    ];
    let mut fields: Vec<FieldRef> = batch.schema().fields().iter().cloned().collect();
    let mut columns = batch.columns().to_vec();
    for (name, values) in ORIGIN.into_iter().zip(added) {
        fields.push(Arc::new(Field::new(name, values.data_type().clone(), true)));
        columns.push(values);
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The columns that [`with_origin`] appends.
const ORIGIN: [&str; 5] = [
    "data_from",
    "data_to",
    "window_seconds",
    "definition_hash",
    COMPUTED_AT,
];

/// The batch without what it was made from.
pub(super) fn without_origin(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    ORIGIN
        .iter()
        .try_fold(batch.clone(), |batch, column| without(&batch, column))
}

/// The batch without one column.
pub(super) fn without(batch: &RecordBatch, column: &str) -> Result<RecordBatch, ArrowError> {
    let kept: Vec<usize> = (0..batch.num_columns())
        .filter(|index| batch.schema().field(*index).name() != column)
        .collect();
    batch.project(&kept)
}

/// A name for the rows, whatever their order and whenever they were made.
pub(super) fn content_hash(batch: &RecordBatch) -> Result<String, ArrowError> {
    let batch = without(batch, COMPUTED_AT)?;
    let fields: Vec<SortField> = batch
        .schema()
        .fields()
        .iter()
        .map(|field| SortField::new(field.data_type().clone()))
        .collect();
    let rows = RowConverter::new(fields)?.convert_columns(batch.columns())?;
    let mut sorted: Vec<_> = rows.iter().collect();
    sorted.sort_unstable();
    let mut hasher = blake3::Hasher::new();
    for field in batch.schema().fields() {
        hasher.update(format!("{}\u{1f}{}\u{1e}", field.name(), field.data_type()).as_bytes());
    }
    for row in sorted {
        let bytes: &[u8] = row.as_ref();
        hasher.update(&bytes.len().to_le_bytes());
        hasher.update(bytes);
    }
    Ok(hasher.finalize().to_hex().chars().take(16).collect())
}
