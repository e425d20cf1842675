//! From one row per unit to counts per breakdown value.
//!
//! Columns per step `i`: `reached{i}`, `previous{i}`, `dropped{i}`, `skipped{i}`, `required{i}`,
//! and `p50_{i}`, `p90_{i}`, `p99_{i}`: seconds to the next step that the unit needed.

use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::expr_fn::percentile_cont;
use datafusion::logical_expr::expr_fn::cast;
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::{DataFrame, ident};

use super::execution::{StepRules, by_name};

/// The percentiles of the time to the next step, with the name of their column.
pub(crate) const PERCENTILES: [(&str, f64); 3] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99)];

/// One row per breakdown value, sorted by value.
pub(crate) fn count(units: DataFrame, steps: &[StepRules], by: &[String]) -> PlanResult<DataFrame> {
    // A unit without any step has met neither the funnel nor its first step.
    let any = (0..steps.len()).fold(lit(false), |any, index| any.or(reached(index)));
    let keys: Vec<Expr> = (0..by.len()).map(|index| ident(by_name(index))).collect();
    let mut aggregates = Vec::new();
    for index in 0..steps.len() {
        let previous = previous(steps, index)?;
        let later = (index + 1..steps.len()).fold(lit(false), |any, next| any.or(reached(next)));
        let required = ident(format!("q{index}"));
        let missed = !reached(index);
        let applies = if steps[index].required_when.is_some() {
            previous.clone().and(required.clone())
        } else {
            previous.clone()
        };
        let lost = applies.clone().and(missed.clone()).and(!later.clone());
        let eligible = if steps[index].optional { lit(true) } else { required.clone() };
        let skipped = eligible.and(missed).and(later).and(!ident(format!("n{index}")));
        for (name, condition) in [
            ("reached", reached(index)),
            ("previous", applies),
            ("dropped", lost),
            ("skipped", skipped),
            ("required", previous.and(required)),
        ] {
            aggregates.push(count_if(condition)?.alias(format!("{name}{index}")));
        }
        let seconds = seconds_to_next(steps, index)?;
        for (name, fraction) in PERCENTILES {
            let percentile = percentile_cont(seconds.clone().sort(true, false), lit(fraction));
            aggregates.push(percentile.alias(format!("{name}_{index}")));
        }
    }
    let counted = units.filter(any)?.aggregate(keys, aggregates)?;
    let order = (0..by.len()).map(|index| ident(by_name(index)).sort(true, false)).collect();
    if by.is_empty() { Ok(counted) } else { counted.sort(order) }
}

fn reached(index: usize) -> Expr {
    ident(format!("r{index}"))
}

fn count_if(condition: Expr) -> PlanResult<Expr> {
    Ok(datafusion::functions_aggregate::expr_fn::count(when(condition, lit(1i64)).end()?))
}

/// Whether the unit reached the step that it needed before step `index`. Every unit in the funnel
/// has met what stands before the first step.
fn previous(steps: &[StepRules], index: usize) -> PlanResult<Expr> {
    let mut chosen = lit(true);
    for before in 0..index {
        let step = &steps[before];
        if step.optional {
            continue;
        }
        chosen = if step.required_when.is_some() {
            when(ident(format!("q{before}")), reached(before)).otherwise(chosen)?
        } else {
            reached(before)
        };
    }
    Ok(chosen)
}

/// Seconds from step `index` to the next step that the unit needed; NULL where one of the two is
/// missing or stands before the other.
fn seconds_to_next(steps: &[StepRules], index: usize) -> PlanResult<Expr> {
    let time = |step: usize| cast(ident(format!("t{step}")), DataType::Int64);
    let mut next: Option<Expr> = None;
    for after in (index + 1..steps.len()).rev() {
        let step = &steps[after];
        if step.optional {
            continue;
        }
        next = Some(match next {
            Some(later) if step.required_when.is_some() => {
                when(ident(format!("q{after}")), time(after)).otherwise(later)?
            }
            _ => time(after),
        });
    }
    let Some(next) = next else { return Ok(lit(datafusion::common::ScalarValue::Float64(None))) };
    let micros = next - time(index);
    let seconds = cast(micros.clone(), DataType::Float64) / lit(1_000_000.0f64);
    when(micros.gt_eq(lit(0i64)), seconds).end()
}
