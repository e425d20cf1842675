//! `funnel report --per-key`: one row per unit.

use std::sync::Arc;

use arrow::array::{
    Int32Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondBuilder,
    new_empty_array,
};
use arrow::datatypes::{DataType, SchemaRef};
use arrow::error::ArrowError;
use datafusion::prelude::DataFrame;

use super::outcomes;
use super::rows::Columns;
use super::{ReportRequest, choose_account};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::explain::judge::{Decision, Judgement, Rules};
use crate::explain::timeline::{self, Timeline, TimelineRow, UnitRows};
use crate::funnel::execution::{self, Parsed, Question};
use crate::funnel::projection::{self, Scope};
use crate::funnel::top;
use funnel_match::classify::Class;

/// The column that is read from the offers, and only if it is asked for.
pub(crate) const OFFER_OUTCOME: &str = "offer_outcome";

/// How far one unit got.
struct Unit {
    state: &'static str,
    judgement: Judgement,
    /// By step: the row that reached it.
    reached: Vec<Option<TimelineRow>>,
}

/// One row per unit that has a row of a step, and per breakdown value. Columns: key, the breakdown,
/// level (number of the last step reached), state (`converted`, `dropped`, `open`), reason,
/// step_times, event_ids, and `offer_outcome`: what became of the unit's offer that went furthest,
/// NULL where every step was reached. It lays a loss at the contact centre's door
/// (`blocked_offline`, `abandoned_in_queue`, …), which no row of the unit can.
///
/// # Errors
/// As [`report`](super::report()).
pub async fn unit_report(session: &QuerySession, request: &ReportRequest) -> Result<RecordBatch> {
    unit_rows(session, request, true).await
}

/// The same; outcomes are NULL where nobody asks for them.
pub(crate) async fn unit_rows(
    session: &QuerySession,
    request: &ReportRequest,
    with_outcomes: bool,
) -> Result<RecordBatch> {
    let units = levels(session, request).await?;
    let outcomes = match with_outcomes {
        true => {
            let account = choose_account(session, request.account.as_deref()).await?;
            let unit = request.question().unit;
            outcomes::of_keys(session, &account, unit, &units).await?
        }
        false => StringArray::new_null(units.num_rows()),
    };
    beside_outcomes(&units, &outcomes)
        .map_err(|source| QueryError::query("could not lay out the units", source.into()))
}

fn beside_outcomes(units: &RecordBatch, outcomes: &StringArray) -> Result<RecordBatch, ArrowError> {
    let mut columns = Columns::default();
    for (field, column) in units.schema().fields().iter().zip(units.columns()) {
        columns.push(field.name(), Arc::clone(column));
    }
    columns.push(OFFER_OUTCOME, Arc::new(outcomes.clone()));
    columns.finish()
}

async fn levels(session: &QuerySession, request: &ReportRequest) -> Result<RecordBatch> {
    let question = request.question();
    let asked = Asked::new(session, request, &question).await?;
    let rows = asked.timeline(session, &question).await?;
    let Asked { parsed, rules, .. } = asked;
    let steps = parsed.steps.len();
    let take = |unit: UnitRows| {
        if unit.rows.iter().all(|row| row.row.steps == 0) {
            return Ok(None);
        }
        let judgement = unit.judged(&rules);
        Ok(Some(of_unit(unit, judgement, rules.window_us, steps)))
    };
    let (keys, units) = rows.each_unit(take).await?;
    let names = std::iter::once("key").chain(question.by.iter().map(String::as_str));
    let mut columns = Columns::default();
    for (name, values) in names.zip(keys) {
        columns.push(name, values);
    }
    laid_out(columns, &units, steps)
        .map_err(|source| QueryError::query("could not lay out the units", source.into()))
}

/// The rows that are judged.
pub(super) async fn rows(session: &QuerySession, request: &ReportRequest) -> Result<DataFrame> {
    let question = request.question();
    let asked = Asked::new(session, request, &question).await?;
    Ok(asked.timeline(session, &question).await?.into_rows())
}

