//! All events that some keys are tied to, on whatever days there are any.
//!
//! First the keys are followed, over what ties keys together; only then the events are read, as far
//! as they are asked for: an event belongs to the closure if one of its keys does.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;
use chrono::NaiveDate;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::{ColumnarValue, LogicalPlanBuilder, Volatility, create_udf, lit};
use datafusion::prelude::{Expr, SessionContext, ident};
use futures::StreamExt;
use hashbrown::HashSet;

use super::index::Index;
use super::keys::{COLUMNS, ID_COLUMNS, RowKeys};
use crate::error::{QueryError, Result};
use crate::funnel::projection::date_literal;

/// Keys, everything they are tied to, and their events.
pub(super) struct Closure {
    pub(super) keys: Arc<HashSet<i64>>,
    /// Of the schema of events.
    pub(super) events: Arc<dyn TableProvider>,
    /// The UTC days of these events.
    pub(super) event_days: BTreeSet<NaiveDate>,
}

/// Which keys the events of a day tie together: pairs, sorted, each once.
type Pairs = Vec<(i64, i64)>;

/// What is known of the events of a lake, day by day.
pub(super) struct Links {
    events: Arc<dyn TableProvider>,
    days: BTreeMap<NaiveDate, Pairs>,
}

impl Links {
    pub(super) fn of(events: Arc<dyn TableProvider>) -> Self {
        Self {
            events,
            days: BTreeMap::new(),
        }
    }

    /// The UTC days whose files were opened.
    pub(super) fn days_read(&self) -> impl Iterator<Item = NaiveDate> {
        self.days.keys().copied()
    }

    /// The events of `seeds` and of all that they are tied to.
    pub(super) async fn follow(
        &mut self,
        ctx: &SessionContext,
        index: &Index,
        seeds: HashSet<i64>,
    ) -> Result<Closure> {
        let (keys, event_days) = self.tied(ctx, index, seeds).await?;
        let keys = Arc::new(keys);
        let events = events_of(&self.events, &keys, &event_days).map_err(|source| {
            QueryError::query("could not plan the events of some keys", source)
        })?;
        Ok(Closure {
            keys,
            events,
            event_days,
        })
    }

    /// Follows `seeds` from event to event: the keys, and the UTC days on which they have events.
    pub(super) async fn tied(
        &mut self,
        ctx: &SessionContext,
        index: &Index,
        seeds: HashSet<i64>,
    ) -> Result<(HashSet<i64>, BTreeSet<NaiveDate>)> {
        let mut keys = seeds;
        let mut fresh: Vec<i64> = keys.iter().copied().collect();
        let mut event_days = BTreeSet::new();
        while !fresh.is_empty() {
            fresh.sort_unstable();
            event_days.extend(index.days_with(&fresh));
            for day in &event_days {
                if !self.days.contains_key(day) {
                    let pairs = pairs(ctx, &self.events, *day).await?;
                    self.days.insert(*day, pairs);
                }
            }
            let met = event_days.iter().filter_map(|day| self.days.get(day));
            fresh = grow(&mut keys, &met.collect::<Vec<_>>());
        }
        Ok((keys, event_days))
    }
}

/// Adds to `keys` all that they are tied to; those that are new.
fn grow(keys: &mut HashSet<i64>, days: &[&Pairs]) -> Vec<i64> {
    let mut fresh = Vec::new();
    loop {
        let before = fresh.len();
        for (one, other) in days.iter().copied().flatten() {
            match (keys.contains(one), keys.contains(other)) {
                (true, false) => fresh.push(*other),
                (false, true) => fresh.push(*one),
                _ => continue,
            }
            keys.extend(fresh.last());
        }
        if fresh.len() == before {
            return fresh;
        }
    }
}

