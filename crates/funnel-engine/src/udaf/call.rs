//! The arguments of a call: what is accepted, what it is coerced to, and how a refusal reads.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::expressions::Literal;
use funnel_match::{Mode, Pattern, Spec};

use super::axis::Axis;
use super::check::is_condition;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The types of a call's arguments, told apart: the mode may be left out.
pub(super) struct Arguments<'a> {
    function: &'a str,
    window: &'a DataType,
    mode: Option<&'a DataType>,
    time: &'a DataType,
    steps: &'a [DataType],
}

impl<'a> Arguments<'a> {
    pub(super) fn of(function: &'a str, types: &'a [DataType]) -> Result<Self> {
        let (window, mode, rest) = match types {
            [window, mode, rest @ ..] if is_mode(mode) => (window, Some(mode), rest),
            [window, rest @ ..] => (window, None, rest),
            [] => return plan_err!("{}", usage(function)),
        };
        let [time, steps @ ..] = rest else {
            return plan_err!("{}", usage(function));
        };
        if steps.is_empty() {
            return plan_err!("{}", usage(function));
        }
        Ok(Self {
            function,
            window,
            mode,
            time,
            steps,
        })
    }

    /// The types the arguments are cast to.
    pub(super) fn coerced(&self) -> Result<Vec<DataType>> {
        let mut types = vec![self.window_coerced()?];
        types.extend(self.mode.map(|_| DataType::Utf8));
        types.push(self.time_coerced()?);
        self.spec(Mode::default(), None)?;
        for (index, step) in self.steps.iter().enumerate() {
            is_condition(self.function, "step", index, step)?;
            types.push(DataType::Boolean);
        }
        Ok(types)
    }

    pub(super) fn has_mode(&self) -> bool {
        self.mode.is_some()
    }

    pub(super) fn axis(&self) -> Result<Axis> {
        let time = self.time_coerced()?;
        Axis::of(&time).ok_or_else(|| self.wrong_time())
    }

    pub(super) fn spec(&self, mode: Mode, window: Option<u64>) -> Result<Spec> {
        Spec::new(mode, self.steps.len(), window)
            .map_err(|error| plan_datafusion_err!("{}: {error}", self.function))
    }

    fn time_coerced(&self) -> Result<DataType> {
        time_coerced(self.time).ok_or_else(|| self.wrong_time())
    }

    fn wrong_time(&self) -> DataFusionError {
        wrong_time(self.function, self.time)
    }

    fn window_coerced(&self) -> Result<DataType> {
        let function = self.function;
        let integer_time = self.axis()?.is_integer();
        match self.window {
            DataType::Interval(_) | DataType::Duration(_) if integer_time => plan_err!(
                "{function}: `window` is an INTERVAL but `time` is {}, whose unit is not known; \
                 write the window as a number in the unit of `time`, or make `time` a TIMESTAMP",
                self.time
            ),
            DataType::Interval(_) | DataType::Duration(_) => {
                Ok(DataType::Interval(IntervalUnit::MonthDayNano))
            }
            window if window.is_integer() && integer_time => Ok(DataType::Int64),
            window if window.is_numeric() && !integer_time => plan_err!(
                "{function}: `window` is a bare number but `time` is {}; give it a unit, for \
                 example INTERVAL '3600 seconds'",
                self.time
            ),
            DataType::Null if integer_time => Ok(DataType::Int64),
            DataType::Null => Ok(DataType::Interval(IntervalUnit::MonthDayNano)),
            window => plan_err!(
                "{function}: `window` must be {}, found {window}",
                if integer_time {
                    "a whole number in the unit of `time`, or NULL for none"
                } else {
                    "an INTERVAL such as INTERVAL '3600 seconds', or NULL for none"
                }
            ),
        }
    }
}

/// The type that a time column is read as; none if it is no time.
pub(super) fn time_coerced(time: &DataType) -> Option<DataType> {
    match time {
        DataType::Timestamp(_, _)
        | DataType::Date32
        | DataType::Date64
        | DataType::Int64
        | DataType::UInt64 => Some(time.clone()),
        time if time.is_integer() => Some(DataType::Int64),
        DataType::Null => Some(DataType::Timestamp(TimeUnit::Microsecond, None)),
        _ => None,
    }
}

