//! What must be kept of a stretch of one key's history so that funnels over longer stretches need
//! not read it again: `k·(k + 1)/2` numbers for `k` steps, whatever the number of rows.
//!
//! A history is cut on time into segments (such as days): rows of the same time are always in the
//! same segment. [`StateBuilder`] makes the [`SegmentState`] of one segment from its rows;
//! [`SegmentState::merge`] joins neighbours, in any grouping, and the result equals the state of all their
//! rows together.
//!
//! A state holds
//!
//! - `latest[m]`: the latest beginning of a chain of length `m` inside of the window. This part
//!   depends on the window, so a state is made for one window and answers for no other.
//! - `earliest[l][m]`: the earliest time at which the steps `l` to `m` have been passed one after
//!   the other, for `l` from the second step on. This part depends on no window.
//!
//! When B follows A, a chain begins in A and ends in B if B passes the missing steps early enough:
//! of the chains of A of one length, the one that begins last has the most time left, and the
//! earliest passage of B is the first to be there. Hence these numbers are enough.
//!
//! Only `ordered` and `ordered,increase` have such a state. In the other modes a chain can be
//! broken by what lies between, and the earliest arrival is not the best one.

use std::error::Error;
use std::fmt;

use crate::ties::Ties;
use crate::{Mode, Row, STEPS_MAX};

mod bytes;

/// The funnel for which a state is made. States of different shapes have nothing to do with each
/// other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateShape {
    mode: Mode,
    steps: usize,
    window: Option<u64>,
    unit: u8,
}

impl StateShape {
    /// `window` is in the unit of the rows' times and inclusive; `None` is any distance.
    ///
    /// # Errors
    /// A mode other than `ordered` and `ordered,increase`; no step, or more than [`STEPS_MAX`].
    pub fn new(mode: Mode, steps: usize, window: Option<u64>) -> Result<Self, StateError> {
        if !matches!(mode, Mode::Ordered | Mode::OrderedIncrease) {
            return Err(StateError::Mode { found: mode });
        }
        if !(1..=STEPS_MAX).contains(&steps) {
            return Err(StateError::Steps { found: steps });
        }
        Ok(Self {
            mode,
            steps,
            window,
            unit: 0,
        })
    }

    /// The same funnel over times of another unit. What the number stands for is the caller's; 0 is
    /// a unit that nobody named.
    #[must_use]
    pub fn with_unit(self, unit: u8) -> Self {
        Self { unit, ..self }
    }

    /// What [`with_unit`](Self::with_unit) was given; 0 without.
    #[must_use]
    pub fn unit(&self) -> u8 {
        self.unit
    }

    /// `ordered` or `ordered,increase`.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Number of steps, 1 to [`STEPS_MAX`].
    #[must_use]
    pub fn steps(&self) -> usize {
        self.steps
    }

    /// The longest time from the first to the last row of a chain; `None` is unbounded.
    #[must_use]
    pub fn window(&self) -> Option<u64> {
        self.window
    }

    fn within(&self, from: i64, time: i64) -> bool {
        self.window
            .is_none_or(|window| time.abs_diff(from) <= window)
    }

    /// How many numbers a state has.
    fn numbers(&self) -> usize {
        self.steps * (self.steps + 1) / 2
    }

    /// Where `earliest[from][to]` is (`1 <= from <= to < steps`, counted from 0): behind the
    /// `latest`, row after row of a triangle.
    fn at(&self, from: usize, to: usize) -> usize {
        let rows_before = from - 1;
        let longest = self.steps - 1;
        self.steps + rows_before * longest - rows_before * from.saturating_sub(2) / 2 + to - from
    }
}

/// No chain of this length; less than every time.
const NO_CHAIN: i64 = i64::MIN;
/// The steps have not been passed; more than every time.
const NEVER: i64 = i64::MAX;

/// What a stretch of a history contributes to a funnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentState {
    shape: StateShape,
    /// The first and last time at which a row satisfies a step; `None` without such rows.
    span: Option<(i64, i64)>,
    numbers: Vec<i64>,
}

impl SegmentState {
    /// The state of no rows: merging it changes nothing.
    #[must_use]
    pub fn empty(shape: StateShape) -> Self {
        let mut numbers = vec![NEVER; shape.numbers()];
        numbers[..shape.steps].fill(NO_CHAIN);
        Self {
            shape,
            span: None,
            numbers,
        }
    }

    /// The funnel of the state.
    #[must_use]
    pub fn shape(&self) -> StateShape {
        self.shape
    }

