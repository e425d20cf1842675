//! Rows that must not come between two steps, and steps that may be missing:
//! `named_struct('exclude', make_array(named_struct('from', 1, 'to', 2, 'action', 'stop')), 'optional', make_array(2))`.
//! Steps count from 1, as everywhere in SQL.

use datafusion::arrow::array::{Array, ArrayRef, AsArray};
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::{Result, ScalarValue, plan_datafusion_err, plan_err};
use funnel_match::{Action, Exclusion};

use super::{EXCLUDE, OPTIONAL, choice};

pub(super) const EXCLUDE_MUST: &str = "a list with an entry for each of the last conditions, such as make_array(named_struct('from', 1, \
     'to', 2, 'action', 'drop'))";
pub(super) const OPTIONAL_MUST: &str =
    "a list of the numbers of steps that may be missing, such as make_array(2)";

const FROM: &str = "from";
const TO: &str = "to";
const ACTION: &str = "action";
const ACTIONS: &[(&str, Action)] = &[("drop", Action::Drop), ("stop", Action::Stop)];

/// What a list type is a list of.
pub(super) fn item(list: &DataType) -> Option<&DataType> {
    match list {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            Some(item.data_type())
        }
        _ => None,
    }
}

/// The entries of the first list of a column.
pub(super) fn items(list: &ArrayRef) -> ArrayRef {
    match list.data_type() {
        DataType::LargeList(_) => list.as_list::<i64>().value(0),
        DataType::FixedSizeList(_, _) => list.as_fixed_size_list().value(0),
        _ => list.as_list::<i32>().value(0),
    }
}

pub(super) fn is_list_of_exclusions(list: &DataType) -> bool {
    let Some(DataType::Struct(fields)) = item(list) else {
        return false;
    };
    let known = fields.iter().all(|field| match field.name().as_str() {
        FROM | TO => field.data_type().is_integer(),
        ACTION => field.data_type().is_string() || field.data_type().is_null(),
        _ => false,
    });
    let given = |key| fields.iter().filter(|field| field.name() == key).count();
    known && given(FROM) == 1 && given(TO) == 1 && given(ACTION) <= 1
}

pub(super) fn exclusions(function: &str, list: &ArrayRef) -> Result<Vec<Exclusion>> {
    let entries = items(list);
    let Some(entries) = entries.as_struct_opt() else {
        return plan_err!("{function}: `options`: `{EXCLUDE}` must be {EXCLUDE_MUST}");
    };
    (0..entries.len())
        .map(|index| {
            let key = |field: &str| format!("{EXCLUDE}[{}].{field}", index + 1);
            let value = |field: &str| -> Result<Option<ScalarValue>> {
                let column = entries.column_by_name(field);
                column
                    .map(|column| ScalarValue::try_from_array(column, index))
                    .transpose()
            };
            let step = |field: &str| -> Result<usize> {
                let number = value(field)?.unwrap_or(ScalarValue::Null);
                step(function, &key(field), &number)
            };
            Ok(Exclusion {
                from: step(FROM)?,
                to: step(TO)?,
                action: match value(ACTION)?.filter(|action| !action.is_null()) {
                    Some(action) => choice(function, &key(ACTION), &action, ACTIONS)?,
                    None => Action::default(),
                },
            })
        })
        .collect()
}

/// One bit for each step.
pub(super) fn optional(function: &str, list: &ArrayRef) -> Result<u64> {
    let numbers = items(list);
    let mut optional = 0;
    for index in 0..numbers.len() {
        let number = ScalarValue::try_from_array(&numbers, index)?;
        optional |= 1 << step(function, &format!("{OPTIONAL}[{}]", index + 1), &number)?;
    }
    Ok(optional)
}

/// The place of a step, counted from 0 and below 64, of its number.
fn step(function: &str, key: &str, number: &ScalarValue) -> Result<usize> {
    let wrong = || {
        plan_datafusion_err!(
            "{function}: `options`: `{key}` must be the number of a step, from 1 on, found {number}"
        )
    };
    let array = number.cast_to(&DataType::Int64)?.to_array()?;
    let value = array.as_primitive::<Int64Type>();
    match value.is_valid(0).then(|| value.value(0)) {
        Some(number @ 1..=64) => usize::try_from(number - 1).map_err(|_| wrong()),
        _ => Err(wrong()),
    }
}
