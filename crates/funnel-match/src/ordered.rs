//! Modes `ordered` and `ordered,increase`: the longest chain, exactly, in one pass.
//!
//! For each length the machine keeps the latest time at which a chain of that length begins. That
//! is enough: of two chains of the same length, the one that begins later can do everything the
//! other can.

use std::ops::Range;

use crate::Row;
use crate::chains::Chains;
use crate::limits::Limits;
use crate::spec::Shape;
use crate::ties::{Ties, bits};

#[derive(Debug)]
pub(crate) struct Ordered {
    shape: Shape,
    /// Must times increase from step to step?
    increase: bool,
    /// Does a row that satisfies no step end the run, once it has begun? And does a step whose
    /// predecessor has not been reached?
    stop: Option<bool>,
    /// Does only the first row of step 1 begin a chain?
    first_only: bool,
    /// Is the run over where no chain can go on?
    ending: bool,
    /// What may not lie between steps.
    limits: Option<Box<Limits>>,
    /// The steps that rows are still looked at for.
    open: u64,
    /// How many rows the last run looked at.
    seen: usize,
    /// Which lengths have been reached: bit `i` stands for chains of `i + 1` rows.
    alive: u64,
    /// The latest beginning of a chain of `i + 1` rows.
    entry: Vec<i64>,
    /// The rows of that chain.
    chains: Chains,
    /// The first longest chain; with exclusions, of those that are not hit.
    winner: Vec<usize>,
    /// The length that `winner` has or had.
    longest: usize,
    ties: Ties,
    /// For each length, the chain that the present tie group makes: when it begins, and how many
    /// of its rows come from before the group.
    made: Vec<(i64, usize)>,
    /// For each length before the group, the rows of the group that continue it.
    given: Vec<usize>,
}

impl Ordered {
    pub(crate) fn new(shape: Shape, increase: bool) -> Self {
        let steps = shape.steps;
        Self {
            shape,
            increase,
            stop: None,
            first_only: false,
            ending: false,
            limits: None,
            open: shape.all,
            seen: 0,
            alive: 0,
            entry: vec![0; steps],
            chains: Chains::new(steps),
            winner: Vec::with_capacity(steps),
            longest: 0,
            ties: Ties::new(steps),
            made: vec![(0, 0); steps],
            given: vec![0; steps * steps],
        }
    }

    /// With a row that satisfies no step as the end of the run, and, if `Some(true)`, a step whose
    /// predecessor has not been reached.
    pub(crate) fn stopping(mut self, stop: Option<bool>) -> Self {
        self.stop = stop;
        self
    }

    /// With what may not lie between steps.
    pub(crate) fn limited(mut self, limits: Option<Limits>) -> Self {
        self.limits = limits.map(Box::new);
        self
    }

    /// Only the first row of step 1 begins a chain.
    pub(crate) fn first_only(mut self) -> Self {
        self.first_only = true;
        self
    }

    /// The run is over before the first row that no chain could take, were it of the right step.
    pub(crate) fn ending(mut self) -> Self {
        self.ending = true;
        self
    }

    /// How many rows the last run looked at.
    pub(crate) fn seen(&self) -> usize {
        self.seen
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        self.run::<false>(rows)
    }

    /// The positions of the rows of the reported chain.
    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[usize] {
        self.run::<true>(rows);
        &self.winner
    }

    /// After a run with chains: the longest one whose rows are the latest, hit or not.
    pub(crate) fn newest(&self) -> &[usize] {
        match self.length() {
            0 => &[],
            length => self.chains.get(length - 1),
        }
    }

    fn run<const CHAIN: bool>(&mut self, rows: &[Row]) -> usize {
        self.alive = 0;
        self.winner.clear();
        self.longest = 0;
        if let Some(limits) = &mut self.limits {
            limits.begin();
        }
        self.open = self.shape.all;
        let all = self.shape.all;
        let mut at = 0;
        while let Some(row) = rows.get(at) {
            if self.first_only && self.alive != 0 {
                // Nothing else begins.
                if !self.shape.within(self.entry[0], row.time)
                    || self.ending && !self.goes_on(row.time)
                {
                    break;
                }
                self.open &= !1;
            }
            let same = rows[at + 1..].iter();
            let end = at + 1 + same.take_while(|other| other.time == row.time).count();
            if self.stop.is_some()
                && self.alive != 0
                && rows[at..end].iter().any(|row| row.mask & all == 0)
            {
                break;
            }
            if end == at + 1 {
                self.push::<CHAIN>(row.time, row.mask & self.open, |_| at);
            } else {
                self.push_group::<CHAIN>(at, &rows[at..end]);
            }
            if CHAIN {
                self.find_winner(rows, at..end);
            }
            if let Some(limits) = &mut self.limits {
                limits.pass(&rows[at..end]);
            }
            if self.length() == self.shape.steps {
                at = end;
                break; // Nothing is longer, and the first chain is the one reported.
            }
            if self.stop == Some(true) && self.is_premature(&rows[at..end]) {
                break;
            }
            at = end;
        }
        self.seen = at;
        self.length()
    }

