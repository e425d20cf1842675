//! `funnel_level(state[, window])`: the level of the rows of a state.

use std::sync::Arc;

use datafusion::arrow::array::{AsArray, Int32Array};
use datafusion::arrow::datatypes::{DataType, IntervalUnit};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err, plan_err};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature,
    Volatility,
};
use funnel_match::SegmentState;

use super::answer::{SECTION, number};
use super::call::{Window, not_constant, window_of};
use super::merge::state_coerced;
use super::state;

const NAME: &str = "funnel_level";

/// `funnel_level(state[, window]) → INT`: the number of the last step that the rows of the state
/// reached; NULL is the state of no rows. `window` is that of the state, named again.
pub fn funnel_level() -> ScalarUDF {
    ScalarUDF::from(FunnelLevel {
        signature: Signature::user_defined(Volatility::Immutable),
        documentation: Documentation::builder(
            SECTION,
            "The number of the last step that the rows of a state reached, 0 if none.",
            format!("{NAME}(state[, window])"),
        )
        .with_argument(
            "state",
            "BINARY, as funnel_state and funnel_merge give it. NULL is the state of no rows.",
        )
        .with_argument(
            "window",
            "The window that the state was made with, so that nobody takes it for another's.",
        )
        .build(),
    })
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct FunnelLevel {
    signature: Signature,
    documentation: Documentation,
}

fn coerced(types: &[DataType]) -> Result<Vec<DataType>> {
    let (state, window) = match types {
        [state] => (state, None),
        [state, window] => (state, Some(window)),
        _ => return plan_err!("{NAME} takes a state and a window: {NAME}(state[, window])"),
    };
    let mut coerced = vec![state_coerced(NAME, state)?];
    coerced.extend(match window {
        None => None,
        Some(DataType::Interval(_) | DataType::Duration(_) | DataType::Null) => {
            Some(DataType::Interval(IntervalUnit::MonthDayNano))
        }
        Some(window) if window.is_integer() => Some(DataType::Int64),
        Some(window) => {
            return plan_err!(
                "{NAME}: `window` must be an INTERVAL, a whole number where the state's times are \
                 integers, or NULL for none, found {window}"
            );
        }
    });
    Ok(coerced)
}

/// Refuses a window that is none.
pub(super) fn check_window(window: &ScalarValue) -> Result<()> {
    window_of(NAME, "window", window).map(|_| ())
}

impl ScalarUDFImpl for FunnelLevel {
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
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let window = match args.args.get(1) {
            None => None,
            Some(ColumnarValue::Scalar(window)) => Some(window),
            Some(ColumnarValue::Array(_)) => return Err(not_constant(NAME, "window")),
        };
        let Some(states) = args.args.first() else {
            return internal_err!("{NAME} was given no state");
        };
        let states = states.to_array(args.number_rows)?;
        let levels = states.as_binary::<i64>().iter().map(|state| match state {
            Some(bytes) => level(&state::read(NAME, bytes)?, window),
            None => Ok(0),
        });
        let levels = levels.collect::<Result<Int32Array>>()?;
        Ok(ColumnarValue::Array(Arc::new(levels)))
    }

    fn documentation(&self) -> Option<&Documentation> {
        Some(&self.documentation)
    }
}

fn level(state: &SegmentState, window: Option<&ScalarValue>) -> Result<i32> {
    let Some(window) = window else {
        return number(state.level());
    };
    let axis = state::axis(NAME, state.shape())?;
    let asked = match window_of(NAME, "window", window)? {
        Some(Window::Number(_)) if !axis.is_integer() => {
            return exec_err!(
                "{NAME}: `window` is a bare number but the state's times are {}; give it a unit, \
                 for example INTERVAL '3600 seconds'",
                axis.column_type()
            );
        }
        Some(Window::Nanos(_)) if axis.is_integer() => {
            return exec_err!(
                "{NAME}: `window` is an INTERVAL but the state's times are integers, whose unit is \
                 not known; write the window as a number in their unit"
            );
        }
        asked => asked.map(|asked| asked.ticks(axis)),
    };
    let level = state.level_within(asked);
    number(level.map_err(|error| state::wrong(NAME, error))?)
}
