//! The funnel as SQL aggregate functions: one implementation, three answers.

mod accumulator;
mod answer;
mod axis;
mod call;
mod check;
mod coded;
mod gathered;
mod groups;
#[cfg(test)]
mod laws;
mod masks;
mod retention;
mod rows;
mod sequence;
mod stream;

use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, ReversedUDAF,
    Signature, Volatility,
};
use funnel_match::Row;

use accumulator::FunnelAccumulator;
use answer::Answer;
use call::{Arguments, Call};
pub(crate) use check::CheckCalls;
pub(crate) use gathered::{Gathered, number, number32};
use groups::FunnelGroups;
pub use retention::retention;
pub(crate) use rows::Batch;
pub(crate) use sequence::Sequence;
pub use sequence::{sequence_count, sequence_match};
pub(crate) use stream::{StreamCall, StreamRows};

/// `window_funnel(window, [mode,] time, step1, …) → INT`: the number of the last step reached.
pub fn window_funnel() -> AggregateUDF {
    AggregateUDF::from(Funnel::new(Answer::Level))
}

/// `funnel_match(window, [mode,] time, step1, …) → STRUCT<level INT, times LIST>`: in mode
/// `ordered`, `times` has one entry for each step reached; in mode `loose`, one for each step.
pub fn funnel_match() -> AggregateUDF {
    AggregateUDF::from(Funnel::new(Answer::Match))
}

/// `funnel_steps(window, [mode,] time, step1, …) → LIST<BOOLEAN>`: one entry for each step.
pub fn funnel_steps() -> AggregateUDF {
    AggregateUDF::from(Funnel::new(Answer::Steps))
}

/// Brings each history into the order of time; rows of the same time stay in theirs.
fn sort(rows: &mut [Row], offsets: &[usize]) {
    for range in offsets.windows(2) {
        if let Some(history) = rows.get_mut(range[0]..range[1])
            && !history.is_sorted_by_key(|row| row.time)
        {
            history.sort_by_key(|row| row.time);
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Funnel {
    answer: Answer,
    signature: Signature,
    documentation: Documentation,
}

impl Funnel {
    fn new(answer: Answer) -> Self {
        Self {
            answer,
            signature: Signature::user_defined(Volatility::Immutable),
            documentation: answer.documentation(),
        }
    }

    /// The call with its constant arguments, as the physical plan knows it.
    fn call(&self, args: &AccumulatorArgs<'_>) -> Result<Call> {
        check::refuse_distinct(self.name(), args.is_distinct)?;
        let types: Vec<DataType> = args
            .expr_fields
            .iter()
            .map(|field| field.data_type().clone())
            .collect();
        Call::from_physical(self.name(), args.exprs, &types)
    }
}

impl AggregateUDFImpl for Funnel {
    fn name(&self) -> &str {
        self.answer.function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Never fails: DataFusion would bury the message under its own. `return_type` is asked next.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = Arguments::of(self.name(), types).and_then(|arguments| arguments.coerced());
        Ok(coerced.unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let arguments = Arguments::of(self.name(), types)?;
        arguments.coerced()?;
        Ok(self.answer.data_type(&arguments.axis()?.time_type()))
    }

    fn is_nullable(&self) -> bool {
        // No rows is level 0. The others are never null either, but have no fixed default.
        self.answer != Answer::Level
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.answer {
            Answer::Level => Ok(ScalarValue::Int32(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(FunnelAccumulator::new(
            self.call(&args)?,
            self.answer,
        )))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(FunnelGroups::new(self.call(&args)?, self.answer)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        rows::state_fields(args.name)
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}
