//! `funnel publish`: the marts of closed days, written once, atomically, and again without harm.

mod build;
pub mod closing;
mod contract;
mod write;

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use funnel_lake::Lake;

use crate::error::{ErrorKind, QueryError, Result};
use crate::{QueryOptions, QuerySession};

/// How often to look again while waiting.
const POLL: Duration = Duration::from_secs(5);

/// Which days to publish, and what closed means.
#[derive(Debug, Clone)]
pub struct PublishRequest {
    pub from: NaiveDate,
    /// Inclusive.
    pub to: NaiveDate,
    /// How long to wait for the days to become complete; `None` refuses at once.
    pub wait: Option<Duration>,
    /// A local day is closed this long after its midnight (default 12 h).
    pub close_after: Duration,
    /// The present, passed in so that a run can be repeated.
    pub now: DateTime<Utc>,
}

impl PublishRequest {
    /// The question with the default of 12 hours and no waiting.
    #[must_use]
    pub fn new(from: NaiveDate, to: NaiveDate, now: DateTime<Utc>) -> Self {
        Self {
            from,
            to,
            wait: None,
            close_after: closing::CLOSE_AFTER,
            now,
        }
    }
}

/// What a run did; its JSON is the machine-readable run report.
#[derive(Debug, Clone, serde::Serialize)]
pub struct RunReport {
    pub data_from: NaiveDate,
    pub data_to: NaiveDate,
    pub started_at: DateTime<Utc>,
    pub finished_at: DateTime<Utc>,
    /// True when every partition already held exactly this content.
    pub unchanged: bool,
    pub partitions: Vec<PartitionReport>,
}

/// What happened to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    Written,
    Unchanged,
}

/// One mart and day.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PartitionReport {
    pub mart: String,
    pub date: NaiveDate,
    pub rows: i64,
    pub action: Action,
    /// Stable path of the plain Parquet file.
    pub export: String,
    /// Version of the Delta table that was written; `None` when nothing was.
    pub table_version: Option<i64>,
    pub content_hash: String,
}

/// Publishes the marts `offers` and `funnel_daily` of every day of the range.
///
/// # Errors
/// Incomplete when a day is not closed yet (nothing is written); query or unavailable when a
/// query or a write fails (each partition is then either wholly old or wholly new).
pub async fn publish(session: &QuerySession, request: PublishRequest) -> Result<RunReport> {
    let started = Instant::now();
    let lake = session.lake().ok_or_else(|| {
        QueryError::usage("the marts are written to a lake: name one with --lake")
    })?;
    wait_until_closed(lake, session.options(), &request, started).await?;
    // What is known to be complete now may be newer than what the caller's session sees.
    let options = QueryOptions {
        as_of: Some(request.now),
        ..session.options().clone()
    };
    let session = QuerySession::open(lake, options).await?;
    let mut partitions = Vec::new();
    let mut day = request.from;
    while day <= request.to {
        let span = build::span(&session, day).await?;
        let offers = build::offers(&session, day, span, request.now).await?;
        partitions.push(write::mart(&session, lake, &write::OFFERS, day, offers).await?);
        let daily = build::funnel_daily(&session, day, span, request.now).await?;
        if daily.num_columns() > 0 {
            partitions.push(write::mart(&session, lake, &write::FUNNEL_DAILY, day, daily).await?);
        }
        day = match day.succ_opt() {
            Some(next) => next,
            None => break,
        };
    }
    Ok(RunReport {
        data_from: request.from,
        data_to: request.to,
        started_at: request.now,
        finished_at: request.now + started.elapsed(),
        unchanged: partitions
            .iter()
            .all(|partition| partition.action == Action::Unchanged),
        partitions,
    })
}

/// Returns when every day of the range is closed for every account, or says what is missing once
/// the caller's patience is over.
async fn wait_until_closed(
    lake: &Lake,
    options: &QueryOptions,
    request: &PublishRequest,
    started: Instant,
) -> Result<()> {
    loop {
        let ledger = lake
            .ledger_entries()
            .await
            .map_err(|source| QueryError::lake("could not read the ledger", source))?;
        let closes_at = last_close(options, request)?;
        let now = request.now + started.elapsed();
        let found = closing::obstacles(closes_at, now, &closing::watermarks(&ledger));
        if found.is_empty() {
            return Ok(());
        }
        let left = request
            .wait
            .unwrap_or_default()
            .saturating_sub(started.elapsed());
        if left.is_zero() {
            return Err(QueryError::new(
                ErrorKind::Incomplete,
                format!(
                    "the days {} to {} are not complete, nothing was written: {}; \
                     --wait keeps trying",
                    request.from,
                    request.to,
                    found.join("; ")
                ),
            ));
        }
        tracing::info!(
            obstacles = found.join("; "),
            "waiting for the days to be complete"
        );
        tokio::time::sleep(left.min(POLL)).await;
    }
}

/// When the last day of the range closes for the last of the accounts.
fn last_close(options: &QueryOptions, request: &PublishRequest) -> Result<DateTime<Utc>> {
    // Accounts that are not configured report in UTC.
    let zones = options.accounts.values().copied().chain([Tz::UTC]);
    let closes = zones.map(|zone| closing::closes_at(request.to, zone, request.close_after));
    let latest: Option<Vec<_>> = closes.collect();
    latest
        .and_then(|all| all.into_iter().max())
        .ok_or_else(|| QueryError::usage(format!("{} is too far away to be published", request.to)))
}

#[cfg(test)]
mod tests;
