//! Mode `next`: chains of rows that follow each other directly.
//!
//! A chain ends with the row before the next one, so there is at most one of each length to know:
//! the one that begins last.

use crate::Row;
use crate::chains::Chains;
use crate::spec::Shape;
use crate::ties::Ties;

#[derive(Debug)]
pub(crate) struct Next {
    shape: Shape,
    /// Are rows that satisfy no step overlooked?
    relevant_only: bool,
    /// Lengths of chains that end with the last row.
    alive: u64,
    /// When they begin.
    entry: Vec<i64>,
    chains: Chains,
    level: usize,
    winner: Vec<usize>,
    ties: Ties,
    given: Vec<usize>,
}

impl Next {
    pub(crate) fn new(shape: Shape, relevant_only: bool) -> Self {
        let steps = shape.steps;
        Self {
            shape,
            relevant_only,
            alive: 0,
            entry: vec![0; steps],
            chains: Chains::new(steps),
            level: 0,
            winner: Vec::with_capacity(steps),
            ties: Ties::new(steps),
            given: vec![0; steps],
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        self.run::<false>(rows);
        self.level
    }

    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[usize] {
        self.run::<true>(rows);
        &self.winner
    }

    fn run<const CHAIN: bool>(&mut self, rows: &[Row]) {
        self.alive = 0;
        self.level = 0;
        self.winner.clear();
        let mut at = 0;
        while let Some(row) = rows.get(at)
            && self.level < self.shape.steps
        {
            let same = rows[at + 1..].iter();
            let end = at + 1 + same.take_while(|other| other.time == row.time).count();
            if end > at + 1 {
                self.push_group::<CHAIN>(at, &rows[at..end]);
            } else if row.mask & self.shape.all != 0 || !self.relevant_only {
                self.push::<CHAIN>(row, at);
            }
            at = end;
        }
    }

    fn push<const CHAIN: bool>(&mut self, row: &Row, at: usize) {
        let before = self.alive;
        let mut steps = row.mask & self.shape.all & (before << 1 | 1);
        self.alive = 0;
        while steps != 0 {
            let step = steps.ilog2() as usize;
            steps ^= 1 << step;
            let begin = match step {
                0 => row.time,
                _ => self.entry[step - 1],
            };
            if !self.shape.within(begin, row.time) {
                continue;
            }
            self.alive |= 1 << step;
            self.entry[step] = begin;
            if CHAIN {
                self.chains.extend(step, at);
            }
            if step + 1 > self.level {
                self.level = step + 1;
                if CHAIN {
                    self.winner.clear();
                    self.winner.extend_from_slice(self.chains.get(step));
                }
            }
        }
    }

    /// Rows of the same instant follow each other in whatever order helps. A chain from before goes
    /// on after them only if it takes them all; one that begins among them may leave others before
    /// its beginning.
    fn push_group<const CHAIN: bool>(&mut self, at: usize, rows: &[Row]) {
        let all = self.shape.all;
        let time = rows[0].time;
        let masks = rows.iter().map(|row| row.mask & all).enumerate();
        self.ties.load(masks.filter(|(_, mask)| *mask != 0));
        let relevant = match self.relevant_only {
            true => rows.iter().filter(|row| row.mask & all != 0).count(),
            false => rows.len(),
        };
        if relevant == 0 {
            return;
        }
        let before = std::mem::take(&mut self.alive);
        let mut completed = None;
        // From long chains to short ones: what is made is longer than what is still needed.
        for base in (0..self.shape.steps).rev() {
            let begin = match base {
                0 => time,
                _ if before >> (base - 1) & 1 == 0 => continue,
                _ => self.entry[base - 1],
            };
            if !self.shape.within(begin, time) {
                continue;
            }
            let run = self.ties.run_from(base);
            let level = base + run;
            if CHAIN {
                self.ties.rows_of(base, &mut self.given[..run]);
                self.given[..run].iter_mut().for_each(|row| *row += at);
            }
            // Of chains that complete a level now, the one that begins last.
            if level > self.level || completed.is_some_and(|best| (level, begin) > best) {
                self.level = level;
                completed = Some((level, begin));
                if CHAIN {
                    self.winner.clear();
                    if base > 0 {
                        self.winner.extend_from_slice(self.chains.get(base - 1));
                    }
                    self.winner.extend_from_slice(&self.given[..run]);
                }
            }
            let goes_on = match base {
                0 => 1..run + 1,
                _ if run >= relevant => base + relevant..base + relevant + 1,
                _ => continue,
            };
            for length in goes_on {
                self.alive |= 1 << (length - 1);
                self.entry[length - 1] = begin;
                if CHAIN {
                    let given = self.given[..length - base].iter().copied();
                    self.chains.join(length - 1, base, given);
                }
            }
        }
    }
}
