//! `window_funnel` of Doris, second version (4.1).

use std::fmt;

use crate::chains::Chains;
use crate::mode::{Flags, Reason, Taken, set};
use crate::spec::Shape;
use crate::{Row, Spec};

/// The mode of Doris's `window_funnel`.
///
/// Rows of the same time are read in the order given, a row fills one step of a chain, and rows
/// that satisfy no step do not matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Doris {
    /// For each level the chain that came last is known; other rows may lie between.
    #[default]
    Default,
    /// Every row of step 1 is tried as a beginning. A row of an earlier step or of the same between
    /// two steps ends the attempt, a row of step 1 too.
    Deduplication,
    /// Every row of step 1 is tried. The next row must be one of the next step.
    Fixed,
    /// Every row of step 1 is tried. Each step is later than the last row of the step before.
    Increase,
}

impl Doris {
    pub(crate) fn parse(flags: Flags<'_>) -> Result<Self, Reason> {
        let mut mode = Self::Default;
        let mut chosen = false;
        flags.each(true, |flag, _| {
            mode = match flag {
                "deduplication" => Self::Deduplication,
                "fixed" => Self::Fixed,
                "increase" => Self::Increase,
                _ => {
                    return Taken::Unknown("one of default, deduplication, fixed, increase");
                }
            };
            match set(&mut chosen) {
                Taken::Twice => Taken::Value("comes after another; Doris has one mode at a time"),
                taken => taken,
            }
        })?;
        Ok(mode)
    }
}

impl fmt::Display for Doris {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Default => "default",
            Self::Deduplication => "deduplication",
            Self::Fixed => "fixed",
            Self::Increase => "increase",
        })
    }
}

#[derive(Debug)]
pub(crate) struct WindowFunnel {
    mode: Doris,
    shape: Shape,
    alive: u64,
    first: Vec<i64>,
    last: Vec<i64>,
    chains: Chains,
    attempt: Vec<usize>,
    best: Vec<usize>,
}

impl WindowFunnel {
    pub(crate) fn new(mode: Doris, spec: &Spec) -> Self {
        let shape = spec.shape();
        Self {
            mode,
            shape,
            alive: 0,
            first: vec![0; shape.steps],
            last: vec![0; shape.steps],
            chains: Chains::new(shape.steps),
            attempt: Vec::with_capacity(shape.steps),
            best: Vec::with_capacity(shape.steps),
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        match self.mode {
            Doris::Default => self.scan::<false>(rows, 0),
            _ => self.chain(rows).len(),
        }
    }

    /// The chain by which the highest level was first reached.
    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[usize] {
        self.best.clear();
        if self.mode == Doris::Default {
            self.scan::<true>(rows, 0);
            return &self.best;
        }
        for (at, row) in rows.iter().enumerate() {
            if self.best.len() == self.shape.steps {
                break;
            }
            if row.mask & 1 == 0 {
                continue;
            }
            match self.mode {
                Doris::Increase => {
                    self.scan::<true>(&rows[at..], at);
                }
                _ => self.attempt(rows, at),
            }
        }
        &self.best
    }

    /// The newest chain of each level; with `Increase`, of those that begin with the first row.
    fn scan<const CHAIN: bool>(&mut self, rows: &[Row], base: usize) -> usize {
        self.alive = 0;
        let increase = self.mode == Doris::Increase;
        let goal = 1 << (self.shape.steps - 1);
        for (at, row) in rows.iter().enumerate() {
            if increase && !self.shape.within(rows[0].time, row.time) {
                break;
            }
            // Steps from high to low: a row does not continue what it has made itself.
            let mut steps = row.mask & self.shape.all & (self.alive << 1 | 1);
            if increase && at > 0 {
                steps &= !1;
            }
            while steps != 0 {
                let step = steps.ilog2() as usize;
                steps ^= 1 << step;
                let begin = match step {
                    0 => row.time,
                    _ => self.first[step - 1],
                };
                let late = increase && step > 0 && self.last[step - 1] >= row.time;
                if late || !self.shape.within(begin, row.time) {
                    continue;
                }
                self.alive |= 1 << step;
                self.first[step] = begin;
                self.last[step] = row.time;
                if CHAIN {
                    self.chains.extend(step, base + at);
                }
            }
            if CHAIN && self.reached() > self.best.len() {
                self.best.clear();
                let chain = self.chains.get(self.reached() - 1);
                self.best.extend_from_slice(chain);
            }
            if self.alive & goal != 0 {
                break;
            }
        }
        self.reached()
    }

    fn reached(&self) -> usize {
        (u64::BITS - self.alive.leading_zeros()) as usize
    }

    /// The attempt that begins with the row at `at`, in modes `Deduplication` and `Fixed`.
    fn attempt(&mut self, rows: &[Row], at: usize) {
        self.attempt.clear();
        self.attempt.push(at);
        for (later, row) in rows.iter().enumerate().skip(at + 1) {
            let next = 1_u64 << self.attempt.len();
            let mask = row.mask & self.shape.all;
            if self.attempt.len() == self.shape.steps || !self.shape.within(rows[at].time, row.time)
            {
                break;
            }
            let interrupts = match self.mode {
                Doris::Fixed => mask != 0,
                _ => mask & (next - 1) != 0,
            };
            if mask & next != 0 {
                self.attempt.push(later);
            } else if interrupts {
                break;
            }
        }
        if self.attempt.len() > self.best.len() {
            std::mem::swap(&mut self.attempt, &mut self.best);
        }
    }
}

#[cfg(test)]
mod tests;
