//! Classes of mode `next`, and what interrupts a chain.

use super::{Class, beyond_window, used};
use crate::ties::bits;
use crate::{Matcher, Mode, Row, Spec};

/// Does the mode look at the row?
fn is_relevant(spec: &Spec, row: &Row, relevant_steps: bool) -> bool {
    !relevant_steps || row.mask & spec.shape().all != 0
}

pub(super) fn classes(
    spec: &Spec,
    rows: &[Row],
    chain: &[Option<usize>],
    relevant_steps: bool,
) -> Vec<Class> {
    let filled = used(rows, chain);
    let times: Vec<i64> = chain
        .iter()
        .map_while(|at| Some(rows[(*at)?].time))
        .collect();
    let ends = times.first().copied().zip(times.last().copied());
    // Rows of the instant in which a chain begins can be left before it, where it goes on later.
    let is_before = |row: &Row| {
        ends.is_none_or(|(first, last)| row.time < first || row.time == first && first < last)
    };
    let ended_by = (0..rows.len()).find(|at| {
        let row = &rows[*at];
        filled[*at] == 0
            && !is_before(row)
            && ends.is_some_and(|(_, last)| row.time >= last)
            && is_relevant(spec, row, relevant_steps)
    });
    let next = times.len();
    let class = |(at, row): (usize, &Row)| {
        let mask = row.mask & spec.shape().all;
        let is_step = mask != 0;
        let (first, _) = match ends {
            _ if filled[at] != 0 => return Class::Used { steps: filled[at] },
            None if is_step => return Class::BeforeEntry,
            Some(ends) => ends,
            None => return Class::NotAStep,
        };
        let by = beyond_window(spec, row.time.abs_diff(first));
        match ended_by {
            _ if is_before(row) => match (is_step, mask & 1) {
                (false, _) => Class::NotAStep,
                (_, 1) => Class::SupersededEntry,
                _ => Class::BeforeEntry,
            },
            _ if next == spec.steps() && is_step => Class::AfterCompletion,
            _ if next == spec.steps() => Class::NotAStep,
            _ if mask >> next & 1 == 1 && by > 0 => Class::OutOfWindow { step: next, by },
            Some(by) if by == at => Class::Interrupts { step: next },
            _ if !is_step => Class::NotAStep,
            Some(by) if mask >> next & 1 == 1 => Class::Interrupted { step: next, by },
            _ => match bits(mask).find(|step| *step > next) {
                Some(step) => Class::OutOfOrder { step },
                None => Class::Repeat {
                    step: mask.ilog2() as usize,
                },
            },
        }
    };
    rows.iter().enumerate().map(class).collect()
}

/// The first row that interrupts the chain which mode `ordered` would count; `None` if that chain
/// goes no further than `step` either.
pub(super) fn interruption(
    spec: &Spec,
    rows: &[Row],
    step: usize,
    relevant_steps: bool,
) -> Option<usize> {
    let ordered = Spec::new(Mode::Ordered, spec.steps(), spec.window()).ok()?;
    let ordered = ordered.with_options(spec.options().clone()).ok()?;
    let mut chain = Vec::new();
    if Matcher::new(ordered).chain(rows, &mut chain) <= step {
        return None;
    }
    let chain: Vec<usize> = chain.into_iter().flatten().take(step + 1).collect();
    let first = rows[*chain.first()?].time;
    let last = rows[*chain.last()?].time;
    (0..rows.len()).find(|at| {
        let row = &rows[*at];
        first < row.time
            && row.time < last
            && !chain.contains(at)
            && is_relevant(spec, row, relevant_steps)
    })
}
