//! `funnel explain --table`: the timeline of one key of a definition over a table.

mod attempts;

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray, UInt64Array,
};
use arrow::compute::{cast, take};
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use datafusion::logical_expr::{Expr, cast as cast_expr};
use funnel_match::classify::{self, Class};
use funnel_match::{Matcher, Row};

use super::judge::{Decision, Judgement};
use super::key::{NEAR_KEYS_READ, listed, nearest};
use super::words::{self, Words};
use super::{Explanation, Verdict, output, verdict};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::TableFunnel;
use crate::funnel::tabular::{self, History, history};

/// Explains one key of `funnel` over the tables that were registered with `session`. Columns of the
/// rows: unit_key, row, event_time (a number where time is one), the held expressions, satisfies,
/// class, decision, event_id, level, level_step, missing_step, reason, reason_text; where attempts are
/// counted `attempt`, too, from 1. Level and reason are those of the best attempt.
///
/// # Errors
/// Usage when the definition does not fit the table or no row has the key; query when the query
/// fails.
pub async fn explain_key(
    session: &QuerySession,
    funnel: &TableFunnel,
    key: &str,
) -> Result<Explanation> {
    let mut history = history(session.ctx(), funnel, key).await?;
    if history.events.is_empty() {
        return Err(unknown(session, funnel, key).await?);
    }
    in_order_of_time(&mut history)
        .map_err(|source| QueryError::query("could not lay out the timeline", source.into()))?;
    let (judgement, attempts) = judge(&history);
    let words = Words {
        titles: funnel.steps.iter().map(|step| &*step.title).collect(),
        mode: funnel.mode.to_string(),
        clock: history.clock,
    };
    let names: Vec<&str> = funnel.steps.iter().map(|step| &*step.name).collect();
    let mut verdict = verdict(&words, &names, key.to_owned(), &judgement);
    if let Some(count) = attempts.iter().flatten().max().filter(|count| **count > 1) {
        verdict.text = format!("of {count} attempts the best: {}", verdict.text);
    }
    let attempts = history.counted.as_ref().map(|_| attempts);
    let rows = table(funnel, &history, &words, &verdict, &judgement, attempts)
        .map_err(|source| QueryError::query("could not lay out the timeline", source.into()))?;
    Ok(Explanation {
        verdict,
        time_zone: "UTC".to_owned(),
        rows,
    })
}

async fn unknown(session: &QuerySession, funnel: &TableFunnel, key: &str) -> Result<QueryError> {
    let failed = |source| QueryError::query("could not look for near keys", source);
    let read = async {
        let rows = session.ctx().table(funnel.source.table.as_str()).await?;
        let own: Expr = rows.parse_sql_expr(&funnel.source.key)?;
        rows.select(vec![cast_expr(own, DataType::Utf8).alias("key")])?
            .distinct()?
            .limit(0, Some(NEAR_KEYS_READ))?
            .collect()
            .await
    };
    let batches = read.await.map_err(failed)?;
    let near = nearest(&batches, key).map_err(|source| failed(source.into()))?;
    let near: Vec<&str> = near.iter().map(String::as_str).collect();
    let hint = match near.is_empty() {
        true => "the table has no key at all".to_owned(),
        false => format!("the nearest keys are {}", listed(&near)),
    };
    let table = &funnel.source.table;
    Ok(QueryError::usage(format!(
        "no row of table `{table}` has the key `{key}`; {hint}"
    )))
}

/// As a person reads it; rows without a time come last.
fn in_order_of_time(history: &mut History) -> Result<(), ArrowError> {
    let mut order: Vec<usize> = (0..history.events.len()).collect();
    order.sort_by_key(|at| {
        let time = history.events[*at].time;
        (time.is_none(), time)
    });
    history.events = order.iter().map(|at| history.events[*at].clone()).collect();
    let places: UInt64Array = order.iter().map(|at| Some(*at as u64)).collect();
    for values in &mut history.holds {
        *values = take(values, &places, None)?;
    }
    Ok(())
}

/// The rows of equal held values whose chain stands for the key.
struct Best {
    places: Vec<usize>,
    rows: Vec<Row>,
    rank: (usize, u8),
}

/// What became of each row, and in which attempt it is, where those are counted.
fn judge(history: &History) -> (Judgement, Vec<Option<i32>>) {
    let mut decisions = vec![Decision::Filtered; history.events.len()];
    let all = (0..history.spec.steps()).fold(0, |all, step| all | 1_u64 << step);
    let mut ids = HashSet::new();
    let mut placed: Vec<(usize, Row)> = Vec::new();
    for (at, event) in history.events.iter().enumerate().filter(|(_, e)| e.kept) {
        let mask = event.mask;
        decisions[at] = match event.time {
            None => Decision::Matched(Class::NullTime),
            Some(_) if event.id.as_ref().is_some_and(|id| !ids.insert(id)) => {
                Decision::Matched(Class::DuplicateId)
            }
            Some(time) => {
                placed.push((at, Row { time, mask }));
                match mask & all {
                    0 => Decision::Matched(Class::NotAStep),
                    _ => Decision::OtherHold,
                }
            }
        };
    }
    match &history.counted {
        Some(counted) => attempts::judge(history, counted, &placed, decisions),
        None => {
            let numbers = vec![None; decisions.len()];
            (of_best(history, &placed, decisions), numbers)
        }
    }
}

