//! `funnel report`: one funnel over a range of days, with what a reader must know to trust it.

mod compare;
mod context;
mod keys;
mod outcomes;
mod rate;
mod rows;
pub mod sql;
mod tabular;

use arrow::array::{RecordBatch, new_empty_array};
use arrow::datatypes::{DataType, SchemaRef};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;

pub(crate) use self::compare::schema as comparison_schema;
pub use self::compare::{Comparison, Coverage, Period, comparison};
pub(crate) use self::context::accounts;
pub use self::context::availability;
pub use self::keys::unit_report;
pub(crate) use self::keys::{OFFER_OUTCOME, schema as unit_schema, unit_rows};
use self::rows::Detail;
pub use self::tabular::{TableReport, table_report};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::counts::Counts;
use crate::funnel::execution::{self, Question};
use crate::funnel::projection::Scope;
use crate::funnel::{Attribution, DateBasis, FunnelDefinition, Mode, Unit, Window};

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
    /// How many values of each breakdown stay apart: those with the most units. The others are one
    /// group, `(other)`, and values are texts. `None`: all stay apart.
    pub top: Option<usize>,
    /// SQL predicate over the rows of the projection.
    pub where_sql: Option<String>,
    pub unit: Option<Unit>,
    pub mode: Option<Mode>,
    pub window: Option<Window>,
    /// Default: the time zone of the account.
    pub timezone: Option<Tz>,
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
            top: None,
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

impl ReportRequest {
    /// The options that [`set`](Self::set) knows.
    pub const OPTIONS: [&str; 9] = [
        "account",
        "top",
        "where",
        "unit",
        "mode",
        "window",
        "timezone",
        "date_basis",
        "attribution",
    ];

    /// More groups than this nobody reads.
    pub const TOP_MAX: usize = 1_000;

    /// Sets one of [`OPTIONS`](Self::OPTIONS) from its text, as it stands on a command line, in SQL or
    /// in an address.
    ///
    /// # Errors
    /// Usage: there is no such option, or the text is none of its values.
    pub fn set(&mut self, name: &str, text: &str) -> Result<()> {
        let wrong =
            |error: &dyn std::fmt::Display| QueryError::usage(format!("option `{name}`: {error}"));
        match name {
            "account" => self.account = Some(text.to_owned()),
            "top" => {
                let top = text.parse().ok();
                let top = top.filter(|top| (1..=Self::TOP_MAX).contains(top));
                self.top = Some(top.ok_or_else(|| {
                    wrong(&format!(
                        "`{text}` is no number from 1 to {}",
                        Self::TOP_MAX
                    ))
                })?);
            }
            "where" => self.where_sql = Some(text.to_owned()),
            "unit" => self.unit = Some(text.parse().map_err(|error| wrong(&error))?),
            "mode" => self.mode = Some(text.parse().map_err(|error| wrong(&error))?),
            "window" => self.window = Some(text.parse().map_err(|error| wrong(&error))?),
            "date_basis" => self.date_basis = text.parse().map_err(|error| wrong(&error))?,
            "attribution" => self.attribution = text.parse().map_err(|error| wrong(&error))?,
            "timezone" => {
                let zone = text.parse::<Tz>();
                let zone = zone.map_err(|_| wrong(&format!("`{text}` is no IANA time zone")))?;
                self.timezone = Some(zone);
            }
            _ => {
                let known = Self::OPTIONS.join(", ");
                return Err(QueryError::usage(format!(
                    "there is no option `{name}`; there are: {known}"
                )));
            }
        }
        Ok(())
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
    /// How many values of each breakdown stay apart; `None`: all.
    pub top: Option<usize>,
    /// How far the input is complete; units that can still go on then are open. `None`: no unit is.
    pub as_of: Option<DateTime<Utc>>,
    pub completeness: Completeness,
}

/// How complete the input is: the share of chats that could be joined to an offer.
#[derive(Debug, Clone, Default, serde::Serialize)]
pub struct Completeness {
    pub chats: i64,
    pub chats_with_offer: i64,
    /// Chats without an offer, counted apart and in no offer step.
    pub unattributed: i64,
    /// Latest time at which an event of the account happened.
    pub data_to: Option<DateTime<Utc>>,
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
    /// p50_seconds_to_next, p90_seconds_to_next, p99_seconds_to_next, open, then of the same times
    /// mean, min, max (`…_seconds_to_next`), a histogram (`histogram_edges`, histogram with the
    /// counts between them), the bounds of both rates (`…_low`, `…_high`), and how long it was
    /// since the first step (`p50_seconds_from_first`, `p90_seconds_from_first`).
    pub rows: RecordBatch,
    /// What became of the offers of these days, by the columns of the named query `outcomes`.
    pub outcomes: RecordBatch,
}

/// Answers a funnel question.
///
/// # Errors
/// Usage when the request cannot be answered as it stands (several accounts and none named, a
/// column that does not exist); query when the query fails.
pub async fn report(session: &QuerySession, request: ReportRequest) -> Result<Report> {
    let (mut header, rows) = counts(session, &request).await?;
    let params = context::params(&header, request.timezone);
    header.completeness = context::completeness(session, &params).await?;
    let outcomes = context::outcomes(session, &header, params).await?;
    Ok(Report {
        header,
        rows,
        outcomes,
    })
}

/// The rows of a report, without what stands beside them.
pub(crate) async fn counts(
    session: &QuerySession,
    request: &ReportRequest,
) -> Result<(Header, RecordBatch)> {
    if request.from > request.to {
        return Err(QueryError::usage(format!(
            "the range from {} to {} is empty: --to is the last day, inclusive",
            request.from, request.to
        )));
    }
    let account = choose_account(session, request.account.as_deref()).await?;
    let as_of = session.complete_until().await?;
    let scope = Scope {
        as_of: Some(as_of),
        ..request.scope(account)
    };
    let question = request.question();
    let counted = execution::execute(session.ctx(), &scope, &question).await?;
    laid_out(session, request, &scope, &counted)
}

/// The units of several reports that differ in funnel and breakdown only, and name their account.
pub(crate) async fn units(
    session: &QuerySession,
    requests: &[ReportRequest],
) -> Result<Vec<Vec<RecordBatch>>> {
    let Some(first) = requests.first() else {
        return Ok(Vec::new());
    };
    let scope = first.scope(first.account.clone().unwrap_or_default());
    let questions: Vec<Question<'_>> = requests.iter().map(ReportRequest::question).collect();
    execution::units_of_all(session.ctx(), &scope, &questions).await
}

/// The rows of a report from its [`units`].
pub(crate) async fn counts_of(
    session: &QuerySession,
    request: &ReportRequest,
    units: &[RecordBatch],
) -> Result<(Header, RecordBatch)> {
    let counted = execution::tally(session.ctx(), &request.question(), units).await?;
    let account = request.account.clone().unwrap_or_default();
    laid_out(session, request, &request.scope(account), &counted)
}

/// The columns of the rows of a report whose breakdown columns have these types.
pub(crate) fn schema(
    session: &QuerySession,
    request: &ReportRequest,
    types: &[DataType],
) -> Result<SchemaRef> {
    Ok(nothing(session, request, types)?.schema())
}

/// The rows of a report that found nothing.
fn nothing(
    session: &QuerySession,
    request: &ReportRequest,
    types: &[DataType],
) -> Result<RecordBatch> {
    let none = Counts {
        values: types.iter().map(new_empty_array).collect(),
        groups: Vec::new(),
    };
    let scope = Scope {
        as_of: Some(session.as_of()),
        ..request.scope(String::new())
    };
    Ok(laid_out(session, request, &scope, &none)?.1)
}

impl ReportRequest {
    /// In which days are days.
    pub fn zone(&self, session: &QuerySession, account: &str) -> Tz {
        let given = self.timezone;
        given.unwrap_or_else(|| session.options().time_zone(account))
    }

