//! Why a history got as far as it did: one [`Class`] for each of its rows, and one [`Reason`] for
//! the step that was not reached.
//!
//! A class says what became of a row, seen from the reported chain; the classes of a history add up
//! to its rows. A reason is a fact of the whole history, found by asking the matcher again under
//! other rules: *after the window by d* means that the window widened by *d*, and by nothing less,
//! lets the history go further.
//!
//! ```
//! use funnel_match::classify::{Class, Reason, classify, reason};
//! use funnel_match::{Mode, Row, Spec};
//!
//! let spec = Spec::new(Mode::Ordered, 2, Some(60))?;
//! let shown = Row { time: 0, mask: 0b01 };
//! let clicked = Row { time: 75, mask: 0b10 };
//! let classes = classify(&spec, &[shown, clicked]);
//! assert_eq!(classes, [Class::Used { steps: 0b01 }, Class::OutOfWindow { step: 1, by: 15 }]);
//! assert_eq!(
//!     reason(&spec, &[shown, clicked], None),
//!     Some(Reason::AfterWindow { step: 1, by: 15 })
//! );
//! # Ok::<(), funnel_match::SpecError>(())
//! ```
//!
//! Modes `ordered`, `ordered,increase`, `next` and `loose` are explained in full. In the others, and
//! with options that change what a chain is, a row that could be the next step by time and window is
//! told apart as one that the mode's [own rule](Class::OwnRule) stands against. Of several attempts
//! only the rows of one chain are named, the rest is [`Class::NotExplained`].

mod chained;
mod next;
mod reason;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

pub use self::reason::{Reason, reason};
use crate::options::Bound;
use crate::ties::bits;
use crate::{Count, Matcher, Mode, Options, Row, Spec};

/// What became of a row. Steps count from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The row is part of the reported chain: one bit for each step that it fills. More than one
    /// only in mode `loose` and where a dialect lets a row fill several.
    Used {
        /// One bit for each step filled.
        steps: u64,
    },
    /// A first step before the one with which the reported chain begins.
    SupersededEntry,
    /// Every step of the row was already reached by then.
    Repeat {
        /// The last of those steps.
        step: usize,
    },
    /// A later step before the chain begins, or without any first step at all.
    BeforeEntry,
    /// The step before this one was not reached by then.
    OutOfOrder {
        /// The first step of the row that was not yet reached.
        step: usize,
    },
    /// The step before this one was reached at the same time, and the mode asks for a later one.
    NotLater {
        /// The step of the row.
        step: usize,
    },
    /// Too far from the beginning of the chain; in mode `loose`, outside of the chosen stretch.
    OutOfWindow {
        /// The first step of the row that was not yet reached.
        step: usize,
        /// How far outside of the window.
        by: u64,
    },
    /// Mode `next`: would be the next step of the chain, had no other row come between.
    Interrupted {
        /// The step that the row would reach.
        step: usize,
        /// The position of the row that came between.
        by: usize,
    },
    /// Mode `next`: the row that ended the chain.
    Interrupts {
        /// The step that should have come instead.
        step: usize,
    },
    /// After the last step of a complete chain.
    AfterCompletion,
    /// The row has the identity of a row before it.
    DuplicateId,
    /// The row has no time.
    NullTime,
    /// The row satisfies no step, and is one that must not come between steps.
    Excluded {
        /// The first exclusion that it satisfies.
        exclusion: usize,
    },
    /// The row satisfies no step.
    NotAStep,
    /// The steps before were reached and the window was not over: a rule of the mode or an option
    /// stands against the row.
    OwnRule {
        /// The first step of the row that was not yet reached.
        step: usize,
    },
    /// Satisfies a step and is not part of the reported chain, which is one of several attempts.
    NotExplained,
}

impl Class {
    /// The name under which tables and messages know the class.
    pub const fn name(self) -> &'static str {
        match self {
            Class::Used { .. } => "used",
            Class::SupersededEntry => "superseded_entry",
            Class::Repeat { .. } => "repeat",
            Class::BeforeEntry => "before_entry",
            Class::OutOfOrder { .. } => "out_of_order",
            Class::NotLater { .. } => "not_later",
            Class::OutOfWindow { .. } => "out_of_window",
            Class::Interrupted { .. } => "interrupted",
            Class::Interrupts { .. } => "interrupts",
            Class::AfterCompletion => "after_completion",
            Class::DuplicateId => "duplicate_id",
            Class::NullTime => "null_time",
            Class::Excluded { .. } => "excluded",
            Class::NotAStep => "not_a_step",
            Class::OwnRule { .. } => "own_rule",
            Class::NotExplained => "not_explained",
        }
    }

    /// The class with other positions of the rows that it names.
    #[must_use]
    pub fn at(self, position: impl FnOnce(usize) -> usize) -> Self {
        match self {
            Class::Interrupted { step, by } => Class::Interrupted {
                step,
                by: position(by),
            },
            other => other,
        }
    }
}

/// A row as it comes, before anything about it is settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Candidate {
    /// In the unit of the window; `None` if the row has none.
    pub time: Option<i64>,
    /// One bit for each step that the row satisfies.
    pub mask: u64,
    /// The identity of the event; rows that share one count once, the first as given.
    pub id: Option<u128>,
}

/// Is every class and every reason one of the mode itself?
pub fn is_explained(spec: &Spec) -> bool {
    let of_mode = matches!(
        spec.mode(),
        Mode::Ordered | Mode::OrderedIncrease | Mode::Next { .. } | Mode::Loose
    );
    of_mode && is_plain(spec) && !spec.options().is_of_parts()
}

