//! From argument columns to rows of the funnel, and from rows to the state that partial aggregates
//! exchange: two lists of the same length, times and step masks.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, UInt64Array,
};
use datafusion::arrow::buffer::{BooleanBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{DataFusionError, Result, internal_err};
use funnel_match::Row;

use super::call::Call;

pub(super) fn time_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, false))
}

pub(super) fn mask_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::UInt64, false))
}

/// Hands each row of a batch that satisfies a step to `keep`, with its position. Rows without a
/// time, or that `filter` leaves out, are not handed over; a condition that is null is false.
pub(super) fn read(
    call: &Call,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
    mut keep: impl FnMut(usize, Row),
) -> Result<()> {
    let Some((time, steps)) = values.get(call.time..).and_then(<[ArrayRef]>::split_first) else {
        return internal_err!("funnel was given {} arguments", values.len());
    };
    let (ticks, nulls) = call.axis.ticks(time)?;
    let mut masks = vec![0_u64; time.len()];
    for (step, condition) in steps.iter().enumerate() {
        for row in is_true(condition.as_boolean()).set_indices() {
            masks[row] |= 1 << step;
        }
    }
    let filter = filter.map(is_true);
    for (row, (&time, &mask)) in ticks.iter().zip(&masks).enumerate() {
        let seen = mask != 0
            && nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
            && filter.as_ref().is_none_or(|filter| filter.value(row));
        if seen {
            keep(row, Row { time, mask });
        }
    }
    Ok(())
}

/// Where a condition is true, null being false.
fn is_true(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }
}

/// Histories as state: list `i` of both arrays is the history between offsets `i` and `i + 1`.
pub(super) fn to_state(rows: &[Row], offsets: &[usize]) -> Result<Vec<ArrayRef>> {
    let offsets = offsets
        .iter()
        .map(|offset| i32::try_from(*offset))
        .collect::<Result<Vec<i32>, _>>()
        .map_err(|_| too_many_rows())?;
    let offsets = OffsetBuffer::new(offsets.into());
    let times: Int64Array = rows.iter().map(|row| row.time).collect::<Vec<_>>().into();
    let masks: UInt64Array = rows.iter().map(|row| row.mask).collect::<Vec<_>>().into();
    Ok(vec![
        Arc::new(ListArray::try_new(
            time_item(),
            offsets.clone(),
            Arc::new(times),
            None,
        )?),
        Arc::new(ListArray::try_new(
            mask_item(),
            offsets,
            Arc::new(masks),
            None,
        )?),
    ])
}

/// Hands each row of state to `keep`, with the position of its history.
pub(super) fn read_state(state: &[ArrayRef], mut keep: impl FnMut(usize, Row)) -> Result<()> {
    let [times, masks] = state else {
        return internal_err!("funnel state has {} columns instead of 2", state.len());
    };
    let (times, masks) = (times.as_list::<i32>(), masks.as_list::<i32>());
    for history in (0..times.len()).filter(|history| times.is_valid(*history)) {
        let (times, masks) = (times.value(history), masks.value(history));
        if times.len() != masks.len() {
            return internal_err!(
                "funnel state has {} times, {} masks",
                times.len(),
                masks.len()
            );
        }
        let times = times.as_primitive::<Int64Type>().values();
        let masks = masks.as_primitive::<UInt64Type>().values();
        for (&time, &mask) in times.iter().zip(masks) {
            keep(history, Row { time, mask });
        }
    }
    Ok(())
}

fn too_many_rows() -> DataFusionError {
    DataFusionError::ResourcesExhausted(
        "funnel state of one partition holds more than 2^31 rows; use more partitions".to_owned(),
    )
}
