//! The counts of a funnel as one row per breakdown value and step.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Float64Array, Float64Builder, Int32Array, Int64Array, Int64Builder,
    ListBuilder, RecordBatch, StringArray, UInt64Array,
};
use arrow::compute::take;
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;

use super::Header;
use super::rate::{Interval, rate, wilson};
use crate::funnel::counts::{Counts, StepCounts};
use crate::funnel::times::Times;
use crate::funnel::{FunnelDefinition, Step};

/// The columns in which every row has a value.
const NEVER_NULL: [&str; 3] = ["step_index", "step", "reached"];

/// How much a row says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Detail {
    /// What the mart keeps.
    Mart,
    /// Also what is still open, and how the times are spread.
    Full,
}

/// One row per breakdown value and step.
pub(super) fn long(
    header: &Header,
    definition: &FunnelDefinition,
    counts: &Counts,
    detail: Detail,
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
    columns.counts("dropped", &rows, |row| row.lost(row.counts.passage.dropped));
    columns.numbers("rate_from_previous", &rows, |row| {
        rate(row.counts.reached, row.previous()?)
    });
    columns.numbers("rate_from_first", &rows, |row| {
        rate(row.counts.reached, row.first)
    });
    columns.counts("skipped", &rows, |row| Some(row.counts.skipped));
    columns.counts("required", &rows, |row| Some(row.required()));
    columns.percentiles(&rows, |row| &row.counts.times);
    if detail == Detail::Full {
        columns.counts("open", &rows, |row| row.lost(row.counts.passage.open));
        columns.spread(&rows, |row| &row.counts.times);
        columns.interval("rate_from_previous", &rows, |row| {
            wilson(row.counts.reached, row.previous()?)
        });
        columns.interval("rate_from_first", &rows, |row| {
            // The first step is all of itself, whatever chance does.
            wilson(row.counts.reached, row.previous().and(Some(row.first))?)
        });
        for (name, fraction) in [("p50", 0.5), ("p90", 0.9)] {
            columns.numbers(&format!("{name}_seconds_from_first"), &rows, |row| {
                row.counts.from_first.percentile(fraction)
            });
        }
    }
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
        (self.index > 0).then_some(self.counts.passage.previous)
    }

    /// A missing optional step loses nobody.
    fn lost(&self, count: i64) -> Option<i64> {
        (self.index > 0 && !self.step.optional).then_some(count)
    }

    fn required(&self) -> i64 {
        if self.index == 0 {
            self.first
        } else {
            self.counts.required
        }
    }
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

    /// Of the times to the next step, in seconds.
    pub(super) fn percentiles<R>(&mut self, rows: &[R], of: impl Fn(&R) -> &Times) {
        for (name, fraction) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)] {
            self.numbers(&format!("{name}_seconds_to_next"), rows, |row| {
                of(row).percentile(fraction)
            });
        }
    }

    /// Mean, bounds and histogram of the same times.
    pub(super) fn spread<R>(&mut self, rows: &[R], of: impl Fn(&R) -> &Times) {
        self.numbers("mean_seconds_to_next", rows, |row| of(row).mean());
        self.numbers("min_seconds_to_next", rows, |row| of(row).min());
        self.numbers("max_seconds_to_next", rows, |row| of(row).max());
        let histograms: Vec<_> = rows.iter().map(|row| of(row).histogram()).collect();
        let mut edges = ListBuilder::new(Float64Builder::new());
        for found in &histograms {
            let values = found
                .as_ref()
                .map(|found| found.edges.iter().copied().map(Some));
            edges.append_option(values);
        }
        self.push("histogram_edges", Arc::new(edges.finish()));
        let mut counts = ListBuilder::new(Int64Builder::new());
        for found in &histograms {
            let values = found
                .as_ref()
                .map(|found| found.counts.iter().copied().map(Some));
            counts.append_option(values);
        }
        self.push("histogram", Arc::new(counts.finish()));
    }

    /// The bounds of the rate in column `name`.
    pub(super) fn interval<R>(
        &mut self,
        name: &str,
        rows: &[R],
        of: impl Fn(&R) -> Option<Interval>,
    ) {
        self.numbers(&format!("{name}_low"), rows, |row| Some(of(row)?.low));
        self.numbers(&format!("{name}_high"), rows, |row| Some(of(row)?.high));
    }

    /// A column of the user's that has the name of one of ours is called `by_…`.
    pub(super) fn finish(mut self) -> Result<RecordBatch, ArrowError> {
        for at in 0..self.fields.len() {
            let (field, later) = (&self.fields[at], &self.fields[at + 1..]);
            if later.iter().any(|other| other.name() == field.name()) {
                let name = format!("by_{}", field.name());
                self.fields[at] = field.clone().with_name(name);
            }
        }
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
    }
}
