//! `FUNNELMAXSTEP` of Pinot.

use std::fmt;

use crate::mode::{Flags, Reason, Taken, set, write_flags};
use crate::ordered::Ordered;
use crate::spec::Shape;
use crate::{Row, Spec};

/// The modes of Pinot's funnel functions; none of them is `pinot:default`.
///
/// A row belongs to the lowest step it satisfies. Rows are read by time, then by step. Rows of step 1
/// are tried as beginnings one after the other, up to the first whose window has the last row of all,
/// and the furthest attempt counts. The window is exclusive: a row exactly one window after the first
/// is outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Pinot {
    /// The step that the attempt reached last, again, ends the attempt.
    pub strict_deduplication: bool,
    /// Any row but one of the next step ends the attempt.
    pub strict_order: bool,
    /// Each step is later than the one before.
    pub strict_increase: bool,
    /// Rows that satisfy no step are visible: to `strict_order`, and as neighbours in time to
    /// `max_step_duration`. Among rows of the same time they come first.
    pub keep_all: bool,
    /// The longest time between visible rows that follow each other, inclusive, in the unit of the
    /// rows; after a longer one all attempts are over.
    pub max_step_duration: Option<u64>,
}

impl Pinot {
    pub(crate) fn parse(flags: Flags<'_>) -> Result<Self, Reason> {
        let mut modes = Self::default();
        flags.each(true, |flag, value| match (flag, value) {
            ("strict_deduplication", _) => set(&mut modes.strict_deduplication),
            ("strict_order", _) => set(&mut modes.strict_order),
            ("strict_increase", _) => set(&mut modes.strict_increase),
            ("keep_all", _) => set(&mut modes.keep_all),
            ("max_step_duration", value) => {
                let number = value.and_then(|value| value.parse().ok());
                match number.filter(|number| *number > 0) {
                    Some(_) if modes.max_step_duration.is_some() => Taken::Twice,
                    Some(number) => {
                        modes.max_step_duration = Some(number);
                        Taken::Yes
                    }
                    None => Taken::Value(
                        "needs a whole number above 0 in the unit of the times, for example \
                         max_step_duration=10",
                    ),
                }
            }
            _ => Taken::Unknown(
                "default, or strict_deduplication, strict_order, strict_increase, keep_all, \
                 max_step_duration=…",
            ),
        })?;
        Ok(modes)
    }
}

impl fmt::Display for Pinot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = [
            (self.strict_deduplication, "strict_deduplication"),
            (self.strict_order, "strict_order"),
            (self.strict_increase, "strict_increase"),
            (self.keep_all, "keep_all"),
        ];
        let some = write_flags(f, &flags)?;
        match self.max_step_duration {
            Some(longest) if some => write!(f, ",max_step_duration={longest}"),
            Some(longest) => write!(f, "max_step_duration={longest}"),
            None if some => Ok(()),
            None => f.write_str("default"),
        }
    }
}

#[derive(Debug)]
pub(crate) struct MaxStep {
    modes: Pinot,
    shape: Shape,
    /// Where an attempt ends by its window only, the furthest attempt is the longest chain.
    ordered: Ordered,
    /// The visible rows with one step each, by time and step, and their positions.
    visible: Vec<(Row, usize)>,
    rows: Vec<Row>,
    attempt: Vec<usize>,
    best: Vec<usize>,
}

impl MaxStep {
    pub(crate) fn new(modes: Pinot, spec: &Spec) -> Self {
        let mut shape = spec.shape();
        // Not 0: that is refused.
        shape.window = shape.window.map(|window| window.saturating_sub(1));
        Self {
            modes,
            shape,
            ordered: Ordered::new(shape, modes.strict_increase),
            visible: Vec::new(),
            rows: Vec::new(),
            attempt: Vec::new(),
            best: Vec::new(),
        }
    }

    pub(crate) fn level(&mut self, rows: &[Row]) -> usize {
        self.chain(rows).len()
    }

    /// The first of the furthest attempts.
    pub(crate) fn chain(&mut self, rows: &[Row]) -> &[usize] {
        self.read(rows);
        self.best.clear();
        let mut begin = 0;
        while begin < self.rows.len() && self.best.len() < self.shape.steps {
            // Rows of different sides of a gap never meet in an attempt.
            let pairs = self.rows[begin..].windows(2);
            let joined = pairs.take_while(|pair| self.joins(pair[0].time, pair[1].time));
            let end = begin + 1 + joined.count();
            if self.modes.strict_order || self.modes.strict_deduplication {
                for first in begin..end {
                    self.attempt(first, end);
                    if self.has_last_row(first, end) {
                        break;
                    }
                }
            } else {
                let chain = self.ordered.chain(&self.rows[begin..end]);
                if chain.len() > self.best.len() {
                    let visible = &self.visible[begin..end];
                    self.best.clear();
                    self.best.extend(chain.iter().map(|at| visible[*at].1));
                }
            }
            begin = end;
        }
        &self.best
    }

    fn joins(&self, time: i64, next: i64) -> bool {
        let longest = self.modes.max_step_duration;
        longest.is_none_or(|longest| next.abs_diff(time) <= longest)
    }

    /// Does an attempt that begins with row `first` come to the last row of all? Pinot's queue is empty
    /// then, and no later beginning is tried.
    fn has_last_row(&self, first: usize, end: usize) -> bool {
        let (begin, last) = (self.rows[first], self.rows[end - 1]);
        begin.mask == 1 && end == self.rows.len() && self.shape.within(begin.time, last.time)
    }

    fn read(&mut self, rows: &[Row]) {
        self.visible.clear();
        for (at, row) in rows.iter().enumerate() {
            let mask = row.mask & self.shape.all;
            let lowest = mask & mask.wrapping_neg();
            if mask != 0 || self.modes.keep_all {
                let (time, mask) = (row.time, lowest);
                self.visible.push((Row { time, mask }, at));
            }
        }
        // A single bit is ordered as its step is; none comes first.
        let key = |(row, _): &(Row, usize)| (row.time, row.mask);
        if !self.visible.is_sorted_by_key(key) {
            self.visible.sort_by_key(key);
        }
        self.rows.clear();
        self.rows.extend(self.visible.iter().map(|(row, _)| *row));
    }

    /// An attempt that begins with row `first` and has the rows before `end`.
    fn attempt(&mut self, first: usize, end: usize) {
        let begin = self.rows[first];
        if begin.mask != 1 {
            return;
        }
        self.attempt.clear();
        let mut before = None;
        for (row, (_, position)) in self.rows[first..end].iter().zip(&self.visible[first..]) {
            let next = 1 << self.attempt.len();
            if !self.shape.within(begin.time, row.time)
                || self.modes.strict_deduplication && next > 1 && row.mask == next >> 1
                || self.modes.strict_order && row.mask != next
            {
                break;
            }
            if self.modes.strict_increase && before == Some(row.time) {
                continue;
            }
            if row.mask == next {
                self.attempt.push(*position);
                before = Some(row.time);
                if self.attempt.len() == self.shape.steps {
                    break;
                }
            }
        }
        if self.attempt.len() > self.best.len() {
            std::mem::swap(&mut self.attempt, &mut self.best);
        }
    }
}

#[cfg(test)]
mod tests;