    pub(crate) fn scope(&self, account: String) -> Scope {
        Scope {
            account,
            from: self.from,
            to: self.to,
            timezone: self.timezone,
            basis: self.date_basis,
            attribution: self.attribution,
            as_of: None,
        }
    }

    pub(crate) fn question(&self) -> Question<'_> {
        let unit = self.unit.unwrap_or(self.funnel.unit);
        Question {
            definition: &self.funnel,
            unit,
            mode: self.mode.unwrap_or(self.funnel.mode),
            window: self.window.unwrap_or_else(|| self.funnel.windows.of(unit)),
            by: &self.by,
            top: self.top,
            where_sql: self.where_sql.as_deref(),
        }
    }
}

fn laid_out(
    session: &QuerySession,
    request: &ReportRequest,
    scope: &Scope,
    counted: &Counts,
) -> Result<(Header, RecordBatch)> {
    let question = request.question();
    let definition = question.definition;
    let zone = request.zone(session, &scope.account);
    let header = Header {
        funnel: definition.name.clone(),
        question: definition.question.clone(),
        definition_hash: definition.hash.clone(),
        account: scope.account.clone(),
        from: request.from,
        to: request.to,
        unit: question.unit,
        mode: question.mode,
        window_seconds: question.window.seconds(),
        time_zone: zone.name().to_owned(),
        date_basis: request.date_basis,
        attribution: request.attribution.to_string(),
        by: request.by.clone(),
        top: request.top,
        as_of: scope.as_of,
        completeness: Completeness::default(),
    };
    let detail = match scope.as_of {
        Some(_) => Detail::Full,
        None => Detail::Mart,
    };
    let rows = rows::long(&header, definition, counted, detail)
        .map_err(|source| QueryError::query("could not lay out the funnel", source.into()))?;
    Ok((header, rows))
}

/// The account asked for, or the only one there is.
///
/// # Errors
/// Usage: there is no such account, or there are several and none is named.
pub async fn choose_account(session: &QuerySession, asked: Option<&str>) -> Result<String> {
    let accounts = accounts(session, "events").await?;
    let listed = accounts.join(", ");
    match (asked, accounts.as_slice()) {
        (Some(asked), _) if accounts.iter().any(|known| known == asked) => Ok(asked.to_owned()),
        // An empty lake has an answer: zeros.
        (asked, []) => Ok(asked.unwrap_or_default().to_owned()),
        (Some(asked), _) => Err(QueryError::usage(format!(
            "the lake has no account `{asked}`; it has: {listed}"
        ))),
        (None, [only]) => Ok(only.clone()),
        (None, _) => Err(QueryError::usage(format!(
            "the lake holds several accounts: name one with --account, in SQL with the option \
             `account` of the function `funnel`; it has: {listed}"
        ))),
    }
}

#[cfg(test)]
mod compared;
#[cfg(test)]
mod dimensions;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod largest;
#[cfg(test)]
mod open;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod tests;