/// The columns of [`unit_report`], whose breakdown columns have these types.
pub(crate) fn schema(request: &ReportRequest, types: &[DataType]) -> Result<SchemaRef> {
    let mut columns = Columns::default();
    columns.push("key", new_empty_array(&DataType::Utf8));
    for (name, data_type) in request.by.iter().zip(types) {
        columns.push(name, new_empty_array(data_type));
    }
    let none = laid_out(columns, &[], request.funnel.steps.len())
        .and_then(|none| beside_outcomes(&none, &StringArray::new_null(0)))
        .map_err(|source| QueryError::query("could not lay out the units", source.into()))?;
    Ok(none.schema())
}

/// What decides about the units of a question.
struct Asked {
    scope: Scope,
    parsed: Parsed,
    rules: Rules,
}

impl Asked {
    async fn new(
        session: &QuerySession,
        request: &ReportRequest,
        question: &Question<'_>,
    ) -> Result<Self> {
        let account = choose_account(session, request.account.as_deref()).await?;
        let as_of = Some(session.complete_until().await?);
        let scope = Scope {
            as_of,
            ..request.scope(account)
        };
        let parsed = Parsed::new(session.ctx(), question).await?;
        let rules = timeline::rules(question, &parsed, as_of)?;
        Ok(Self {
            scope,
            parsed,
            rules,
        })
    }

    async fn timeline(&self, session: &QuerySession, question: &Question<'_>) -> Result<Timeline> {
        let (ctx, parsed) = (session.ctx(), &self.parsed);
        let rows = projection::project(ctx, &self.scope, question.unit, &parsed.wanted).await?;
        let kept = top::kept(ctx, &self.scope, &rows, question, parsed).await?;
        let rows = execution::counted(rows, question, kept.as_ref(), &parsed.filters)
            .and_then(|rows| Timeline::of(rows, &parsed.steps, &[], question.by.len()));
        rows.map_err(|source| QueryError::query("could not plan the funnel", source))
    }
}

fn of_unit(unit: UnitRows, judgement: Judgement, window: Option<u64>, steps: usize) -> Unit {
    let is_over = window.is_some() && !judgement.is_open();
    let state = match judgement.reason {
        None => "converted",
        // Who never entered is not lost on the way.
        Some(_) if unit.is_open && !is_over && judgement.reached != 0 => "open",
        Some(_) => "dropped",
    };
    let mut reached = vec![None; steps];
    for (row, decision) in unit.rows.into_iter().zip(&judgement.decisions) {
        let Decision::Matched(Class::Used { steps: used }) = decision else {
            continue;
        };
        for (step, place) in reached.iter_mut().enumerate() {
            if used >> step & 1 == 1 {
                *place = Some(row.clone());
            }
        }
    }
    Unit {
        state,
        judgement,
        reached,
    }
}

fn laid_out(mut columns: Columns, units: &[Unit], steps: usize) -> Result<RecordBatch, ArrowError> {
    let level = |unit: &Unit| {
        let steps = unit.reached.iter().rposition(Option::is_some);
        i32::try_from(steps.map_or(0, |step| step + 1)).ok()
    };
    let levels: Int32Array = units.iter().map(level).collect();
    let states: StringArray = units.iter().map(|unit| Some(unit.state)).collect();
    let reason = |unit: &Unit| Some(unit.judgement.reason?.name());
    let reasons: StringArray = units.iter().map(reason).collect();
    let values = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut times = ListBuilder::with_capacity(values, units.len());
    let mut ids = ListBuilder::with_capacity(StringBuilder::new(), units.len());
    for unit in units {
        debug_assert_eq!(unit.reached.len(), steps);
        let rows = || unit.reached.iter().map(Option::as_ref);
        times.append_value(rows().map(|row| Some(row?.row.time)));
        ids.append_value(rows().map(|row| Some(&row?.event_id)));
    }
    columns.push("level", Arc::new(levels));
    columns.push("state", Arc::new(states));
    columns.push("reason", Arc::new(reasons));
    columns.push("step_times", Arc::new(times.finish()));
    columns.push("event_ids", Arc::new(ids.finish()));
    columns.finish()
}
