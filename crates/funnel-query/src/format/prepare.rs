//! Columns as the formats can show them: one time zone, plain values, nested ones as JSON text.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, AsArray, RecordBatch, RecordBatchOptions, StringArray, StringBuilder,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::error::ArrowError;
use arrow::json::writer::{EncoderOptions, make_encoder};

use super::TIMESTAMP_FORMAT;

/// What a formula of a spreadsheet can begin with.
const FORMULA: [char; 6] = ['=', '+', '-', '@', '\t', '\r'];

/// What becomes of lists, structs and maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nested {
    /// They become their JSON as text.
    AsJsonText,
    /// They stay.
    Keep,
    /// Keep, and write as text what Parquet has no type for.
    KeepForParquet,
}

/// Brings batches of one schema into the form that is written.
#[derive(Debug)]
pub struct Prepare {
    schema: SchemaRef,
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    Same,
    Cast(DataType),
    JsonText(FieldRef),
}

impl Prepare {
    /// How batches of `schema` are brought into it.
    pub fn new(schema: &SchemaRef, nested: Nested) -> Self {
        let columns: Vec<_> = schema
            .fields()
            .iter()
            .map(|field| Column::of(field, nested))
            .collect();
        let fields: Vec<Field> = schema
            .fields()
            .iter()
            .zip(&columns)
            .map(|(field, column)| match column {
                Column::Same => field.as_ref().clone(),
                Column::Cast(to) => Field::new(field.name(), to.clone(), field.is_nullable()),
                Column::JsonText(_) => Field::new(field.name(), DataType::Utf8, true),
            })
            .collect();
        Self {
            schema: Arc::new(Schema::new(fields)),
            columns,
        }
    }

    /// The schema of the prepared batches.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// A batch in this form.
    ///
    /// # Errors
    /// When a value has no place in the other type.
    pub fn apply(&self, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
        let columns = self
            .columns
            .iter()
            .zip(batch.columns())
            .map(|(column, array)| column.apply(array))
            .collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options)
    }
}

impl Column {
    fn of(field: &FieldRef, nested: Nested) -> Self {
        match field.data_type() {
            DataType::Dictionary(_, value) => Self::Cast(value.as_ref().clone()),
            DataType::RunEndEncoded(_, value) => Self::Cast(value.data_type().clone()),
            DataType::Timestamp(unit, zone) if zone.as_deref() != Some("UTC") => {
                Self::Cast(DataType::Timestamp(*unit, Some("UTC".into())))
            }
            DataType::Interval(_) if nested == Nested::KeepForParquet => Self::Cast(DataType::Utf8),
            other if other.is_nested() && nested == Nested::AsJsonText => {
                Self::JsonText(Arc::clone(field))
            }
            _ => Self::Same,
        }
    }

    fn apply(&self, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::Same => Ok(Arc::clone(array)),
            Self::Cast(to) => cast(array, to),
            Self::JsonText(field) => json_text(field, array),
        }
    }
}

/// Texts that a spreadsheet would run are marked as texts.
pub(super) fn without_formulas(batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let harmless = |array: &ArrayRef| -> Result<ArrayRef, ArrowError> {
        if !matches!(
            array.data_type(),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
        ) {
            return Ok(Arc::clone(array));
        }
        let texts = cast(array, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>().iter();
        let texts: StringArray = texts
            .map(|text| {
                text.map(|text| match text.starts_with(FORMULA) {
                    true => Cow::Owned(format!("'{text}")),
                    false => Cow::Borrowed(text),
                })
            })
            .collect();
        cast(&texts, array.data_type())
    };
    let columns = batch.columns().iter().map(harmless);
    let columns = columns.collect::<Result<_, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(batch.schema(), columns, &options)
}

fn json_text(field: &FieldRef, array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    let options = EncoderOptions::default()
        .with_explicit_nulls(true)
        .with_timestamp_tz_format(TIMESTAMP_FORMAT.to_owned());
    let mut encoder = make_encoder(field, array.as_ref(), &options)?;
    let mut text = StringBuilder::new();
    let mut bytes = Vec::new();
    for row in 0..array.len() {
        if encoder.is_null(row) {
            text.append_null();
            continue;
        }
        bytes.clear();
        encoder.encode(row, &mut bytes);
        text.append_value(String::from_utf8_lossy(&bytes));
    }
    Ok(Arc::new(text.finish()))
}