    /// After the rows of an instant: the first longest chain that none of them hits.
    fn find_winner(&mut self, rows: &[Row], now: Range<usize>) {
        let length = self.length();
        if length > self.longest {
            self.longest = length;
            self.winner.clear();
        }
        if length == 0 || self.winner.len() == length && !self.is_hit(&self.winner, rows, &now) {
            return;
        }
        self.winner.clear();
        let time = rows[now.start].time;
        let is_new = |limits: &Limits| limits.is_new(length - 1, time);
        let chain = self.chains.get(length - 1);
        if self.limits.as_deref().is_none_or(is_new) && !self.is_hit(chain, rows, &now) {
            self.winner.extend_from_slice(chain);
        }
    }

    /// Does one of the rows at `now` hit `chain`?
    fn is_hit(&self, chain: &[usize], rows: &[Row], now: &Range<usize>) -> bool {
        let Some(limits) = &self.limits else {
            return false;
        };
        let time_of = |step: usize| rows[chain[step]].time;
        self.shape.within(time_of(0), rows[now.start].time)
            && rows[now.clone()]
                .iter()
                .any(|row| limits.hits(row, chain.len(), time_of).next().is_some())
    }

    /// The longest chain so far.
    fn length(&self) -> usize {
        (u64::BITS - self.alive.leading_zeros()) as usize
    }

    /// Is there a step among `rows` whose predecessor has not been reached, though the first has?
    fn is_premature(&self, rows: &[Row]) -> bool {
        let union = rows.iter().fold(0, |union, row| union | row.mask);
        self.alive != 0 && union & self.shape.all & !(self.alive << 1 | 1) != 0
    }

    /// Rows that serve one step each: longest chains first, so that a row does not continue what it
    /// has made itself.
    fn push<const CHAIN: bool>(&mut self, time: i64, mask: u64, row: impl Fn(usize) -> usize) {
        let mut steps = mask & (self.alive << 1 | 1);
        while steps != 0 {
            let step = steps.ilog2() as usize;
            steps ^= 1 << step;
            let begin = match step {
                0 => time,
                _ => self.entry[step - 1],
            };
            let follows = step == 0 || self.shape.within(begin, time) && self.near(step, time);
            if follows && self.set(step, step, begin, time) && CHAIN {
                self.chains.extend(step, row(step));
            }
        }
    }

    /// Rows of the same instant, the first at position `at`: what they make of the state before
    /// them, all at once.
    fn push_group<const CHAIN: bool>(&mut self, at: usize, rows: &[Row]) {
        let all = self.open;
        let time = rows[0].time;
        if self.increase {
            let union = rows.iter().fold(0, |union, row| union | row.mask);
            let first = |step: usize| rows.iter().position(|row| row.mask >> step & 1 == 1);
            self.push::<CHAIN>(time, union & all, |step| at + first(step).unwrap_or(0));
            return;
        }
        let masks = rows.iter().map(|row| row.mask & all).enumerate();
        self.ties.load(masks.filter(|(_, mask)| *mask != 0));
        let mut made = 0_u64;
        for base in 0..self.shape.steps {
            let begin = match base {
                0 => time,
                _ if self.alive >> (base - 1) & 1 == 0 => break,
                _ => self.entry[base - 1],
            };
            if !self.shape.within(begin, time) {
                break; // Longer chains begin no later.
            }
            if base > 0 && !self.near(base, time) {
                continue;
            }
            let end = base + self.ties.run_from(base);
            if CHAIN {
                let given = &mut self.given[base * self.shape.steps..][..end - base];
                self.ties.rows_of(base, given);
            }
            for step in base..end {
                // Of the same beginning, fewer rows of this instant make earlier steps; with limits,
                // more of them leave more open.
                let known = self.made[step].0;
                if made >> step & 1 == 0 || begin > known || begin == known && self.limits.is_none()
                {
                    made |= 1 << step;
                    self.made[step] = (begin, base);
                }
            }
        }
        let made_steps = (0..self.shape.steps).rev();
        for step in made_steps.filter(|step| made >> step & 1 == 1) {
            let (begin, base) = self.made[step];
            if self.set(step, base, begin, time) && CHAIN {
                let given = self.given[base * self.shape.steps..].iter();
                self.chains
                    .join(step, base, given.map(|position| at + position));
            }
        }
    }

    /// Could a row of `time`, which is in the window, continue a chain?
    fn goes_on(&self, time: i64) -> bool {
        self.limits.is_none() || bits(self.alive).any(|last| self.near(last + 1, time))
    }

    /// Do the limits allow that `step` follows the step before it?
    fn near(&self, step: usize, time: i64) -> bool {
        let allow = |limits: &Limits| limits.allow(step, time);
        self.limits.as_deref().is_none_or(allow)
    }

    /// Keeps the beginning of a chain that ends with `step`, if it is later than the one known. The
    /// chain is the one of length `base` and rows of this instant.
    ///
    /// With limits, the newest of those that begin at the same time: it can do everything the others
    /// can.
    fn set(&mut self, step: usize, base: usize, begin: i64, time: i64) -> bool {
        if self.alive >> step & 1 == 1
            && begin <= self.entry[step]
            && (self.limits.is_none() || begin < self.entry[step])
        {
            return false;
        }
        if let Some(limits) = &mut self.limits {
            limits.set(step, base, time);
        }
        self.alive |= 1 << step;
        self.entry[step] = begin;
        true
    }
}

#[cfg(test)]
mod tests;
