//! `strict_deduplication` with `strict_once`.
//!
//! The first row that reaches a step after the first is the only one that does, because the next
//! one ends the evaluation. So all chains of a level differ in their first row only, and of the
//! possible first rows the latest matter: as many as there are steps, since each later row can rule
//! out but one.

use super::ClickHouse;
use crate::Row;
use crate::spec::Shape;
use crate::ties::bits;

#[derive(Debug)]
pub(crate) struct FirstOnce {
    modes: ClickHouse,
    shape: Shape,
    /// Rows of step 1 before the present instant with the latest times, oldest first; then, of the
    /// present instant.
    entries: Vec<usize>,
    /// Those among which the first row of the present chains is, oldest first.
    candidates: Vec<usize>,
    /// The rows of the steps after the first.
    fixed: Vec<usize>,
    chain: Vec<usize>,
}

impl FirstOnce {
    pub(crate) fn new(modes: ClickHouse, shape: Shape) -> Self {
        Self {
            modes,
            shape,
            entries: Vec::with_capacity(2 * shape.steps),
            candidates: Vec::with_capacity(2 * shape.steps),
            fixed: Vec::with_capacity(shape.steps),
            chain: Vec::with_capacity(shape.steps),
        }
    }

    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[usize] {
        self.run(rows);
        self.chain.clear();
        let first = match self.fixed.is_empty() {
            true => self.entries.last(),
            false => self.candidates.last(),
        };
        self.chain.extend(first);
        self.chain.extend(&self.fixed);
        &self.chain
    }

    pub(crate) fn run(&mut self, rows: &[Row]) -> usize {
        self.entries.clear();
        self.candidates.clear();
        self.fixed.clear();
        let mut at = 0;
        while let Some(row) = rows.get(at) {
            let same = rows[at..].iter().take_while(|other| other.time == row.time);
            let end = at + same.count();
            if self.group(rows, at..end) || self.level() == self.shape.steps {
                break;
            }
            at = end;
        }
        self.level()
    }

    fn level(&self) -> usize {
        usize::from(!self.entries.is_empty()) + self.fixed.len()
    }

    /// Takes the rows of one instant. Is the evaluation over?
    fn group(&mut self, rows: &[Row], group: std::ops::Range<usize>) -> bool {
        let all = self.shape.all;
        let members = &rows[group.clone()];
        let irrelevant = || members.iter().any(|row| row.mask & all == 0);
        if self.modes.strict_order && self.level() > 0 && irrelevant() {
            return true;
        }
        let older = self.entries.len();
        let is_entry = |at: &usize| rows[*at].mask & 1 != 0;
        self.entries.extend(group.clone().filter(is_entry));
        let union = members.iter().fold(0, |union, row| union | row.mask & all);
        for step in bits(union & !1) {
            for at in group.clone().filter(|at| rows[*at].mask >> step & 1 == 1) {
                let level = self.level();
                if step < level {
                    return true; // Reached, and here again.
                }
                if step > level {
                    if self.modes.strict_order && level > 0 && !self.modes.allow_reentry {
                        return true;
                    }
                    break;
                }
                self.extend(rows, at, older);
                if self.level() == self.shape.steps {
                    return true;
                }
            }
        }
        // Only the latest can matter from now on.
        let surplus = self.entries.len().saturating_sub(self.shape.steps);
        self.entries.drain(..surplus);
        false
    }

    /// Gives the row at `at` to the next step, if a chain allows it. The first `older` entries are
    /// from before its instant.
    fn extend(&mut self, rows: &[Row], at: usize, older: usize) {
        let time = rows[at].time;
        let increase = self.modes.strict_increase;
        let shape = self.shape;
        let possible = |first: &usize| *first != at && shape.within(rows[*first].time, time);
        if let Some(last) = self.fixed.last() {
            let clash = self.fixed.contains(&at) || increase && rows[*last].time >= time;
            if clash || !self.candidates.iter().any(possible) {
                return;
            }
            self.candidates.retain(possible);
        } else {
            let entries = if increase {
                &self.entries[..older]
            } else {
                &self.entries[..]
            };
            self.candidates
                .extend(entries.iter().copied().filter(possible));
            if self.candidates.is_empty() {
                return;
            }
        }
        self.fixed.push(at);
    }
}
