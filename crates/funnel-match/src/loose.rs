//! Mode `loose`: which steps have an event, in the stretch of time that holds the most of them.

use crate::ties::bits;
use crate::{Row, Spec};

#[derive(Debug)]
pub(crate) struct Loose {
    spec: Spec,
    /// Rows of the present stretch that satisfy a step, by step.
    rows: Vec<usize>,
}

impl Loose {
    pub(crate) fn new(spec: Spec) -> Self {
        Self {
            spec,
            rows: vec![0; spec.steps()],
        }
    }

    pub(crate) fn reached(&mut self, rows: &[Row]) -> u64 {
        let all = self.spec.all_steps();
        self.stretch(rows)
            .iter()
            .fold(0, |reached, row| reached | row.mask & all)
    }

    /// The steps reached, and the first time of each.
    pub(crate) fn trace(&mut self, rows: &[Row], times: &mut Vec<Option<i64>>) -> u64 {
        times.resize(self.spec.steps(), None);
        let all = self.spec.all_steps();
        let mut reached = 0;
        for row in self.stretch(rows) {
            bits(row.mask & all & !reached).for_each(|step| times[step] = Some(row.time));
            reached |= row.mask & all;
        }
        reached
    }

    /// The rows among which steps are looked for.
    fn stretch<'a>(&mut self, rows: &'a [Row]) -> &'a [Row] {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return rows;
        };
        if self.spec.within(first.time, last.time) {
            return rows;
        }
        let all = self.spec.all_steps();
        self.rows.fill(0);
        let (mut end, mut steps) = (0, 0_usize);
        let (mut best, mut best_steps) = (0..0, 0_usize);
        for (start, row) in rows.iter().enumerate() {
            while let Some(next) = rows.get(end)
                && self.spec.within(row.time, next.time)
            {
                for step in bits(next.mask & all) {
                    self.rows[step] += 1;
                    steps += usize::from(self.rows[step] == 1);
                }
                end += 1;
            }
            if steps > best_steps {
                (best, best_steps) = (start..end, steps);
            }
            for step in bits(row.mask & all) {
                self.rows[step] -= 1;
                steps -= usize::from(self.rows[step] == 0);
            }
        }
        &rows[best]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mode;

    fn times(steps: usize, window: Option<u64>, rows: &[(i64, u64)]) -> Vec<Option<i64>> {
        let rows: Vec<Row> = rows
            .iter()
            .map(|&(time, mask)| Row { time, mask })
            .collect();
        let mut loose = Loose::new(Spec::new(Mode::Loose, steps, window).unwrap());
        let mut times = Vec::new();
        let reached = loose.trace(&rows, &mut times);
        assert_eq!(loose.reached(&rows), reached, "steps and times disagree");
        times
    }

    #[test]
    fn a_step_counts_without_the_one_before_it() {
        assert_eq!(times(3, None, &[(5, 4), (9, 1)]), [Some(9), None, Some(5)]);
    }

    #[test]
    fn one_row_may_serve_several_steps() {
        assert_eq!(times(2, None, &[(5, 3), (6, 3)]), [Some(5), Some(5)]);
    }

    #[test]
    fn the_fullest_window_counts_and_of_equals_the_earliest() {
        let rows = [(0, 1), (50, 1), (55, 2), (100, 1), (105, 2)];
        assert_eq!(times(2, Some(10), &rows), [Some(50), Some(55)]);
    }
}
