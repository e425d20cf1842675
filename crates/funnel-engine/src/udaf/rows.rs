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
use super::histories::Piece;
use super::masks::{Masks, Steps, both, is_true};

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
    let Some((time, conditions)) = values
        .get(call.time..)
        .and_then(|values| values.split_first())
    else {
        return internal_err!("funnel was given no time");
    };
    let steps = Steps::of(conditions, time.len(), call.null_hides_row());
    let batch = Batch::of(call, time, steps, filter)?;
    for index in 0..batch.masks.len() {
        if let Some(row) = batch.row(index) {
            keep(index, row);
        }
    }
    Ok(())
}

/// The times and step masks of a batch.
pub(crate) struct Batch {
    ticks: ScalarBuffer<i64>,
    /// Rows that have a time; none: all.
    timed: Option<BooleanBuffer>,
    masks: Masks,
    /// Rows that the funnel may look at; none: all.
    seen: Option<BooleanBuffer>,
    /// Rows that satisfy no step matter too.
    all_rows: bool,
}

impl Batch {
    /// Rows without a time, or that `filter` leaves out, are not looked at.
    pub(super) fn of(
        call: &Call,
        time: &ArrayRef,
        steps: Steps,
        filter: Option<&BooleanArray>,
    ) -> Result<Self> {
        let (ticks, nulls) = call.axis.ticks(time)?;
        let mut batch = Self::at(call, ticks, nulls, steps);
        if let Some(visible) = filter.map(is_true) {
            batch.seen = Some(both(batch.seen.take(), &visible));
        }
        Ok(batch)
    }

    /// Rows at `ticks`, as far as they have a time: where `nulls` says so, or all.
    pub(super) fn at(
        call: &Call,
        ticks: ScalarBuffer<i64>,
        nulls: Option<NullBuffer>,
        steps: Steps,
    ) -> Self {
        let timed = nulls.map(NullBuffer::into_inner);
        let seen = match &timed {
            Some(timed) => Some(both(steps.seen, timed)),
            None => steps.seen,
        };
        Self {
            ticks,
            timed,
            masks: steps.masks,
            seen,
            all_rows: call.all_rows(),
        }
    }

    /// Times, masks, and the rows that the funnel may look at (none: all).
    pub(super) fn parts(&self) -> (&[i64], &Masks, Option<&BooleanBuffer>) {
        (&self.ticks, &self.masks, self.seen.as_ref())
    }

    /// The row at `index`, if the funnel looks at it.
    pub(super) fn row(&self, index: usize) -> Option<Row> {
        let (time, mask) = (*self.ticks.get(index)?, self.masks.get(index)?);
        let looked_at =
            (mask != 0 || self.all_rows) && self.seen.as_ref().is_none_or(|seen| seen.value(index));
        looked_at.then_some(Row { time, mask })
    }

    /// Times and masks of the rows that the funnel looks at; run `i` lies between `offsets` `i` and
    /// `i + 1`, here as there.
    pub(crate) fn into_piece(self, offsets: &[usize]) -> Piece {
        let Self {
            ticks,
            masks,
            seen,
            all_rows,
            ..
        } = &self;
        let seen = seen.as_ref();
        let (times, masks, offsets) = match masks {
            Masks::Bytes(masks) => {
                let (times, masks, offsets) = looked_at(ticks, masks, seen, *all_rows, offsets);
                (times, Masks::Bytes(masks), offsets)
            }
            Masks::Shorts(masks) => {
                let (times, masks, offsets) = looked_at(ticks, masks, seen, *all_rows, offsets);
                (times, Masks::Shorts(masks), offsets)
            }
            Masks::Words(masks) => {
                let (times, masks, offsets) = looked_at(ticks, masks, seen, *all_rows, offsets);
                (times, Masks::Words(masks), offsets)
            }
        };
        Piece {
            times,
            masks,
            offsets,
        }
    }

    /// Times and masks of all rows that have a time, in which rows that are not looked at satisfy no
    /// step; `offsets` are moved to where their rows are.
    pub(super) fn columns(mut self, offsets: &mut [usize]) -> (ScalarBuffer<i64>, Masks) {
        if let Some(seen) = &self.seen {
            self.masks.hide(seen);
        }
        let Some(timed) = self
            .timed
            .filter(|timed| timed.count_set_bits() < timed.len())
        else {
            return (self.ticks, self.masks);
        };
        let positions: Vec<usize> = timed.set_indices().collect();
        for offset in offsets {
            *offset = positions.partition_point(|position| position < offset);
        }
        let ticks = positions.iter().filter_map(|row| self.ticks.get(*row));
        (ticks.copied().collect(), self.masks.take(&positions))
    }
}

/// The rows that are looked at, and where each run of them ends.
fn looked_at<M: Copy + Default + PartialEq>(
    ticks: &[i64],
    masks: &[M],
    seen: Option<&BooleanBuffer>,
    all_rows: bool,
    offsets: &[usize],
) -> (Vec<i64>, Vec<M>, Vec<usize>) {
    let is_step = |mask: M| mask != M::default();
    match seen {
        None if !all_rows => kept(ticks, masks, offsets, |_, mask| is_step(mask)),
        None => kept(ticks, masks, offsets, |_, _| true),
        Some(seen) => kept(ticks, masks, offsets, |row, mask| {
            seen.value(row) && (all_rows || is_step(mask))
        }),
    }
}

/// Which rows are kept cannot be foreseen, so each is written, and passed over or not by where the
/// next one goes.
fn kept<M: Copy + Default>(
    ticks: &[i64],
    masks: &[M],
    offsets: &[usize],
    is_kept: impl Fn(usize, M) -> bool,
) -> (Vec<i64>, Vec<M>, Vec<usize>) {
    let rows = offsets.last().copied().unwrap_or_default();
    // Room for no more: what is passed over is mostly more than what is kept.
    let counted = masks[..rows].iter().enumerate();
    let most = counted.filter(|(row, mask)| is_kept(*row, **mask)).count();
    let (mut times, mut kept) = (vec![0; most + 1], vec![M::default(); most + 1]);
    let (mut end, mut ends) = (0, Vec::with_capacity(offsets.len()));
    ends.push(0);
    for run in offsets.windows(2) {
        let of_run = ticks[run[0]..run[1]].iter().zip(&masks[run[0]..run[1]]);
        for (row, (tick, mask)) in (run[0]..).zip(of_run) {
            (times[end], kept[end]) = (*tick, *mask);
            end += usize::from(is_kept(row, *mask));
        }
        ends.push(end);
    }
    times.truncate(end);
    kept.truncate(end);
    (times, kept, ends)
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
