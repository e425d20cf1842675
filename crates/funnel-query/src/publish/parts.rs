//! The rows of days out of events in parts, as many parts at a time as there are cores.

use std::collections::{BTreeMap, BTreeSet};
use std::thread::available_parallelism;

use arrow::array::AsArray;
use arrow::datatypes::Date32Type;
use chrono::NaiveDate;
use datafusion::common::runtime::SpawnedTask;
use datafusion::functions::expr_fn::coalesce;
use datafusion::prelude::ident;
use futures::{StreamExt, TryStreamExt, stream};

use super::build::{self, DATE, DayRows};
use super::incremental::ended;
use crate::error::{QueryError, Result};
use crate::{QuerySession, report};

/// What the events of `parts` give for each of `days`; days without a row are left out.
pub(super) async fn rows(
    parts: Vec<QuerySession>,
    days: &BTreeSet<NaiveDate>,
) -> Result<BTreeMap<NaiveDate, DayRows>> {
    let cores = available_parallelism().map_or(1, usize::from);
    let made = |part: QuerySession| {
        let days = days.clone();
        async {
            let made = SpawnedTask::spawn(rows_of_part(part, days)).join().await;
            made.map_err(ended)?
        }
    };
    // In order: two runs over the same events write the same files.
    let made: Vec<_> = stream::iter(parts)
        .map(made)
        .buffered(cores)
        .try_collect()
        .await?;
    let mut by_day: BTreeMap<NaiveDate, Vec<DayRows>> = BTreeMap::new();
    for (day, rows) in made.into_iter().flatten() {
        by_day.entry(day).or_default().push(rows);
    }
    let joined = by_day
        .into_iter()
        .map(|(day, rows)| Ok((day, build::joined(&rows)?)));
    joined.collect()
}

async fn rows_of_part(
    part: QuerySession,
    days: BTreeSet<NaiveDate>,
) -> Result<Vec<(NaiveDate, DayRows)>> {
    let found = days_of(&part).await?;
    let days: Vec<NaiveDate> = days.intersection(&found).copied().collect();
    if days.is_empty() {
        return Ok(Vec::new());
    }
    let accounts = report::accounts(&part, "events_enriched").await?;
    build::prepare(&part).await?;
    let mut rows = Vec::with_capacity(days.len());
    for day in days {
        rows.push((day, build::day_rows(&part, day, &accounts).await?));
    }
    Ok(rows)
}

/// The local days on which the sessions of a part began, and those of rows without a session.
async fn days_of(part: &QuerySession) -> Result<BTreeSet<NaiveDate>> {
    let failed = |source| QueryError::query("could not read the days of the events", source);
    let read = async {
        let rows = part.ctx().table("events_enriched").await?;
        let day = coalesce(vec![ident(DATE), ident("local_date")]);
        rows.select(vec![day])?.distinct()?.collect().await
    };
    let mut days = BTreeSet::new();
    for batch in read.await.map_err(failed)? {
        let found = batch.column(0).as_primitive::<Date32Type>();
        let found = found.iter().flatten();
        days.extend(found.filter_map(Date32Type::to_naive_date_opt));
    }
    Ok(days)
}
