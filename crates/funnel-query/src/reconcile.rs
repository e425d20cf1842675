//! Reconciliation: each row of `events` has exactly one class, and the classes add up to the rows
//! read and, partition by partition, to what the ledger says became of every offset.

mod output;
mod partitions;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use datafusion::functions_aggregate::expr_fn::{count, max, min};
use datafusion::logical_expr::{lit, when};
use datafusion::prelude::ident;
use funnel_match::classify::Class;

use self::partitions::{Partition, Place};
use crate::QuerySession;
use crate::error::{ErrorKind, QueryError, Result};
use crate::explain::judge::Decision;
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

/// Columns that say where a row stands in Kafka.
const PLACE: [&str; 3] = ["kafka_topic", "topic_uuid", "kafka_partition"];

/// Where every row of `events` went, for the question of a report.
#[derive(Debug, Clone)]
pub struct Reconciliation {
    /// All partitions together. Columns: part (`kafka`: what the ledger says of all offsets;
    /// `events`: the rows read, by class; `total`), class, step (for class `used` the first step
    /// that the row fills), rows.
    pub sums: RecordBatch,
    /// One row per topic and partition. Columns: kafka_topic, topic_uuid, kafka_partition,
    /// offsets (the ranges of the ledger, the end of each not included; gaps say why), the records
    /// by fate, event_rows, reject_rows and duplicate_entries of the ledger, rows_read,
    /// rows_classified, closes.
    pub partitions: RecordBatch,
    /// The same at full length. Columns: kafka_topic, topic_uuid, kafka_partition, part (`range`:
    /// offsets of the ledger; `kafka`; `events`; `total`), class, step, from_offset, to_offset
    /// (not included), rows.
    pub lines: RecordBatch,
    /// What does not add up, each with its partition.
    pub problems: Vec<String>,
}

impl Reconciliation {
    /// Whether everything adds up.
    ///
    /// # Errors
    /// Incomplete, with the partitions that do not close.
    pub fn check(&self) -> Result<()> {
        if self.problems.is_empty() {
            return Ok(());
        }
        let message = format!(
            "the rows do not add up: {}; `funnel audit` shows where",
            self.problems.join("; ")
        );
        Err(QueryError::new(ErrorKind::Incomplete, message))
    }
}

/// Gives each row of `events` its class and compares with the ledger, where there is one.
///
/// # Errors
/// Usage when the mode has no classes; query when a query fails.
pub async fn reconcile(session: &QuerySession, request: &ReportRequest) -> Result<Reconciliation> {
    let account = crate::report::choose_account(session, request.account.as_deref()).await?;
    let mut partitions = classes(session, request, account).await?;
    partitions::read(session, &mut partitions).await?;
    let problems = partitions
        .iter()
        .flat_map(|(place, partition)| partition.problems(place))
        .collect();
    output::tables(&request.funnel, &partitions, problems)
        .map_err(|source| QueryError::query("could not lay out the reconciliation", source.into()))
}

type Partitions = BTreeMap<Place, Partition>;

async fn classes(
    session: &QuerySession,
    request: &ReportRequest,
    account: String,
) -> Result<Partitions> {
    let failed = |source| QueryError::query("could not classify the rows", source);
    let judged = judged(session, request, &account).await?;
    let scope = request.scope(account.clone());
    let ctx = session.ctx();
    let inside = projection::in_scope(ctx, &scope).map_err(failed)?;
    let read = async {
        let recorded = ctx.table("events_enriched").await?;
        let recorded = recorded.filter(ident("is_derived").is_false())?;
        let mut columns = PLACE.map(ident).to_vec();
        columns.extend(["kafka_offset", "event_id", "is_duplicate"].map(ident));
        let in_scope = recorded.clone().filter(inside.clone())?.select(columns)?;
        let unattributed = ident("conversation_key").is_not_null();
        let unattributed = unattributed.and(ident("offer_key").is_null());
        let why = when(
            ident("account_id").not_eq(lit(account)),
            lit("other_account"),
        )
        .when(ident("is_duplicate"), lit("duplicate_id"))
        .when(unattributed, lit("unattributed_chat"))
        .otherwise(lit("other_days"))?;
        let mut keys = PLACE.map(ident).to_vec();
        keys.push(why.alias("class"));
        let offset = || ident("kafka_offset");
        let found = vec![
            count(lit(1)).alias("rows"),
            min(offset()).alias("first"),
            max(offset()).alias("last"),
        ];
        let outside = recorded
            .filter(inside.is_not_true())?
            .aggregate(keys, found)?;
        Ok((in_scope.collect().await?, outside.collect().await?))
    };
    let (in_scope, outside) = read.await.map_err(failed)?;
    let mut partitions = Partitions::new();
    for batch in &outside {
        take_outside(batch, &mut partitions).map_err(|source| failed(source.into()))?;
    }
    for batch in &in_scope {
        take_inside(batch, &judged, &mut partitions).map_err(|source| failed(source.into()))?;
    }
    Ok(partitions)
}