/// The rows of the best chain of the key, and why it goes no further.
fn of_best(history: &History, placed: &[(usize, Row)], mut decisions: Vec<Decision>) -> Judgement {
    let spec = &history.spec;
    let Some(best) = best(history, placed) else {
        return Judgement {
            decisions,
            reached: 0,
            reason: classify::reason(spec, &[], None),
        };
    };
    for (at, class) in best.places.iter().zip(classify::classify(spec, &best.rows)) {
        decisions[*at] = Decision::Matched(class.at(|row| best.places[row]));
    }
    let outcome = Matcher::new(spec.clone()).outcome(&best.rows);
    let reason = tabular::reason(spec, &best.rows, &outcome);
    let whole: Vec<Row> = placed.iter().map(|(_, row)| *row).collect();
    let reason = reason.map(|reason| match history.holds.is_empty() {
        true => reason.at(|row| best.places[row]),
        false => reason.unless_held(spec, &whole).at(|row| best.places[row]),
    });
    Judgement {
        decisions,
        reached: Matcher::new(spec.clone()).reached(&best.rows),
        reason,
    }
}

/// The rows of equal held values, in the order of those, with their places.
fn runs(history: &History, placed: &[(usize, Row)]) -> Vec<(Vec<usize>, Vec<Row>)> {
    let hold = |at: &usize| history.events[*at].hold.as_ref();
    let mut runs = placed.to_vec();
    runs.sort_by(|(a, _), (b, _)| hold(a).cmp(&hold(b)));
    let runs = runs.chunk_by(|(a, _), (b, _)| hold(a) == hold(b));
    runs.map(|run| run.iter().copied().unzip()).collect()
}

/// The first of the best, in the order of the held values.
fn best(history: &History, placed: &[(usize, Row)]) -> Option<Best> {
    let mut matcher = Matcher::new(history.spec.clone());
    let mut best: Option<Best> = None;
    for (places, rows) in runs(history, placed) {
        let outcome = matcher.outcome(&rows);
        let rank = outcome.state.rank(outcome.level);
        if best.as_ref().is_none_or(|best| rank > best.rank) {
            best = Some(Best { places, rows, rank });
        }
    }
    best
}

fn table(
    funnel: &TableFunnel,
    history: &History,
    words: &Words<'_>,
    verdict: &Verdict,
    judgement: &Judgement,
    attempts: Option<Vec<Option<i32>>>,
) -> Result<RecordBatch, ArrowError> {
    let events = &history.events;
    let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let text = |of: &dyn Fn(usize) -> Option<String>| -> ArrayRef {
        Arc::new((0..events.len()).map(of).collect::<StringArray>())
    };
    let same = |value: Option<&str>| text(&|_| value.map(str::to_owned));
    let names: Vec<&str> = funnel.steps.iter().map(|step| &*step.name).collect();
    let numbers = Int32Array::from_iter_values((1..=events.len()).map(number));
    let mut columns: Vec<(&str, ArrayRef)> = vec![
        ("unit_key", same(Some(&verdict.unit_key))),
        ("row", Arc::new(numbers)),
        ("event_time", times(history)),
    ];
    for (name, values) in funnel.hold.iter().zip(&history.holds) {
        columns.push((name.as_str(), cast(values, &DataType::Utf8)?));
    }
    if let Some(attempts) = attempts {
        columns.push(("attempt", Arc::new(Int32Array::from(attempts))));
    }
    let decision = |at: usize| judgement.decisions[at];
    let level = number(verdict.level);
    let levels: ArrayRef = Arc::new(Int32Array::from(vec![level; events.len()]));
    columns.extend([
        (
            "satisfies",
            text(&|at| Some(output::names(&names, events[at].mask))),
        ),
        ("class", text(&|at| Some(decision(at).name().to_owned()))),
        (
            "decision",
            text(&|at| Some(words::of_decision(words, decision(at)))),
        ),
        ("event_id", text(&|at| events[at].id.clone())),
        ("level", levels),
        ("level_step", same(verdict.level_step.as_deref())),
        ("missing_step", same(verdict.missing_step.as_deref())),
        ("reason", same(verdict.reason)),
        ("reason_text", same(Some(&verdict.text))),
    ]);
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true)))
}

/// Timestamps, or the numbers of an integer time.
fn times(history: &History) -> ArrayRef {
    let times: Vec<Option<i64>> = history.events.iter().map(|event| event.time).collect();
    if let Some(numbers) = history.clock.numbers(&times) {
        return numbers;
    }
    let micros = times
        .into_iter()
        .map(|time| Some(history.clock.time(time?)?.timestamp_micros()));
    let micros: TimestampMicrosecondArray = micros.collect();
    Arc::new(micros.with_timezone("UTC"))
}

#[cfg(test)]
mod tests;
