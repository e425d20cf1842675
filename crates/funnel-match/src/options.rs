//! What can be asked for beyond mode and window.

use crate::{Mode, PostHog, STEPS_MAX, SpecError};

/// More optional steps are refused where each set of them is tried.
const OPTIONAL_MAX: u32 = 8;

/// Options of a funnel; the default of each is today's plain funnel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Options {
    /// Which beginning counts.
    pub entry: Entry,
    /// What [`Matcher::outcome`](crate::Matcher::outcome) counts.
    pub count: Count,
    /// The longest time from each step to the next, beside the window; the first is from step 1 to
    /// step 2. `None`, or fewer than there are: no limit. Over an optional step that the chain lacks
    /// the two limits add up. Of chains that begin at the same time the one reported has the latest
    /// rows before its last.
    pub max_gap: Vec<Option<u64>>,
    /// May a row fill several steps?
    pub reuse: Reuse,
    /// Does a row exactly one window after the first still belong to it?
    pub bound: Bound,
    /// The time up to which rows are complete: a key that is not done and that rows at this time or
    /// later could take further is [open](crate::State::Open), not dropped.
    pub as_of: Option<i64>,
    /// Rows that must not come between two steps. Whether a row is one stands in its mask: after the
    /// bits of the steps, one for each exclusion.
    pub exclusions: Vec<Exclusion>,
    /// One bit for each step that a chain may lack; never the first.
    ///
    /// The level is that of the other, required steps: the number of the last of them that is
    /// reached. An optional step is reached if the reported chain holds it, in its place; of the
    /// chains of the level the reported one holds the most optional steps. Of those it is the one
    /// that would be reported were they the same steps; then, the one that holds the earlier ones.
    pub optional: u64,
}

/// Rows that must not come between two steps.
///
/// A row is *inside* a chain that holds step `from` if it is later than the row of that step and
/// earlier than the row of step `to`, or than the last row of the chain where that is missing.
/// A chain with an excluded row inside is none. An excluded row *hits* a chain that holds `from` and
/// not `to`, if it is later than the row of `from` and in the window of the chain. Rows of the same
/// instant are taken in whatever order helps: an excluded row in the instant of `from` comes before
/// it, one in the instant of `to` after it.
///
/// An attempt is all chains that begin in one instant, its level that of its longest chains; it is
/// hit if each of those is. The level of the key is the highest of its attempts, except for those
/// that a `drop` hits. If there are no others, or if all attempts of this level are hit, the key is
/// [excluded](crate::State::Excluded).
///
/// In the `posthog:` modes the rule is PostHog's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Exclusion {
    /// The step after which it begins to hold; steps count from 0.
    pub from: usize,
    /// The step with which it ends.
    pub to: usize,
    /// What becomes of an attempt that is hit.
    pub action: Action,
}

