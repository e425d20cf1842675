//! The identity that every answer is held to.

use crate::error::{ErrorKind, QueryError, Result};

/// Where those went who reached the step before.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Passage {
    /// Reached the step before.
    pub(crate) previous: i64,
    /// Of those: this step, too.
    pub(crate) continued: i64,
    /// Of those: not this step, but a later one.
    pub(crate) passed: i64,
    /// Of those: neither, and no later row can change that.
    pub(crate) dropped: i64,
    /// Of those: neither, but it is not over.
    pub(crate) open: i64,
}

impl Passage {
    /// Counts one that reached the step before.
    pub(crate) fn count(&mut self, reached: bool, later: bool, is_open: bool) {
        let lost = !reached && !later;
        self.previous += 1;
        self.continued += i64::from(reached);
        self.passed += i64::from(!reached && later);
        self.dropped += i64::from(lost && !is_open);
        self.open += i64::from(lost && is_open);
    }

    /// # Errors
    /// When somebody is not accounted for.
    pub(crate) fn check(&self, step: usize) -> Result<()> {
        let accounted = self.continued + self.passed + self.dropped + self.open;
        add_up(step, self.previous, accounted)
    }
}

/// # Errors
/// When not everybody who came to `step` from the step before is accounted for.
pub(crate) fn add_up(step: usize, previous: i64, accounted: i64) -> Result<()> {
    if accounted == previous {
        return Ok(());
    }
    Err(QueryError::new(
        ErrorKind::Internal,
        format!(
            "step {}: {previous} keys came from the step before, {accounted} are accounted for",
            step + 1
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_gets_lost_on_the_way() {
        let mut passage = Passage::default();
        for (reached, later, is_open) in [
            (true, false, false),
            (false, true, true),
            (false, false, true),
            (false, false, false),
        ] {
            passage.count(reached, later, is_open);
        }
        let all = (
            passage.continued,
            passage.passed,
            passage.open,
            passage.dropped,
        );
        assert_eq!(all, (1, 1, 1, 1));
        passage.check(1).unwrap();
        passage.previous += 1;
        let error = passage.check(1).unwrap_err().to_string();
        assert!(error.contains("step 2: 5 keys came from"), "{error}");
    }
}