/// The pairs of the events of one day.
async fn pairs(
    ctx: &SessionContext,
    events: &Arc<dyn TableProvider>,
    day: NaiveDate,
) -> Result<Pairs> {
    let failed = |source| QueryError::query(format!("could not read the events of {day}"), source);
    let read = async {
        let rows = ctx.read_table(Arc::clone(events))?;
        rows.filter(ident("event_date").eq(date_literal(day)))?
            .select(COLUMNS.map(ident).to_vec())?
            .execute_stream()
            .await
    };
    let mut batches = read.await.map_err(failed)?;
    let mut pairs = Pairs::new();
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(failed)?;
        let keys = RowKeys::of(&batch).map_err(|source| failed(source.into()))?;
        for row in 0..batch.num_rows() {
            let mut of_row = keys.row(row);
            let Some(first) = of_row.next() else { continue };
            for other in of_row {
                if pairs.last() != Some(&(first, other)) {
                    pairs.push((first, other));
                }
            }
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

/// The events of `days` that have one of `keys`.
fn events_of(
    events: &Arc<dyn TableProvider>,
    keys: &Arc<HashSet<i64>>,
    days: &BTreeSet<NaiveDate>,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let known = Arc::clone(keys);
    let is_among = move |columns: &[ColumnarValue]| {
        let columns = ColumnarValue::values_to_arrays(columns)?;
        Ok(ColumnarValue::Array(is_among(&known, &columns)))
    };
    let is_among = create_udf(
        "is_among",
        vec![DataType::Utf8; ID_COLUMNS.len()],
        DataType::Boolean,
        Volatility::Immutable,
        Arc::new(is_among),
    );
    let on_days = ranges(days)
        .into_iter()
        .map(|(from, to)| ident("event_date").between(date_literal(from), date_literal(to)))
        .reduce(Expr::or);
    let plan = LogicalPlanBuilder::scan("events", provider_as_source(Arc::clone(events)), None)?
        .filter(on_days.unwrap_or_else(|| lit(false)))?
        .filter(is_among.call(ID_COLUMNS.map(ident).to_vec()))?
        .build()?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

/// Which rows have a key in `keys`.
fn is_among(keys: &HashSet<i64>, columns: &[ArrayRef]) -> ArrayRef {
    let texts: Vec<_> = columns.iter().map(|ids| ids.as_string().clone()).collect();
    let rows = texts.first().map_or(0, arrow::array::Array::len);
    let found = match texts.split_first() {
        Some((accounts, ids)) => RowKeys::of_columns(accounts, ids),
        None => return Arc::new(BooleanArray::new_null(0)),
    };
    let is_among = |row| Some(found.row(row).any(|key| keys.contains(&key)));
    Arc::new((0..rows).map(is_among).collect::<BooleanArray>())
}

/// Days as ranges without gaps, both ends inclusive.
fn ranges(days: &BTreeSet<NaiveDate>) -> Vec<(NaiveDate, NaiveDate)> {
    let mut ranges: Vec<(NaiveDate, NaiveDate)> = Vec::new();
    for day in days {
        match ranges.last_mut() {
            Some((_, to)) if to.succ_opt() == Some(*day) => *to = *day,
            _ => ranges.push((*day, *day)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_beside_each_other_are_one_range() {
        let day = |number| NaiveDate::from_epoch_days(number).unwrap();
        let days = [1, 2, 4, 5, 6, 9].into_iter().map(day).collect();
        let wanted = [(1, 2), (4, 6), (9, 9)].map(|(from, to)| (day(from), day(to)));
        assert_eq!(ranges(&days), wanted);
        assert_eq!(ranges(&BTreeSet::new()), []);
    }

    #[test]
    fn keys_are_followed_over_the_pairs_of_all_days_in_both_directions() {
        let days = [vec![(1, 2), (7, 8)], vec![(3, 2), (4, 3)], vec![(5, 6)]];
        let mut keys = HashSet::from([4]);
        let mut fresh = grow(&mut keys, &days.iter().collect::<Vec<_>>());
        fresh.sort_unstable();
        assert_eq!(fresh, [1, 2, 3]);
        assert_eq!(keys, HashSet::from([1, 2, 3, 4]));
    }
}
