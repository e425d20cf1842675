//! What can be asked for beyond mode and window.

use crate::{Mode, SpecError};

/// Options of a funnel; the default of each is today's plain funnel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Options {
    /// Which beginning counts.
    pub entry: Entry,
    /// What [`Matcher::outcome`](crate::Matcher::outcome) counts.
    pub count: Count,
    /// The longest time from each step to the next, beside the window; the first is from step 1 to
    /// step 2. `None`, or fewer than there are: no limit. Of chains that begin at the same time the
    /// one reported has the latest rows before its last.
    pub max_gap: Vec<Option<u64>>,
    /// May a row fill several steps?
    pub reuse: Reuse,
    /// Does a row exactly one window after the first still belong to it?
    pub bound: Bound,
    /// The time up to which rows are complete: a key that is not done and whose window is not over
    /// by then is open, not dropped.
    pub as_of: Option<i64>,
}

/// Which beginning of a chain counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Entry {
    /// The last one from which the level can be reached, for the first chain to be complete.
    #[default]
    Latest,
    /// The first row of step 1 and no other: the level can be lower. Rows of the same time are as
    /// good as it.
    First,
    /// The level of `Latest`; of the longest chains the one that begins first, of those the first
    /// to be complete.
    EarliestLongest,
}

/// What is counted of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Count {
    /// The key, once.
    #[default]
    Unique,
    /// Each attempt. An attempt begins with a row of step 1 and ends with the instant that completes
    /// the funnel, or with the last one inside its window; other rows of step 1 until then begin no
    /// other attempt. The next one begins with the next row of step 1.
    Attempts,
    /// The attempts that are complete.
    Completions,
}

/// How many steps a row may fill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Reuse {
    /// One.
    #[default]
    RowOnce,
    /// Several steps in a row, as in ClickHouse's default.
    RowMany,
}

/// What the end of the window is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Bound {
    /// The last instant that belongs to it.
    #[default]
    Inclusive,
    /// The first instant that does not.
    Exclusive,
}

impl Options {
    pub(crate) fn check(
        &self,
        mode: Mode,
        steps: usize,
        window: Option<u64>,
    ) -> Result<(), SpecError> {
        let refuse = |option, why| Err(SpecError::Option { mode, option, why });
        self.check_chains(mode, steps)?;
        if self.reuse == Reuse::RowMany && mode != Mode::Ordered {
            return refuse(
                "reuse",
                "'row_many' needs mode 'ordered'; a dialect has its own rule, and with increasing \
                 times a row fills one step anyway",
            );
        }
        if self.bound == Bound::Exclusive && window == Some(0) {
            return refuse(
                "bound",
                "an exclusive window of 0 contains nothing; write a longer window, or 'inclusive'",
            );
        }
        if self.bound == Bound::Exclusive && mode.is_dialect() {
            return refuse("bound", "a dialect has its own rule; leave the option out");
        }
        if self.as_of.is_some() && self.reuse == Reuse::RowMany {
            return refuse(
                "as_of",
                "is not defined where a row fills several steps; leave 'row_many' out",
            );
        }
        if self.as_of.is_some() && self.max_gap.iter().any(Option::is_some) {
            return refuse(
                "as_of",
                "is not defined beside limits between steps; leave 'max_gap' out",
            );
        }
        if self.as_of.is_some() && !matches!(mode, Mode::Ordered | Mode::OrderedIncrease) {
            return refuse(
                "as_of",
                "open windows are told apart in modes 'ordered' and 'ordered,increase'",
            );
        }
        Ok(())
    }

    /// Does a funnel have options beyond the plain longest chain?
    pub(crate) fn is_of_attempts(&self) -> bool {
        self.entry != Entry::Latest || self.count != Count::Unique || !self.max_gap.is_empty()
    }

    /// The options that only chains have.
    fn check_chains(&self, mode: Mode, steps: usize) -> Result<(), SpecError> {
        let refuse = |option, why| Err(SpecError::Option { mode, option, why });
        let of_chains = [
            ("entry", self.entry != Entry::Latest),
            ("count", self.count != Count::Unique),
            ("max_gap", !self.max_gap.is_empty()),
        ];
        let Some((option, _)) = of_chains.into_iter().find(|(_, given)| *given) else {
            return Ok(());
        };
        if !matches!(mode, Mode::Ordered | Mode::OrderedIncrease) {
            return refuse(option, "needs mode 'ordered' or 'ordered,increase'");
        }
        if self.reuse == Reuse::RowMany {
            return refuse(
                option,
                "is not defined where a row fills several steps; leave 'row_many' out",
            );
        }
        if self.max_gap.len() >= steps {
            return refuse(
                "max_gap",
                "has a limit for each step but the last, at most: one fewer than there are steps",
            );
        }
        if self.count != Count::Unique && self.entry == Entry::EarliestLongest {
            return refuse(
                "count",
                "an attempt begins with its first row, so 'earliest_longest' has no meaning; use \
                 'first' or 'latest'",
            );
        }
        Ok(())
    }
}
