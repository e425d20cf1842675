//! Mode `ordered`: the longest chain, exactly, in one pass.
//!
//! For each length the machine keeps the latest time at which a chain of that length begins. That
//! is enough: of two chains of the same length, the one that begins later can do everything the
//! other can.

use crate::ties::Ties;
use crate::{Row, Spec};

#[derive(Debug)]
pub(crate) struct Ordered {
    spec: Spec,
    /// Which lengths have been reached: bit `i` stands for chains of `i + 1` rows.
    alive: u64,
    /// The latest beginning of a chain of `i + 1` rows.
    entry: Vec<i64>,
    /// The times of that chain: row `i` of a square matrix.
    chains: Vec<i64>,
    /// The first longest chain.
    winner: Vec<i64>,
    ties: Ties,
    /// For each length, the chain that the present tie group makes: when it begins, and how many
    /// of its rows come from before the group.
    made: Vec<(i64, usize)>,
}

impl Ordered {
    pub(crate) fn new(spec: Spec) -> Self {
        let steps = spec.steps();
        Self {
            spec,
            alive: 0,
            entry: vec![0; steps],
            chains: vec![0; steps * steps],
            winner: Vec::with_capacity(steps),
            ties: Ties::new(steps),
            made: vec![(0, 0); steps],
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        self.run::<false>(rows)
    }

    /// The times of the reported chain.
    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[i64] {
        self.run::<true>(rows);
        &self.winner
    }

    fn run<const TRACE: bool>(&mut self, rows: &[Row]) -> usize {
        self.alive = 0;
        self.winner.clear();
        let all = self.spec.all_steps();
        let mut rest = rows;
        while let Some((row, others)) = rest.split_first() {
            let group = 1 + others
                .iter()
                .take_while(|other| other.time == row.time)
                .count();
            if group == 1 {
                self.push::<TRACE>(row.time, row.mask & all);
            } else {
                self.push_group::<TRACE>(row.time, &rest[..group]);
            }
            if TRACE && self.length() > self.winner.len() {
                let at = (self.length() - 1) * self.spec.steps();
                self.winner.clear();
                self.winner
                    .extend_from_slice(&self.chains[at..at + self.length()]);
            }
            if self.length() == self.spec.steps() {
                break; // Nothing is longer, and the first chain is the one reported.
            }
            rest = &rest[group..];
        }
        self.length()
    }

    /// The longest chain so far.
    fn length(&self) -> usize {
        (u64::BITS - self.alive.leading_zeros()) as usize
    }

    /// A row that is alone in its instant: longest chains first, so that it serves one step only.
    fn push<const TRACE: bool>(&mut self, time: i64, mask: u64) {
        let mut steps = mask & (self.alive << 1 | 1);
        while steps != 0 {
            let step = steps.ilog2() as usize;
            steps ^= 1 << step;
            if step == 0 {
                self.set::<TRACE>(0, (time, 0), time);
            } else if self.spec.within(self.entry[step - 1], time) {
                self.set::<TRACE>(step, (self.entry[step - 1], step), time);
            }
        }
    }

    /// Rows of the same instant: what they make of the state before them, all at once.
    fn push_group<const TRACE: bool>(&mut self, time: i64, rows: &[Row]) {
        let all = self.spec.all_steps();
        self.ties.load(
            rows.iter()
                .map(|row| row.mask & all)
                .filter(|mask| *mask != 0),
        );
        let mut made = 0_u64;
        for base in 0..self.spec.steps() {
            let begin = match base {
                0 => time,
                _ if self.alive >> (base - 1) & 1 == 0 => break,
                _ => self.entry[base - 1],
            };
            if !self.spec.within(begin, time) {
                break; // Longer chains begin no later.
            }
            for step in base..base + self.ties.run_from(base) {
                if made >> step & 1 == 0 || begin >= self.made[step].0 {
                    made |= 1 << step;
                    self.made[step] = (begin, base);
                }
            }
        }
        for step in (0..self.spec.steps())
            .rev()
            .filter(|step| made >> step & 1 == 1)
        {
            self.set::<TRACE>(step, self.made[step], time);
        }
    }

    /// Keeps a chain that ends with `step` now, if it begins later than the one known. It begins at
    /// `begin`, and its first `base` rows are those of the chain of that length.
    fn set<const TRACE: bool>(&mut self, step: usize, (begin, base): (i64, usize), time: i64) {
        if self.alive >> step & 1 == 1 && begin <= self.entry[step] {
            return;
        }
        self.alive |= 1 << step;
        self.entry[step] = begin;
        if TRACE {
            let steps = self.spec.steps();
            let at = step * steps;
            if base > 0 {
                let from = (base - 1) * steps;
                self.chains.copy_within(from..from + base, at);
            }
            self.chains[at + base..=at + step].fill(time);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;

    fn chain(steps: usize, window: Option<u64>, rows: &[(i64, u64)]) -> Vec<i64> {
        let rows: Vec<Row> = rows
            .iter()
            .map(|&(time, mask)| Row { time, mask })
            .collect();
        let mut machine = Ordered::new(Spec::new(Mode::Ordered, steps, window).unwrap());
        let times = machine.chain(&rows).to_vec();
        assert_eq!(
            machine.level(&rows),
            times.len(),
            "level and chain disagree"
        );
        times
    }

    #[test]
    fn second_step_at_the_edge_of_the_window_counts() {
        assert_eq!(chain(2, Some(10), &[(0, 1), (10, 2)]), [0, 10]);
        assert_eq!(chain(2, Some(10), &[(0, 1), (11, 2)]), [0]);
    }

    #[test]
    fn window_of_zero_is_the_same_instant() {
        assert_eq!(chain(2, Some(0), &[(7, 2), (7, 1)]), [7, 7]);
        assert_eq!(chain(2, Some(0), &[(7, 1), (8, 2)]), [7]);
    }

    #[test]
    fn a_row_fills_one_step_even_when_it_satisfies_several() {
        assert_eq!(chain(3, None, &[(0, 0b111)]), [0]);
        assert_eq!(
            chain(3, None, &[(0, 0b111), (0, 0b111), (4, 0b111)]),
            [0, 0, 4]
        );
    }

    #[test]
    fn last_entry_before_the_second_step_is_the_one_that_counts() {
        assert_eq!(chain(2, None, &[(0, 1), (5, 1), (6, 2), (7, 2)]), [5, 6]);
    }

    #[test]
    fn reported_chain_is_the_first_that_is_complete() {
        assert_eq!(chain(2, None, &[(0, 1), (1, 2), (5, 1), (6, 2)]), [0, 1]);
    }

    #[test]
    fn restarted_chain_does_not_mix_its_times_with_the_old_one() {
        // The second entry replaces the first, which is out of the window by then.
        let rows = [(0, 1), (1, 2), (100, 1), (101, 2), (102, 4)];
        assert_eq!(chain(3, Some(10), &rows), [100, 101, 102]);
    }

    #[test]
    fn bits_above_the_last_step_are_ignored() {
        assert_eq!(chain(1, None, &[(0, 0b10), (0, 0b10), (3, 0b11)]), [3]);
    }

    #[test]
    fn sixty_four_steps_are_matched() {
        let rows: Vec<(i64, u64)> = (0..64).map(|step| (step / 2, 1_u64 << step)).collect();
        assert_eq!(chain(64, None, &rows).len(), 64);
    }
}
