//! Which keys have events on which UTC day: `funnel_keys`. It tells which days have to be read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Field, Int64Type, Schema, SchemaRef};
use arrow::error::ArrowError;
use chrono::NaiveDate;
use datafusion::catalog::TableProvider;
use datafusion::prelude::ident;
use funnel_lake::Lake;
use futures::StreamExt;
use hashbrown::HashSet;

use super::keys::{COLUMNS, RowKeys, texts};
use super::write::table_failed;
use crate::QuerySession;
use crate::error::{QueryError, Result};

const TABLE: &str = "funnel_keys";
const DAY: &str = "event_date";

/// The keys of each day, sorted.
#[derive(Debug, Default)]
pub(super) struct Index {
    days: BTreeMap<NaiveDate, Vec<i64>>,
    changed: BTreeSet<NaiveDate>,
}

/// The columns.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("key", DataType::Int64, false),
        Field::new(DAY, DataType::Date32, false),
    ]))
}

/// What some events have.
#[derive(Debug, Default)]
pub(super) struct Arrived {
    pub(super) keys: HashSet<i64>,
    pub(super) accounts: BTreeSet<String>,
}

impl Index {
    /// The index as it was written last.
    pub(super) async fn read(session: &QuerySession, lake: &Lake) -> Result<Self> {
        let opened = lake.mart(TABLE, schema(), DAY).await;
        opened.map_err(|source| table_failed(TABLE, source))?;
        let provider = lake.table_provider(TABLE).await;
        let provider = provider.map_err(|source| table_failed(TABLE, source))?;
        let read = async { session.ctx().read_table(provider)?.collect().await };
        let batches = read.await.map_err(|source| {
            QueryError::query(format!("could not read table `{TABLE}`"), source)
        })?;
        let mut days: BTreeMap<NaiveDate, Vec<i64>> = BTreeMap::new();
        for batch in &batches {
            let keys = batch.column(0).as_primitive::<Int64Type>().values();
            let dates = batch.column(1).as_primitive::<Date32Type>();
            for (key, day) in keys.iter().zip(dates) {
                let day = day.and_then(Date32Type::to_naive_date_opt);
                days.entry(day.unwrap_or_default()).or_default().push(*key);
            }
        }
        days.values_mut().for_each(|keys| keys.sort_unstable());
        Ok(Self {
            days,
            changed: BTreeSet::new(),
        })
    }

    /// An index of nothing in the place of this one.
    pub(super) fn forget(&mut self) {
        self.changed.extend(self.days.keys());
        self.days.values_mut().for_each(Vec::clear);
    }

    /// Takes in the events of `provider`; says which keys and accounts they have.
    pub(super) async fn absorb(
        &mut self,
        session: &QuerySession,
        provider: Arc<dyn TableProvider>,
    ) -> Result<Arrived> {
        let failed = |source| QueryError::query("could not read the keys of events", source);
        let read = async {
            let events = session.ctx().read_table(provider)?;
            let columns = COLUMNS.map(ident).to_vec();
            events.select(columns)?.execute_stream().await
        };
        let mut batches = read.await.map_err(failed)?;
        let mut arrived = Arrived::default();
        let mut by_day: BTreeMap<NaiveDate, Vec<i64>> = BTreeMap::new();
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(failed)?;
            take_keys(&batch, &mut by_day).map_err(|source| failed(source.into()))?;
            let accounts = texts(&batch, "account_id").map_err(|e| failed(e.into()))?;
            for account in accounts.iter().flatten() {
                if !arrived.accounts.contains(account) {
                    arrived.accounts.insert(account.to_owned());
                }
            }
        }
        for (day, keys) in by_day {
            arrived.keys.extend(&keys);
            let known = self.days.entry(day).or_default();
            let before = known.len();
            known.extend(keys);
            known.sort_unstable();
            known.dedup();
            if known.len() > before {
                self.changed.insert(day);
            }
        }
        Ok(arrived)
    }

    /// How many keys there are, each once for each of its days.
    pub(super) fn len(&self) -> usize {
        self.days.values().map(Vec::len).sum()
    }

    /// The keys of one day.
    pub(super) fn keys(&self, day: NaiveDate) -> &[i64] {
        self.days.get(&day).map_or(&[], Vec::as_slice)
    }

    /// The days on which any of `keys`, which are sorted, has events.
    pub(super) fn days_with(&self, keys: &[i64]) -> Vec<NaiveDate> {
        let met = self.days.iter().filter(|(_, known)| meet(known, keys));
        met.map(|(day, _)| *day).collect()
    }

    /// Writes the days that changed.
    pub(super) async fn write(&mut self, lake: &Lake) -> Result<()> {
        let failed = |source| table_failed(TABLE, source);
        let table = lake.mart(TABLE, schema(), DAY).await.map_err(failed)?;
        for day in std::mem::take(&mut self.changed) {
            let keys = self.keys(day).to_vec();
            let days = vec![day.to_epoch_days(); keys.len()];
            let columns: Vec<ArrayRef> = vec![
                Arc::new(Int64Array::from(keys)),
                Arc::new(Date32Array::from(days)),
            ];
            let rows = RecordBatch::try_new(schema(), columns).map_err(|source| {
                QueryError::query(format!("could not lay out `{TABLE}`"), source.into())
            })?;
            let replaced = table.replace_partition(&day.to_string(), vec![rows]).await;
            replaced.map_err(failed)?;
        }
        Ok(())
    }
}

/// Adds the keys of `batch` to those of their days; one that the row before has too only once.
fn take_keys(
    batch: &RecordBatch,
    by_day: &mut BTreeMap<NaiveDate, Vec<i64>>,
) -> Result<(), ArrowError> {
    let found = RowKeys::of(batch)?;
    let dates = batch.column(batch.num_columns() - 1);
    let dates = dates.as_primitive::<Date32Type>();
    for keys in found.kinds() {
        let mut last = None;
        for (key, date) in keys.iter().zip(dates) {
            let Some(key) = key.filter(|key| last != Some((*key, date))) else {
                continue;
            };
            last = Some((key, date));
            let day = date.and_then(Date32Type::to_naive_date_opt);
            push_once(by_day.entry(day.unwrap_or_default()).or_default(), key);
        }
    }
    Ok(())
}

/// Adds `key`; where there is no room left, what is there more than once makes some.
fn push_once(keys: &mut Vec<i64>, key: i64) {
    if keys.len() == keys.capacity() {
        keys.sort_unstable();
        keys.dedup();
        keys.reserve(keys.len().max(1024));
    }
    keys.push(key);
}

/// Whether two sorted lists have a member in common.
fn meet(one: &[i64], other: &[i64]) -> bool {
    let (few, many) = if one.len() < other.len() {
        (one, other)
    } else {
        (other, one)
    };
    let mut rest = many;
    few.iter().any(|key| {
        rest = &rest[rest.partition_point(|found| found < key)..];
        rest.first() == Some(key)
    })
}

#[cfg(test)]
mod tests {
    use super::meet;

    #[test]
    fn sorted_lists_meet_where_a_search_finds_a_member_of_both() {
        let lists = [
            vec![],
            vec![1],
            vec![2, 4],
            vec![1, 3, 5],
            vec![4, 5, 9],
            vec![-7, 9],
        ];
        for one in &lists {
            for other in &lists {
                let wanted = one.iter().any(|key| other.contains(key));
                assert_eq!(meet(one, other), wanted, "{one:?} {other:?}");
            }
        }
    }
}
