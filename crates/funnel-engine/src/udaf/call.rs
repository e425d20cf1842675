//! The arguments of a call: what is accepted, what it is coerced to, and how a refusal reads.

use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Fields, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result, ScalarValue, plan_datafusion_err, plan_err};
use datafusion::physical_plan::PhysicalExpr;
use datafusion::physical_plan::expressions::Literal;
use funnel_match::{Count, Mode, Pattern, Spec};

use super::answer::Answer;
use super::axis::Axis;
use super::check::is_condition;
use super::matched::Extra;
use super::{details, options, state};

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// The types of a call's arguments, told apart: mode and options may be left out.
pub(super) struct Arguments<'a> {
    answer: Answer,
    window: &'a DataType,
    mode: Option<&'a DataType>,
    options: Option<&'a Fields>,
    /// With details of rows a struct; see [`details`].
    time: &'a DataType,
    /// Of the steps, then those of option `exclude`.
    conditions: &'a [DataType],
}

/// The constant arguments of a call, as far as they are known.
#[derive(Debug, Default)]
pub(super) struct Constants<'a> {
    pub(super) window: Option<&'a ScalarValue>,
    pub(super) mode: Option<&'a ScalarValue>,
    pub(super) options: Option<&'a ScalarValue>,
}

impl<'a> Arguments<'a> {
    pub(super) fn of(answer: Answer, types: &'a [DataType]) -> Result<Self> {
        let [window, rest @ ..] = types else {
            return plan_err!("{}", usage(answer));
        };
        let (mode, rest) = match rest {
            [mode, rest @ ..] if is_mode(mode) => (Some(mode), rest),
            _ => (None, rest),
        };
        let (options, rest) = match rest {
            [DataType::Struct(fields), rest @ ..] if fields.find(details::TIME).is_none() => {
                (Some(fields), rest)
            }
            _ => (None, rest),
        };
        let [time, conditions @ ..] = rest else {
            return plan_err!("{}", usage(answer));
        };
        if conditions.is_empty() {
            return plan_err!("{}", usage(answer));
        }
        Ok(Self {
            answer,
            window,
            mode,
            options,
            time,
            conditions,
        })
    }

    /// The types the arguments are cast to.
    pub(super) fn coerced(&self) -> Result<Vec<DataType>> {
        let mut types = vec![self.window_coerced()?];
        types.extend(self.mode.map(|_| DataType::Utf8));
        if let Some(fields) = self.options {
            options::check_types(self.answer, self.axis()?, fields)?;
            types.push(DataType::Struct(fields.clone()));
        }
        types.push(match self.time {
            DataType::Struct(_) => self.time.clone(),
            _ => self.time_coerced()?,
        });
        self.extra()?;
        self.spec_of(&Constants::default())?;
        for (index, step) in self.conditions.iter().enumerate() {
            is_condition(self.answer.function(), "step", index, step)?;
            types.push(DataType::Boolean);
        }
        Ok(types)
    }

    pub(super) fn has_mode(&self) -> bool {
        self.mode.is_some()
    }

    /// Which argument is the options.
    pub(super) fn options(&self) -> Option<usize> {
        self.options.map(|_| self.time() - 1)
    }

    /// Which argument is the time; the conditions follow it.
    pub(super) fn time(&self) -> usize {
        1 + usize::from(self.mode.is_some()) + usize::from(self.options.is_some())
    }

    pub(super) fn axis(&self) -> Result<Axis> {
        let time = self.time_coerced()?;
        Axis::of(&time).ok_or_else(|| self.wrong_time())
    }

    /// What is asked for beside level and times.
    pub(super) fn extra(&self) -> Result<Extra> {
        let has = |key| {
            self.options
                .is_some_and(|fields| fields.find(key).is_some())
        };
        Ok(Extra {
            details: match self.time {
                DataType::Struct(fields) => Some(details::Details::of(self.answer, fields)?),
                _ => None,
            },
            state: has(options::AS_OF) || has(options::EXCLUDE),
            counts: has(options::COUNT),
        })
    }

    /// The funnel, if all constants are known; else a funnel by which nothing is refused.
    pub(super) fn spec_of(&self, constants: &Constants<'_>) -> Result<Spec> {
        let function = self.answer.function();
        let wrong = |error: &dyn std::fmt::Display| plan_datafusion_err!("{function}: {error}");
        let axis = self.axis()?;
        let window = constants
            .window
            .map(|window| window_of(function, "window", window));
        let window = window.transpose()?.flatten();
        let window = window.map(|window| window.ticks(axis));
        let mode = constants.mode.map(|mode| mode_of(function, mode));
        let mode = mode.transpose()?;
        let all_known = constants.window.is_some()
            && mode.is_some() == self.mode.is_some()
            && constants.options.is_some() == self.options.is_some();
        let given = constants
            .options
            .map(|options| options::options_of(self.answer, axis, options))
            .transpose()?;
        let excluded = given.as_ref().map_or(0, |given| given.exclusions.len());
        if excluded > 0 && excluded >= self.conditions.len() {
            return plan_err!(
                "{function}: `options`: `{}` has {excluded} entries, and the call has {} conditions; \
                 the last {excluded} of them are those of the excluded rows, and a step must come first",
                options::EXCLUDE,
                self.conditions.len()
            );
        }
        let steps = self.conditions.len() - excluded;
        // A mode that has a window of its own is refused here only once the window is known.
        let spec = Spec::new(mode.unwrap_or_default(), steps, window);
        let spec = spec.map_err(|error| wrong(&error))?;
        if !all_known {
            return Ok(spec);
        }
        if self.answer == Answer::State {
            state::shape(&spec, axis)?;
        }
        if mode.is_some_and(Mode::depends_on_row_order) {
            self.extra()?.check_order(function, spec.mode())?;
        }
        match given {
            Some(given) => spec
                .with_options(given)
                .map_err(|error| wrong(&options::as_in_calls(error))),
            None => Ok(spec),
        }
    }

