//! `funnel report --table`: a funnel over any table, with no lake.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Date32Array, Int32Array, Int64Builder, ListArray, ListBuilder,
    MapBuilder, RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray, UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::take;
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use funnel_match::State;

use super::rate::{rate, wilson};
use super::rows::Columns;
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::TableFunnel;
use crate::funnel::tabular::{self, Answer, StepTally, Unit};

/// A funnel over a table, answered.
#[derive(Debug, Clone)]
pub struct TableReport {
    /// One row per breakdown value, period and step. Columns: those of the breakdown, named by
    /// their expressions; with a period `period`, its first day; then funnel, mode, `step_index`,
    /// step, title, optional, reached, previous, dropped, open, excluded, skipped,
    /// `rate_from_previous`, `rate_from_first`, `drop_reasons`, and of the times to the next step, in seconds or in the unit of an
    /// integer time: p50, p90, p99, mean, min, max, and a histogram (`histogram_edges`,
    /// `histogram` with the counts between them). Last the bounds of both rates (`…_low`, `…_high`).
    pub rows: RecordBatch,
    /// One row per key or, where those are counted, per attempt: key, the breakdown, with a period
    /// `period` (NULL where the first step was not reached), level, state, reason, `exclusion`, `excluded_by`, `step_times`, `event_ids`.
    pub keys: Option<RecordBatch>,
    /// Rows of a step that have no key or no time: in no funnel.
    pub unplaced: u64,
}

/// Answers `funnel` over the tables that were registered with `session`.
///
/// # Errors
/// Usage when the definition does not fit the table; query when the query fails.
pub async fn table_report(
    session: &QuerySession,
    funnel: &TableFunnel,
    per_key: bool,
) -> Result<TableReport> {
    let answer = tabular::run(session.ctx(), funnel, per_key).await?;
    let failed =
        |source: ArrowError| QueryError::query("could not lay out the funnel", source.into());
    let rows = steps(funnel, &answer).map_err(failed)?;
    let keys = per_key.then(|| keys(funnel, &answer)).transpose();
    Ok(TableReport {
        rows,
        keys: keys.map_err(failed)?,
        unplaced: answer.unplaced,
    })
}

/// One row of the answer.
struct Row<'a> {
    group: usize,
    period: Option<NaiveDate>,
    step: usize,
    optional: bool,
    /// Keys that reached the first step.
    first: i64,
    tally: &'a StepTally,
}

impl Row<'_> {
    /// Nothing stands before the first step.
    fn after_first(&self, count: i64) -> Option<i64> {
        (self.step > 0).then_some(count)
    }

    /// A missing optional step loses nobody.
    fn lost(&self, count: i64) -> Option<i64> {
        self.after_first(count).filter(|_| !self.optional)
    }
}

fn steps(funnel: &TableFunnel, answer: &Answer) -> Result<RecordBatch, ArrowError> {
    let mut rows = Vec::new();
    for (group, ((_, period), tallies)) in answer.tallies.iter().enumerate() {
        let first = tallies.first().map_or(0, |tally| tally.reached);
        for (step, tally) in tallies.iter().enumerate() {
            rows.push(Row {
                group,
                period: *period,
                step,
                optional: funnel.steps[step].optional,
                first,
                tally,
            });
        }
    }
    let mut columns = Columns::default();
    if !funnel.breakdown.by.is_empty() {
        let values = answer
            .tallies
            .keys()
            .filter_map(|(value, _)| value.as_ref());
        let group_of: UInt64Array = rows.iter().map(|row| Some(row.group as u64)).collect();
        let values = answer.values.by(values)?;
        for (name, values) in funnel.breakdown.by.iter().zip(&values) {
            columns.push(name, take(values, &group_of, None)?);
        }
    }
    if funnel.period.is_some() {
        let days = rows.iter().map(|row| row.period.map(days));
        columns.push("period", Arc::new(days.collect::<Date32Array>()));
    }
    let text = |of: &dyn Fn(&Row<'_>) -> String| -> ArrayRef {
        Arc::new(
            rows.iter()
                .map(|row| Some(of(row)))
                .collect::<StringArray>(),
        )
    };
    columns.push("funnel", text(&|_| funnel.name.clone()));
    columns.push("mode", text(&|_| funnel.mode.to_string()));
    let numbers = rows.iter().map(|row| i32::try_from(row.step + 1).ok());
    columns.push("step_index", Arc::new(numbers.collect::<Int32Array>()));
    columns.push("step", text(&|row| funnel.steps[row.step].name.clone()));
    columns.push("title", text(&|row| funnel.steps[row.step].title.clone()));
    let optional: BooleanArray = rows.iter().map(|row| Some(row.optional)).collect();
    columns.push("optional", Arc::new(optional));
    push_counts(&mut columns, &rows)?;
    columns.percentiles(&rows, |row| &row.tally.times);
    columns.spread(&rows, |row| &row.tally.times);
    columns.interval("rate_from_previous", &rows, |row| {
        wilson(row.tally.reached, row.after_first(row.tally.previous)?)
    });
    columns.interval("rate_from_first", &rows, |row| {
        wilson(row.tally.reached, row.after_first(row.first)?)
    });
    columns.finish()
}

