//! Reconciliation: each row of `events` has exactly one class, and the classes add up to the rows
//! read and to what the ledger says was written.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow::array::{AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{lit, when};
use datafusion::prelude::ident;
use funnel_match::classify::Class;

use crate::QuerySession;
use crate::error::{ErrorKind, QueryError, Result};
use crate::explain::judge::{self, Decision};
use crate::explain::timeline::{self, Timeline, text};
use crate::funnel::execution::Parsed;
use crate::funnel::projection;
use crate::report::ReportRequest;

/// Classes from the one that wins to the one that loses, for a row that belongs to several units.
const CLASSES: [&str; 10] = [
    "used",
    "superseded_entry",
    "repeat",
    "out_of_order",
    "not_later",
    "out_of_window",
    "before_entry",
    "after_completion",
    "filtered",
    "not_a_step",
];

/// What the ledger counts: records by fate, then entries.
const LEDGER: [&str; 9] = [
    "accepted",
    "rejected",
    "duplicate",
    "empty",
    "tombstone",
    "holes",
    "event_rows",
    "reject_rows",
    "duplicate_entries",
];

/// Where every row of `events` went, for the question of a report. Columns: part (`kafka`: what
/// the ledger says of all offsets; `events`: the rows read, by class; `total`), class, step (for
/// class `used` the first step that the row fills), rows.
///
/// # Errors
/// Incomplete when the classes do not add up to the rows, or the rows not to the ledger.
pub async fn reconcile(session: &QuerySession, request: &ReportRequest) -> Result<RecordBatch> {
    let account = crate::report::choose_account(session, request.account.as_deref()).await?;
    let mut lines = classes(session, request, account).await?;
    let classified: i64 = lines.values().sum();
    let read = total(session, "SELECT count(*) AS n FROM events").await?;
    let mut rows: Vec<(&str, String, Option<String>, i64)> = Vec::new();
    let mut written = read;
    if session.ctx().table_exist("ledger").unwrap_or(false) {
        for name in LEDGER {
            let sql = format!("SELECT coalesce(sum({name}), 0) AS n FROM ledger");
            let count = total(session, &sql).await?;
            rows.push(("kafka", name.to_owned(), None, count));
            written = if name == "event_rows" { count } else { written };
        }
    }
    if classified != read || read != written {
        return Err(QueryError::new(
            ErrorKind::Incomplete,
            format!(
                "the rows do not add up: {classified} have a class, table `events` holds {read}, \
                 the ledger says {written}; `funnel audit` shows where"
            ),
        ));
    }
    while let Some(((class, step), count)) = lines.pop_first() {
        let step = step.and_then(|step| request.funnel.steps.get(step));
        rows.push(("events", class, step.map(|step| step.name.clone()), count));
    }
    rows.push(("total", "rows read".to_owned(), None, read));
    let column = |name: &'static str, values: StringArray| {
        (name, Arc::new(values) as arrow::array::ArrayRef, true)
    };
    RecordBatch::try_from_iter_with_nullable([
        column("part", rows.iter().map(|row| Some(row.0)).collect()),
        column(
            "class",
            rows.iter().map(|row| Some(row.1.as_str())).collect(),
        ),
        column("step", rows.iter().map(|row| row.2.as_deref()).collect()),
        (
            "rows",
            Arc::new(rows.iter().map(|row| row.3).collect::<Int64Array>()),
            true,
        ),
    ])
    .map_err(|source| QueryError::query("could not lay out the reconciliation", source.into()))
}

type Lines = BTreeMap<(String, Option<usize>), i64>;

async fn classes(
    session: &QuerySession,
    request: &ReportRequest,
    account: String,
) -> Result<Lines> {
    let failed = |source| QueryError::query("could not classify the rows", source);
    let judged = judged(session, request, &account).await?;
    let scope = request.scope(account.clone());
    let ctx = session.ctx();
    let inside = projection::in_scope(ctx, &scope).map_err(failed)?;
    let read = async {
        let recorded = ctx.table("events_enriched").await?;
        let recorded = recorded.filter(ident("is_derived").is_false())?;
        let in_scope = recorded
            .clone()
            .filter(inside.clone())?
            .select(vec![ident("event_id"), ident("is_duplicate")])?;
        let unattributed = ident("conversation_key").is_not_null();
        let unattributed = unattributed.and(ident("offer_key").is_null());
        let why = when(
            ident("account_id").not_eq(lit(account)),
            lit("other_account"),
        )
        .when(ident("is_duplicate"), lit("duplicate_id"))
        .when(unattributed, lit("unattributed_chat"))
        .otherwise(lit("other_days"))?;
        let outside = recorded
            .filter(inside.is_not_true())?
            .aggregate(vec![why.alias("class")], vec![count(lit(1)).alias("rows")])?;
        Ok((in_scope.collect().await?, outside.collect().await?))
    };
    let (in_scope, outside) = read.await.map_err(failed)?;
    let mut lines = Lines::new();
    for batch in outside {
        let names = text(&batch, "class").map_err(|source| failed(source.into()))?;
        let counts = batch.column(1).as_primitive::<Int64Type>();
        for (name, count) in names.iter().flatten().zip(counts.values()) {
            *lines.entry((name.to_owned(), None)).or_default() += count;
        }
    }
    for batch in in_scope {
        let ids = text(&batch, "event_id").map_err(|source| failed(source.into()))?;
        let duplicates = batch.column(1).as_boolean();
        for (id, duplicate) in ids.iter().flatten().zip(duplicates.iter()) {
            let (class, step) = match judged.get(id) {
                _ if duplicate == Some(true) => ("duplicate_id", None),
                Some((rank, step)) => (CLASSES[*rank], *step),
                None => ("no_unit_key", None),
            };
            *lines.entry((class.to_owned(), step)).or_default() += 1;
        }
    }
    Ok(lines)
}

