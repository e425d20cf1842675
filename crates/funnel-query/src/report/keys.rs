//! `funnel report --per-key`: one row per unit.

use std::sync::Arc;

use arrow::array::{
    Int32Array, ListBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::error::ArrowError;

use super::outcomes;
use super::rows::Columns;
use super::{ReportRequest, choose_account};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::explain::judge::{Decision, Judgement};
use crate::explain::timeline::{self, Timeline, TimelineRow, UnitRows};
use crate::funnel::execution::{self, Parsed};
use crate::funnel::projection::{self, Scope};
use crate::funnel::top;
use funnel_match::classify::Class;

/// How far one unit got.
struct Unit {
    state: &'static str,
    judgement: Judgement,
    /// By step: the row that reached it.
    reached: Vec<Option<TimelineRow>>,
}

/// The rows of [`unit_levels`] with one more column: `offer_outcome`, what became of the unit's offer
/// that went furthest, NULL where every step was reached. It lays a loss at the contact centre's
/// door (`blocked_offline`, `abandoned_in_queue`, …), which no row of the unit can.
///
/// # Errors
/// As [`report`](super::report()).
pub async fn unit_report(session: &QuerySession, request: &ReportRequest) -> Result<RecordBatch> {
    let units = unit_levels(session, request).await?;
    let account = choose_account(session, request.account.as_deref()).await?;
    let unit = request.question().unit;
    let outcomes = outcomes::of_keys(session, &account, unit, &units).await?;
    let failed =
        |source: ArrowError| QueryError::query("could not lay out the units", source.into());
    let mut columns = Columns::default();
    for (field, column) in units.schema().fields().iter().zip(units.columns()) {
        columns.push(field.name(), Arc::clone(column));
    }
    columns.push("offer_outcome", Arc::new(outcomes));
    columns.finish().map_err(failed)
}

/// One row per unit that has a row of a step, and per breakdown value. Columns: key, the breakdown,
/// level (number of the last step reached), state (`converted`, `dropped`, `open`), reason,
/// step_times, event_ids.
///
/// # Errors
/// As [`report`](super::report()).
pub async fn unit_levels(session: &QuerySession, request: &ReportRequest) -> Result<RecordBatch> {
    let account = choose_account(session, request.account.as_deref()).await?;
    let as_of = Some(session.complete_until().await?);
    let scope = Scope {
        as_of,
        ..request.scope(account)
    };
    let question = request.question();
    let parsed = Parsed::new(session.ctx(), &question).await?;
    let rules = timeline::rules(&question, &parsed, as_of)?;
    let rows = projection::project(session.ctx(), &scope, question.unit, &parsed.wanted).await?;
    let kept = top::kept(session.ctx(), &scope, &rows, &question, &parsed).await?;
    let rows = execution::counted(rows, &question, kept.as_ref(), &parsed.filters)
        .and_then(|rows| Timeline::of(rows, &parsed.steps, &[], question.by.len()));
    let rows = rows.map_err(|source| QueryError::query("could not plan the funnel", source))?;
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
