//! One row per unit: which steps it reached, and when.
//!
//! Columns per step `i`: `r{i}` reached, `t{i}` time, `q{i}` required of this unit, `n{i}` seen, and
//! where windows can be open `w{i}`: reached by rows whose window is not over; then the key of the
//! unit and the visitor it belongs to, and where units can be open whether this one is.

use chrono::{DateTime, TimeDelta, Utc};
use datafusion::common::{ScalarValue, plan_datafusion_err};
use datafusion::error::Result as PlanResult;
use datafusion::execution::FunctionRegistry;
use datafusion::functions::expr_fn::{coalesce, get_field};
use datafusion::functions_aggregate::expr_fn::{bool_or, min};
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::{DataFrame, SessionContext, ident};

use super::execution::{StepRules, by_name};
use super::open::{STILL_OPEN, instant};
use super::options::{Mode, Window};
use super::projection::{UNIT_KEY, VISITOR_KEY};

/// How chains are matched.
pub(crate) struct Matcher<'a> {
    pub(crate) ctx: &'a SessionContext,
    pub(crate) mode: Mode,
    pub(crate) window: Window,
    /// How far the rows are complete.
    pub(crate) as_of: Option<DateTime<Utc>>,
}

/// One row per unit and breakdown value.
pub(crate) fn per_unit(
    matcher: &Matcher<'_>,
    rows: DataFrame,
    steps: &[StepRules],
    breakdowns: usize,
) -> PlanResult<DataFrame> {
    let rows = flagged(rows, steps, breakdowns)?;
    let mut keys = vec![ident(UNIT_KEY)];
    keys.extend((0..breakdowns).map(|index| ident(by_name(index))));
    let mut aggregates = vec![min(ident(VISITOR_KEY)).alias(VISITOR_KEY)];
    for (index, step) in steps.iter().enumerate() {
        for (mark, rule) in [("q", &step.required_when), ("n", &step.seen_when)] {
            if rule.is_some() {
                let name = format!("{mark}{index}");
                let any = coalesce(vec![bool_or(ident(&name)), lit(false)]);
                aggregates.push(any.alias(name));
            }
        }
    }
    let reached = match matcher.mode {
        Mode::Loose => loose(matcher, steps, &mut aggregates)?,
        Mode::Ordered => ordered(matcher, steps, &mut aggregates)?,
    };
    let mut columns: Vec<Expr> = (0..breakdowns).map(|index| ident(by_name(index))).collect();
    for (index, (step, answer)) in steps.iter().zip(reached).enumerate() {
        let Answer { hit, time, recent } = answer;
        if matcher.open_since().is_some() {
            columns.push(recent.alias(format!("w{index}")));
        }
        let required = match (&step.required_when, step.optional) {
            (Some(_), _) => ident(format!("q{index}")),
            (None, optional) => lit(!optional),
        };
        // A conditional step is not reached by a unit that it does not apply to.
        let applies = if step.required_when.is_some() {
            required.clone()
        } else {
            lit(true)
        };
        columns.push(
            coalesce(vec![hit, lit(false)])
                .and(applies)
                .alias(format!("r{index}")),
        );
        columns.push(time.alias(format!("t{index}")));
        columns.push(required.alias(format!("q{index}")));
        let seen = if step.seen_when.is_some() {
            ident(format!("n{index}"))
        } else {
            lit(false)
        };
        columns.push(seen.alias(format!("n{index}")));
    }
    columns.extend([ident(UNIT_KEY), ident(VISITOR_KEY)]);
    if matcher.as_of.is_some() {
        aggregates.push(bool_or(ident(STILL_OPEN)).alias(STILL_OPEN));
        columns.push(ident(STILL_OPEN));
    }
    rows.aggregate(keys, aggregates)?.select(columns)
}

/// Rows reduced to unit, breakdown, time and one flag per predicate; rows without any flag go.
fn flagged(rows: DataFrame, steps: &[StepRules], breakdowns: usize) -> PlanResult<DataFrame> {
    let names = [UNIT_KEY, VISITOR_KEY, "event_time", STILL_OPEN];
    let mut columns: Vec<Expr> = names.map(ident).to_vec();
    columns.extend((0..breakdowns).map(|index| ident(by_name(index))));
    let mut any = lit(false);
    for (index, step) in steps.iter().enumerate() {
        let rules = [
            ("s", Some(&step.when)),
            ("q", step.required_when.as_ref()),
            ("n", step.seen_when.as_ref()),
        ];
        for (mark, rule) in rules {
            if let Some(rule) = rule {
                let name = format!("{mark}{index}");
                columns.push(rule.clone().alias(&name));
                any = any.or(ident(name));
            }
        }
    }
    rows.select(columns)?.filter(any)
}

/// What one unit did about one step.
#[derive(Clone)]
struct Answer {
    hit: Expr,
    time: Expr,
    /// Is there a beginning whose window is not over?
    recent: Expr,
}

/// Per step whether and when it was reached, each step for itself within the window.
fn loose(
    matcher: &Matcher<'_>,
    steps: &[StepRules],
    aggregates: &mut Vec<Expr>,
) -> PlanResult<Vec<Answer>> {
    let flags: Vec<Expr> = (0..steps.len()).map(flag).collect();
    let begins = flags.iter().cloned().reduce(Expr::or);
    aggregates.push(matcher.call(flags)?.alias("matched"));
    let recent = matcher.is_recent(begins, "recent", aggregates);
    let answer = |index| {
        let time = time_at("matched", index);
        Answer {
            hit: time.clone().is_not_null(),
            time,
            recent: recent.clone(),
        }
    };
    Ok((0..steps.len()).map(answer).collect())
}

