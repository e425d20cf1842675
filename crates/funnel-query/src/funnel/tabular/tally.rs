//! From one entry per key to counts per breakdown value, period and step.

use std::collections::BTreeMap;

use arrow::row::OwnedRow;
use chrono::NaiveDate;
use funnel_match::State;

use super::definition::{Period, TableFunnel};
use super::keys::Unit;
use super::plan::Clock;
use crate::error::{ErrorKind, QueryError, Result};
use crate::funnel::passage;
use crate::funnel::times::Times;

/// The counts of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StepTally {
    pub(crate) reached: i64,
    /// Keys that reached the required step before.
    pub(crate) previous: i64,
    /// Of those: this step, too.
    continued: i64,
    /// Of those: neither this step nor a later one, and no later row can change that.
    pub(crate) dropped: i64,
    /// Of those: not this step, but the window is not over.
    pub(crate) open: i64,
    /// Of those: an excluded row ended them here. Of the first step: keys that are in no step because
    /// of one.
    pub(crate) excluded: i64,
    /// Why `dropped`.
    pub(crate) reasons: BTreeMap<&'static str, i64>,
    /// Not this step, but a later one.
    pub(crate) skipped: i64,
    /// Of those that reached the step before: not this step, which loses nobody or comes later.
    passed: i64,
    /// From this step to the next required one.
    pub(crate) times: Times,
}

impl StepTally {
    /// A key that goes no further than the step before.
    fn lose(&mut self, unit: &Unit) {
        match unit.state {
            State::Open => self.open += 1,
            State::Excluded => self.excluded += 1,
            _ => {
                self.dropped += 1;
                if let Some(reason) = unit.reason {
                    *self.reasons.entry(reason.name()).or_default() += 1;
                }
            }
        }
    }

    /// Do the numbers add up?
    fn check(&self, step: usize) -> Result<()> {
        // Nobody comes to the first step from one before; its excluded keys are in no count.
        let excluded = if step == 0 { 0 } else { self.excluded };
        let accounted = self.continued + self.passed + self.dropped + self.open + excluded;
        passage::add_up(step, self.previous, accounted)?;
        let reasons: i64 = self.reasons.values().sum();
        if reasons != self.dropped {
            return Err(QueryError::new(
                ErrorKind::Internal,
                format!(
                    "step {}: {} keys were dropped, {reasons} for a reason",
                    step + 1,
                    self.dropped
                ),
            ));
        }
        Ok(())
    }
}

/// What is counted apart, in the order of the answer.
pub(crate) type Group = (Option<OwnedRow>, Option<NaiveDate>);

/// The counts of all groups.
pub(crate) type Tallies = BTreeMap<Group, Vec<StepTally>>;

/// Counts key after key.
pub(crate) struct Tally {
    /// By step: is it optional?
    optional: Vec<bool>,
    clock: Clock,
    period: Option<Period>,
    /// Without breakdown and period nobody at all is an answer, too.
    groups: Tallies,
}

impl Tally {
    pub(crate) fn new(funnel: &TableFunnel, clock: Clock) -> Self {
        let mut groups = Tallies::new();
        if funnel.breakdown.by.is_empty() && funnel.period.is_none() {
            groups.insert((None, None), vec![StepTally::default(); funnel.steps.len()]);
        }
        Self {
            optional: funnel.steps.iter().map(|step| step.optional).collect(),
            clock,
            period: funnel.period,
            groups,
        }
    }

    pub(crate) fn add(&mut self, unit: &Unit) {
        let out_of_all = !unit.reached.contains(&true);
        if out_of_all && unit.state != State::Excluded {
            return;
        }
        let period = self
            .period
            .and_then(|period| unit.period(period, self.clock));
        let empty = || vec![StepTally::default(); self.optional.len()];
        let tallies = self.groups.entry((unit.value.clone(), period));
        let tallies = tallies.or_insert_with(empty);
        if out_of_all {
            tallies[0].excluded += 1;
            return;
        }
        let furthest = unit.reached.iter().rposition(|reached| *reached);
        // Optional steps lose nobody: what stands before a step is the last required one.
        let mut before = None;
        for (step, tally) in tallies.iter_mut().enumerate() {
            let reached = unit.reached[step];
            let later = furthest.is_some_and(|furthest| furthest > step);
            let optional = self.optional[step];
            tally.reached += i64::from(reached);
            tally.skipped += i64::from(!reached && later);
            let next = (step + 1..self.optional.len()).find(|next| !self.optional[*next]);
            let next = next.and_then(|next| unit.times[next]);
            if let (Some(from), Some(to)) = (unit.times[step], next)
                && to >= from
            {
                tally.times.push(seconds(to.abs_diff(from), self.clock));
            }
            if before.is_some_and(|before: usize| unit.reached[before]) {
                tally.previous += 1;
                tally.continued += i64::from(reached);
                tally.passed += i64::from(!reached && (later || optional));
                if !reached && !later && !optional {
                    tally.lose(unit);
                }
            }
            if !optional {
                before = Some(step);
            }
        }
    }

    /// The counts, once every key was added.
    ///
    /// # Errors
    /// When the numbers of a step do not add up.
    pub(crate) fn finish(mut self) -> Result<Tallies> {
        for (step, tally) in self
            .groups
            .values_mut()
            .flat_map(|steps| steps.iter_mut().enumerate())
        {
            tally.times.finish();
            tally.check(step)?;
        }
        Ok(self.groups)
    }
}

#[expect(clippy::cast_precision_loss, reason = "spans of time stay below 2^53")]
fn seconds(span: u64, clock: Clock) -> f64 {
    span as f64 / clock.ticks() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_do_not_add_up_are_refused() {
        let sound = StepTally {
            previous: 5,
            continued: 1,
            passed: 1,
            dropped: 1,
            open: 1,
            excluded: 1,
            reasons: BTreeMap::from([("never_seen", 1)]),
            ..StepTally::default()
        };
        assert!(sound.check(1).is_ok());
        let wrong = |tally: StepTally| tally.check(1).unwrap_err().to_string();
        let lost = StepTally {
            previous: 6,
            ..sound.clone()
        };
        assert!(wrong(lost).contains("step 2: 6 keys came"));
        let excluded = StepTally {
            excluded: 2,
            ..sound.clone()
        };
        assert!(wrong(excluded).contains("6 are accounted for"));
        let unexplained = StepTally {
            reasons: BTreeMap::new(),
            ..sound
        };
        assert!(wrong(unexplained).contains("1 keys were dropped, 0 for a reason"));
    }
}
