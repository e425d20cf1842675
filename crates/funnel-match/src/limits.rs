//! What may not lie between the steps of a chain: too much time, or an excluded row.
//!
//! Both are judged by the times of a chain's rows, and for both a later row is as good as an earlier
//! one or better. Of the chains of one length there is one whose rows are the latest at every step:
//! the machine needs no other.

use crate::ties::bits;
use crate::{Exclusion, Row};

#[derive(Debug)]
pub(crate) struct Limits {
    steps: usize,
    /// The longest time from each step to the next.
    gaps: Vec<Option<u64>>,
    exclusions: Vec<Exclusion>,
    /// For each exclusion its last row before the present instant.
    passed: Vec<Option<i64>>,
    /// A square matrix: row `step` holds the times of the newest chain whose last step is `step`.
    times: Vec<i64>,
}

impl Limits {
    /// `None` without limits.
    pub(crate) fn new(
        steps: usize,
        gaps: &[Option<u64>],
        exclusions: &[Exclusion],
    ) -> Option<Self> {
        if exclusions.is_empty() && !gaps.iter().any(Option::is_some) {
            return None;
        }
        Some(Self {
            steps,
            gaps: gaps.to_vec(),
            exclusions: exclusions.to_vec(),
            passed: vec![None; exclusions.len()],
            times: vec![0; steps * steps],
        })
    }

    /// Forgets the rows before.
    pub(crate) fn begin(&mut self) {
        self.passed.fill(None);
    }

    /// Remembers the excluded rows of an instant that is over.
    pub(crate) fn pass(&mut self, rows: &[Row]) {
        if self.exclusions.is_empty() {
            return;
        }
        for row in rows {
            for exclusion in self.excluded(row.mask) {
                self.passed[exclusion] = Some(row.time);
            }
        }
    }

    /// The exclusions that a row meets.
    fn excluded(&self, mask: u64) -> impl Iterator<Item = usize> + use<> {
        let (count, excluded) = (self.exclusions.len(), mask.checked_shr(self.steps as u32));
        bits(excluded.unwrap_or(0)).take_while(move |exclusion| *exclusion < count)
    }

    /// May a row of `time` continue the newest chain before `step`?
    pub(crate) fn allow(&self, step: usize, time: i64) -> bool {
        let chain = &self.times[(step - 1) * self.steps..][..step];
        let gap = self.gaps.get(step - 1).copied().flatten();
        let near = gap.is_none_or(|gap| time.abs_diff(chain[step - 1]) <= gap);
        let mut exclusions = self.exclusions.iter().zip(&self.passed);
        near && exclusions.all(|(exclusion, passed)| {
            let between = exclusion.from < step && step <= exclusion.to;
            !between || passed.is_none_or(|passed| passed <= chain[exclusion.from])
        })
    }

    /// The newest chain that ends with `step` becomes the one of length `base` and rows of `time`.
    pub(crate) fn set(&mut self, step: usize, base: usize, time: i64) {
        let at = step * self.steps;
        if base > 0 {
            let from = (base - 1) * self.steps;
            self.times.copy_within(from..from + base, at);
        }
        self.times[at + base..=at + step].fill(time);
    }

    /// Is `time` when the newest chain that ends with `step` took its last row?
    pub(crate) fn is_new(&self, step: usize, time: i64) -> bool {
        self.times[step * self.steps + step] == time
    }

    /// The exclusions by which `row`, which is in its window, hits a chain of this length.
    pub(crate) fn hits(
        &self,
        row: &Row,
        length: usize,
        time_of: impl Fn(usize) -> i64,
    ) -> impl Iterator<Item = usize> {
        let time = row.time;
        self.excluded(row.mask).filter(move |exclusion| {
            let Exclusion { from, to, .. } = self.exclusions[*exclusion];
            from < length && length <= to && time_of(from) < time
        })
    }
}
