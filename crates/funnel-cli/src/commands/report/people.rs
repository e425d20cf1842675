//! A funnel as people read it: what stands in the heading is left out, rates are per cent, times
//! have units. The other formats keep every column and exact values.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use funnel_query::report::Report;

use crate::error::{CliError, Result};
use crate::output::ALIGN_RIGHT;

/// The rows of a report for a table.
pub(super) fn rows(answer: &Report) -> Result<RecordBatch> {
    let rows = &answer.rows;
    let mut view = View {
        fields: Vec::new(),
        columns: Vec::new(),
    };
    for name in &answer.header.by {
        view.keep(rows, name, name)?;
    }
    view.steps(rows)?;
    for name in ["reached", "previous", "dropped", "open", "skipped"] {
        view.keep(rows, name, name)?;
    }
    view.text(rows, "rate_from_previous", "of previous", per_cent)?;
    view.text(rows, "rate_from_first", "of first", per_cent)?;
    view.text(rows, "p50_seconds_to_next", "median to next", span)?;
    view.text(rows, "p90_seconds_to_next", "90 % to next", span)?;
    RecordBatch::try_new(Arc::new(Schema::new(view.fields)), view.columns).map_err(CliError::output)
}

/// The rows of a comparison for a table.
pub(super) fn compared(rows: &RecordBatch) -> Result<RecordBatch> {
    let mut view = View {
        fields: Vec::new(),
        columns: Vec::new(),
    };
    view.steps(rows)?;
    view.keep(rows, "reached", "reached")?;
    view.keep(rows, "reached_before", "before")?;
    view.text(rows, "reached_change", "change", signed_per_cent)?;
    view.text(rows, "rate_from_first", "of first", per_cent)?;
    view.text(rows, "rate_from_first_before", "of first before", per_cent)?;
    view.text(rows, "rate_from_first_change", "points", points)?;
    view.text(rows, "rate_from_first_change_low", "at least", points)?;
    view.text(rows, "rate_from_first_change_high", "at most", points)?;
    view.text(rows, "p50_seconds_from_first", "median from first", span)?;
    view.text(rows, "p50_seconds_from_first_before", "median before", span)?;
    RecordBatch::try_new(Arc::new(Schema::new(view.fields)), view.columns).map_err(CliError::output)
}

struct View {
    fields: Vec<Field>,
    columns: Vec<ArrayRef>,
}

impl View {
    fn keep(&mut self, rows: &RecordBatch, name: &str, head: &str) -> Result<()> {
        let column = column(rows, name)?;
        self.fields
            .push(Field::new(head, column.data_type().clone(), true));
        self.columns.push(Arc::clone(column));
        Ok(())
    }

    /// Titles; an optional step stands in brackets.
    fn steps(&mut self, rows: &RecordBatch) -> Result<()> {
        let titles = cast(column(rows, "title")?, &DataType::Utf8).map_err(CliError::output)?;
        let optional =
            cast(column(rows, "optional")?, &DataType::Boolean).map_err(CliError::output)?;
        let (titles, optional) = (titles.as_string::<i32>(), optional.as_boolean());
        let steps = (0..rows.num_rows()).map(|row| {
            let title = titles.value(row);
            let is_optional = optional.is_valid(row) && optional.value(row);
            if is_optional {
                format!("({title})")
            } else {
                title.to_owned()
            }
        });
        self.fields.push(Field::new("step", DataType::Utf8, false));
        self.columns
            .push(Arc::new(StringArray::from_iter_values(steps)));
        Ok(())
    }

    fn text(
        &mut self,
        rows: &RecordBatch,
        name: &str,
        head: &str,
        show: fn(f64) -> String,
    ) -> Result<()> {
        let numbers = cast(column(rows, name)?, &DataType::Float64).map_err(CliError::output)?;
        let shown = numbers
            .as_primitive::<Float64Type>()
            .iter()
            .map(|number| number.map(show));
        let metadata = [(ALIGN_RIGHT.to_owned(), String::new())].into();
        self.fields
            .push(Field::new(head, DataType::Utf8, true).with_metadata(metadata));
        self.columns.push(Arc::new(StringArray::from_iter(shown)));
        Ok(())
    }
}

fn column<'a>(rows: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef> {
    rows.column_by_name(name)
        .ok_or_else(|| CliError::failed(format!("the report has no column `{name}`")))
}

fn per_cent(rate: f64) -> String {
    format!("{:.1} %", rate * 100.0)
}

fn signed_per_cent(change: f64) -> String {
    format!("{:+.1} %", change * 100.0)
}

fn points(change: f64) -> String {
    format!("{:+.1}", change * 100.0)
}

/// Two units are enough: `1m 12s`, `3.8 s`.
fn span(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let span = Duration::try_from_secs_f64(seconds.round()).unwrap_or_default();
    let text = humantime::format_duration(span).to_string();
    text.split(' ').take(2).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_two_units_at_most() {
        assert_eq!(span(3.755), "3.8 s");
        assert_eq!(span(72.0), "1m 12s");
        assert_eq!(span(3_661.0), "1h 1m");
        assert_eq!(span(90_000.0), "1day 1h");
    }
}
