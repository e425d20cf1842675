//! The options of a call: `named_struct('entry', 'first', 'max_gap', make_array(INTERVAL '10 minutes'), …)`.
//! Keys that are left out, or NULL, have their defaults. Those of excluded rows and of steps that may be
//! missing are read in `options/parts.rs`.

use datafusion::arrow::array::{Array, ArrayRef};
use datafusion::arrow::datatypes::{DataType, Field, Fields, IntervalUnit};
use datafusion::common::{Result, ScalarValue, internal_err, plan_err};
use funnel_match::{Bound, Count, Entry, Options, Reuse, SpecError};

mod parts;

use super::answer::Answer;
use super::axis::Axis;
use super::call::window_of;
use super::details;

pub(super) const AS_OF: &str = "as_of";
pub(super) const COUNT: &str = "count";
pub(super) const EXCLUDE: &str = "exclude";
const OPTIONAL: &str = "optional";
/// As definitions name it, and its older name.
const WINDOW_BOUND: [&str; 2] = ["window_bound", "bound"];
const KEYS: [&str; 9] = [
    "entry",
    COUNT,
    "max_gap",
    "reuse",
    WINDOW_BOUND[0],
    WINDOW_BOUND[1],
    AS_OF,
    EXCLUDE,
    OPTIONAL,
];

const ENTRIES: &[(&str, Entry)] = &[
    ("latest", Entry::Latest),
    ("first", Entry::First),
    ("earliest_longest", Entry::EarliestLongest),
];
const COUNTS: &[(&str, Count)] = &[
    ("unique", Count::Unique),
    ("attempts", Count::Attempts),
    ("completions", Count::Completions),
];
const REUSES: &[(&str, Reuse)] = &[("row_once", Reuse::RowOnce), ("row_many", Reuse::RowMany)];
const BOUNDS: &[(&str, Bound)] = &[
    ("inclusive", Bound::Inclusive),
    ("exclusive", Bound::Exclusive),
];

/// Refuses keys that are not known or have no meaning in the function, and types that no value of
/// theirs has.
pub(super) fn check_types(answer: Answer, axis: Axis, fields: &Fields) -> Result<()> {
    let function = answer.function();
    if answer == Answer::State {
        return plan_err!(
            "{function}: `options`: a state has none; only window and mode say what it is of"
        );
    }
    for (index, field) in fields.iter().enumerate() {
        let key = field.name().as_str();
        if key == details::HOLD {
            return plan_err!(
                "{function}: `options`: `{key}` is a value of each row, so it stands with the time: \
                 named_struct('time', event_time, '{key}', …)"
            );
        }
        if !KEYS.contains(&key) {
            return plan_err!(
                "{function}: `options`: there is no option `{key}`; known options: {}",
                KEYS.map(|key| format!("`{key}`")).join(", ")
            );
        }
        let same =
            |other: &str| other == key || [other, key].iter().all(|key| WINDOW_BOUND.contains(key));
        if fields.iter().take(index).any(|other| same(other.name())) {
            return plan_err!("{function}: `options`: `{key}` is given twice");
        }
        if [COUNT, AS_OF].contains(&key) && answer != Answer::Match {
            return plan_err!(
                "{function}: `options`: `{key}` changes no level; ask funnel_match, whose answer \
                 then has {}",
                if key == COUNT {
                    "fields `attempts` and `completions`"
                } else {
                    "a field `state`"
                }
            );
        }
        check_type(function, axis, field)?;
    }
    Ok(())
}

