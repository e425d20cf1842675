//! Mode `loose`: which steps have an event, in the stretch of time that holds the most of them.

use crate::Row;
use crate::spec::Shape;
use crate::ties::bits;

#[derive(Debug)]
pub(crate) struct Loose {
    shape: Shape,
    /// Rows of the present stretch that satisfy a step, by step.
    rows: Vec<usize>,
}

impl Loose {
    pub(crate) fn new(shape: Shape) -> Self {
        Self {
            shape,
            rows: vec![0; shape.steps],
        }
    }

    pub(crate) fn reached(&mut self, rows: &[Row]) -> u64 {
        let all = self.shape.all;
        self.stretch(rows)
            .iter()
            .fold(0, |reached, row| reached | row.mask & all)
    }

    /// The steps reached, and the position of the first row of each.
    pub(crate) fn chain(&mut self, rows: &[Row], chain: &mut Vec<Option<usize>>) -> u64 {
        chain.resize(self.shape.steps, None);
        let all = self.shape.all;
        let mut reached = 0;
        let stretch = self.stretch_of(rows);
        for (position, row) in stretch.clone().zip(&rows[stretch]) {
            bits(row.mask & all & !reached).for_each(|step| chain[step] = Some(position));
            reached |= row.mask & all;
        }
        reached
    }

    fn stretch<'a>(&mut self, rows: &'a [Row]) -> &'a [Row] {
        &rows[self.stretch_of(rows)]
    }

    /// The rows among which steps are looked for.
    fn stretch_of(&mut self, rows: &[Row]) -> std::ops::Range<usize> {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return 0..0;
        };
        if self.shape.within(first.time, last.time) {
            return 0..rows.len();
        }
        let all = self.shape.all;
        self.rows.fill(0);
        let (mut end, mut steps) = (0, 0_usize);
        let (mut best, mut best_steps) = (0..0, 0_usize);
        for (start, row) in rows.iter().enumerate() {
            while let Some(next) = rows.get(end)
                && self.shape.within(row.time, next.time)
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
        best
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Mode, Spec};

    fn times(steps: usize, window: Option<u64>, rows: &[(i64, u64)]) -> Vec<Option<i64>> {
        let rows: Vec<Row> = rows
            .iter()
            .map(|&(time, mask)| Row { time, mask })
            .collect();
        let mut loose = Loose::new(Spec::new(Mode::Loose, steps, window).unwrap().shape());
        let mut chain = Vec::new();
        let reached = loose.chain(&rows, &mut chain);
        assert_eq!(loose.reached(&rows), reached, "steps and rows disagree");
        let time = |row: &Option<usize>| row.map(|row| rows[row].time);
        chain.iter().map(time).collect()
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
