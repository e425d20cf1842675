//! Breakdowns by the largest values, with one group for all others.
//!
//! The other values become one value before rows are matched, as if the column had held it. So a unit
//! with several of them counts once, where a sum over their groups would count it several times.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, lit, when};
use datafusion::prelude::{DataFrame, SessionContext};

use super::counts::Counts;
use super::execution::{self, Parsed, Question};
use super::projection::Scope;
use crate::error::{QueryError, Result};

/// The group of all values that are not among the largest; a value that reads like this is one of them.
pub(crate) const OTHER: &str = "(other)";

/// The values of each breakdown that stay apart, as texts.
pub(crate) type Kept = Vec<Vec<String>>;

/// The largest values of each breakdown over `rows`: those with the most units. `None`: all stay apart.
pub(crate) async fn kept(
    ctx: &SessionContext,
    scope: &Scope,
    rows: &DataFrame,
    question: &Question<'_>,
    parsed: &Parsed,
) -> Result<Option<Kept>> {
    let Some(top) = question.top else {
        return Ok(None);
    };
    if question.by.is_empty() {
        return Err(QueryError::usage(
            "`top` is about the values of a breakdown: name its column, or leave `top` out",
        ));
    }
    let mut kept = Vec::with_capacity(question.by.len());
    for column in question.by {
        let alone = Question {
            by: std::slice::from_ref(column),
            top: None,
            ..*question
        };
        let counts = execution::count(ctx, scope, rows.clone(), &alone, None, parsed).await?;
        kept.push(largest(&counts, top)?);
    }
    Ok(Some(kept))
}

/// The values of the only breakdown with the most units at any step; of as many units, the first by name.
fn largest(counts: &Counts, top: usize) -> Result<Vec<String>> {
    let failed = |source: arrow::error::ArrowError| {
        QueryError::query("could not order the values of the breakdown", source.into())
    };
    let Some(values) = counts.values.first() else {
        return Ok(Vec::new());
    };
    let values = cast(values, &DataType::Utf8).map_err(failed)?;
    let values = values.as_string::<i32>();
    let mut sized: Vec<(i64, &str)> = Vec::with_capacity(values.len());
    for (value, steps) in values.iter().zip(&counts.groups) {
        let units = steps.iter().map(|step| step.reached).max().unwrap_or(0);
        sized.extend(
            value
                .filter(|value| *value != OTHER)
                .map(|value| (units, value)),
        );
    }
    sized.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
    let largest = sized.into_iter().take(top);
    Ok(largest.map(|(_, value)| value.to_owned()).collect())
}

/// `value` where it is one of `kept`, else [`OTHER`]; NULL stays NULL.
pub(crate) fn value(value: Expr, kept: &[String]) -> PlanResult<Expr> {
    let text = datafusion::logical_expr::cast(value, DataType::Utf8);
    let is_kept = match kept {
        [] => lit(false),
        kept => text.clone().in_list(
            kept.iter().map(|value| lit(value.as_str())).collect(),
            false,
        ),
    };
    when(text.clone().is_null().or(is_kept), text).otherwise(lit(OTHER))
}
