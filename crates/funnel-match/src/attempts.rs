//! The options that look at an ordered funnel again: which beginning counts, and attempts.

use std::ops::Range;

use crate::limits::Limits;
use crate::ordered::Ordered;
use crate::{Entry, Row, Spec};

/// An ordered funnel with the beginning that counts.
#[derive(Debug)]
pub(crate) struct Attempts {
    entry: Entry,
    ordered: Ordered,
    /// From the first row of step 1 only.
    single: Ordered,
}

impl Attempts {
    pub(crate) fn new(spec: &Spec, increase: bool) -> Self {
        let options = spec.options();
        let limits = || Limits::new(spec.steps(), &options.max_gap, &[]);
        let machine = || Ordered::new(spec.shape(), increase).limited(limits());
        Self {
            entry: options.entry,
            ordered: machine(),
            single: machine().first_only().ending(),
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        match self.entry {
            Entry::First => self.single.level(rows),
            Entry::Latest | Entry::EarliestLongest => self.ordered.level(rows),
        }
    }

    pub(crate) fn chain(&mut self, rows: &[Row], chain: &mut Vec<Option<usize>>) -> usize {
        let (skipped, found) = match self.entry {
            Entry::Latest => (0, self.ordered.chain(rows)),
            Entry::First => (0, self.single.chain(rows)),
            Entry::EarliestLongest => self.earliest_longest(rows),
        };
        chain.extend(found.iter().map(|position| Some(skipped + position)));
        chain.len()
    }

    /// Looks at each beginning again, up to the end of its window, until one gets as far as any.
    fn earliest_longest(&mut self, rows: &[Row]) -> (usize, &[usize]) {
        let level = self.ordered.level(rows);
        let mut at = 0;
        while let Some(begin) = next_entry(rows, at)
            && level > 0
        {
            if self.single.level(&rows[begin..]) == level {
                return (begin, self.single.chain(&rows[begin..]));
            }
            let time = rows[begin].time;
            at = begin
                + rows[begin..]
                    .iter()
                    .take_while(|row| row.time == time)
                    .count();
        }
        (0, &[])
    }

    /// Gives each attempt and how far it got.
    pub(crate) fn each(&mut self, rows: &[Row], give: impl FnMut(Range<usize>, usize)) {
        each(&mut self.single, rows, give);
    }
}

/// Gives each attempt and how far it got, by a machine that knows one beginning and its end.
pub(crate) fn each(single: &mut Ordered, rows: &[Row], mut give: impl FnMut(Range<usize>, usize)) {
    let mut at = 0;
    while let Some(begin) = next_entry(rows, at) {
        let level = single.level(&rows[begin..]);
        at = begin + single.seen();
        give(begin..at, level);
    }
}

/// The position of the first row of the instant of the next row of step 1.
pub(crate) fn next_entry(rows: &[Row], at: usize) -> Option<usize> {
    let entry = at + rows[at..].iter().position(|row| row.mask & 1 == 1)?;
    let same = rows[at..entry].iter().rev();
    let before = same.take_while(|row| row.time == rows[entry].time).count();
    Some(entry - before)
}
