//! Classes in modes that are not explained by rules of their own: what time, window and the steps of
//! the reported chain say of a row holds in all of them.

use super::{Class, beyond_window, used};
use crate::ties::bits;
use crate::{Mode, PostHog, Row, Spec};

/// The reported chain.
struct Chain {
    /// The time of each step that a row fills.
    times: Vec<(usize, i64)>,
    /// The first of them.
    begin: i64,
    /// The last of them.
    end: i64,
    is_complete: bool,
}

/// The class of each row, in the order of `rows`, which are sorted by time.
pub(super) fn classes(spec: &Spec, rows: &[Row], chain: &[Option<usize>]) -> Vec<Class> {
    let chain_of = chain_of(spec, rows, chain);
    let class = |(row, steps): (&Row, u64)| match (steps, row.mask & spec.shape().all) {
        (0, 0) => match excluded(spec, row.mask) {
            0 => Class::NotAStep,
            excluded => Class::Excluded {
                exclusion: excluded.trailing_zeros() as usize,
            },
        },
        (0, mask) => match &chain_of {
            None => without_chain(spec, rows, row.time, mask),
            Some(chain) if has_order(spec.mode()) => in_order(spec, chain, row.time, mask),
            Some(chain) => in_any_order(spec, chain, row.time, mask),
        },
        (steps, _) => Class::Used { steps },
    };
    rows.iter().zip(used(rows, chain)).map(class).collect()
}

/// A rule, or an excluded row, leaves no chain: what can be said is where the row stands from the
/// last beginning.
fn without_chain(spec: &Spec, rows: &[Row], time: i64, mask: u64) -> Class {
    let step = mask.trailing_zeros() as usize;
    if mask & 1 == 1 || !has_order(spec.mode()) {
        return Class::OwnRule { step };
    }
    let begins = |row: &&Row| row.mask & 1 == 1 && row.time <= time;
    let Some(entry) = rows.iter().rfind(begins) else {
        return Class::BeforeEntry;
    };
    match beyond_window(spec, time.abs_diff(entry.time)) {
        0 => Class::OwnRule { step },
        by => Class::OutOfWindow { step, by },
    }
}

fn chain_of(spec: &Spec, rows: &[Row], chain: &[Option<usize>]) -> Option<Chain> {
    let times: Vec<(usize, i64)> = chain
        .iter()
        .enumerate()
        .filter_map(|(step, row)| row.map(|row| (step, rows[row].time)))
        .collect();
    let filled = times.iter().fold(0, |filled, (step, _)| filled | 1 << step);
    let instants = times.iter().map(|(_, time)| *time);
    Some(Chain {
        begin: instants.clone().min()?,
        end: instants.max()?,
        is_complete: required(spec) & !filled == 0,
        times,
    })
}

/// One bit for each exclusion that a row satisfies; theirs follow those of the steps.
fn excluded(spec: &Spec, mask: u64) -> u64 {
    let exclusions = spec.options().exclusions.len();
    (0..exclusions)
        .filter(|exclusion| mask >> (spec.steps() + exclusion) & 1 == 1)
        .fold(0, |excluded, exclusion| excluded | 1 << exclusion)
}

/// One bit for each step that a chain must not lack.
fn required(spec: &Spec) -> u64 {
    spec.shape().all & !spec.options().optional
}

/// Do the steps of a chain follow each other?
fn has_order(mode: Mode) -> bool {
    !matches!(
        mode,
        Mode::Unordered { .. } | Mode::Set | Mode::Loose | Mode::PostHog(PostHog::Unordered)
    )
}

fn in_order(spec: &Spec, chain: &Chain, time: i64, mask: u64) -> Class {
    if chain.is_complete && time > chain.end {
        return Class::AfterCompletion;
    }
    if time < chain.begin {
        return match mask & 1 {
            1 => Class::SupersededEntry,
            _ => Class::BeforeEntry,
        };
    }
    let by_then = chain.times.iter().filter(|(_, reached)| *reached <= time);
    let reached = by_then.fold(0_u64, |reached, (step, _)| reached | 1 << step);
    let Some(step) = bits(mask & !reached).next() else {
        let step = mask.ilog2() as usize;
        return Class::Repeat { step };
    };
    let before = required(spec) & ((1 << step) - 1);
    match beyond_window(spec, time.abs_diff(chain.begin)) {
        by if by > 0 => Class::OutOfWindow { step, by },
        _ if before & !reached != 0 => Class::OutOfOrder { step },
        _ => Class::OwnRule { step },
    }
}

fn in_any_order(spec: &Spec, chain: &Chain, time: i64, mask: u64) -> Class {
    let filled = chain.times.iter().map(|(step, _)| 1 << step);
    let filled = filled.fold(0_u64, |filled, step| filled | step);
    let Some(step) = bits(mask & !filled).next() else {
        let step = mask.ilog2() as usize;
        return Class::Repeat { step };
    };
    // A stretch that holds both the row and the chain reaches from one to the other.
    let distance = match time < chain.begin {
        true => chain.end.abs_diff(time),
        false => time.abs_diff(chain.begin),
    };
    match beyond_window(spec, distance) {
        by if by > 0 => Class::OutOfWindow { step, by },
        _ => Class::OwnRule { step },
    }
}
