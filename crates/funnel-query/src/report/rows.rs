//! The counts of a funnel as one row per breakdown value and step.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, Int32Array, Int64Builder,
    RecordBatch, StringArray, UInt64Array,
};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema};
use arrow::error::ArrowError;

use super::Header;
use crate::funnel::FunnelDefinition;
use crate::funnel::execution::by_name;

/// Turns one wide row per breakdown value into one row per value and step.
pub(super) fn long(
    header: &Header,
    definition: &FunnelDefinition,
    counted: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    let steps = definition.steps.len();
    let groups = counted.num_rows();
    let total = groups * steps;
    let mut columns = Columns::default();

    let group_of: UInt64Array =
        (0..groups).flat_map(|group| std::iter::repeat_n(group as u64, steps)).collect();
    for (index, name) in header.by.iter().enumerate() {
        let values = column(counted, &by_name(index))?;
        columns.push(name, take(values, &group_of, None)?);
    }
    columns.text("funnel", &header.funnel, total);
    columns.text("unit", header.unit.as_str(), total);
    columns.text("mode", header.mode.as_str(), total);
    columns.text("date_basis", header.date_basis.as_str(), total);
    columns.text("time_zone", &header.time_zone, total);
    let each = || (0..groups).flat_map(|_| definition.steps.iter());
    let numbers = (0..groups).flat_map(|_| 1..=i32::try_from(steps).unwrap_or(i32::MAX));
    columns.push("step_index", Arc::new(numbers.collect::<Int32Array>()));
    let names: Vec<&str> = each().map(|step| step.name.as_str()).collect();
    columns.push("step", Arc::new(StringArray::from(names)));
    let titles: Vec<&str> = each().map(|step| step.title.as_str()).collect();
    columns.push("title", Arc::new(StringArray::from(titles)));
    let optional: BooleanArray = each().map(|step| Some(step.optional)).collect();
    columns.push("optional", Arc::new(optional));

    let count = |name: &str, step: usize, group: usize| -> Result<i64, ArrowError> {
        let values = column(counted, &format!("{name}{step}"))?.as_primitive::<Int64Type>();
        Ok(values.value(group))
    };
    let mut ints: [Int64Builder; 5] = std::array::from_fn(|_| Int64Builder::with_capacity(total));
    let mut rates: [Float64Builder; 2] = std::array::from_fn(|_| Float64Builder::new());
    for group in 0..groups {
        let first = count("reached", 0, group)?;
        for (step, rule) in definition.steps.iter().enumerate() {
            let reached = count("reached", step, group)?;
            // Nothing stands before the first step; a missing optional step loses nobody.
            let previous = (step > 0).then(|| count("previous", step, group)).transpose()?;
            let counts_losses = step > 0 && !rule.optional;
            let dropped = counts_losses.then(|| count("dropped", step, group)).transpose()?;
            let required = if step == 0 { first } else { count("required", step, group)? };
            ints[0].append_value(reached);
            ints[1].append_option(previous);
            ints[2].append_option(dropped);
            ints[3].append_value(count("skipped", step, group)?);
            ints[4].append_value(required);
            rates[0].append_option(previous.and_then(|previous| rate(reached, previous)));
            rates[1].append_option(rate(reached, first));
        }
    }
    let [mut reached, mut previous, mut dropped, mut skipped, mut required] = ints;
    let [mut from_previous, mut from_first] = rates;
    columns.push("reached", Arc::new(reached.finish()));
    columns.push("previous", Arc::new(previous.finish()));
    columns.push("dropped", Arc::new(dropped.finish()));
    columns.push("rate_from_previous", Arc::new(from_previous.finish()));
    columns.push("rate_from_first", Arc::new(from_first.finish()));
    columns.push("skipped", Arc::new(skipped.finish()));
    columns.push("required", Arc::new(required.finish()));
    for name in ["p50", "p90", "p99"] {
        let mut seconds = Vec::with_capacity(total);
        for group in 0..groups {
            for step in 0..steps {
                let values = column(counted, &format!("{name}_{step}"))?.as_primitive::<Float64Type>();
                seconds.push(values.is_valid(group).then(|| values.value(group)));
            }
        }
        columns.push(&format!("{name}_seconds_to_next"), Arc::new(Float64Array::from(seconds)));
    }
    columns.finish()
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("the counts have no column `{name}`"));
    batch.column_by_name(name).ok_or_else(missing)
}

#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
fn rate(part: i64, whole: i64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Columns of the answer, in order.
#[derive(Default)]
struct Columns {
    fields: Vec<Field>,
    arrays: Vec<ArrayRef>,
}

impl Columns {
    fn push(&mut self, name: &str, values: ArrayRef) {
        let nullable = values.data_type() == &DataType::Null || values.is_nullable();
        // A rate or a percentile is NULL in one answer and not in the next: same schema for both.
        let nullable = nullable || !matches!(name, "step_index" | "step" | "reached");
        self.fields.push(Field::new(name, values.data_type().clone(), nullable));
        self.arrays.push(values);
    }

    fn text(&mut self, name: &str, value: &str, rows: usize) {
        self.push(name, Arc::new(StringArray::from(vec![value; rows])));
    }

    fn finish(self) -> Result<RecordBatch, ArrowError> {
        RecordBatch::try_new(Arc::new(Schema::new(self.fields)), self.arrays)
    }
}
