//! One row per unit: which steps it reached, and when.
//!
//! Columns per step `i`: `r{i}` reached, `t{i}` time, `q{i}` required of this unit, `n{i}` seen; then
//! the key of the unit and the visitor it belongs to.

use datafusion::common::{ScalarValue, plan_datafusion_err};
use datafusion::error::Result as PlanResult;
use datafusion::execution::FunctionRegistry;
use datafusion::functions::expr_fn::{coalesce, get_field};
use datafusion::functions_aggregate::expr_fn::{bool_or, min};
use datafusion::functions_nested::expr_fn::array_element;
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::{DataFrame, SessionContext, ident};

use super::execution::{StepRules, by_name};
use super::options::{Mode, Window};
use super::projection::{UNIT_KEY, VISITOR_KEY};

/// How chains are matched.
pub(crate) struct Matcher<'a> {
    pub(crate) ctx: &'a SessionContext,
    pub(crate) mode: Mode,
    pub(crate) window: Window,
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
    for (index, (step, (hit, time))) in steps.iter().zip(reached).enumerate() {
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
    rows.aggregate(keys, aggregates)?.select(columns)
}

/// Rows reduced to unit, breakdown, time and one flag per predicate; rows without any flag go.
fn flagged(rows: DataFrame, steps: &[StepRules], breakdowns: usize) -> PlanResult<DataFrame> {
    let mut columns = vec![ident(UNIT_KEY), ident(VISITOR_KEY), ident("event_time")];
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

/// Per step whether and when it was reached, each step for itself within the window.
fn loose(
    matcher: &Matcher<'_>,
    steps: &[StepRules],
    aggregates: &mut Vec<Expr>,
) -> PlanResult<Vec<(Expr, Expr)>> {
    let flags: Vec<Expr> = (0..steps.len()).map(flag).collect();
    aggregates.push(matcher.call("funnel_match", flags)?.alias("matched"));
    let time = |index| time_at("matched", index);
    Ok((0..steps.len())
        .map(|index| (time(index).is_not_null(), time(index)))
        .collect())
}

/// Per step whether and when it was reached by the chain of the required steps before it. Each
/// set of conditional steps that can apply to a unit has its own chain.
fn ordered(
    matcher: &Matcher<'_>,
    steps: &[StepRules],
    aggregates: &mut Vec<Expr>,
) -> PlanResult<Vec<(Expr, Expr)>> {
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
        let flags = chain.iter().copied().map(flag).collect();
        aggregates.push(matcher.call("funnel_match", flags)?.alias(&matched));
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
                    answer.push((is_set.clone(), lit(false), no_time()));
                    continue;
                }
                // Beside the chain: the chain up to here, ended by this step.
                source = format!("matched{set}_{index}");
                let mut flags: Vec<Expr> = chain[..place].iter().copied().map(flag).collect();
                flags.push(flag(index));
                aggregates.push(matcher.call("funnel_match", flags)?.alias(&source));
            }
            let level = get_field(ident(&source), "level");
            let (hit, time) = (
                level.gt_eq(level_literal(place + 1)),
                time_at(&source, place),
            );
            answer.push((is_set.clone(), hit, time));
        }
    }
    answers.into_iter().map(choose).collect()
}

/// The answer of the set of conditional steps that applies to the unit.
fn choose(answers: Vec<(Expr, Expr, Expr)>) -> PlanResult<(Expr, Expr)> {
    let mut chosen: Option<(Expr, Expr)> = None;
    for (is_set, hit, time) in answers {
        chosen = Some(match chosen {
            None => (hit, time),
            Some((other_hit, other_time)) => (
                when(is_set.clone(), hit).otherwise(other_hit)?,
                when(is_set, time).otherwise(other_time)?,
            ),
        });
    }
    chosen.ok_or_else(|| plan_datafusion_err!("a funnel without steps"))
}

impl Matcher<'_> {
    fn call(&self, function: &str, flags: Vec<Expr>) -> PlanResult<Expr> {
        let mut arguments = vec![
            interval(self.window),
            lit(self.mode.as_str()),
            ident("event_time"),
        ];
        arguments.extend(flags);
        Ok(self.ctx.udaf(function)?.call(arguments))
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