/// Per step whether and when it was reached by the chain of the required steps before it. Each
/// set of conditional steps that can apply to a unit has its own chain.
fn ordered(
    matcher: &Matcher<'_>,
    steps: &[StepRules],
    aggregates: &mut Vec<Expr>,
) -> PlanResult<Vec<Answer>> {
    let conditional: Vec<usize> = (0..steps.len())
        .filter(|index| steps[*index].required_when.is_some())
        .collect();
    let mut answers = vec![Vec::new(); steps.len()];
    for set in 0..1usize << conditional.len() {
        let applies = |index: usize| match conditional.iter().position(|c| *c == index) {
            Some(bit) => set >> bit & 1 == 1,
            None => true,
        };
        // A chain takes a row once: where the next step refines this one, it stands for both.
        let refined = |index: usize| {
            steps
                .get(index + 1)
                .is_some_and(|next| next.refines_previous)
        };
        let in_chain =
            |index: &usize| !steps[*index].optional && !refined(*index) && applies(*index);
        let chain: Vec<usize> = (0..steps.len()).filter(in_chain).collect();
        let matched = format!("matched{set}");
        let flags: Vec<Expr> = chain.iter().copied().map(flag).collect();
        let begins = flags.first().cloned();
        aggregates.push(matcher.call(flags)?.alias(&matched));
        let recent = matcher.is_recent(begins, &format!("recent{set}"), aggregates);
        let is_set = conditional
            .iter()
            .enumerate()
            .fold(lit(true), |all, (bit, index)| {
                let required = ident(format!("q{index}"));
                all.and(if set >> bit & 1 == 1 {
                    required
                } else {
                    !required
                })
            });
        for (index, answer) in answers.iter_mut().enumerate() {
            let place = chain.iter().filter(|step| **step < index).count();
            let mut source = matched.clone();
            if !chain.contains(&index) {
                if !applies(index) {
                    let (hit, time, recent) = (lit(false), no_time(), lit(false));
                    answer.push((is_set.clone(), Answer { hit, time, recent }));
                    continue;
                }
                // Beside the chain: the chain up to here, ended by this step.
                source = format!("matched{set}_{index}");
                let mut flags: Vec<Expr> = chain[..place].iter().copied().map(flag).collect();
                flags.push(flag(index));
                aggregates.push(matcher.call(flags)?.alias(&source));
            }
            let level = get_field(ident(&source), "level");
            let (hit, time) = (
                level.gt_eq(level_literal(place + 1)),
                time_at(&source, place),
            );
            let recent = recent.clone();
            answer.push((is_set.clone(), Answer { hit, time, recent }));
        }
    }
    answers.into_iter().map(choose).collect()
}

/// The answer of the set of conditional steps that applies to the unit.
fn choose(answers: Vec<(Expr, Answer)>) -> PlanResult<Answer> {
    let mut chosen: Option<Answer> = None;
    for (is_set, answer) in answers {
        let either = |own: Expr, other: Expr| when(is_set.clone(), own).otherwise(other);
        chosen = Some(match chosen {
            None => answer,
            Some(other) => Answer {
                hit: either(answer.hit, other.hit)?,
                time: either(answer.time, other.time)?,
                recent: either(answer.recent, other.recent)?,
            },
        });
    }
    chosen.ok_or_else(|| plan_datafusion_err!("a funnel without steps"))
}

impl Matcher<'_> {
    /// The first instant whose window is not over; `None` where no window ends.
    fn open_since(&self) -> Option<DateTime<Utc>> {
        let window = TimeDelta::try_seconds(self.window.seconds()?)?;
        self.as_of?.checked_sub_signed(window)
    }

    /// Adds, as `name`, whether a row that `begins` a match has a window that is not over; says where
    /// to find it.
    fn is_recent(&self, begins: Option<Expr>, name: &str, aggregates: &mut Vec<Expr>) -> Expr {
        let (Some(since), Some(begins)) = (self.open_since(), begins) else {
            return lit(true);
        };
        let recent = begins.and(ident("event_time").gt_eq(instant(since)));
        aggregates.push(bool_or(recent).alias(name));
        ident(name)
    }

    fn call(&self, flags: Vec<Expr>) -> PlanResult<Expr> {
        let mut arguments = vec![
            interval(self.window),
            lit(self.mode.as_str()),
            ident("event_time"),
        ];
        arguments.extend(flags);
        Ok(self.ctx.udaf("funnel_match")?.call(arguments))
    }
}

fn flag(index: usize) -> Expr {
    ident(format!("s{index}"))
}

fn level_literal(level: usize) -> Expr {
    lit(i32::try_from(level).unwrap_or(i32::MAX))
}

/// Time of step `place` of a match; lists count from one.
fn time_at(matched: &str, place: usize) -> Expr {
    let place = i64::try_from(place + 1).unwrap_or(i64::MAX);
    array_element(get_field(ident(matched), "times"), lit(place))
}

fn no_time() -> Expr {
    Expr::Literal(
        ScalarValue::TimestampMicrosecond(None, Some("UTC".into())),
        None,
    )
}

/// The window as an interval without months; NULL is unbounded.
fn interval(window: Window) -> Expr {
    use arrow::datatypes::IntervalMonthDayNano;
    let value = window
        .seconds()
        .map(|seconds| IntervalMonthDayNano::new(0, 0, seconds.saturating_mul(1_000_000_000)));
    Expr::Literal(ScalarValue::IntervalMonthDayNano(value), None)
}
