//! All events that some keys are tied to, read from the days on which there are any.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use datafusion::catalog::TableProvider;
use datafusion::prelude::{SessionContext, ident};

use super::index::Index;
use super::keys::RowKeys;
use crate::error::{QueryError, Result};
use crate::funnel::projection::date_literal;

/// Keys, everything they are tied to, and their events.
#[derive(Default)]
pub(super) struct Closure {
    pub(super) keys: HashSet<i64>,
    pub(super) events: Vec<RecordBatch>,
    /// The UTC days of these events.
    pub(super) event_days: BTreeSet<NaiveDate>,
    /// The UTC days whose files were opened.
    pub(super) days_read: BTreeSet<NaiveDate>,
}

/// The events of one batch of one day, and which of them belong to the closure.
struct Part {
    day: NaiveDate,
    batch: RecordBatch,
    keys: RowKeys,
    taken: Vec<bool>,
}

/// Follows `seeds` from event to event.
pub(super) async fn follow(
    ctx: &SessionContext,
    events: &Arc<dyn TableProvider>,
    index: &Index,
    seeds: HashSet<i64>,
) -> Result<Closure> {
    let mut closure = Closure {
        keys: seeds,
        ..Closure::default()
    };
    let mut parts = Vec::new();
    let mut fresh: Vec<i64> = closure.keys.iter().copied().collect();
    while !fresh.is_empty() {
        fresh.sort_unstable();
        for day in index.days_with(&fresh) {
            if closure.days_read.insert(day) {
                parts.extend(read(ctx, events, day).await?);
            }
        }
        fresh = grow(&mut closure.keys, &mut parts);
    }
    for part in parts.into_iter().filter(|part| part.taken.contains(&true)) {
        closure.event_days.insert(part.day);
        let mask = BooleanArray::from(part.taken);
        let rows = filter_record_batch(&part.batch, &mask).map_err(laid_out)?;
        closure.events.push(rows);
    }
    Ok(closure)
}

/// Takes all events with a key in `keys`, whose other keys join it; the keys that are new.
fn grow(keys: &mut HashSet<i64>, parts: &mut [Part]) -> Vec<i64> {
    let mut fresh = Vec::new();
    let mut before = None;
    while before != Some(fresh.len()) {
        before = Some(fresh.len());
        for part in parts.iter_mut() {
            for row in 0..part.taken.len() {
                if part.taken[row] || !part.keys.row(row).any(|key| keys.contains(&key)) {
                    continue;
                }
                part.taken[row] = true;
                fresh.extend(part.keys.row(row).filter(|key| keys.insert(*key)));
            }
        }
    }
    fresh
}

async fn read(
    ctx: &SessionContext,
    events: &Arc<dyn TableProvider>,
    day: NaiveDate,
) -> Result<Vec<Part>> {
    let read = async {
        let rows = ctx.read_table(Arc::clone(events))?;
        rows.filter(ident("event_date").eq(date_literal(day)))?
            .collect()
            .await
    };
    let batches = read.await.map_err(|source| {
        QueryError::query(format!("could not read the events of {day}"), source)
    })?;
    let part = |batch: RecordBatch| {
        Ok(Part {
            day,
            keys: RowKeys::of(&batch)?,
            taken: vec![false; batch.num_rows()],
            batch,
        })
    };
    let parts: Result<Vec<Part>, ArrowError> = batches.into_iter().map(part).collect();
    parts.map_err(laid_out)
}

fn laid_out(source: ArrowError) -> QueryError {
    QueryError::query("could not take the keys of events", source.into())
}