    /// The first and last time at which a row satisfies a step; `None` if none does.
    #[must_use]
    pub fn span(&self) -> Option<(i64, i64)> {
        self.span
    }

    /// The number of the last step reached; 0 if none.
    #[must_use]
    pub fn level(&self) -> usize {
        let latest = &self.numbers[..self.shape.steps];
        latest.iter().take_while(|time| **time != NO_CHAIN).count()
    }

    /// The level for a window that is named again, so that nobody takes the answer to another
    /// question.
    ///
    /// # Errors
    /// The state was made for another window.
    pub fn level_within(&self, window: Option<u64>) -> Result<usize, StateError> {
        if window != self.shape.window {
            return Err(StateError::Window {
                asked: window,
                made: self.shape.window,
            });
        }
        Ok(self.level())
    }

    /// Adds the state of the segment that follows.
    ///
    /// # Errors
    /// The other state is of another shape, or does not lie wholly behind this one.
    pub fn merge(&mut self, later: &SegmentState) -> Result<(), StateError> {
        if self.shape != later.shape {
            return Err(StateError::Shapes {
                one: self.shape,
                other: later.shape,
            });
        }
        let Some((begin, end)) = later.span else {
            return Ok(());
        };
        let Some((first, last)) = self.span else {
            self.clone_from(later);
            return Ok(());
        };
        if begin <= last {
            return Err(StateError::Overlap { end: last, begin });
        }
        self.span = Some((first, end));
        self.merge_latest(later);
        self.merge_earliest(later);
        Ok(())
    }

    /// Merges segments given in any order.
    ///
    /// # Errors
    /// As [`SegmentState::merge`].
    pub fn merge_all(
        shape: StateShape,
        mut states: Vec<SegmentState>,
    ) -> Result<SegmentState, StateError> {
        states.sort_by_key(SegmentState::span);
        let mut whole = SegmentState::empty(shape);
        for state in &states {
            whole.merge(state)?;
        }
        Ok(whole)
    }

    fn merge_latest(&mut self, later: &SegmentState) {
        let shape = self.shape;
        // From the longest down: a chain is continued from the lengths before the merge.
        for to in (0..shape.steps).rev() {
            let mut best = self.numbers[to].max(later.numbers[to]);
            for from in 1..=to {
                let begin = self.numbers[from - 1];
                let arrival = later.numbers[shape.at(from, to)];
                if begin != NO_CHAIN && arrival != NEVER && shape.within(begin, arrival) {
                    best = best.max(begin);
                }
            }
            self.numbers[to] = best;
        }
    }

    fn merge_earliest(&mut self, later: &SegmentState) {
        let shape = self.shape;
        for from in 1..shape.steps {
            let passed = self.passed(from);
            for to in from + passed..shape.steps {
                self.numbers[shape.at(from, to)] = later.numbers[shape.at(from + passed, to)];
            }
        }
    }

    /// Is every time that the state names within its span?
    fn is_within_span(&self) -> bool {
        let (latest, earliest) = self.numbers.split_at(self.shape.steps);
        let latest = latest.iter().filter(|time| **time != NO_CHAIN);
        let earliest = earliest.iter().filter(|time| **time != NEVER);
        let mut times = latest.chain(earliest);
        match self.span {
            Some((first, last)) => first <= last && times.all(|time| (first..=last).contains(time)),
            None => times.next().is_none(),
        }
    }

    /// How many steps from `from` on have been passed.
    fn passed(&self, from: usize) -> usize {
        let begin = self.shape.at(from, from);
        self.numbers[begin..begin + self.shape.steps - from]
            .iter()
            .take_while(|time| **time != NEVER)
            .count()
    }
}

/// Makes states of segments, one after the other, reusing its memory.
#[derive(Debug)]
pub struct StateBuilder {
    shape: StateShape,
    ties: Ties,
    /// What the present instant makes of `latest`.
    made: Vec<i64>,
}

impl StateBuilder {
    /// A builder of states for one funnel.
    #[must_use]
    pub fn new(shape: StateShape) -> Self {
        Self {
            shape,
            ties: Ties::new(shape.steps),
            made: vec![NO_CHAIN; shape.steps],
        }
    }