/// Is a chain what the mode says, apart from optional steps and excluded rows?
fn is_plain(spec: &Spec) -> bool {
    let options = spec.options();
    let plain = Options {
        bound: options.bound,
        as_of: options.as_of,
        exclusions: options.exclusions.clone(),
        optional: options.optional,
        ..Options::default()
    };
    *options == plain
}

/// The class of each row, in the order of `rows`, which are sorted by time.
pub fn classify(spec: &Spec, rows: &[Row]) -> Vec<Class> {
    let chain = chain(spec, rows);
    match spec.mode() {
        _ if spec.options().count != Count::Unique => not_explained(spec, rows, &chain),
        _ if !is_explained(spec) => chained::classes(spec, rows, &chain),
        Mode::Loose => loose(spec, rows, &chain),
        Mode::Next { relevant_steps } => next::classes(spec, rows, &chain, relevant_steps),
        _ => ordered(spec, rows, &chain),
    }
}

/// The class of each row, in the order given, whatever that order is.
pub fn classify_candidates(spec: &Spec, candidates: &[Candidate]) -> Vec<Class> {
    let mut classes = vec![Class::NullTime; candidates.len()];
    let mut ids = HashSet::new();
    let mut kept: Vec<(usize, Row)> = Vec::with_capacity(candidates.len());
    for (index, candidate) in candidates.iter().enumerate() {
        if candidate.id.is_some_and(|id| !ids.insert(id)) {
            classes[index] = Class::DuplicateId;
        } else if let Some(time) = candidate.time {
            let mask = candidate.mask;
            kept.push((index, Row { time, mask }));
        }
    }
    kept.sort_by_key(|(_, row)| row.time);
    let rows: Vec<Row> = kept.iter().map(|(_, row)| *row).collect();
    for ((index, _), class) in kept.iter().zip(classify(spec, &rows)) {
        classes[*index] = class.at(|row| kept[row].0);
    }
    classes
}

/// The row that fills each step, by step; `None` where no row does.
pub fn chain(spec: &Spec, rows: &[Row]) -> Vec<Option<usize>> {
    let mut chain = Vec::new();
    Matcher::new(spec.clone()).chain(rows, &mut chain);
    chain.resize(spec.steps(), None);
    chain
}

fn not_explained(spec: &Spec, rows: &[Row], chain: &[Option<usize>]) -> Vec<Class> {
    let all = spec.shape().all;
    let used = used(rows, chain);
    let class = |(row, steps): (&Row, u64)| match steps {
        0 if row.mask & all == 0 => Class::NotAStep,
        0 => Class::NotExplained,
        steps => Class::Used { steps },
    };
    rows.iter().zip(used).map(class).collect()
}

/// The bits of each row that fill a step.
fn used(rows: &[Row], chain: &[Option<usize>]) -> Vec<u64> {
    let mut used = vec![0_u64; rows.len()];
    for (step, row) in chain.iter().enumerate() {
        if let Some(row) = row {
            used[*row] |= 1 << step;
        }
    }
    used
}

/// How much wider the window would have to be to hold rows of this distance.
fn beyond_window(spec: &Spec, distance: u64) -> u64 {
    let exclusive =
        spec.options().bound == Bound::Exclusive || matches!(spec.mode(), Mode::Pinot(_));
    let first_outside = u64::from(exclusive);
    spec.window().map_or(0, |window| {
        distance
            .saturating_add(first_outside)
            .saturating_sub(window)
    })
}

fn ordered(spec: &Spec, rows: &[Row], chain: &[Option<usize>]) -> Vec<Class> {
    let times: Vec<i64> = chain
        .iter()
        .map_while(|row| row.map(|row| rows[row].time))
        .collect();
    let seen_from_chain = |row: &Row| {
        let mask = row.mask & spec.shape().all;
        if mask == 0 {
            return Class::NotAStep;
        }
        let (Some(entry), Some(last)) = (times.first(), times.last()) else {
            return Class::BeforeEntry;
        };
        if times.len() == spec.steps() && row.time > *last {
            return Class::AfterCompletion;
        }
        if row.time < *entry {
            return match mask & 1 {
                1 => Class::SupersededEntry,
                _ => Class::BeforeEntry,
            };
        }
        // The times of a chain do not decrease: what is reached by now are its first steps.
        let reached = times.partition_point(|time| *time <= row.time);
        let Some(step) = bits(mask).find(|step| *step >= reached) else {
            let step = mask.ilog2() as usize;
            return Class::Repeat { step };
        };
        match beyond_window(spec, row.time.abs_diff(*entry)) {
            by if by > 0 => Class::OutOfWindow { step, by },
            _ if step == reached => Class::NotLater { step },
            _ => Class::OutOfOrder { step },
        }
    };
    let used = used(rows, chain);
    rows.iter()
        .zip(used)
        .map(|(row, steps)| match steps {
            0 => seen_from_chain(row),
            steps => Class::Used { steps },
        })
        .collect()
}

fn loose(spec: &Spec, rows: &[Row], chain: &[Option<usize>]) -> Vec<Class> {
    let filled = used(rows, chain);
    let begin = chain.iter().flatten().min().map(|row| rows[*row].time);
    let mut reached = 0_u64;
    rows.iter()
        .zip(filled)
        .map(|(row, steps)| {
            let mask = row.mask & spec.shape().all;
            if steps != 0 {
                reached |= steps;
                return Class::Used { steps };
            }
            let (Some(begin), true) = (begin, mask != 0) else {
                return Class::NotAStep;
            };
            let step = bits(mask & !reached).next();
            let distance = row.time.abs_diff(begin);
            let by = match row.time < begin {
                true => distance,
                false => beyond_window(spec, distance),
            };
            match step {
                Some(step) if by > 0 => Class::OutOfWindow { step, by },
                _ => Class::Repeat {
                    step: mask.ilog2() as usize,
                },
            }
        })
        .collect()
}
