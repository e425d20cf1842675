//! `funnel_merge(state)`: the state of stretches of time that follow each other, from theirs, in
//! whatever order they come.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BinaryBuilder, BooleanArray, UInt64Array,
};
use datafusion::arrow::compute::take;
use datafusion::arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, exec_datafusion_err, internal_err, plan_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, Documentation, GroupsAccumulator, Signature,
    Volatility,
};
use funnel_match::{SegmentState, StateError};

use super::answer::SECTION;
use super::piles::{OnePile, Pile, Piles, state_fields};
use super::{check, state};

const NAME: &str = "funnel_merge";

/// `funnel_merge(state) → BINARY`: the state of all rows of the states of a group. NULL is the state of
/// no rows.
pub fn funnel_merge() -> AggregateUDF {
    AggregateUDF::from(Merge {
        signature: Signature::user_defined(Volatility::Immutable),
        documentation: Documentation::builder(
            SECTION,
            "The state of all rows of the states of the group, which may come in any order but \
             must be of the same funnel and not overlap in time. NULL is the state of no rows.",
            format!("{NAME}(state)"),
        )
        .with_argument("state", "BINARY, as funnel_state and funnel_merge give it.")
        .build(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Merge {
    signature: Signature,
    documentation: Documentation,
}

fn coerced(types: &[DataType]) -> Result<Vec<DataType>> {
    match types {
        [state] => state_coerced(NAME, state).map(|state| vec![state]),
        _ => plan_err!("{NAME} takes a state: {NAME}(state)"),
    }
}

/// The type that states are read as.
pub(super) fn state_coerced(function: &str, state: &DataType) -> Result<DataType> {
    if !state.is_binary() && !state.is_null() {
        return plan_err!(
            "{function}: `state` must be BINARY, as funnel_state gives it, found {state}"
        );
    }
    Ok(DataType::LargeBinary)
}

impl AggregateUDFImpl for Merge {
    fn name(&self) -> &str {
        NAME
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    /// Never fails: DataFusion would bury the message under its own. `return_type` is asked next.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerced(types).unwrap_or_else(|_| types.to_vec()))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        coerced(types)?;
        Ok(DataType::Binary)
    }

    fn accumulator(&self, args: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        check::refuse_distinct(NAME, args.is_distinct)?;
        Ok(Box::new(OnePile::new(States)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs<'_>) -> bool {
        true
    }

    fn create_groups_accumulator(
        &self,
        args: AccumulatorArgs<'_>,
    ) -> Result<Box<dyn GroupsAccumulator>> {
        check::refuse_distinct(NAME, args.is_distinct)?;
        Ok(Box::new(Piles::new(States)))
    }

    fn state_fields(&self, args: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(state_fields(args.name, States.value_type()))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

/// Only once all states of a key are there is it known which follows which.
#[derive(Debug)]
struct States;

impl Pile for States {
    fn value_type(&self) -> DataType {
        DataType::LargeBinary
    }

    fn read(
        &self,
        arguments: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<(ArrayRef, Vec<usize>)> {
        let [states] = arguments else {
            return internal_err!("{NAME} was given {} arguments", arguments.len());
        };
        let is_let_through =
            |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let rows = 0..states.len();
        let rows: Vec<usize> = rows
            .filter(|row| states.is_valid(*row) && is_let_through(*row))
            .collect();
        let kept = UInt64Array::from_iter_values(rows.iter().map(|row| *row as u64));
        Ok((take(states, &kept, None)?, rows))
    }

    fn evaluate(&mut self, values: &ArrayRef, offsets: &[usize]) -> Result<ArrayRef> {
        let values = values.as_binary::<i64>();
        let mut merged = BinaryBuilder::new();
        for range in offsets.windows(2) {
            let states = (range[0]..range[1]).map(|index| state::read(NAME, values.value(index)));
            match merge(states.collect::<Result<Vec<_>>>()?)? {
                Some(state) => merged.append_value(state.to_bytes()),
                None => merged.append_null(),
            }
        }
        Ok(Arc::new(merged.finish()))
    }
}

fn merge(states: Vec<SegmentState>) -> Result<Option<SegmentState>> {
    let Some(shape) = states.first().map(SegmentState::shape) else {
        return Ok(None);
    };
    let merged = SegmentState::merge_all(shape, states).map_err(|error| match error {
        StateError::Overlap { end, begin } => match state::axis(NAME, shape) {
            Ok(axis) => exec_datafusion_err!(
                "{NAME}: states of one key must not overlap in time: one ends at {}, the next \
                 begins at {}; cut the rows on time, such as by day, and merge each stretch once",
                state::shown(axis, end),
                state::shown(axis, begin)
            ),
            Err(error) => error,
        },
        error => state::wrong(NAME, error),
    })?;
    Ok(Some(merged))
}
