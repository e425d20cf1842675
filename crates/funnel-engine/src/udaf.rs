//! The funnel as SQL aggregate functions: one implementation, several answers.

mod accumulator;
mod answer;
mod axis;
mod call;
mod check;
mod coded;
mod details;
mod gathered;
mod groups;
mod histories;
#[cfg(test)]
mod laws;
mod level;
mod masks;
mod matched;
mod merge;
mod options;
mod piles;
mod retention;
mod rows;
mod sequence;
mod state;
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
use details::{DetailedRows, Details};
pub(crate) use gathered::{Gathered, number, number32};
use groups::FunnelGroups;
pub(crate) use histories::{Histories, Piece};
pub use level::funnel_level;
pub use merge::funnel_merge;
use piles::{OnePile, Piles};
pub use retention::retention;
pub(crate) use rows::Batch;
pub(crate) use sequence::Sequence;
pub use sequence::{sequence_count, sequence_match};
pub(crate) use stream::{StepsOf, StreamCall, StreamRows, Ticked};

/// `window_funnel(window, [mode,] [options,] time, step1, …) → INT`: the number of the last step reached.
pub fn window_funnel() -> AggregateUDF {
    AggregateUDF::from(Funnel::new(Answer::Level))
}

/// `funnel_match(window, [mode,] [options,] time, step1, …) → STRUCT<level INT, times LIST, …>`: in
/// mode `ordered`, `times` has one entry for each step reached; in mode `loose`, one for each step.
pub fn funnel_match() -> AggregateUDF {
    AggregateUDF::from(Funnel::new(Answer::Match))
}

/// `funnel_steps(window, [mode,] [options,] time, step1, …) → LIST<BOOLEAN>`: one entry for each step.
pub fn funnel_steps() -> AggregateUDF {
    AggregateUDF::from(Funnel::new(Answer::Steps))
}

/// `funnel_state(window, [mode,] time, step1, …) → BINARY`: what must be kept of the rows so that
/// funnels over longer stretches of time need not read them again.
pub fn funnel_state() -> AggregateUDF {
    AggregateUDF::from(Funnel::new(Answer::State))
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

fn types_of(arguments: &[FieldRef]) -> Vec<DataType> {
    let types = arguments.iter().map(|field| field.data_type().clone());
    types.collect()
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

    /// What a call with these arguments says of its rows.
    fn details(&self, arguments: &[FieldRef]) -> Result<Option<Details>> {
        let types = types_of(arguments);
        Ok(Arguments::of(self.answer, &types)?.extra()?.details)
    }

    /// The call with its constant arguments, as the physical plan knows it.
    fn call(&self, args: &AccumulatorArgs<'_>) -> Result<Call> {
        check::refuse_distinct(self.name(), args.is_distinct)?;
        let types = types_of(args.expr_fields);
        Call::from_physical(self.answer, args.exprs, &types)
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
        let coerced = Arguments::of(self.answer, types).and_then(|arguments| arguments.coerced());
        Ok(coerced.unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let arguments = Arguments::of(self.answer, types)?;
        arguments.coerced()?;
        let time = arguments.axis()?.time_type();
        Ok(self.answer.data_type(&time, &arguments.extra()?))
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
        let call = self.call(&args)?;
        Ok(match call.extra.details.clone() {
            Some(details) => Box::new(OnePile::new(DetailedRows::new(call, self.answer, details))),
            None => Box::new(FunnelAccumulator::new(call, self.answer)),
        })
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        let call = self.call(&args)?;
        Ok(match call.extra.details.clone() {
            Some(details) => Box::new(Piles::new(DetailedRows::new(call, self.answer, details))),
            None => Box::new(FunnelGroups::new(call, self.answer)),
        })
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        match self.details(args.input_fields)? {
            Some(details) => Ok(piles::state_fields(args.name, details.row_type())),
            None => rows::state_fields(args.name),
        }
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
