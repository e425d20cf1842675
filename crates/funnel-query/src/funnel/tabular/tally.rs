//! From one entry per key to counts per breakdown value, period and step.

use std::collections::BTreeMap;

use arrow::row::OwnedRow;
use chrono::{Datelike, Days, NaiveDate};
use funnel_match::State;

use super::definition::{Every, Period, TableFunnel};
use super::keys::Unit;
use super::plan::Clock;
use crate::error::{ErrorKind, QueryError, Result};
use crate::funnel::times::Times;

/// The counts of one step.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StepTally {
    pub(crate) reached: i64,
    /// Keys that reached the step before.
    pub(crate) previous: i64,
    /// Of those: this step, too.
    continued: i64,
    /// Of those: neither this step nor a later one, and no later row can change that.
    pub(crate) dropped: i64,
    /// Of those: not this step, but the window is not over.
    pub(crate) open: i64,
    /// Not this step, but a later one.
    pub(crate) skipped: i64,
    /// Of those that reached the step before.
    passed: i64,
    /// From this step to the next.
    pub(crate) times: Times,
}

/// What is counted apart, in the order of the answer.
pub(crate) type Group = (Option<OwnedRow>, Option<NaiveDate>);

/// The counts of all groups.
pub(crate) type Tallies = BTreeMap<Group, Vec<StepTally>>;

/// Counts key after key.
pub(crate) struct Tally {
    steps: usize,
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
            steps: funnel.steps.len(),
            clock,
            period: funnel.period,
            groups,
        }
    }

    pub(crate) fn add(&mut self, unit: &Unit) {
        if !unit.reached.contains(&true) {
            return;
        }
        let entered = unit.times.iter().flatten().min();
        let entered = entered.and_then(|time| self.clock.time(*time));
        let period = self.period.and_then(|period| {
            let local = entered?.with_timezone(&period.zone);
            beginning(period.every, local.date_naive())
        });
        let empty = || vec![StepTally::default(); self.steps];
        let tallies = self.groups.entry((unit.value.clone(), period));
        let tallies = tallies.or_insert_with(empty);
        let furthest = unit.reached.iter().rposition(|reached| *reached);
        for (step, tally) in tallies.iter_mut().enumerate() {
            let reached = unit.reached[step];
            let later = furthest.is_some_and(|furthest| furthest > step);
            tally.reached += i64::from(reached);
            tally.skipped += i64::from(!reached && later);
            let next = unit.times.get(step + 1).copied().flatten();
            if let (Some(from), Some(to)) = (unit.times[step], next)
                && to >= from
            {
                tally.times.push(seconds(to.abs_diff(from), self.clock));
            }
            if step > 0 && unit.reached[step - 1] {
                let lost = !reached && !later;
                tally.previous += 1;
                tally.continued += i64::from(reached);
                tally.passed += i64::from(!reached && later);
                tally.dropped += i64::from(lost && unit.state != State::Open);
                tally.open += i64::from(lost && unit.state == State::Open);
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
            let accounted = tally.continued + tally.passed + tally.dropped + tally.open;
            if accounted != tally.previous {
                return Err(QueryError::new(
                    ErrorKind::Internal,
                    format!(
                        "step {}: {} keys came from the step before, {accounted} are accounted for",
                        step + 1,
                        tally.previous
                    ),
                ));
            }
        }
        Ok(self.groups)
    }
}

#[expect(clippy::cast_precision_loss, reason = "spans of time stay below 2^53")]
fn seconds(span: u64, clock: Clock) -> f64 {
    span as f64 / clock.ticks() as f64
}

/// The first day of the period in which `day` lies.
fn beginning(every: Every, day: NaiveDate) -> Option<NaiveDate> {
    match every {
        Every::Day => Some(day),
        Every::Week => {
            day.checked_sub_days(Days::new(u64::from(day.weekday().num_days_from_monday())))
        }
        Every::Month => day.with_day(1),
    }
}