    fn time_coerced(&self) -> Result<DataType> {
        let time = match self.time {
            DataType::Struct(fields) => fields
                .find(details::TIME)
                .map_or(self.time, |(_, time)| time.data_type()),
            time => time,
        };
        match time_coerced(time).ok_or_else(|| self.wrong_time())? {
            // The first instant of this type is one that a state cannot hold.
            DataType::UInt64 if self.answer == Answer::State => Ok(DataType::Int64),
            time => Ok(time),
        }
    }

    fn wrong_time(&self) -> DataFusionError {
        wrong_time(self.answer.function(), self.time)
    }

    fn window_coerced(&self) -> Result<DataType> {
        let function = self.answer.function();
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
            DataType::UInt64 if integer_time => Ok(DataType::UInt64),
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
    /// Which argument is the time; the conditions follow it.
    pub(super) time: usize,
    /// What is asked for beside level and times.
    pub(super) extra: Extra,
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

    /// Is a group counted each time it goes through?
    pub(super) fn counts_attempts(&self) -> bool {
        self.spec.options().count != Count::Unique
    }

    /// Is the answer one of the order in which rows of the same time came?
    pub(super) fn by_order_of_rows(&self) -> bool {
        self.spec.mode().depends_on_row_order()
    }

    /// From the expressions of a physical plan and their types.
    pub(super) fn from_physical(
        answer: Answer,
        exprs: &[Arc<dyn PhysicalExpr>],
        types: &[DataType],
    ) -> Result<Self> {
        let arguments = Arguments::of(answer, types)?;
        let known = |position: usize, argument| {
            constant(exprs.get(position))
                .ok_or_else(|| not_constant(answer.function(), argument))
                .map(Some)
        };
        let constants = Constants {
            window: known(0, "window")?,
            mode: match arguments.has_mode() {
                true => known(1, "mode")?,
                false => None,
            },
            options: match arguments.options() {
                Some(position) => known(position, "options")?,
                None => None,
            },
        };
        Ok(Self {
            spec: arguments.spec_of(&constants)?,
            axis: arguments.axis()?,
            time: arguments.time(),
            extra: arguments.extra()?,
            pattern: None,
        })
    }
}

pub(super) enum Window {
    Number(u64),
    Nanos(u128),
}

impl Window {
    pub(super) fn ticks(self, axis: Axis) -> u64 {
        match self {
            Self::Number(ticks) => ticks,
            Self::Nanos(nanos) => axis.ticks_in(nanos),
        }
    }
}

/// The window, or another `argument` that is a length of time; `None` is unbounded.
pub(super) fn window_of(
    function: &str,
    argument: &str,
    value: &ScalarValue,
) -> Result<Option<Window>> {
    let negative = || {
        // An interval as SQL writes it.
        let found = value.cast_to(&DataType::Utf8);
        let found = found.unwrap_or_else(|_| value.clone());
        plan_datafusion_err!("{function}: `{argument}` must not be negative, found {found}")
    };
    match value {
        value if value.is_null() => Ok(None),
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            if interval.months != 0 {
                return plan_err!(
                    "{function}: `{argument}` must not contain months or years, whose length varies; \
                     write days, for example INTERVAL '30 days'"
                );
            }
            let days = i128::from(interval.days) * NANOS_PER_DAY;
            let nanos = days + i128::from(interval.nanoseconds);
            u128::try_from(nanos)
                .map(|nanos| Some(Window::Nanos(nanos)))
                .map_err(|_| negative())
        }
        ScalarValue::UInt64(Some(number)) => Ok(Some(Window::Number(*number))),
        ScalarValue::Int64(Some(number)) => u64::try_from(*number)
            .map(|number| Some(Window::Number(number)))
            .map_err(|_| negative()),
        other => {
            plan_err!(
                "{function}: `{argument}` must be an INTERVAL or a whole number, found {other}"
            )
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

fn usage(answer: Answer) -> String {
    let function = answer.function();
    format!(
        "{function} needs a window, a time and a step: {function}(window, mode, time, step1, …)"
    )
}
