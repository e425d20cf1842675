//! ClickHouse's `sequenceMatch` and `sequenceCount`: patterns over the rows of one key.
//!
//! A pattern is looked for anywhere in the history. Its parts:
//!
//! | Part | Meaning |
//! | --- | --- |
//! | `(?N)` | the next row satisfies condition N, counted from 1 |
//! | `.` | the next row, whichever it is |
//! | `.*` | any number of rows |
//! | `(?t<=S)` | any number of rows, as long as the row that follows is at most S seconds after the row before; also `<`, `>=`, `>`, `==` |
//!
//! Rows that satisfy no condition at all are invisible. Rows of the same time stay in the order
//! given. After `.*`, a time is measured from the row at which the `.*` ends, not from the row
//! before it: that is how ClickHouse does it.
//!
//! ClickHouse searches with backtracking and gives up after a million steps. Here every part of the
//! pattern is asked once for every row whether the rest fits from there: O(parts · rows) time and
//! memory, and no limit. Where the history ends and all that is left of the pattern may be missing,
//! answers of ClickHouse were seen to change from one run to the next; here that is a match.

use std::error::Error;
use std::fmt;

use crate::Row;

mod parse;

/// Most conditions, as in ClickHouse.
pub const PATTERN_CONDITIONS_MAX: usize = 32;

