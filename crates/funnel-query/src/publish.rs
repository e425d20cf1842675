//! `funnel publish`: the marts of closed days, written once, atomically, and again without harm.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | `incremental` | one run: what came since the last one, and the days that it changes |
//! | `keys`, `index`, `closure` | what ties events together, on which days, and following it |
//! | `state`, `merge` | what each key contributes to a day, and replacing it |
//! | `parts` | the rows of days, made part by part |
//! | `build`, `contract`, `write` | the rows of the marts, their types, their place in the lake |
//! | `record` | what was published, and from what |

mod build;
pub mod closing;
mod closure;
mod contract;
mod incremental;
mod index;
mod keys;
mod merge;
mod parts;
mod record;
mod state;
mod write;

use std::collections::BTreeSet;

use std::time::{Duration, Instant};

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use funnel_lake::Lake;

use self::incremental::Run;
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
    /// The days that were asked for, and published days that late events changed.
    pub days: Vec<DayReport>,
    /// UTC days of `events` whose files were read for it.
    pub event_days_read: Vec<NaiveDate>,
}

/// One local day.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct DayReport {
    pub date: NaiveDate,
    /// Whether it was asked for; a day that was not had been published before.
    pub requested: bool,
    /// How many visitors, and chats without a visitor, contribute something else than before.
    pub keys_changed: usize,
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

/// Publishes the marts `offers` and `funnel_daily` of every day of the range, and again those of
/// published days that events changed which came since.
///
/// # Errors
/// Incomplete when a day is not closed yet (nothing is written); query or unavailable when a
/// query or a write fails (each partition is then either wholly old or wholly new); unavailable
/// while another run publishes.
pub async fn publish(session: &QuerySession, request: PublishRequest) -> Result<RunReport> {
    let started = Instant::now();
    let lake = session.lake().ok_or_else(|| {
        QueryError::usage("the marts are written to a lake: name one with --lake")
    })?;
    wait_until_closed(lake, session.options(), &request, started).await?;
    let unlocked = |source| QueryError::lake("could not publish", source);
    let lock = lake.lock_publish().await.map_err(unlocked)?;
    let days = request.from.iter_days();
    let days: BTreeSet<NaiveDate> = days.take_while(|day| *day <= request.to).collect();
    let options = session.options().clone();
    // Reads what is known to be complete now, which may be newer than what the session sees.
    let run = async {
        let run = Run::begin(lake, options, request.now, days).await?;
        run.finish().await
    };
    let done = lock.hold(run).await.map_err(unlocked)??;
    let written = |partition: &PartitionReport| partition.action == Action::Written;
    Ok(RunReport {
        data_from: request.from,
        data_to: request.to,
        started_at: request.now,
        finished_at: request.now + started.elapsed(),
        unchanged: !done.partitions.iter().any(written),
        partitions: done.partitions,
        days: done.days,
        event_days_read: done.days_read.into_iter().collect(),
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
