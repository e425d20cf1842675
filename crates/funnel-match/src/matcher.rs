//! The entrance: one history in, one answer out, by the mode of the funnel.

use crate::attempts::Attempts;
use crate::dialect::clickhouse::{self, ClickHouse, Scan};
use crate::dialect::{doris, pinot, posthog, starrocks};
use crate::loose::Loose;
use crate::next::Next;
use crate::ordered::Ordered;
use crate::unordered::Unordered;
use crate::{Count, Mode, Spec, set};

/// One row of a history: when it happened, and which steps it satisfies (bit 0 is the first step).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// Any unit, the same for all rows and for the window.
    pub time: i64,
    /// Bits above the number of steps are ignored.
    pub mask: u64,
}

/// Evaluates a funnel over one history after the other, reusing its memory.
///
/// Rows are given in the order of their times; rows of the same time in any order, unless the mode
/// [depends on it](Mode::depends_on_row_order). `level` and `reached` take O(rows · steps) time; the
/// room needed does not depend on the rows, except for those of one instant.
#[derive(Debug)]
pub struct Matcher {
    spec: Spec,
    machine: Machine,
    chain: Vec<Option<usize>>,
}

/// How a key ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// The number of the last step reached; 0 if none.
    pub level: usize,
    /// What became of the key.
    pub state: State,
    /// How often it began; with option `count` unique, whether it did.
    pub attempts: usize,
    /// How often it reached the last step; with option `count` unique, whether it did.
    pub completions: usize,
}

/// What became of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// It reached the last step.
    Converted,
    /// It did not, and no later row can help it.
    Dropped,
    /// It did not, but the window of its furthest chain is not over at `as_of`.
    Open,
}

#[derive(Debug)]
enum Machine {
    Ordered(Ordered),
    Attempts(Box<Attempts>),
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

    /// The number of the last step reached; 0 if none.
    pub fn level(&mut self, rows: &[Row]) -> usize {
        check_order(rows);
        match &mut self.machine {
            Machine::Ordered(machine) => machine.level(rows),
            Machine::Attempts(machine) => machine.level(rows),
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
            _ => first_steps(self.level(rows)),
        }
    }

    /// The level, and into `chain` the positions in `rows` of the rows that reached each step: of
    /// the reported chain, as many as the level says; in modes `loose`, `unordered` and
    /// `posthog:unordered`
    /// one entry for each step, `None` where it has no row.
    pub fn chain(&mut self, rows: &[Row], chain: &mut Vec<Option<usize>>) -> usize {
        check_order(rows);
        chain.clear();
        let found = match &mut self.machine {
            Machine::Ordered(machine) => machine.chain(rows),
            Machine::Attempts(machine) => return machine.chain(rows, chain),
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
        let level = self.level(rows);
        let state = if level == self.spec.steps() {
            State::Converted
        } else if self.is_open() {
            State::Open
        } else {
            State::Dropped
        };
        let (attempts, completions) = match &mut self.machine {
            Machine::Attempts(machine) if self.spec.options().count != Count::Unique => {
                machine.count(rows, self.spec.steps())
            }
            _ => (
                usize::from(level > 0),
                usize::from(state == State::Converted),
            ),
        };
        Outcome {
            level,
            state,
            attempts,
            completions,
        }
    }

    /// After a run: can a row after `as_of` continue the furthest chain?
    fn is_open(&self) -> bool {
        let Some(as_of) = self.spec.options().as_of else {
            return false;
        };
        let entry = match &self.machine {
            Machine::Ordered(machine) => machine.entry(),
            Machine::Attempts(machine) => machine.entry(),
            _ => None,
        };
        entry.is_some_and(|entry| entry > as_of || self.spec.shape().within(entry, as_of))
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