/// Rows that are no question of the funnel: counted by class already.
fn take_outside(batch: &RecordBatch, partitions: &mut Partitions) -> Result<(), ArrowError> {
    let places = places(batch)?;
    let names = text(batch, "class")?;
    let number = |column: usize| batch.column(column).as_primitive::<Int64Type>();
    let (counts, first, last) = (number(4), number(5), number(6));
    for (row, place) in places.into_iter().enumerate() {
        let partition = partitions.entry(place).or_default();
        let offsets = first.value(row)..last.value(row).saturating_add(1);
        partition.add(names.value(row), None, counts.value(row), offsets);
    }
    Ok(())
}

fn take_inside(
    batch: &RecordBatch,
    judged: &Judged,
    partitions: &mut Partitions,
) -> Result<(), ArrowError> {
    let places = places(batch)?;
    let offsets = batch.column(3).as_primitive::<Int64Type>();
    let ids = text(batch, "event_id")?;
    let duplicate = batch.column(5).as_boolean();
    for (row, place) in places.into_iter().enumerate() {
        let (class, step) = match judged.get(ids.value(row)) {
            _ if duplicate.is_valid(row) && duplicate.value(row) => ("duplicate_id", None),
            Some((rank, step)) => (CLASSES[*rank], *step),
            None => ("no_unit_key", None),
        };
        let offset = offsets.value(row);
        let partition = partitions.entry(place).or_default();
        partition.add(class, step, 1, offset..offset.saturating_add(1));
    }
    Ok(())
}

/// The partition of each row, from its first three columns.
fn places(batch: &RecordBatch) -> Result<Vec<Place>, ArrowError> {
    let [topic, uuid, partition] = PLACE;
    let (topics, uuids) = (text(batch, topic)?, text(batch, uuid)?);
    let missing = || ArrowError::SchemaError(format!("the rows have no column `{partition}`"));
    let partitions = batch.column_by_name(partition).ok_or_else(missing)?;
    let partitions = partitions.as_primitive::<Int32Type>();
    let place = |row: usize| Place {
        topic: topics.value(row).to_owned(),
        uuid: uuids.value(row).to_owned(),
        partition: partitions.value(row),
    };
    Ok((0..batch.num_rows()).map(place).collect())
}

/// By event: its place in [`CLASSES`], and the step that it fills.
type Judged = HashMap<String, (usize, Option<usize>)>;

/// The class of each event of the question.
async fn judged(session: &QuerySession, request: &ReportRequest, account: &str) -> Result<Judged> {
    let question = request.question();
    let scope = request.scope(account.to_owned());
    let parsed = Parsed::new(session.ctx(), &question).await?;
    let rules = timeline::rules(&question, &parsed, None)?;
    let timeline = Timeline::new(session.ctx(), &scope, &question, &parsed, None).await?;
    let mut classes = Judged::new();
    timeline
        .each_unit(|unit| {
            let judgement = unit.judged(&rules);
            let decided = unit.rows.into_iter().zip(judgement.decisions);
            for (row, decision) in decided.filter(|(row, _)| !row.row.duplicate) {
                let found = ranked(decision);
                let best = classes.entry(row.event_id).or_insert(found);
                *best = found.min(*best);
            }
            Ok(None::<()>)
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
