//! `funnel publish`: the marts of closed days, written once, atomically, and again without harm.

use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};

use crate::QuerySession;
use crate::error::{QueryError, Result};

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
        Self { from, to, wait: None, close_after: Duration::from_secs(12 * 3_600), now }
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

/// One mart and day.
#[derive(Debug, Clone, serde::Serialize)]
pub struct PartitionReport {
    pub mart: String,
    pub date: NaiveDate,
    pub rows: i64,
    /// `written` or `unchanged`.
    pub action: String,
    /// Stable path of the plain Parquet file.
    pub export: String,
    /// Version of the Delta table that holds the partition.
    pub table_version: Option<i64>,
    pub content_hash: String,
}

/// Publishes the marts `offers` and `funnel_daily` of every day of the range.
///
/// # Errors
/// Not complete when a day is not closed yet (nothing is written); failed when a query or a
/// write fails (each partition is either wholly old or wholly new).
pub async fn publish(session: &QuerySession, request: PublishRequest) -> Result<RunReport> {
    let _ = (session, request);
    Err(QueryError::usage("not built yet"))
}
