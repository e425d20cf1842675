//! The entrance: one history in, one answer out, by the mode of the funnel.

use std::ops::Range;

use crate::attempts::Attempts;
use crate::dialect::clickhouse::{self, ClickHouse, Scan};
use crate::dialect::{doris, pinot, posthog, starrocks};
use crate::loose::Loose;
use crate::next::Next;
use crate::ordered::Ordered;
use crate::parts::{Parts, Verdict};
use crate::unordered::Unordered;
use crate::{Count, Mode, Spec, set};

/// One row of a history: when it happened, and which steps it satisfies (bit 0 is the first step).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// Any unit, the same for all rows and for the window.
    pub time: i64,
    /// After the bits of the steps, one for each exclusion; those above are ignored.
    pub mask: u64,
}

/// Evaluates a funnel over one history after the other, reusing its memory.
///
/// Rows are given in the order of their times; rows of the same time in any order, unless the mode
/// [depends on it](Mode::depends_on_row_order). `level` and `reached` take O(rows · steps) time; with
/// exclusions once for each beginning whose rows hold an excluded one, with optional steps once for
/// each set of them. The room needed does not depend on the rows, except for those of one instant
/// and with these two options.
#[derive(Debug)]
pub struct Matcher {
    spec: Spec,
    machine: Machine,
    chain: Vec<Option<usize>>,
}

/// How a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// The number of the last required step reached; 0 if none.
    pub level: usize,
    /// What became of the key.
    pub state: State,
    /// How often it began; with option `count` unique, whether it did.
    pub attempts: usize,
    /// How often it reached the last step; with option `count` unique, whether it did.
    pub completions: usize,
    /// The excluded row that hit the best of the attempts that were hit; the key itself is excluded
    /// only if its state says so.
    pub hit: Option<Hit>,
}

/// An excluded row ended an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hit {
    /// Its position.
    pub row: usize,
    /// The exclusion.
    pub exclusion: usize,
    /// When the attempt began.
    pub entry: i64,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It reached the last required step.
    Converted,
    /// It did not, and no later row can help it.
    Dropped,
    /// It did not, but rows that come at `as_of` or later could take it further: from any of its
    /// beginnings whose window is not over, not only the one that got furthest.
    Open,
    /// It did not, excluded rows ended its attempts, and it is not open. With action `drop` it has
    /// reached no step.
    Excluded,
}

impl State {
    /// What counts more where several histories stand for one key: the level, then what can still
    /// become more, then what nothing ended. A key that an excluded row takes out of all counts did
    /// begin.
    pub fn rank(self, level: usize) -> (usize, u8) {
        let state = match self {
            Self::Converted => 3,
            Self::Open => 2,
            Self::Excluded => u8::from(level == 0),
            Self::Dropped => u8::from(level > 0),
        };
        (level, state)
    }
}

#[derive(Debug)]
enum Machine {
    Ordered(Ordered),
    Attempts(Box<Attempts>),
    Parts(Parts),
    RowMany(Scan),
    Next(Next),
    Unordered(Unordered),
    Set,
    Loose(Loose),
    ClickHouse(clickhouse::WindowFunnel),
    Doris(doris::WindowFunnel),
    StarRocks(starrocks::WindowFunnel),
    Pinot(pinot::MaxStep),
    PostHog(posthog::Funnel),
}