/// Who came, who went, and why.
fn push_counts(columns: &mut Columns, rows: &[Row<'_>]) -> Result<(), ArrowError> {
    columns.counts("reached", rows, |row| Some(row.tally.reached));
    columns.counts("previous", rows, |row| row.after_first(row.tally.previous));
    columns.counts("dropped", rows, |row| row.lost(row.tally.dropped));
    columns.counts("open", rows, |row| row.lost(row.tally.open));
    columns.counts("excluded", rows, |row| {
        (!row.optional).then_some(row.tally.excluded)
    });
    columns.counts("skipped", rows, |row| Some(row.tally.skipped));
    columns.numbers("rate_from_previous", rows, |row| {
        rate(row.tally.reached, row.after_first(row.tally.previous)?)
    });
    columns.numbers("rate_from_first", rows, |row| {
        rate(row.tally.reached, row.first)
    });
    let mut reasons = MapBuilder::new(None, StringBuilder::new(), Int64Builder::new());
    for row in rows {
        for (reason, count) in &row.tally.reasons {
            reasons.keys().append_value(reason);
            reasons.values().append_value(*count);
        }
        reasons.append(!row.tally.reasons.is_empty())?;
    }
    columns.push("drop_reasons", Arc::new(reasons.finish()));
    Ok(())
}

/// Days since 1970-01-01.
fn days(date: NaiveDate) -> i32 {
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    i32::try_from(days).unwrap_or(i32::MAX)
}

fn keys(funnel: &TableFunnel, answer: &Answer) -> Result<RecordBatch, ArrowError> {
    let units = &answer.units;
    let mut columns = Columns::default();
    columns.push("key", answer.values.key(units)?);
    if !funnel.breakdown.by.is_empty() {
        let values = units.iter().filter_map(|unit| unit.value.as_ref());
        let values = answer.values.by(values)?;
        for (name, values) in funnel.breakdown.by.iter().zip(values) {
            columns.push(name, values);
        }
    }
    if let Some(period) = funnel.period {
        let periods = units
            .iter()
            .map(|unit| unit.period(period, answer.clock).map(days));
        columns.push("period", Arc::new(periods.collect::<Date32Array>()));
    }
    let levels = units.iter().map(|unit| i32::try_from(unit.level).ok());
    columns.push("level", Arc::new(levels.collect::<Int32Array>()));
    let state = |state| match state {
        State::Converted => "converted",
        State::Open => "open",
        State::Excluded => "excluded",
        _ => "dropped",
    };
    let states = units.iter().map(|unit| Some(state(unit.state)));
    columns.push("state", Arc::new(states.collect::<StringArray>()));
    let reasons = units.iter().map(|unit| Some(unit.reason?.name()));
    columns.push("reason", Arc::new(reasons.collect::<StringArray>()));
    let exclusion = |unit: &Unit| {
        let (exclusion, _) = unit.excluded_by.as_ref()?;
        Some(funnel.exclusions.get(*exclusion)?.name.as_str())
    };
    let exclusions: StringArray = units.iter().map(exclusion).collect();
    columns.push("exclusion", Arc::new(exclusions));
    let excluding = |unit: &'_ Unit| unit.excluded_by.as_ref()?.1.clone();
    let excluding: StringArray = units.iter().map(excluding).collect();
    columns.push("excluded_by", Arc::new(excluding));
    columns.push("step_times", step_times(answer));
    let mut ids = ListBuilder::new(StringBuilder::new());
    for unit in units {
        ids.append_value(unit.ids.iter().map(Option::as_deref));
    }
    columns.push("event_ids", Arc::new(ids.finish()));
    columns.finish()
}

/// By step: timestamps, or the numbers of a column of numbers.
fn step_times(answer: &Answer) -> ArrayRef {
    let times = answer.units.iter().map(|unit| &unit.times);
    let lengths = OffsetBuffer::from_lengths(times.clone().map(Vec::len));
    let times: Vec<Option<i64>> = times.flatten().copied().collect();
    let values = answer.clock.numbers(&times).unwrap_or_else(|| {
        let micros = |time: Option<i64>| Some(answer.clock.time(time?)?.timestamp_micros());
        let micros: TimestampMicrosecondArray = times.iter().copied().map(micros).collect();
        Arc::new(micros.with_timezone("UTC"))
    });
    let field = Field::new_list_field(values.data_type().clone(), true);
    Arc::new(ListArray::new(Arc::new(field), lengths, values, None))
}

#[cfg(test)]
mod tests;
