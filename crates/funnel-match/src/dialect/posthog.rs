//! The funnels of PostHog.

use std::collections::VecDeque;
use std::fmt;

use crate::mode::{Flags, Reason, Taken, set};
use crate::spec::Shape;
use crate::ties::bits;
use crate::{Row, Spec};

/// The order types of PostHog's funnels.
///
/// Rows of the same time are read in the order given, where they are not sorted by step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PostHog {
    /// The latest beginning of each level is known, and a row moves it by one level, the highest
    /// step first. Rows of the same time that satisfy different steps are taken apart and read by
    /// step; none is used twice in a chain.
    Ordered,
    /// As `Ordered`, and a row clears every level but those of its steps. Rows that satisfy no step
    /// clear all. Rows of the same time with different steps clear nothing.
    Strict,
    /// The level is the number of different steps among the rows of a window. A row counts for one
    /// of its steps: the one seen longest ago.
    Unordered,
}

impl PostHog {
    pub(crate) fn parse(flags: Flags<'_>) -> Result<Self, Reason> {
        let mut order = None;
        let mut chosen = false;
        flags.each(false, |flag, _| {
            order = match flag {
                "ordered" => Some(Self::Ordered),
                "strict" => Some(Self::Strict),
                "unordered" => Some(Self::Unordered),
                _ => return Taken::Unknown(KNOWN),
            };
            match set(&mut chosen) {
                Taken::Twice => Taken::Value("comes after another; a funnel has one order"),
                taken => taken,
            }
        })?;
        order.ok_or(Reason::Flag {
            flag: String::new(),
            known: KNOWN,
        })
    }
}

const KNOWN: &str = "one of ordered, strict, unordered";

impl fmt::Display for PostHog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ordered => "ordered",
            Self::Strict => "strict",
            Self::Unordered => "unordered",
        })
    }
}

#[derive(Debug)]
pub(crate) enum Funnel {
    Ordered(Ordered),
    Unordered(Unordered),
}

impl Funnel {
    pub(crate) fn new(order: PostHog, spec: &Spec) -> Self {
        let shape = spec.shape();
        match order {
            PostHog::Unordered => Self::Unordered(Unordered::new(shape)),
            _ => Self::Ordered(Ordered::new(shape, order == PostHog::Strict)),
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        match self {
            Self::Ordered(machine) => machine.run(rows).len(),
            Self::Unordered(machine) => machine.run(rows).iter().flatten().count(),
        }
    }

    pub(crate) fn chain(&mut self, rows: &[Row], chain: &mut Vec<Option<usize>>) -> usize {
        match self {
            Self::Ordered(machine) => chain.extend(machine.run(rows).iter().copied().map(Some)),
            Self::Unordered(machine) => chain.extend_from_slice(machine.run(rows)),
        }
        chain.iter().flatten().count()
    }
}

#[derive(Debug)]
pub(crate) struct Ordered {
    shape: Shape,
    strict: bool,
    alive: u64,
    entry: Vec<i64>,
    chains: crate::chains::Chains,
    best: Vec<usize>,
}

impl Ordered {
    fn new(shape: Shape, strict: bool) -> Self {
        Self {
            shape,
            strict,
            alive: 0,
            entry: vec![0; shape.steps],
            chains: crate::chains::Chains::new(shape.steps),
            best: Vec::with_capacity(shape.steps),
        }
    }

    fn run(&mut self, rows: &[Row]) -> &[usize] {
        self.alive = 0;
        self.best.clear();
        let goal = 1 << (self.shape.steps - 1);
        let mut at = 0;
        while let Some(row) = rows.get(at)
            && self.alive & goal == 0
        {
            let same = rows[at..].iter().take_while(|other| other.time == row.time);
            let end = at + same.count();
            let group = &rows[at..end];
            let mask_of = |row: &Row| row.mask & self.shape.all;
            if group.iter().all(|other| mask_of(other) == mask_of(row)) {
                let mask = mask_of(row);
                for position in at..end {
                    self.row(row.time, mask, position);
                }
            } else {
                let union = group.iter().fold(0, |union, row| union | row.mask);
                for step in bits(union & self.shape.all) {
                    let has = |position: &usize| rows[*position].mask >> step & 1 == 1;
                    for position in (at..end).filter(has) {
                        self.step(row.time, step, position, true);
                    }
                }
            }
            at = end;
        }
        &self.best
    }

    fn row(&mut self, time: i64, mask: u64, position: usize) {
        let mut steps = mask;
        while steps != 0 {
            let step = steps.ilog2() as usize;
            steps ^= 1 << step;
            self.step(time, step, position, false);
        }
        if self.strict {
            self.alive &= mask;
        }
    }

    /// With `different`, a row that the chain has used already does not continue it.
    fn step(&mut self, time: i64, step: usize, position: usize, different: bool) {
        let begin = if step == 0 {
            time
        } else if self.alive >> (step - 1) & 1 == 1 {
            self.entry[step - 1]
        } else {
            return;
        };
        let reached = self.alive >> step & 1 == 1 && self.entry[step] == begin;
        let used = || different && step > 0 && self.chains.get(step - 1).contains(&position);
        if reached || !self.shape.within(begin, time) || used() {
            return;
        }
        self.alive |= 1 << step;
        self.entry[step] = begin;
        self.chains.extend(step, position);
        if step + 1 > self.best.len() {
            self.best.clear();
            self.best.extend_from_slice(self.chains.get(step));
        }
    }
}

#[derive(Debug)]
pub(crate) struct Unordered {
    shape: Shape,
    /// For each step the rows that count for it, with their times, oldest first.
    queues: Vec<VecDeque<(i64, usize)>>,
    /// The oldest row of each step, when the most steps were there.
    best: Vec<Option<usize>>,
}

impl Unordered {
    fn new(shape: Shape) -> Self {
        Self {
            shape,
            queues: vec![VecDeque::new(); shape.steps],
            best: vec![None; shape.steps],
        }
    }

    fn run(&mut self, rows: &[Row]) -> &[Option<usize>] {
        self.queues.iter_mut().for_each(VecDeque::clear);
        self.best.fill(None);
        for (position, row) in rows.iter().enumerate() {
            self.leave(row.time);
            // The step whose last row is the oldest, or that has none; of several the first.
            let mask = row.mask & self.shape.all;
            let last = |step: &usize| self.queues[*step].back().map(|(time, _)| *time);
            if let Some(step) = bits(mask).min_by_key(last) {
                self.queues[step].push_back((row.time, position));
            }
            if self.best.iter().all(Option::is_some) {
                break;
            }
        }
        self.remember();
        &self.best
    }

    fn steps(&self) -> usize {
        self.queues.iter().filter(|queue| !queue.is_empty()).count()
    }

    /// Drops the rows that cannot be with one of `time`; all of them, once every step is there.
    fn leave(&mut self, time: i64) {
        loop {
            let fronts = self.queues.iter().enumerate();
            let oldest = fronts
                .filter_map(|(step, queue)| queue.front().map(|(time, _)| (*time, step)))
                .min();
            let Some((oldest, step)) = oldest else { return };
            if self.steps() < self.shape.steps && self.shape.within(oldest, time) {
                return;
            }
            self.remember();
            self.queues[step].pop_front();
        }
    }

    fn remember(&mut self) {
        if self.steps() > self.best.iter().flatten().count() {
            for (best, queue) in self.best.iter_mut().zip(&self.queues) {
                *best = queue.front().map(|(_, position)| *position);
            }
        }
    }
}

#[cfg(test)]
mod tests;
