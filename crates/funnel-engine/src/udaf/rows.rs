//! From argument columns to rows of the funnel, and from rows to the state that partial aggregates
//! exchange: two lists of the same length, times and step masks.

use std::sync::Arc;

use datafusion::arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, ListArray, UInt64Array,
};
use datafusion::arrow::buffer::{BooleanBuffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Int64Type, UInt64Type};
use datafusion::common::{DataFusionError, Result, internal_err};
use datafusion::logical_expr::utils::format_state_name;
use funnel_match::Row;

use super::call::Call;

/// The two columns of a state, for the call of this name.
pub(super) fn state_fields(call: &str) -> Result<Vec<FieldRef>> {
    let field = |(name, item): (&str, FieldRef)| -> FieldRef {
        let name = format_state_name(call, name);
        Arc::new(Field::new(name, DataType::List(item), false))
    };
    Ok([("times", time_item()), ("masks", mask_item())]
        .map(field)
        .to_vec())
}

fn time_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::Int64, false))
}

fn mask_item() -> FieldRef {
    Arc::new(Field::new_list_field(DataType::UInt64, false))
}

/// Hands each row of a batch that the funnel looks at to `keep`, with its position.
pub(super) fn read(
    call: &Call,
    values: &[ArrayRef],
    filter: Option<&BooleanArray>,
    mut keep: impl FnMut(usize, Row),
) -> Result<()> {
    let batch = Batch::of(call, values.get(call.time..).unwrap_or_default(), filter)?;
    for index in 0..batch.masks.len() {
        if let Some(row) = batch.row(index) {
            keep(index, row);
        }
    }
    Ok(())
}

/// The times and step masks of a batch.
pub(super) struct Batch {
    ticks: ScalarBuffer<i64>,
    masks: Vec<u64>,
    /// Rows that the funnel may look at; none: all.
    seen: Option<BooleanBuffer>,
    /// Rows that satisfy no step matter too.
    all_rows: bool,
}

impl Batch {
    /// `values` are the time and the steps. Rows without a time, or that `filter` leaves out, are not looked at; a condition that is null
    /// is false, or hides the row where the mode says so.
    pub(super) fn of(
        call: &Call,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
    ) -> Result<Self> {
        let Some((time, steps)) = values.split_first() else {
            return internal_err!("funnel was given no time");
        };
        let (ticks, nulls) = call.axis.ticks(time)?;
        let mut seen = nulls.map(NullBuffer::into_inner);
        let mut hide = |visible: BooleanBuffer| {
            seen = Some(match seen.take() {
                Some(seen) => &seen & &visible,
                None => visible,
            });
        };
        if let Some(filter) = filter {
            hide(is_true(filter));
        }
        let mut masks = vec![0_u64; time.len()];
        for (step, condition) in steps.iter().enumerate() {
            if call.null_hides_row()
                && let Some(nulls) = condition.nulls()
            {
                hide(nulls.inner().clone());
            }
            set_bit(&mut masks, step, &is_true(condition.as_boolean()));
        }
        Ok(Self {
            ticks,
            masks,
            seen,
            all_rows: call.all_rows(),
        })
    }

    /// The row at `index`, if the funnel looks at it.
    pub(super) fn row(&self, index: usize) -> Option<Row> {
        let (time, mask) = (*self.ticks.get(index)?, *self.masks.get(index)?);
        let looked_at =
            (mask != 0 || self.all_rows) && self.seen.as_ref().is_none_or(|seen| seen.value(index));
        looked_at.then_some(Row { time, mask })
    }
}

/// Sets the bit of `step` in each mask whose condition is true.
fn set_bit(masks: &mut [u64], step: usize, condition: &BooleanBuffer) {
    let words = condition.bit_chunks();
    for (masks, word) in masks.chunks_mut(64).zip(words.iter_padded()) {
        if word == u64::MAX {
            masks.iter_mut().for_each(|mask| *mask |= 1 << step);
            continue;
        }
        let mut rest = word;
        while rest != 0 {
            if let Some(mask) = masks.get_mut(rest.trailing_zeros() as usize) {
                *mask |= 1 << step;
            }
            rest &= rest - 1;
        }
    }
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