/// The class of each event of the question: its place in [`CLASSES`], and the step that it fills.
async fn judged(
    session: &QuerySession,
    request: &ReportRequest,
    account: &str,
) -> Result<HashMap<String, (usize, Option<usize>)>> {
    let question = request.question();
    let scope = request.scope(account.to_owned());
    let parsed = Parsed::new(session.ctx(), &question).await?;
    let rules = timeline::rules(&question, &parsed, session.as_of().timestamp_micros())?;
    let timeline = Timeline::new(session.ctx(), &scope, &question, &parsed, None).await?;
    let mut classes: HashMap<String, (usize, Option<usize>)> = HashMap::new();
    timeline
        .each_unit(|_, rows| {
            let unit: Vec<judge::UnitRow> = rows.iter().map(|row| row.row).collect();
            let judgement =
                judge::judge(&rules, &unit).map_err(|mode| QueryError::usage(mode.to_string()))?;
            let decided = rows.into_iter().zip(judgement.decisions);
            for (row, decision) in decided.filter(|(row, _)| !row.row.duplicate) {
                let found = ranked(decision);
                let best = classes.entry(row.event_id).or_insert(found);
                *best = found.min(*best);
            }
            Ok(())
        })
        .await?;
    Ok(classes)
}

fn ranked(decision: Decision) -> (usize, Option<usize>) {
    let place = CLASSES.iter().position(|name| *name == decision.name());
    let step = match decision {
        Decision::Matched(Class::Used { steps }) => Some(steps.trailing_zeros() as usize),
        _ => None,
    };
    (place.unwrap_or(CLASSES.len() - 1), step)
}

async fn total(session: &QuerySession, sql: &str) -> Result<i64> {
    let batches = session.collect(sql).await?;
    let number = batches.first().map(|batch| batch.column(0));
    let number = number.and_then(|column| arrow::compute::sum(column.as_primitive::<Int64Type>()));
    Ok(number.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use funnel_datagen::golden::{self, Variant};

    use super::*;
    use crate::funnel::{FunnelDefinition, Mode, Unit};
    use crate::report::report;
    use crate::testing::golden_session;

    fn request(unit: Unit, mode: Mode) -> ReportRequest {
        let day = golden::DATE.parse().unwrap();
        let funnel = FunnelDefinition::shipped("impression_to_chat").unwrap();
        ReportRequest {
            account: Some(golden::ACCOUNT.to_owned()),
            unit: Some(unit),
            mode: Some(mode),
            ..ReportRequest::new(funnel, day, day)
        }
    }

    #[tokio::test]
    async fn used_rows_of_a_step_are_the_offers_that_reached_it() {
        let session = golden_session(Variant::default()).await;
        let request = request(Unit::Offer, Mode::Ordered);
        let rows = reconcile(&session, &request).await.unwrap();
        let answer = report(&session, request).await.unwrap();
        let (classes, steps) = (text(&rows, "class").unwrap(), text(&rows, "step").unwrap());
        let counts = rows.column(3).as_primitive::<Int64Type>();
        let reached = answer.rows.column_by_name("reached").unwrap();
        let names = text(&answer.rows, "step").unwrap();
        for (name, reached) in names
            .iter()
            .zip(reached.as_primitive::<Int64Type>().values())
        {
            let of_step = (0..rows.num_rows())
                .filter(|row| classes.value(*row) == "used" && steps.value(*row) == name.unwrap());
            let used: i64 = of_step.map(|row| counts.value(row)).sum();
            // What is derived or attributed has no row of its own in `events`.
            let derived = ["interactive", "converted"].contains(&name.unwrap());
            assert!(
                used == *reached || derived,
                "{name:?}: {used} and {reached}"
            );
        }
    }

    #[tokio::test]
    async fn classes_add_up_for_every_unit_and_mode() {
        let session = golden_session(Variant::default()).await;
        for unit in Unit::ALL.iter().copied() {
            for mode in [Mode::Loose, Mode::Ordered] {
                let rows = reconcile(&session, &request(unit, mode)).await.unwrap();
                let parts = text(&rows, "part").unwrap();
                let counts = rows.column(3).as_primitive::<Int64Type>();
                let sum = |part: &str| -> i64 {
                    let rows = (0..rows.num_rows()).filter(|row| parts.value(*row) == part);
                    rows.map(|row| counts.value(row)).sum()
                };
                assert_eq!(sum("events"), sum("total"), "{unit} {mode}");
            }
        }
    }
}