/// A pattern, ready to be looked for.
///
/// ```
/// use funnel_match::{Pattern, Row};
///
/// let pattern = Pattern::new("(?1)(?t<=10)(?2)", 2, 1)?;
/// let history = [Row { time: 0, mask: 1 }, Row { time: 10, mask: 2 }, Row { time: 11, mask: 2 }];
/// assert!(pattern.matches(&history));
/// assert_eq!(pattern.count(&history), 1);
/// assert!(!pattern.matches(&history[1..]));
///
/// let error = Pattern::new("(?1)(?t=10)(?2)", 2, 1).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "pattern '(?1)(?t=10)(?2)', position 8: expected '<=', '<', '>=', '>' or '==', found '=10)(?2)'"
/// );
/// # Ok::<(), funnel_match::PatternError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pattern {
    /// The first is always a [`Part::Rows`]: the pattern may begin at any row.
    parts: Vec<Part>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// A row with this bit.
    Condition(u64),
    /// A row.
    Row,
    /// Any number of rows.
    Rows,
    /// Any number of rows, with a time between the row before them and the row after them.
    Time(Compare, u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compare {
    AtMost,
    Less,
    AtLeast,
    More,
    Equal,
}

impl Part {
    /// May the history end before this part has found a row?
    fn may_be_missing(self) -> bool {
        match self {
            Part::Condition(_) | Part::Row => false,
            Part::Rows | Part::Time(Compare::AtMost | Compare::Less, _) => true,
            Part::Time(Compare::AtLeast, time) => time == 0,
            Part::Time(Compare::More | Compare::Equal, _) => false,
        }
    }
}

impl Pattern {
    /// Reads `text` for rows with `conditions` conditions (the low bits of [`Row::mask`]); there are
    /// `ticks_per_second` units of [`Row::time`] in the unit in which the pattern gives times: 1 for
    /// plain integers.
    ///
    /// # Errors
    /// The text is not a pattern, or names a condition that does not exist.
    pub fn new(text: &str, conditions: usize, ticks_per_second: u64) -> Result<Self, PatternError> {
        parse::parse(text, conditions, ticks_per_second).map(|parts| Self { parts })
    }

    /// Is the pattern found in a history in time order?
    #[must_use]
    pub fn matches(&self, rows: &[Row]) -> bool {
        let rows = visible(rows);
        Fits::new(&self.parts, &rows).at(0, 0)
    }

    /// How often is the pattern found in a history in time order, each time behind the last row of
    /// the time before? A pattern that needs no row is found at every row.
    #[must_use]
    pub fn count(&self, rows: &[Row]) -> u64 {
        let rows = visible(rows);
        let fits = Fits::new(&self.parts, &rows);
        let (mut from, mut count) = (0, 0);
        while from < rows.len() && fits.at(0, from) {
            let end = fits.first_end(&self.parts, &rows, from);
            from = end.max(from + 1);
            count += 1;
        }
        count
    }
}

fn visible(rows: &[Row]) -> Vec<Row> {
    debug_assert!(
        rows.is_sorted_by_key(|row| row.time),
        "rows are ordered by time"
    );
    rows.iter().filter(|row| row.mask != 0).copied().collect()
}

/// For each part and row, the first row at or after it from which that part and those behind it
/// fit; `NOWHERE` if there is none.
struct Fits {
    next: Vec<usize>,
    width: usize,
}

const NOWHERE: usize = usize::MAX;

impl Fits {
    fn new(parts: &[Part], rows: &[Row]) -> Self {
        let width = rows.len() + 1;
        let mut fits = Self {
            next: vec![NOWHERE; width * (parts.len() + 1)],
            width,
        };
        // Behind the last part everything fits.
        for row in 0..width {
            fits.next[parts.len() * width + row] = row;
        }
        let mut may_end = true;
        for (part, what) in parts.iter().enumerate().rev() {
            may_end &= what.may_be_missing();
            let mut first = if may_end { rows.len() } else { NOWHERE };
            fits.next[part * width + rows.len()] = first;
            let mut reach = Reach::new(*what, parts.get(part.wrapping_sub(1)).copied());
            for row in (0..rows.len()).rev() {
                let fit = match what {
                    Part::Condition(bit) => rows[row].mask & bit != 0 && fits.at(part + 1, row + 1),
                    Part::Row => fits.at(part + 1, row + 1),
                    Part::Rows | Part::Time(..) => {
                        let (low, high) = reach.back_to(row, rows);
                        fits.first(part + 1, low) < high
                    }
                };
                if fit {
                    first = row;
                }
                fits.next[part * width + row] = first;
            }
        }
        fits
    }

    /// Do the parts from `part` on fit at `row`?
    fn at(&self, part: usize, row: usize) -> bool {
        self.first(part, row) == row
    }

    fn first(&self, part: usize, row: usize) -> usize {
        self.next[part * self.width + row]
    }

    /// The row behind the match at `from` whose parts take the earliest rows, the first part first.
    fn first_end(&self, parts: &[Part], rows: &[Row], from: usize) -> usize {
        let mut at = from;
        for (part, what) in parts.iter().enumerate() {
            if at == rows.len() {
                break; // What is left may be missing.
            }
            at = match what {
                Part::Condition(_) | Part::Row => at + 1,
                Part::Rows => self.first(part + 1, at),
                Part::Time(..) => {
                    let mut reach = Reach::new(*what, parts.get(part.wrapping_sub(1)).copied());
                    let low = reach.low_by_search(at, rows);
                    self.first(part + 1, low)
                }
            };
        }
        at
    }
}

/// The rows to which a part that skips rows may skip: those at `low` and before `high`.
struct Reach {
    what: Part,
    /// Is the time measured from the row before the first skipped one?
    from_row_before: bool,
    low: Option<usize>,
    high: Option<usize>,
}

impl Reach {
    fn new(what: Part, before: Option<Part>) -> Self {
        Self {
            what,
            from_row_before: matches!(before, Some(Part::Condition(_) | Part::Row)),
            low: None,
            high: None,
        }
    }

    fn base(&self, row: usize, rows: &[Row]) -> i64 {
        let base = row - usize::from(self.from_row_before && row > 0);
        rows[base].time
    }

    /// The range for `row`; called with falling rows, so that both ends only move back.
    fn back_to(&mut self, row: usize, rows: &[Row]) -> (usize, usize) {
        let base = self.base(row, rows);
        let end = rows.len();
        let Part::Time(compare, time) = self.what else {
            return (row, end);
        };
        let back = |edge: Option<usize>, keep: &dyn Fn(u64) -> bool| {
            let mut edge = edge.unwrap_or(end);
            while edge > row && keep(rows[edge - 1].time.abs_diff(base)) {
                edge -= 1;
            }
            edge
        };
        if matches!(compare, Compare::AtMost | Compare::Equal) {
            self.high = Some(back(self.high, &|gap| gap > time));
        }
        if compare == Compare::Less {
            self.high = Some(back(self.high, &|gap| gap >= time));
        }
        if matches!(compare, Compare::AtLeast | Compare::Equal) {
            self.low = Some(back(self.low, &|gap| gap >= time));
        }
        if compare == Compare::More {
            self.low = Some(back(self.low, &|gap| gap > time));
        }
        (self.low.unwrap_or(row), self.high.unwrap_or(end))
    }

    /// The lower end for `row`, found without the rows behind it.
    fn low_by_search(&mut self, row: usize, rows: &[Row]) -> usize {
        let base = self.base(row, rows);
        let behind = &rows[row..];
        row + match self.what {
            Part::Time(Compare::AtLeast | Compare::Equal, time) => {
                behind.partition_point(|other| other.time.abs_diff(base) < time)
            }
            Part::Time(Compare::More, time) => {
                behind.partition_point(|other| other.time.abs_diff(base) <= time)
            }
            _ => 0,
        }
    }
}

/// A text that is not a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternError {
    text: String,
    /// In bytes, from 0.
    at: usize,
    problem: Problem,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Problem {
    Expected(&'static str),
    Condition { found: u64, known: usize },
    TimeTooLong,
    TimeAfterTime,
}

impl PatternError {
    /// Where in the text the mistake is, in bytes from 0.
    #[must_use]
    pub fn position(&self) -> usize {
        self.at
    }
}

impl fmt::Display for PatternError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rest = self.text.get(self.at..).unwrap_or_default();
        // People count characters from one.
        let before = self.text.get(..self.at).unwrap_or(&self.text);
        let position = before.chars().count() + 1;
        write!(f, "pattern '{}', position {position}: ", self.text)?;
        match self.problem {
            Problem::Expected(what) if rest.is_empty() => {
                write!(f, "expected {what}, found the end")
            }
            Problem::Expected(what) => write!(f, "expected {what}, found '{rest}'"),
            Problem::Condition { found, known } => write!(
                f,
                "there is no condition {found}; conditions are numbered from 1 to {known}"
            ),
            Problem::TimeTooLong => f.write_str("the time is longer than all of time"),
            Problem::TimeAfterTime => f.write_str(
                "expected '(?N)', '.' or '.*' before a second time condition, found two in a row",
            ),
        }
    }
}

impl Error for PatternError {}

#[cfg(test)]
mod tests;