/// What an excluded row does to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Action {
    /// The attempt counts for nothing, its first step included.
    #[default]
    Drop,
    /// The attempt keeps the steps that it has.
    Stop,
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
    /// the funnel, or before the first row that could not take it further whatever step it were:
    /// after the window, after the gaps, or behind excluded rows. Other rows of step 1 until then
    /// begin no other attempt. The next one begins with the next row of step 1. An attempt that an
    /// excluded row drops is not counted.
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
        self.check_exclusions(mode, steps)?;
        self.check_optional(mode, steps)?;
        if self.reuse == Reuse::RowMany && mode != Mode::Ordered {
            return refuse(
                "reuse",
                "'row_many' needs mode 'ordered'; a dialect has its own rule, and with increasing \
                 times a row fills one step anyway",
            );
        }
        if self.bound == Bound::Exclusive && window == Some(0) {
            return refuse(
                "window_bound",
                "an exclusive window of 0 contains nothing; write a longer window, or 'inclusive'",
            );
        }
        if self.bound == Bound::Exclusive && mode.is_dialect() {
            return refuse(
                "window_bound",
                "a dialect has its own rule; leave the option out",
            );
        }
        if self.as_of.is_some() && mode.is_dialect() {
            return refuse(
                "as_of",
                "a dialect does not tell open windows apart; leave the option out, or use a mode of \
                 ours such as 'ordered'",
            );
        }
        Ok(())
    }

    /// Does a funnel have options beyond the plain longest chain?
    pub(crate) fn is_of_attempts(&self) -> bool {
        self.entry != Entry::Latest || self.count != Count::Unique || !self.max_gap.is_empty()
    }

    /// Does a funnel have steps that can be missing, or rows that must be?
    pub(crate) fn is_of_parts(&self) -> bool {
        self.optional != 0 || !self.exclusions.is_empty()
    }

    /// The limits between `steps`, ascending: over those left out they add up. Where the funnel has
    /// a limit, each of these is one, so that every set of its steps prefers the same rows.
    pub(crate) fn gaps_between(&self, steps: &[usize]) -> Vec<Option<u64>> {
        if !self.max_gap.iter().any(Option::is_some) {
            return Vec::new();
        }
        let gap = |step: usize| {
            self.max_gap
                .get(step)
                .copied()
                .flatten()
                .unwrap_or(u64::MAX)
        };
        let hops = steps.windows(2).map(|hop| match *hop {
            [from, to] => Some((from..to).map(gap).fold(0, u64::saturating_add)),
            _ => None,
        });
        hops.collect()
    }

    fn check_exclusions(&self, mode: Mode, steps: usize) -> Result<(), SpecError> {
        let refuse = |why| {
            let option = "exclusions";
            Err(SpecError::Option { mode, option, why })
        };
        if self.exclusions.is_empty() {
            return Ok(());
        }
        if !matches!(
            mode,
            Mode::Ordered | Mode::OrderedIncrease | Mode::PostHog(_)
        ) {
            return refuse("need mode 'ordered', 'ordered,increase' or one of 'posthog:'");
        }
        if self.reuse == Reuse::RowMany {
            return refuse("are not defined where a row fills several steps; leave 'row_many' out");
        }
        if steps + self.exclusions.len() > STEPS_MAX {
            return refuse("and steps are 64 together, at most");
        }
        let is_optional = |step: usize| self.optional >> step & 1 == 1;
        for Exclusion { from, to, .. } in &self.exclusions {
            if from >= to || *to >= steps {
                return refuse("hold from a step to a later one");
            }
            if is_optional(*from) || is_optional(*to) {
                return refuse("begin and end with required steps, not with optional ones");
            }
        }
        let is_stop = |exclusion: &Exclusion| exclusion.action == Action::Stop;
        if mode.is_dialect() && self.exclusions.iter().any(is_stop) {
            return refuse("of action 'stop' need mode 'ordered': PostHog has 'drop'");
        }
        let is_part = |exclusion: &Exclusion| (exclusion.from, exclusion.to) != (0, steps - 1);
        if mode == Mode::PostHog(PostHog::Unordered) && self.exclusions.iter().any(is_part) {
            return refuse("hold from the first to the last step where steps have no order");
        }
        Ok(())
    }

    fn check_optional(&self, mode: Mode, steps: usize) -> Result<(), SpecError> {
        let refuse = |why| {
            let option = "optional";
            Err(SpecError::Option { mode, option, why })
        };
        if self.optional == 0 {
            return Ok(());
        }
        if self.optional & 1 == 1 {
            return refuse("the first step begins the chain, so it is required");
        }
        if self.optional >> (steps - 1) > 1 {
            return refuse("has a bit for a step that does not exist");
        }
        match mode {
            Mode::PostHog(PostHog::Ordered | PostHog::Strict) => return Ok(()),
            Mode::Ordered | Mode::OrderedIncrease => {}
            _ => {
                return refuse(
                    "needs mode 'ordered', 'ordered,increase', 'posthog:ordered' or 'posthog:strict'",
                );
            }
        }
        if self.reuse == Reuse::RowMany {
            return refuse("is not defined where a row fills several steps; leave 'row_many' out");
        }
        if self.optional.count_ones() > OPTIONAL_MAX {
            return refuse("is possible for eight steps at most: each set of them is tried");
        }
        Ok(())
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
