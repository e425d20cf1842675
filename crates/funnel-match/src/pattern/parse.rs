//! The text of a pattern.

use super::{Compare, Part, PatternError, Problem};

pub(super) fn parse(
    text: &str,
    conditions: usize,
    ticks_per_second: u64,
) -> Result<Vec<Part>, PatternError> {
    let mut parser = Parser {
        text,
        at: 0,
        conditions,
        ticks_per_second,
    };
    let mut parts = vec![Part::Rows];
    while parser.at < text.len() {
        let part = parser.part(parts.last().copied())?;
        parts.push(part);
    }
    Ok(parts)
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    conditions: usize,
    ticks_per_second: u64,
}

impl Parser<'_> {
    fn part(&mut self, before: Option<Part>) -> Result<Part, PatternError> {
        let begin = self.at;
        if self.take("(?t") {
            if matches!(before, Some(Part::Time(..))) {
                return Err(self.error(begin, Problem::TimeAfterTime));
            }
            let compare = self.compare()?;
            let time = self.time()?;
            self.close()?;
            Ok(Part::Time(compare, time))
        } else if self.take("(?") {
            let bit = self.condition()?;
            self.close()?;
            Ok(Part::Condition(bit))
        } else if self.take(".*") {
            Ok(Part::Rows)
        } else if self.take(".") {
            Ok(Part::Row)
        } else {
            Err(self.expected("'(?N)', '(?t', '.' or '.*'"))
        }
    }

    fn compare(&mut self) -> Result<Compare, PatternError> {
        [
            ("<=", Compare::AtMost),
            ("<", Compare::Less),
            (">=", Compare::AtLeast),
            (">", Compare::More),
            ("==", Compare::Equal),
        ]
        .into_iter()
        .find(|(sign, _)| self.take(sign))
        .map(|(_, compare)| compare)
        .ok_or_else(|| self.expected("'<=', '<', '>=', '>' or '=='"))
    }

    fn time(&mut self) -> Result<u64, PatternError> {
        let begin = self.at;
        self.number("a number of seconds")?
            .and_then(|seconds| seconds.checked_mul(self.ticks_per_second))
            .ok_or_else(|| self.error(begin, Problem::TimeTooLong))
    }

    /// The bit of a condition that exists.
    fn condition(&mut self) -> Result<u64, PatternError> {
        let begin = self.at;
        let found = self
            .number("the number of a condition, or 't' and a time")?
            .unwrap_or(u64::MAX);
        usize::try_from(found)
            .ok()
            .filter(|number| (1..=self.conditions).contains(number))
            .and_then(|number| 1_u64.checked_shl(number as u32 - 1)) // at most the conditions
            .ok_or_else(|| {
                let known = self.conditions;
                self.error(begin, Problem::Condition { found, known })
            })
    }

    /// Decimal digits; `None` if they are more than a `u64` holds.
    fn number(&mut self, what: &'static str) -> Result<Option<u64>, PatternError> {
        let rest = self.rest();
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits == 0 {
            return Err(self.expected(what));
        }
        let number = rest.get(..digits).and_then(|digits| digits.parse().ok());
        self.at += digits;
        Ok(number)
    }

    fn close(&mut self) -> Result<(), PatternError> {
        if self.take(")") {
            return Ok(());
        }
        Err(self.expected("')'"))
    }

    fn take(&mut self, word: &str) -> bool {
        let found = self.rest().starts_with(word);
        self.at += if found { word.len() } else { 0 };
        found
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn expected(&self, what: &'static str) -> PatternError {
        self.error(self.at, Problem::Expected(what))
    }

    fn error(&self, at: usize, problem: Problem) -> PatternError {
        PatternError {
            text: self.text.to_owned(),
            at,
            problem,
        }
    }
}