fn check_type(function: &str, axis: Axis, field: &Field) -> Result<()> {
    let must = |must: &str| {
        plan_err!(
            "{function}: `options`: `{}` must be {must}, found {}",
            field.name(),
            field.data_type()
        )
    };
    match (field.name().as_str(), field.data_type()) {
        (_, DataType::Null) => Ok(()),
        (EXCLUDE, list) => match parts::is_list_of_exclusions(list) {
            true => Ok(()),
            false => must(parts::EXCLUDE_MUST),
        },
        (OPTIONAL, list) => match parts::item(list).is_some_and(DataType::is_integer) {
            true => Ok(()),
            false => must(parts::OPTIONAL_MUST),
        },
        ("max_gap", list) => match parts::item(list) {
            Some(DataType::Null) => Ok(()),
            Some(length) if length.is_integer() && axis.is_integer() => Ok(()),
            Some(DataType::Interval(_) | DataType::Duration(_)) if !axis.is_integer() => Ok(()),
            _ if axis.is_integer() => {
                must("a list of whole numbers in the unit of `time`, such as make_array(600, NULL)")
            }
            _ => must("a list of intervals, such as make_array(INTERVAL '10 minutes', NULL)"),
        },
        (AS_OF, DataType::Timestamp(_, _) | DataType::Date32 | DataType::Date64)
            if !axis.is_integer() =>
        {
            Ok(())
        }
        (AS_OF, number) if number.is_integer() && axis.is_integer() => Ok(()),
        (AS_OF, _) if axis.is_integer() => must("a whole number in the unit of `time`"),
        (AS_OF, _) => must("a TIMESTAMP or a DATE"),
        (_, text) if text.is_string() => Ok(()),
        ("entry", _) => must(&choices(ENTRIES)),
        (COUNT, _) => must(&choices(COUNTS)),
        ("reuse", _) => must(&choices(REUSES)),
        _ => must(&choices(BOUNDS)),
    }
}

/// The options that `value` states, whose types have been checked; lengths and times in ticks of
/// `axis`.
pub(super) fn options_of(answer: Answer, axis: Axis, value: &ScalarValue) -> Result<Options> {
    let function = answer.function();
    let ScalarValue::Struct(given) = value else {
        return plan_err!("{function}: `options` must be a named_struct(…), found {value}");
    };
    let mut options = Options::default();
    for (field, column) in given.fields().iter().zip(given.columns()) {
        let value = ScalarValue::try_from_array(column, 0)?;
        if given.is_null(0) || value.is_null() {
            continue;
        }
        let key = field.name().as_str();
        match key {
            "entry" => options.entry = choice(function, key, &value, ENTRIES)?,
            COUNT => options.count = choice(function, key, &value, COUNTS)?,
            "reuse" => options.reuse = choice(function, key, &value, REUSES)?,
            bound if WINDOW_BOUND.contains(&bound) => {
                options.bound = choice(function, key, &value, BOUNDS)?
            }
            "max_gap" => options.max_gap = max_gap(function, axis, column)?,
            AS_OF => options.as_of = Some(as_of(axis, &value)?),
            EXCLUDE => options.exclusions = parts::exclusions(function, column)?,
            OPTIONAL => options.optional = parts::optional(function, column)?,
            _ => return internal_err!("option `{key}` was not refused"),
        }
    }
    Ok(options)
}

/// The error with the option's name in calls.
pub(super) fn as_in_calls(error: SpecError) -> SpecError {
    match error {
        SpecError::Option {
            mode,
            option: "exclusions",
            why,
        } => SpecError::Option {
            mode,
            option: EXCLUDE,
            why,
        },
        other => other,
    }
}

fn choices<T>(known: &[(&str, T)]) -> String {
    let names: Vec<String> = known.iter().map(|(name, _)| format!("'{name}'")).collect();
    format!("one of {}", names.join(", "))
}

fn choice<T: Copy>(
    function: &str,
    key: &str,
    value: &ScalarValue,
    known: &[(&str, T)],
) -> Result<T> {
    let text = value.try_as_str().flatten();
    match known.iter().find(|(name, _)| Some(*name) == text) {
        Some((_, choice)) => Ok(*choice),
        None => plan_err!(
            "{function}: `options`: `{key}` must be {}, found '{value}'",
            choices(known)
        ),
    }
}

fn max_gap(function: &str, axis: Axis, list: &ArrayRef) -> Result<Vec<Option<u64>>> {
    let lengths = parts::items(list);
    let written = match axis.is_integer() {
        true => DataType::Int64,
        false => DataType::Interval(IntervalUnit::MonthDayNano),
    };
    (0..lengths.len())
        .map(|index| {
            let length = ScalarValue::try_from_array(&lengths, index)?;
            let length = window_of(
                function,
                &format!("options.max_gap[{}]", index + 1),
                &length.cast_to(&written)?,
            )?;
            Ok(length.map(|length| length.ticks(axis)))
        })
        .collect()
}

fn as_of(axis: Axis, value: &ScalarValue) -> Result<i64> {
    let (value, written) = match Axis::of(&value.data_type()) {
        Some(written) if !axis.is_integer() => (value.clone(), written),
        _ => (value.cast_to(&axis.time_type())?, axis),
    };
    let (ticks, _) = written.ticks(&value.to_array()?)?;
    Ok(written.in_ticks_of(axis, ticks.first().copied().unwrap_or_default()))
}
