//! The state of a stretch of time as bytes: what `funnel_state` makes, `funnel_merge` joins and
//! `funnel_level` reads.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, BinaryBuilder};
use datafusion::common::{
    DataFusionError, Result, ScalarValue, exec_datafusion_err, plan_datafusion_err,
};
use funnel_match::{Row, SegmentState, Spec, StateBuilder, StateError, StateShape};

use super::answer::Answer;
use super::axis::Axis;

/// The shape of the states of a call.
pub(super) fn shape(spec: &Spec, axis: Axis) -> Result<StateShape> {
    StateShape::new(spec.mode(), spec.steps(), spec.window())
        .map(|shape| shape.with_unit(axis.unit()))
        .map_err(|error| plan_datafusion_err!("{}: `mode`: {error}", Answer::State.function()))
}

/// One state for each history, whose rows are ordered by time.
pub(super) fn states<'a>(
    spec: &Spec,
    axis: Axis,
    histories: impl Iterator<Item = &'a [Row]>,
) -> Result<ArrayRef> {
    let mut builder = StateBuilder::new(shape(spec, axis)?);
    let mut states = BinaryBuilder::new();
    for history in histories {
        let state = builder
            .state(history)
            .map_err(|error| wrong(Answer::State.function(), error))?;
        states.append_value(state.to_bytes());
    }
    Ok(Arc::new(states.finish()))
}

/// The state that `bytes` are.
pub(super) fn read(function: &str, bytes: &[u8]) -> Result<SegmentState> {
    SegmentState::from_bytes(bytes).map_err(|error| wrong(function, error))
}

/// The axis of the times of a state.
pub(super) fn axis(function: &str, shape: StateShape) -> Result<Axis> {
    Axis::of_unit(shape.unit()).ok_or_else(|| {
        exec_datafusion_err!("{function}: the funnel state has a unit of time that is not known")
    })
}

/// What cannot be done with a state, in the words of SQL.
pub(super) fn wrong(function: &str, error: StateError) -> DataFusionError {
    match error {
        StateError::Shapes { one, other } if one.unit() != other.unit() => {
            let unit = |shape| match Axis::of_unit(StateShape::unit(&shape)) {
                Some(axis) => axis.column_type().to_string(),
                None => "not known".to_owned(),
            };
            exec_datafusion_err!(
                "{function}: funnel states of different types of time cannot be merged: {} and {}",
                unit(one),
                unit(other)
            )
        }
        error => exec_datafusion_err!("{function}: {error}"),
    }
}

/// A time of `axis` as SQL shows it.
pub(super) fn shown(axis: Axis, tick: i64) -> String {
    let time = axis
        .times(vec![tick], None)
        .and_then(|time| ScalarValue::try_from_array(&time, 0));
    time.map_or_else(|_| tick.to_string(), |time| time.to_string())
}