impl Matcher {
    /// A matcher for `spec`.
    pub fn new(spec: Spec) -> Self {
        let shape = spec.shape();
        let machine = match spec.mode() {
            Mode::Ordered if spec.row_many() => {
                Machine::RowMany(Scan::new(ClickHouse::default(), shape))
            }
            Mode::Ordered | Mode::OrderedIncrease if spec.options().is_of_parts() => {
                Machine::Parts(Parts::new(&spec))
            }
            Mode::Ordered | Mode::OrderedIncrease if spec.options().is_of_attempts() => {
                let increase = spec.mode() == Mode::OrderedIncrease;
                Machine::Attempts(Box::new(Attempts::new(&spec, increase)))
            }
            Mode::Ordered => Machine::Ordered(Ordered::new(shape, false)),
            Mode::OrderedIncrease => Machine::Ordered(Ordered::new(shape, true)),
            Mode::Next { relevant_steps } => Machine::Next(Next::new(shape, relevant_steps)),
            Mode::Unordered { anchored } => Machine::Unordered(Unordered::new(shape, anchored)),
            Mode::Set => Machine::Set,
            Mode::Loose => Machine::Loose(Loose::new(shape)),
            Mode::ClickHouse(modes) => {
                Machine::ClickHouse(clickhouse::WindowFunnel::new(modes, &spec))
            }
            Mode::Doris(mode) => Machine::Doris(doris::WindowFunnel::new(mode, &spec)),
            Mode::StarRocks(modes) => {
                Machine::StarRocks(starrocks::WindowFunnel::new(modes, &spec))
            }
            Mode::Pinot(modes) => Machine::Pinot(pinot::MaxStep::new(modes, &spec)),
            Mode::PostHog(order) => Machine::PostHog(posthog::Funnel::new(order, &spec)),
        };
        Self {
            spec,
            machine,
            chain: Vec::new(),
        }
    }

    /// The funnel that is evaluated.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// The number of the last required step reached; 0 if none.
    pub fn level(&mut self, rows: &[Row]) -> usize {
        check_order(rows);
        match &mut self.machine {
            Machine::Ordered(machine) => machine.level(rows),
            Machine::Attempts(machine) => machine.level(rows),
            Machine::Parts(machine) => machine.level(rows),
            Machine::RowMany(machine) => machine.run::<false>(rows),
            Machine::Next(machine) => machine.level(rows),
            Machine::Unordered(machine) => machine.level(rows),
            Machine::Set => set::level(self.spec.shape(), rows),
            Machine::Loose(machine) => level_of(machine.reached(rows)),
            Machine::ClickHouse(machine) => machine.level(rows),
            Machine::Doris(machine) => machine.level(rows),
            Machine::StarRocks(machine) => machine.level(rows),
            Machine::Pinot(machine) => machine.level(rows),
            Machine::PostHog(machine) => machine.level(rows),
        }
    }

    /// One bit for each step that is reached.
    pub fn reached(&mut self, rows: &[Row]) -> u64 {
        match &mut self.machine {
            Machine::Loose(machine) => {
                check_order(rows);
                machine.reached(rows)
            }
            _ if self.spec.options().optional != 0 => {
                let mut chain = std::mem::take(&mut self.chain);
                self.chain(rows, &mut chain);
                let steps = (0..chain.len()).filter(|step| chain[*step].is_some());
                let reached = steps.fold(0, |reached, step| reached | 1 << step);
                self.chain = chain;
                reached
            }
            _ => first_steps(self.level(rows)),
        }
    }

    /// The level, and into `chain` the positions in `rows` of the rows that reached each step: of
    /// the reported chain, as many as the level says; in modes `loose`, `unordered` and `posthog:`,
    /// and with optional steps or exclusions, one entry for each step, `None` where it has no row.
    pub fn chain(&mut self, rows: &[Row], chain: &mut Vec<Option<usize>>) -> usize {
        check_order(rows);
        chain.clear();
        let found = match &mut self.machine {
            Machine::Ordered(machine) => machine.chain(rows),
            Machine::Attempts(machine) => return machine.chain(rows, chain),
            Machine::Parts(machine) => {
                let verdict = machine.run(rows);
                chain.extend(verdict.chain);
                return verdict.level;
            }
            Machine::RowMany(machine) => machine.chain(rows),
            Machine::ClickHouse(machine) => machine.chain(rows),
            Machine::Doris(machine) => machine.chain(rows),
            Machine::StarRocks(machine) => machine.chain(rows),
            Machine::Pinot(machine) => machine.chain(rows),
            Machine::PostHog(machine) => return machine.chain(rows, chain),
            Machine::Next(machine) => machine.chain(rows),
            Machine::Unordered(machine) => {
                chain.extend_from_slice(machine.chain(rows));
                return chain.iter().flatten().count();
            }
            Machine::Set => return set::chain(self.spec.shape(), rows, chain),
            Machine::Loose(machine) => return level_of(machine.chain(rows, chain)),
        };
        chain.extend(found.iter().copied().map(Some));
        chain.len()
    }

