//! `funnel report`: one funnel over a range of days, with what a reader must know to trust it.

use arrow::array::RecordBatch;
use chrono::NaiveDate;

use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::{
    Attribution, DateBasis, FunnelDefinition, Mode, Unit, Window,
};

/// A funnel question. Everything optional falls back to the definition or to the account.
#[derive(Debug, Clone)]
pub struct ReportRequest {
    pub funnel: FunnelDefinition,
    pub from: NaiveDate,
    /// Inclusive.
    pub to: NaiveDate,
    /// May be left out where the lake holds one account.
    pub account: Option<String>,
    /// Dimension columns; each combination of values is counted on its own and never summed.
    pub by: Vec<String>,
    /// SQL predicate over the rows of the projection.
    pub where_sql: Option<String>,
    pub unit: Option<Unit>,
    pub mode: Option<Mode>,
    pub window: Option<Window>,
    /// Default: the time zone of the account.
    pub timezone: Option<chrono_tz::Tz>,
    pub date_basis: DateBasis,
    pub attribution: Attribution,
}

impl ReportRequest {
    /// The question with every default.
    #[must_use]
    pub fn new(funnel: FunnelDefinition, from: NaiveDate, to: NaiveDate) -> Self {
        Self {
            funnel,
            from,
            to,
            account: None,
            by: Vec::new(),
            where_sql: None,
            unit: None,
            mode: None,
            window: None,
            timezone: None,
            date_basis: DateBasis::SessionStart,
            attribution: Attribution::default(),
        }
    }
}

/// What every answer states about itself.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Header {
    pub funnel: String,
    pub question: String,
    pub definition_hash: String,
    pub account: String,
    pub from: NaiveDate,
    pub to: NaiveDate,
    pub unit: Unit,
    pub mode: Mode,
    /// `None`: unbounded.
    pub window_seconds: Option<i64>,
    pub time_zone: String,
    pub date_basis: DateBasis,
    pub attribution: String,
    pub by: Vec<String>,
    pub completeness: Completeness,
}

/// How complete the input is: the share of chats that could be joined to an offer.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Completeness {
    pub chats: i64,
    pub chats_with_offer: i64,
    /// Chats without an offer, counted apart and in no offer step.
    pub unattributed: i64,
    /// Latest time an event of the account was received; `None` without events.
    pub data_to: Option<String>,
    /// One sentence for people.
    pub text: String,
}

/// A funnel, answered.
#[derive(Debug, Clone)]
pub struct Report {
    pub header: Header,
    /// One row per breakdown value and step. Columns: the breakdown columns, then funnel, unit,
    /// mode, date_basis, time_zone, step_index, step, title, optional, reached, previous,
    /// dropped, rate_from_previous, rate_from_first, skipped, required,
    /// p50_seconds_to_next, p90_seconds_to_next, p99_seconds_to_next.
    pub rows: RecordBatch,
    /// What became of the offers. Columns: offer_outcome, outcome_code, offers,
    /// agent_state_at_impression, agent_state_at_click, is_loss.
    pub outcomes: RecordBatch,
}

/// Answers a funnel question.
///
/// # Errors
/// Usage when the request cannot be answered as it stands (several accounts and none named, a
/// column that does not exist); failed when the query fails.
pub async fn report(session: &QuerySession, request: ReportRequest) -> Result<Report> {
    let _ = (session, request);
    Err(QueryError::usage("not built yet"))
}
