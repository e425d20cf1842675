//! What can be asked for beyond mode and window.

use crate::{Mode, SpecError};

/// Options of a funnel; the default of each is today's plain funnel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Options {
    /// May a row fill several steps?
    pub reuse: Reuse,
    /// Does a row exactly one window after the first still belong to it?
    pub bound: Bound,
    /// The time up to which rows are complete: a key that is not done and whose window is not over
    /// by then is open, not dropped.
    pub as_of: Option<i64>,
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
    pub(crate) fn check(&self, mode: Mode, window: Option<u64>) -> Result<(), SpecError> {
        let refuse = |option, why| Err(SpecError::Option { mode, option, why });
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
        if self.as_of.is_some() && !matches!(mode, Mode::Ordered | Mode::OrderedIncrease) {
            return refuse(
                "as_of",
                "open windows are told apart in modes 'ordered' and 'ordered,increase'",
            );
        }
        Ok(())
    }
}
