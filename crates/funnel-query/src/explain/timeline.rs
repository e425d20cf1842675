//! The rows of units in the order in which they happened, with what the question says about each.

use std::collections::BTreeSet;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use chrono::{DateTime, Utc};
use datafusion::error::Result as PlanResult;
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{DataFrame, SessionContext, ident};
use futures::StreamExt;

use super::judge::{Judgement, Rules, StepShape, UnitRow, judge};
use crate::error::{QueryError, Result};
use crate::funnel::execution::{Parsed, Question, StepRules, by_name};
use crate::funnel::open::STILL_OPEN;
use crate::funnel::projection::{self, Scope, UNIT_KEY};

/// One row of a unit with its name and kind.
#[derive(Debug, Clone)]
pub(crate) struct TimelineRow {
    pub(crate) event_id: String,
    pub(crate) event_type: String,
    pub(crate) row: UnitRow,
}

/// The rows of one unit, and of one breakdown value where there is a breakdown.
#[derive(Debug)]
pub(crate) struct UnitRows {
    /// Unit and breakdown values.
    pub(crate) key: OwnedRow,
    /// Can the unit still get rows?
    pub(crate) is_open: bool,
    pub(crate) rows: Vec<TimelineRow>,
}

impl UnitRows {
    /// The rows as they are judged.
    pub(crate) fn judged(&self, rules: &Rules) -> Judgement {
        let rows: Vec<UnitRow> = self.rows.iter().map(|row| row.row).collect();
        let rules = Rules {
            // A unit that is over has no window that is open.
            as_of_us: rules.as_of_us.filter(|_| self.is_open),
            ..rules.clone()
        };
        judge(&rules, &rows)
    }
}

/// Everything that decides about a row, and where the rows are.
pub(crate) struct Timeline {
    rows: DataFrame,
    steps: usize,
    keys: Vec<String>,
    converter: RowConverter,
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
        let rows = match only {
            Some(key) => rows.filter(ident(UNIT_KEY).eq(lit(key))),
            None => Ok(rows),
        };
        let planned = rows.and_then(|rows| Self::of(rows, &parsed.steps, &parsed.filters, 0));
        planned.map_err(|source| QueryError::query("could not plan the timeline", source))
    }

    /// The units of projected rows, apart by so many breakdowns.
    pub(crate) fn of(
        rows: DataFrame,
        steps: &[StepRules],
        filters: &[Expr],
        breakdowns: usize,
    ) -> PlanResult<Self> {
        let mut keys = vec![UNIT_KEY.to_owned()];
        keys.extend((0..breakdowns).map(by_name));
        let rows = judged(rows, &keys, steps, filters)?;
        let field = |key: &String| -> PlanResult<SortField> {
            let field = rows.schema().field_with_unqualified_name(key)?;
            Ok(SortField::new(field.data_type().clone()))
        };
        let fields = keys.iter().map(field).collect::<PlanResult<_>>()?;
        Ok(Self {
            rows,
            steps: steps.len(),
            keys,
            converter: RowConverter::new(fields)?,
        })
    }

    /// The rows in the order of their units.
    pub(crate) fn into_rows(self) -> DataFrame {
        self.rows
    }

    /// Gives each unit with its rows to `take`, in the order of their keys, and then the columns of
    /// what `take` gave for each: unit, and its breakdown values.
    pub(crate) async fn each_unit<T>(
        self,
        mut take: impl FnMut(UnitRows) -> Result<Option<T>>,
    ) -> Result<(Vec<ArrayRef>, Vec<T>)> {
        let failed = |source| QueryError::query("could not read the timeline", source);
        let (mut kept, mut taken) = (Vec::new(), Vec::new());
        let mut end = |unit: UnitRows| -> Result<()> {
            let key = unit.key.clone();
            if let Some(value) = take(unit)? {
                kept.push(key);
                taken.push(value);
            }
            Ok(())
        };
        let mut batches = self.rows.execute_stream().await.map_err(failed)?;
        let mut unit: Option<UnitRows> = None;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            let arrow_failed = |source: ArrowError| failed(source.into());
            let columns = self.keys.iter().map(|key| column(&batch, key).cloned());
            let columns = columns.collect::<Result<Vec<_>, _>>();
            let keys = columns.and_then(|columns| self.converter.convert_columns(&columns));
            let keys = keys.map_err(arrow_failed)?;
            let open = flags(&batch, STILL_OPEN).map_err(arrow_failed)?;
            let rows = decode(&batch, self.steps).map_err(arrow_failed)?;
            for (at, row) in rows.into_iter().enumerate() {
                match &mut unit {
                    Some(unit) if unit.key.row() == keys.row(at) => unit.rows.push(row),
                    _ => {
                        let next = UnitRows {
                            key: keys.row(at).owned(),
                            is_open: open.is_valid(at) && open.value(at),
                            rows: vec![row],
                        };
                        unit.replace(next).map_or(Ok(()), &mut end)?;
                    }
                }
            }
        }
        unit.map_or(Ok(()), &mut end)?;
        let columns = self.converter.convert_rows(kept.iter().map(OwnedRow::row));
        let columns = columns.map_err(|source| failed(source.into()))?;
        Ok((columns, taken))
    }
}

/// The rules of a question for [`judge`](super::judge::judge).
pub(crate) fn rules(
    question: &Question<'_>,
    parsed: &Parsed,
    as_of: Option<DateTime<Utc>>,
) -> Result<Rules> {
    let mode = question.mode.to_string();
    let mode = mode.parse::<funnel_match::Mode>();
    let mode = mode.map_err(|unknown| QueryError::usage(unknown.to_string()))?;
    let shape = |step: &StepRules| StepShape {
        optional: step.optional,
        refines_previous: step.refines_previous,
        conditional: step.required_when.is_some(),
    };
    let seconds = question.window.seconds();
    Ok(Rules {
        steps: parsed.steps.iter().map(shape).collect(),
        mode,
        window_us: seconds.and_then(|s| u64::try_from(s.saturating_mul(1_000_000)).ok()),
        as_of_us: as_of.map(|as_of| as_of.timestamp_micros()),
    })
}

fn judged(
    rows: DataFrame,
    keys: &[String],
    steps: &[StepRules],
    filters: &[Expr],
) -> PlanResult<DataFrame> {
    let kept = filters.iter().cloned().reduce(Expr::and);
    let mut columns: Vec<Expr> = keys.iter().map(ident).collect();
    let own = [
        "event_id",
        "event_type",
        "event_time",
        "is_duplicate",
        STILL_OPEN,
    ];
    columns.extend(own.map(ident));
    columns.push(kept.unwrap_or_else(|| lit(true)).alias("kept"));
    for (index, step) in steps.iter().enumerate() {
        columns.push(step.when.clone().alias(format!("s{index}")));
        let required = step.required_when.clone().unwrap_or_else(|| lit(false));
        columns.push(required.alias(format!("q{index}")));
    }
    let order = keys
        .iter()
        .map(String::as_str)
        .chain(["event_time", "event_id"]);
    let order = order.map(|name| ident(name).sort(true, false));
    rows.select(columns)?.sort(order.collect())
}

fn decode(batch: &RecordBatch, steps: usize) -> Result<Vec<TimelineRow>, ArrowError> {
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
    Ok((0..batch.num_rows()).map(row).collect())
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
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
