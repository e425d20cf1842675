//! Whether rows that are still to come can take a history further.
//!
//! Of everything that could come, a row for each step but the first, all as early as they can be,
//! is the best: a chain that goes on with later ones could go on with these. A row of the first step
//! would begin something new, so it is none of them. Before which of the rows that are there already
//! they come is tried out.

use crate::{Entry, Matcher, Mode, Options, Row, Spec};

impl Matcher {
    /// Could rows that come at `as_of` or later take `rows` beyond `level`? `level` is their own.
    pub(crate) fn is_open(&mut self, rows: &[Row], level: usize, as_of: i64) -> bool {
        if level == 0 || level >= self.spec().goal() {
            return false;
        }
        let shape = self.spec().shape();
        let is_late = |begin: i64| begin > as_of || shape.within(begin, as_of);
        latest_beginning(self.spec(), rows).is_some_and(is_late)
            && (leads_to_the_end(self.spec()) || self.last_help(rows, level, as_of).is_some())
    }

    /// Until when such rows could; `None` if none could, or if there is no end to it.
    pub(crate) fn open_until(&mut self, rows: &[Row], level: usize, as_of: i64) -> Option<i64> {
        if !self.is_open(rows, level, as_of) {
            return None;
        }
        if leads_to_the_end(self.spec()) {
            let begin = latest_beginning(self.spec(), rows)?;
            return begin.checked_add_unsigned(self.spec().shape().window?);
        }
        let earliest = self.last_help(rows, level, as_of)?;
        let after = |distance: u64| earliest.checked_add_unsigned(distance);
        // Where times end; steps that must be later than each other need room before.
        let end = i64::MAX
            .abs_diff(earliest)
            .saturating_sub(self.spec().steps() as u64);
        let window = self.spec().window().unwrap_or(u64::MAX);
        let mut is_helped =
            |distance| after(distance).is_some_and(|time| self.is_helped(rows, level, time));
        if is_helped(end) {
            return None;
        }
        let (mut open, mut closed) = (0, window.saturating_add(1).min(end));
        while closed - open > 1 {
            let middle = open + (closed - open) / 2;
            match is_helped(middle) {
                true => open = middle,
                false => closed = middle,
            }
        }
        after(open)
    }

    /// The latest of `as_of` and the times of later rows at which more rows help.
    fn last_help(&mut self, rows: &[Row], level: usize, as_of: i64) -> Option<i64> {
        let later = rows.iter().rev().map(|row| row.time);
        let later = later.take_while(|time| *time > as_of);
        let mut times: Vec<i64> = later.chain([as_of]).collect();
        times.dedup();
        times
            .into_iter()
            .find(|time| self.is_helped(rows, level, *time))
    }

    /// Does a row for each step but the first, at `time` or right after it, take `rows` beyond
    /// `level`?
    fn is_helped(&mut self, rows: &[Row], level: usize, time: i64) -> bool {
        let (steps, mode) = (self.spec().steps(), self.spec().mode());
        let (before, after) = rows.split_at(rows.partition_point(|row| row.time <= time));
        let mut more = Vec::with_capacity(rows.len() + steps);
        more.extend_from_slice(before);
        if mode == Mode::OrderedIncrease {
            let all = self.spec().shape().all & !1;
            let later = (0..steps).filter_map(|step| time.checked_add_unsigned(step as u64));
            more.extend(later.map(|time| Row { time, mask: all }));
        } else {
            more.extend((1..steps).map(|step| Row {
                time,
                mask: 1 << step,
            }));
        }
        more.extend_from_slice(after);
        more.sort_by_key(|row| row.time);
        self.level(&more) > level
    }
}

/// When the last row comes that a chain can begin with, or a stretch of unordered steps.
fn latest_beginning(spec: &Spec, rows: &[Row]) -> Option<i64> {
    let begins = match spec.mode() {
        Mode::Loose | Mode::Set | Mode::Unordered { anchored: false } => spec.shape().all,
        _ => 1,
    };
    let last = rows.iter().rfind(|row| row.mask & begins != 0);
    last.map(|row| row.time)
}

/// Do rows that come lead from every beginning in time to the end? So it is where nothing else is
/// asked of a chain than the order of its rows, which may share an instant.
fn leads_to_the_end(spec: &Spec) -> bool {
    let options = spec.options();
    let plain = Options {
        bound: options.bound,
        as_of: options.as_of,
        count: options.count,
        entry: options.entry,
        ..Options::default()
    };
    let of_order = match spec.mode() {
        Mode::Ordered => options.entry != Entry::First,
        Mode::Loose | Mode::Set | Mode::Unordered { .. } => true,
        _ => false,
    };
    of_order && *options == plain
}