pub(super) fn wrong_time(function: &str, time: &DataType) -> DataFusionError {
    plan_datafusion_err!(
        "{function}: `time` must be a TIMESTAMP, a DATE or an integer, found {time}; cast it, for \
         example with to_timestamp(…)"
    )
}

/// A call ready to run.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) spec: Spec,
    pub(super) axis: Axis,
    /// Which argument is the time; the steps follow it.
    pub(super) time: usize,
    /// What is looked for, in a call that looks for a pattern.
    pub(super) pattern: Option<Pattern>,
}

impl Call {
    /// Do rows that satisfy no step matter?
    pub(super) fn all_rows(&self) -> bool {
        self.spec.mode().needs_all_rows()
    }

    /// ClickHouse skips a row in which any argument is NULL.
    pub(super) fn null_hides_row(&self) -> bool {
        matches!(self.spec.mode(), Mode::ClickHouse(_))
    }

    /// Is the answer one of the order in which rows of the same time came?
    pub(super) fn by_order_of_rows(&self) -> bool {
        self.spec.mode().depends_on_row_order()
    }

    /// From the expressions of a physical plan and their types.
    pub(super) fn from_physical(
        function: &str,
        exprs: &[Arc<dyn PhysicalExpr>],
        types: &[DataType],
    ) -> Result<Self> {
        let arguments = Arguments::of(function, types)?;
        let axis = arguments.axis()?;
        let window = constant(exprs.first())
            .ok_or_else(|| not_constant(function, "window"))
            .and_then(|window| window_of(function, window))?;
        let window = window.map(|window| match window {
            Window::Number(ticks) => ticks,
            Window::Nanos(nanos) => axis.ticks_in(nanos),
        });
        let mode = match arguments.mode {
            None => Mode::default(),
            Some(_) => constant(exprs.get(1))
                .ok_or_else(|| not_constant(function, "mode"))
                .and_then(|mode| mode_of(function, mode))?,
        };
        let time = 1 + usize::from(arguments.has_mode());
        Ok(Self {
            spec: arguments.spec(mode, window)?,
            axis,
            time,
            pattern: None,
        })
    }
}

pub(super) enum Window {
    Number(u64),
    Nanos(u128),
}

/// The window; `None` is unbounded.
pub(super) fn window_of(function: &str, value: &ScalarValue) -> Result<Option<Window>> {
    let negative =
        || plan_datafusion_err!("{function}: `window` must not be negative, found {value}");
    match value {
        value if value.is_null() => Ok(None),
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            if interval.months != 0 {
                return plan_err!(
                    "{function}: `window` must not contain months or years, whose length varies; \
                     write days, for example INTERVAL '30 days'"
                );
            }
            let days = i128::from(interval.days) * NANOS_PER_DAY;
            let nanos = days + i128::from(interval.nanoseconds);
            u128::try_from(nanos)
                .map(|nanos| Some(Window::Nanos(nanos)))
                .map_err(|_| negative())
        }
        ScalarValue::Int64(Some(number)) => u64::try_from(*number)
            .map(|number| Some(Window::Number(number)))
            .map_err(|_| negative()),
        other => {
            plan_err!("{function}: `window` must be an INTERVAL or a whole number, found {other}")
        }
    }
}

pub(super) fn mode_of(function: &str, value: &ScalarValue) -> Result<Mode> {
    let Some(Some(text)) = value.try_as_str() else {
        return plan_err!("{function}: `mode` must be text such as 'ordered', found {value}");
    };
    text.parse()
        .map_err(|error| plan_datafusion_err!("{function}: `mode`: {error}"))
}

fn is_mode(data_type: &DataType) -> bool {
    data_type.is_string() || data_type.is_null()
}

pub(super) fn constant(expr: Option<&Arc<dyn PhysicalExpr>>) -> Option<&ScalarValue> {
    expr.and_then(|expr| expr.downcast_ref::<Literal>())
        .map(Literal::value)
}

pub(super) fn not_constant(function: &str, argument: &str) -> DataFusionError {
    plan_datafusion_err!("{function}: `{argument}` must be a constant, the same for all rows")
}

fn usage(function: &str) -> String {
    format!(
        "{function} needs a window, a time and a step: {function}(window, mode, time, step1, …)"
    )
}
