//! The rows of units in the order in which they happened, with what the question says about each.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{DataFrame, SessionContext, ident};
use futures::StreamExt;

use super::judge::{Rules, StepShape, UnitRow};
use crate::error::{QueryError, Result};
use crate::funnel::execution::{Parsed, Question};
use crate::funnel::projection::{self, Scope, UNIT_KEY};

/// One row of a unit with its name and kind.
#[derive(Debug, Clone)]
pub(crate) struct TimelineRow {
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) row: UnitRow,
}

/// Everything that decides about a row, and where the rows are.
pub(crate) struct Timeline {
    rows: DataFrame,
    steps: usize,
}

impl Timeline {
    /// The units of a question, or only the one of key `only`.
    pub(crate) async fn new(
        ctx: &SessionContext,
        scope: &Scope,
        question: &Question<'_>,
        parsed: &Parsed,
        only: Option<&str>,
    ) -> Result<Self> {
        let mut wanted: BTreeSet<String> = parsed.wanted.clone();
        wanted.insert("is_duplicate".to_owned());
        let rows = projection::project(ctx, scope, question.unit, &wanted).await?;
        let rows = judged(rows, parsed, only)
            .map_err(|source| QueryError::query("could not plan the timeline", source))?;
        Ok(Self {
            rows,
            steps: parsed.steps.len(),
        })
    }

    /// Gives each unit with its rows to `take`, in the order of their keys.
    pub(crate) async fn each_unit(
        self,
        mut take: impl FnMut(&str, Vec<TimelineRow>) -> Result<()>,
    ) -> Result<()> {
        let failed = |source| QueryError::query("could not read the timeline", source);
        let mut batches = self.rows.execute_stream().await.map_err(failed)?;
        let mut unit: Option<(String, Vec<TimelineRow>)> = None;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            let read = decode(&batch, self.steps).map_err(|source| failed(source.into()))?;
            for (key, row) in read {
                match &mut unit {
                    Some((present, rows)) if *present == key => rows.push(row),
                    _ => {
                        if let Some((key, rows)) = unit.replace((key, vec![row])) {
                            take(&key, rows)?;
                        }
                    }
                }
            }
        }
        match unit {
            Some((key, rows)) => take(&key, rows),
            None => Ok(()),
        }
    }
}

/// The rules of a question for [`judge`](super::judge::judge).
pub(crate) fn rules(question: &Question<'_>, parsed: &Parsed, as_of_us: i64) -> Result<Rules> {
    let mode = question.mode.to_string();
    let mode = mode.parse::<funnel_match::Mode>();
    let mode = mode.map_err(|unknown| QueryError::usage(unknown.to_string()))?;
    let shape = |step: &crate::funnel::execution::StepRules| StepShape {
        optional: step.optional,
        refines_previous: step.refines_previous,
        conditional: step.required_when.is_some(),
    };
    let seconds = question.window.seconds();
    Ok(Rules {
        steps: parsed.steps.iter().map(shape).collect(),
        mode,
        window_us: seconds.and_then(|s| u64::try_from(s.saturating_mul(1_000_000)).ok()),
        as_of_us,
    })
}

fn judged(rows: DataFrame, parsed: &Parsed, only: Option<&str>) -> PlanResult<DataFrame> {
    let rows = match only {
        Some(key) => rows.filter(ident(UNIT_KEY).eq(lit(key)))?,
        None => rows,
    };
    let kept = parsed.filters.iter().cloned().reduce(Expr::and);
    let mut columns: Vec<Expr> = [
        UNIT_KEY,
        "event_id",
        "event_type",
        "event_time",
        "is_duplicate",
    ]
    .map(ident)
    .to_vec();
    columns.push(kept.unwrap_or_else(|| lit(true)).alias("kept"));
    for (index, step) in parsed.steps.iter().enumerate() {
        columns.push(step.when.clone().alias(format!("s{index}")));
        let required = step.required_when.clone().unwrap_or_else(|| lit(false));
        columns.push(required.alias(format!("q{index}")));
    }
    let order = [UNIT_KEY, "event_time", "event_id"].map(|name| ident(name).sort(true, false));
    rows.select(columns)?.sort(order.to_vec())
}

fn decode(batch: &RecordBatch, steps: usize) -> Result<Vec<(String, TimelineRow)>, ArrowError> {
    let keys = text(batch, UNIT_KEY)?;
    let ids = text(batch, "event_id")?;
    let types = text(batch, "event_type")?;
    let times = column(batch, "event_time")?;
    let times = times.as_primitive::<TimestampMicrosecondType>();
    let (duplicate, kept) = (flags(batch, "is_duplicate")?, flags(batch, "kept")?);
    let marks = |mark: &str| -> Result<Vec<BooleanArray>, ArrowError> {
        (0..steps)
            .map(|step| flags(batch, &format!("{mark}{step}")))
            .collect()
    };
    let (satisfied, required) = (marks("s")?, marks("q")?);
    let bits = |columns: &[BooleanArray], row: usize| {
        let set = |column: &BooleanArray| column.is_valid(row) && column.value(row);
        let bits = columns.iter().enumerate().filter(|(_, column)| set(column));
        bits.fold(0_u64, |mask, (step, _)| mask | 1 << step)
    };
    let row = |row: usize| TimelineRow {
        event_id: ids.value(row).to_owned(),
        event_type: types.value(row).to_owned(),
        row: UnitRow {
            time: times.value(row),
            steps: bits(&satisfied, row),
            required: bits(&required, row),
            kept: kept.is_valid(row).then(|| kept.value(row)),
            duplicate: duplicate.is_valid(row) && duplicate.value(row),
        },
    };
    Ok((0..batch.num_rows())
        .map(|at| (keys.value(at).to_owned(), row(at)))
        .collect())
}

fn column<'a>(
    batch: &'a RecordBatch,
    name: &str,
) -> Result<&'a arrow::array::ArrayRef, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("the timeline has no column `{name}`"));
    batch.column_by_name(name).ok_or_else(missing)
}

pub(crate) fn text(batch: &RecordBatch, name: &str) -> Result<StringArray, ArrowError> {
    let text = cast(column(batch, name)?, &DataType::Utf8)?;
    Ok(text.as_string::<i32>().clone())
}

fn flags(batch: &RecordBatch, name: &str) -> Result<BooleanArray, ArrowError> {
    let flags = cast(column(batch, name)?, &DataType::Boolean)?;
    Ok(flags.as_boolean().clone())
}
