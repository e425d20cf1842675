//! One wide row as names and values below each other.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::TIMESTAMP_FORMAT;
use crate::error::{CliError, Result};

/// The first row of the batch, stood upright; the columns are called by `heads`.
pub(crate) fn upright(row: &RecordBatch, heads: [&str; 2]) -> Result<RecordBatch> {
    let options = FormatOptions::default().with_timestamp_tz_format(Some(TIMESTAMP_FORMAT));
    let mut names = Vec::new();
    let mut values = Vec::new();
    for (field, column) in row.schema_ref().fields().iter().zip(row.columns()) {
        let text = ArrayFormatter::try_new(column.as_ref(), &options).map_err(CliError::output)?;
        let present = !column.is_empty() && !column.is_null(0);
        names.push(field.name().clone());
        values.push(present.then(|| text.value(0).to_string()));
    }
    let names: ArrayRef = Arc::new(StringArray::from(names));
    let values: ArrayRef = Arc::new(StringArray::from(values));
    let [name, value] = heads;
    RecordBatch::try_from_iter_with_nullable([(name, names, false), (value, values, true)])
        .map_err(CliError::output)
}
