//! `window_funnel` of StarRocks.

use std::fmt;

use crate::chains::Chains;
use crate::mode::{Flags, Reason, Taken, set, write_flags};
use crate::spec::Shape;
use crate::ties::bits;
use crate::{Row, Spec};

/// The mode bits of StarRocks' `window_funnel` by name; none of them is `starrocks:default`.
///
/// As in ClickHouse each condition that a row satisfies is an entry of its own, read by time, then
/// by step. What breaks a chain does not end the search: the chain is dropped, and the longest one
/// counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct StarRocks {
    /// Bit 1: a step after the first that was reached and comes again breaks the chain.
    pub deduplication: bool,
    /// Bit 2: a step whose predecessor is not reached breaks the chain. Rows that satisfy no step,
    /// and steps back, do not.
    pub fixed: bool,
    /// Bit 4: each step is later than the one before. Beside another bit the engine forgets the
    /// time of step 1, so that step 2 may have the same time.
    pub increase: bool,
}

impl StarRocks {
    pub(crate) fn parse(flags: Flags<'_>) -> Result<Self, Reason> {
        let mut modes = Self::default();
        flags.each(true, |flag, _| match flag {
            "deduplication" => set(&mut modes.deduplication),
            "fixed" => set(&mut modes.fixed),
            "increase" => set(&mut modes.increase),
            _ => Taken::Unknown("default, or deduplication (bit 1), fixed (2), increase (4)"),
        })?;
        Ok(modes)
    }
}

impl fmt::Display for StarRocks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (self.deduplication, "deduplication"),
            (self.fixed, "fixed"),
            (self.increase, "increase"),
        ];
        if !write_flags(f, &flags)? {
            f.write_str("default")?;
        }
        Ok(())
    }
}

#[derive(Debug)]
pub(crate) struct WindowFunnel {
    modes: StarRocks,
    shape: Shape,
    alive: u64,
    first: Vec<i64>,
    last: Vec<i64>,
    chains: Chains,
    best: Vec<usize>,
    level: usize,
}

impl WindowFunnel {
    pub(crate) fn new(modes: StarRocks, spec: &Spec) -> Self {
        let shape = spec.shape();
        Self {
            modes,
            shape,
            alive: 0,
            first: vec![0; shape.steps],
            last: vec![i64::MIN; shape.steps],
            chains: Chains::new(shape.steps),
            best: Vec::with_capacity(shape.steps),
            level: 0,
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        self.run::<false>(rows);
        self.level
    }

    /// The chain by which the highest level was first reached.
    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[usize] {
        self.run::<true>(rows);
        &self.best
    }

    fn run<const CHAIN: bool>(&mut self, rows: &[Row]) {
        self.alive = 0;
        self.level = 0;
        self.best.clear();
        self.last.fill(i64::MIN);
        let mut at = 0;
        while let Some(row) = rows.get(at)
            && self.level < self.shape.steps
        {
            let mut end = at;
            let mut union = 0;
            while let Some(next) = rows.get(end)
                && next.time == row.time
            {
                union |= next.mask & self.shape.all;
                end += 1;
            }
            for step in bits(union) {
                let has = |position: &usize| rows[*position].mask >> step & 1 == 1;
                for position in (at..end).filter(has) {
                    self.entry::<CHAIN>(row.time, step, position);
                }
            }
            at = end;
        }
    }

    fn entry<const CHAIN: bool>(&mut self, time: i64, step: usize, position: usize) {
        let bit = 1 << step;
        let breaks = self.modes.deduplication || self.modes.fixed;
        if step == 0 {
            self.first[0] = time;
            if !breaks {
                self.last[0] = time;
            }
        } else if self.modes.deduplication && self.alive & bit != 0 {
            self.alive = 0;
            return;
        } else if self.alive & bit >> 1 == 0 {
            if self.modes.fixed {
                self.alive = 0;
            }
            return;
        } else {
            let late = self.modes.increase && self.last[step - 1] >= time;
            if late || !self.shape.within(self.first[step - 1], time) {
                return;
            }
            self.first[step] = self.first[step - 1];
            self.last[step] = time;
        }
        self.alive |= bit;
        if CHAIN {
            self.chains.extend(step, position);
        }
        if step + 1 > self.level {
            self.level = step + 1;
            if CHAIN {
                self.best.clear();
                self.best.extend_from_slice(self.chains.get(step));
            }
        }
    }
}

#[cfg(test)]
mod tests;
