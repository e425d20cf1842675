//! The entrance: one history in, one answer out, by the mode of the funnel.

use crate::loose::Loose;
use crate::ordered::Ordered;
use crate::{Mode, Spec};

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
/// Rows are given in the order of their times; rows of the same time in any order. `level` and
/// `reached` take O(rows · steps) time; the room needed does not depend on the rows.
#[derive(Debug)]
pub struct Matcher {
    spec: Spec,
    machine: Machine,
}

#[derive(Debug)]
enum Machine {
    Ordered(Ordered),
    Loose(Loose),
}

impl Matcher {
    /// A matcher for `spec`.
    pub fn new(spec: Spec) -> Self {
        let machine = match spec.mode() {
            Mode::Ordered => Machine::Ordered(Ordered::new(spec)),
            Mode::Loose => Machine::Loose(Loose::new(spec)),
        };
        Self { spec, machine }
    }

    /// The funnel that is evaluated.
    pub fn spec(&self) -> Spec {
        self.spec
    }

    /// The number of the last step reached; 0 if none.
    pub fn level(&mut self, rows: &[Row]) -> usize {
        debug_assert!(
            rows.is_sorted_by_key(|row| row.time),
            "rows are ordered by time"
        );
        match &mut self.machine {
            Machine::Ordered(machine) => machine.level(rows),
            Machine::Loose(machine) => level_of(machine.reached(rows)),
        }
    }

    /// One bit for each step that is reached.
    pub fn reached(&mut self, rows: &[Row]) -> u64 {
        debug_assert!(
            rows.is_sorted_by_key(|row| row.time),
            "rows are ordered by time"
        );
        match &mut self.machine {
            Machine::Ordered(machine) => first_steps(machine.level(rows)),
            Machine::Loose(machine) => machine.reached(rows),
        }
    }

    /// The level, and into `times` when each step was reached: in mode `ordered` the times of the
    /// reported chain, as many as the level says; in mode `loose` one entry for each step, `None`
    /// where it was not reached.
    pub fn trace(&mut self, rows: &[Row], times: &mut Vec<Option<i64>>) -> usize {
        debug_assert!(
            rows.is_sorted_by_key(|row| row.time),
            "rows are ordered by time"
        );
        times.clear();
        match &mut self.machine {
            Machine::Ordered(machine) => {
                times.extend(machine.chain(rows).iter().copied().map(Some));
                times.len()
            }
            Machine::Loose(machine) => level_of(machine.trace(rows, times)),
        }
    }
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
