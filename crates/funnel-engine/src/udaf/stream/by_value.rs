//! A call over rows of which it is known which value of a column each has, by number: its conditions are evaluated once
//! for each value.

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::buffer::{NullBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::DataType;
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::expressions::Column;

use super::super::masks::Steps;
use super::super::rows::Batch;
use super::StreamCall;

/// The columns that a call reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CallColumns {
    pub(crate) time: usize,
    /// All conditions look at this one.
    pub(crate) steps: usize,
}

/// Times of rows, as they lie in their column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ticked {
    pub(crate) ticks: ScalarBuffer<i64>,
    /// Which rows have a time; none: all.
    pub(crate) there: Option<NullBuffer>,
}

/// The steps of each value of a column, the last of which is null.
#[derive(Debug)]
pub(crate) struct StepsOf {
    steps: Steps,
    /// Does the funnel look at rows of every value that is not null?
    sees_values: bool,
}

impl StreamCall {
    /// None if it reads anything but a column of times and another one.
    pub(crate) fn columns(&self) -> Option<CallColumns> {
        let time = self.time()?.downcast_ref::<Column>()?.index();
        let steps = self.coded.as_ref()?.column();
        self.filter.is_none().then_some(CallColumns { time, steps })
    }

    /// Are times of this type ticks as they lie in the column?
    pub(crate) fn is_in_ticks(&self, data_type: &DataType) -> bool {
        let is_long = matches!(data_type, DataType::Timestamp(_, _) | DataType::Int64);
        is_long && super::super::axis::Axis::of(data_type) == Some(self.call.axis)
    }

    /// The steps of `values`, the last of which is null.
    pub(crate) fn steps_of(&self, values: &ArrayRef) -> Result<StepsOf> {
        let Some(coded) = &self.coded else {
            return internal_err!("the steps of a funnel are not those of one column");
        };
        let null_hides = self.call.null_hides_row();
        let steps = coded.of_values(ArrayRef::clone(values), null_hides)?;
        let seen = steps.seen.iter().flatten();
        let sees_values = seen.take(values.len() - 1).all(|seen| seen);
        Ok(StepsOf { steps, sees_values })
    }

    /// Times and steps of rows, from the number of the value that each has; `has_null` says whether one of them is null.
    pub(crate) fn read_ids(
        &self,
        times: &Ticked,
        steps: &StepsOf,
        ids: &[u32],
        has_null: bool,
    ) -> Batch {
        let StepsOf { steps, sees_values } = steps;
        let seen = steps.seen.as_ref().filter(|_| has_null || !sees_values);
        let steps = Steps {
            masks: steps.masks.of_ids(ids),
            seen: seen.map(|seen| ids.iter().map(|id| seen.value(*id as usize)).collect()),
        };
        Batch::at(&self.call, times.ticks.clone(), times.there.clone(), steps)
    }
}