    /// The level, and into `times` when each step was reached: the times of the rows of
    /// [`chain`](Self::chain).
    pub fn trace(&mut self, rows: &[Row], times: &mut Vec<Option<i64>>) -> usize {
        let mut chain = std::mem::take(&mut self.chain);
        let level = self.chain(rows, &mut chain);
        times.clear();
        times.extend(
            chain
                .iter()
                .map(|position| position.map(|position| rows[position].time)),
        );
        self.chain = chain;
        level
    }

    /// How the history ended, by the options `as_of` and `count`.
    pub fn outcome(&mut self, rows: &[Row]) -> Outcome {
        check_order(rows);
        let verdict = match &mut self.machine {
            Machine::Parts(machine) => machine.run(rows),
            _ => {
                let level = self.level(rows);
                let hit = match &self.machine {
                    Machine::PostHog(machine) => machine.hit(),
                    _ => None,
                };
                Verdict {
                    level,
                    excluded: hit.is_some(),
                    hit,
                    chain: Vec::new(),
                }
            }
        };
        let level = verdict.level;
        let as_of = self.spec.options().as_of;
        let state = if level == self.spec.goal() {
            State::Converted
        } else if as_of.is_some_and(|as_of| self.is_open(rows, level, as_of)) {
            State::Open
        } else if verdict.excluded {
            State::Excluded
        } else {
            State::Dropped
        };
        let counted = self.count(rows);
        let (attempts, completions) = counted.unwrap_or((
            usize::from(level > 0),
            usize::from(state == State::Converted),
        ));
        Outcome {
            level,
            state,
            attempts,
            completions,
            hit: verdict.hit,
        }
    }

    /// With option `count` not unique, into `attempts` the positions of the rows of each attempt:
    /// from the instant in which it begins to where it ends. Else all rows are one.
    pub fn attempts(&mut self, rows: &[Row], attempts: &mut Vec<Range<usize>>) {
        check_order(rows);
        attempts.clear();
        match &mut self.machine {
            Machine::Attempts(machine) if self.spec.options().count != Count::Unique => {
                machine.each(rows, |attempt, _| attempts.push(attempt));
            }
            Machine::Parts(machine) if self.spec.options().count != Count::Unique => {
                machine.each_attempt(rows, |attempt, _| attempts.push(attempt));
            }
            _ => attempts.push(0..rows.len()),
        }
    }

    /// How many attempts there are that nothing drops, and how many of them are complete.
    fn count(&mut self, rows: &[Row]) -> Option<(usize, usize)> {
        let steps = self.spec.steps() - self.spec.options().optional.count_ones() as usize;
        let (mut attempts, mut completions) = (0, 0);
        let add = |_, length| {
            attempts += usize::from(length > 0);
            completions += usize::from(length == steps);
        };
        match &mut self.machine {
            _ if self.spec.options().count == Count::Unique => return None,
            Machine::Attempts(machine) => machine.each(rows, add),
            Machine::Parts(machine) => machine.each_attempt(rows, add),
            _ => return None,
        }
        Some((attempts, completions))
    }
}

fn check_order(rows: &[Row]) {
    debug_assert!(
        rows.is_sorted_by_key(|row| row.time),
        "rows are ordered by time"
    );
}

/// The number of the highest step in `reached`.
fn level_of(reached: u64) -> usize {
    (u64::BITS - reached.leading_zeros()) as usize
}

/// One bit for each of the first `level` steps.
fn first_steps(level: usize) -> u64 {
    match level {
        0 => 0,
        _ => u64::MAX >> (crate::STEPS_MAX - level),
    }
}