    /// The state of the rows of a segment, given in the order of their times; rows of the same time
    /// in any order.
    ///
    /// # Errors
    /// A row is at the first or the last instant that an `i64` can hold.
    pub fn state(&mut self, rows: &[Row]) -> Result<SegmentState, StateError> {
        debug_assert!(
            rows.is_sorted_by_key(|row| row.time),
            "rows are ordered by time"
        );
        let mut state = SegmentState::empty(self.shape);
        let all = u64::MAX >> (STEPS_MAX - self.shape.steps);
        for group in rows.chunk_by(|one, other| one.time == other.time) {
            let masks = group.iter().map(|row| row.mask & all);
            let masks = masks.filter(|mask| *mask != 0);
            let (Some(row), true) = (group.first(), masks.clone().next().is_some()) else {
                continue;
            };
            if [NO_CHAIN, NEVER].contains(&row.time) {
                return Err(StateError::Time);
            }
            self.ties.load(masks.enumerate());
            self.push(&mut state, row.time);
            let first = state.span.map_or(row.time, |(first, _)| first);
            state.span = Some((first, row.time));
        }
        Ok(state)
    }

    /// How many steps from `from` on the rows of the present instant pass.
    fn run(&mut self, from: usize) -> usize {
        let run = self.ties.run_from(from);
        match self.shape.mode {
            Mode::OrderedIncrease => run.min(1),
            _ => run,
        }
    }

    /// What the rows of one instant make of the state before them, all at once.
    fn push(&mut self, state: &mut SegmentState, time: i64) {
        let shape = self.shape;
        self.made.fill(NO_CHAIN);
        for base in 0..shape.steps {
            let begin = match base {
                0 => time,
                _ => state.numbers[base - 1],
            };
            if begin == NO_CHAIN || !shape.within(begin, time) {
                break; // Longer chains begin no later.
            }
            for step in base..base + self.run(base) {
                self.made[step] = self.made[step].max(begin);
            }
        }
        for (latest, made) in state.numbers.iter_mut().zip(&self.made) {
            *latest = (*latest).max(*made);
        }
        for from in 1..shape.steps {
            let next = from + state.passed(from);
            if next < shape.steps {
                let begin = shape.at(from, next);
                let run = self.run(next);
                state.numbers[begin..begin + run].fill(time);
            }
        }
    }
}

/// What cannot be done with states.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StateError {
    /// A mode that has no such state.
    Mode {
        /// What was asked for.
        found: Mode,
    },
    /// Not a number of steps that a funnel can have.
    Steps {
        /// How many were asked for.
        found: usize,
    },
    /// A row at the first or the last instant of an `i64`, which stand for "never".
    Time,
    /// The level was asked for another window.
    Window {
        /// The window of the question.
        asked: Option<u64>,
        /// The window of the state.
        made: Option<u64>,
    },
    /// States of different funnels.
    Shapes {
        /// The earlier state's.
        one: StateShape,
        /// The later state's.
        other: StateShape,
    },
    /// Segments that are not one after the other.
    Overlap {
        /// Last time of the earlier one.
        end: i64,
        /// First time of the later one.
        begin: i64,
    },
    /// Bytes that are not a state.
    Bytes {
        /// What is wrong with them.
        reason: &'static str,
    },
}

impl fmt::Display for StateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StateError::Mode { found } => write!(
                f,
                "there is no funnel state for mode '{found}'; modes that have one: '{}', '{}'",
                Mode::Ordered,
                Mode::OrderedIncrease
            ),
            StateError::Steps { found } => {
                write!(
                    f,
                    "a funnel state has 1 to {STEPS_MAX} steps, found {found}"
                )
            }
            StateError::Time => f.write_str(
                "a time at the very beginning or end of the 64-bit range cannot be kept in a \
                 funnel state",
            ),
            StateError::Window { asked, made } => write!(
                f,
                "the funnel state was made for {}, so it cannot answer for {}; make the states \
                 again with that window",
                Window(*made),
                Window(*asked)
            ),
            StateError::Shapes { one, other } => write!(
                f,
                "funnel states of different funnels cannot be merged: {one} and {other}"
            ),
            StateError::Overlap { end, begin } => write!(
                f,
                "funnel states can be merged only if their segments follow each other in time: \
                 one ends at {end}, the next begins at {begin}"
            ),
            StateError::Bytes { reason } => write!(f, "not a funnel state: {reason}"),
        }
    }
}

impl Error for StateError {}

impl fmt::Display for StateShape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (steps, window) = (self.steps, Window(self.window));
        write!(f, "{steps} steps, mode '{}', {window}", self.mode)?;
        match self.unit {
            0 => Ok(()),
            unit => write!(f, ", unit of time {unit}"),
        }
    }
}

struct Window(Option<u64>);

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(window) => write!(f, "a window of {window}"),
            None => f.write_str("an unbounded window"),
        }
    }
}

#[cfg(test)]
mod tests;
