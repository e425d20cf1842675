//! The counts of a funnel as one row per breakdown value and step.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray,
    UInt64Array,
};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;

use super::Header;
use crate::funnel::counts::{Counts, StepCounts};
use crate::funnel::{FunnelDefinition, Step};

/// The columns in which every row has a value.
const NEVER_NULL: [&str; 3] = ["step_index", "step", "reached"];

/// One row per breakdown value and step.
pub(super) fn long(
    header: &Header,
    definition: &FunnelDefinition,
    counts: &Counts,
) -> Result<RecordBatch, ArrowError> {
    let steps = definition.steps.len();
    let mut rows = Vec::with_capacity(counts.groups.len() * steps);
    for (group, counted) in counts.groups.iter().enumerate() {
        let first = counted.first().map_or(0, |step| step.reached);
        for (index, (step, counts)) in definition.steps.iter().zip(counted).enumerate() {
            rows.push(Row {
                group,
                index,
                step,
                counts,
                first,
            });
        }
    }
    let mut columns = Columns::default();
    let group_of: UInt64Array = rows.iter().map(|row| Some(row.group as u64)).collect();
    for (name, values) in header.by.iter().zip(&counts.values) {
        columns.push(name, take(values, &group_of, None)?);
    }
    for (name, value) in [
        ("funnel", header.funnel.as_str()),
        ("unit", header.unit.as_str()),
        ("mode", header.mode.as_str()),
        ("date_basis", header.date_basis.as_str()),
        ("time_zone", header.time_zone.as_str()),
    ] {
        columns.push(name, Arc::new(StringArray::from(vec![value; rows.len()])));
    }
    let numbers = rows.iter().map(|row| i32::try_from(row.index + 1).ok());
    columns.push("step_index", Arc::new(numbers.collect::<Int32Array>()));
    let names: Vec<&str> = rows.iter().map(|row| row.step.name.as_str()).collect();
    columns.push("step", Arc::new(StringArray::from(names)));
    let titles: Vec<&str> = rows.iter().map(|row| row.step.title.as_str()).collect();
    columns.push("title", Arc::new(StringArray::from(titles)));
    let optional: BooleanArray = rows.iter().map(|row| Some(row.step.optional)).collect();
    columns.push("optional", Arc::new(optional));
    columns.counts("reached", &rows, |row| Some(row.counts.reached));
    columns.counts("previous", &rows, |row| row.previous());
    columns.counts("dropped", &rows, |row| row.dropped());
    columns.numbers("rate_from_previous", &rows, |row| {
        rate(row.counts.reached, row.previous()?)
    });
    columns.numbers("rate_from_first", &rows, |row| {
        rate(row.counts.reached, row.first)
    });
    columns.counts("skipped", &rows, |row| Some(row.counts.skipped));
    columns.counts("required", &rows, |row| Some(row.required()));
    columns.numbers("p50_seconds_to_next", &rows, |row| {
        row.counts.times.percentile(0.5)
    });
    columns.numbers("p90_seconds_to_next", &rows, |row| {
        row.counts.times.percentile(0.9)
    });
    columns.numbers("p99_seconds_to_next", &rows, |row| {
        row.counts.times.percentile(0.99)
    });
    columns.finish()
}

/// One row of the answer.
struct Row<'a> {
    group: usize,
    index: usize,
    step: &'a Step,
    counts: &'a StepCounts,
    /// Units that reached the first step.
    first: i64,
}

impl Row<'_> {
    /// Nothing stands before the first step.
    fn previous(&self) -> Option<i64> {
        (self.index > 0).then_some(self.counts.previous)
    }

    /// A missing optional step loses nobody.
    fn dropped(&self) -> Option<i64> {
        (self.index > 0 && !self.step.optional).then_some(self.counts.dropped)
    }

    fn required(&self) -> i64 {
        if self.index == 0 {
            self.first
        } else {
            self.counts.required
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(super) fn rate(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Columns of the answer, in order.
#[derive(Default)]
pub(super) struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    pub(super) fn push(&mut self, name: &str, values: ArrayRef) {
        let nullable = !NEVER_NULL.contains(&name);
        self.fields
            .push(Field::new(name, values.data_type().clone(), nullable));
        self.arrays.push(values);
    }

    pub(super) fn counts<R>(&mut self, name: &str, rows: &[R], of: impl Fn(&R) -> Option<i64>) {
        self.push(name, Arc::new(rows.iter().map(of).collect::<Int64Array>()));
    }

    pub(super) fn numbers<R>(&mut self, name: &str, rows: &[R], of: impl Fn(&R) -> Option<f64>) {
        self.push(
            name,
            Arc::new(rows.iter().map(of).collect::<Float64Array>()),
        );
    }

    pub(super) fn finish(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
    }
}
