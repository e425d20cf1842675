//! The SQL behind each number: what runs where there is a statement for it, and else what gives the same rows.

use std::fmt::Write as _;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::physical_plan::displayable;
use datafusion::prelude::DataFrame;

use super::{ReportRequest, choose_account, context, keys};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::{Attribution, DateBasis, Every, execution};
use crate::named;

/// What a question is about.
#[derive(Debug, Clone)]
pub enum Subject {
    /// Counts per breakdown value and step.
    Report,
    /// How long units take to the next step.
    Times,
    /// The period beside the one before.
    Comparison,
    /// The units themselves; `None`: whatever it is.
    Units {
        level: Option<i32>,
        state: Option<String>,
        reason: Option<String>,
    },
    /// Units by how far they got, and why no further.
    Losses,
    /// Units by the period in which they began.
    Trend(Every),
    /// Lost offers by what the agents were; a state shown longer before the click is stale.
    Availability { stale_after: Duration },
}

/// The statement, as `funnel sql` and every other front takes it.
///
/// # Errors
/// Usage: the subject needs an account and the request names none of the lake's, or has no meaning for the request.
pub async fn statement(
    session: &QuerySession,
    request: &ReportRequest,
    subject: &Subject,
) -> Result<String> {
    let arguments = arguments(request);
    Ok(match subject {
        Subject::Report => format!("SELECT * FROM funnel({arguments})"),
        Subject::Times => format!(
            "SELECT step_index, title, min_seconds_to_next, p50_seconds_to_next, p90_seconds_to_next,\n  \
             p99_seconds_to_next, max_seconds_to_next, mean_seconds_to_next, histogram_edges, histogram\n\
             FROM funnel({arguments})\nORDER BY step_index"
        ),
        Subject::Comparison => format!("SELECT * FROM funnel_comparison({arguments})"),
        Subject::Units {
            level,
            state,
            reason,
        } => units(&arguments, *level, state.as_deref(), reason.as_deref()),
        Subject::Losses => format!(
            "SELECT level, state, reason, count(*) AS keys\nFROM funnel_units({arguments})\n\
             GROUP BY level, state, reason\nORDER BY level, state, reason"
        ),
        Subject::Trend(every) => {
            let account = choose_account(session, request.account.as_deref()).await?;
            let zone = request.zone(session, &account);
            trend(&arguments, zone.name(), *every)
        }
        Subject::Availability { stale_after } => {
            let params = context::about_offers(session, request, *stale_after).await?;
            let params = params
                .iter()
                .map(|(name, value)| format!("{}, {}", text(name), text(value)));
            let params: Vec<String> = params.collect();
            format!(
                "SELECT * FROM named_query('{}', named_struct({}))",
                context::LOST_OFFERS,
                params.join(", ")
            )
        }
    })
}

/// Runs the statement.
///
/// # Errors
/// As [`statement`]; query when it fails.
pub async fn answer(
    session: &QuerySession,
    request: &ReportRequest,
    subject: &Subject,
) -> Result<RecordBatch> {
    let rows = session
        .sql(&statement(session, request, subject).await?)
        .await?;
    let schema = std::sync::Arc::clone(rows.schema().inner());
    let failed = |source| QueryError::query("could not run the query", source);
    let batches = rows.collect().await.map_err(failed)?;
    concat_batches(&schema, &batches)
        .map_err(|source| QueryError::query("could not lay out the rows", source.into()))
}

/// How the statement is answered: its own plan, then the plan of what it reads, which a function hides.
///
/// # Errors
/// As [`statement`]; query when there is no plan.
pub async fn plan(
    session: &QuerySession,
    request: &ReportRequest,
    subject: &Subject,
) -> Result<String> {
    let failed = |source| QueryError::query("could not plan the query", source);
    let statement = session
        .sql(&statement(session, request, subject).await?)
        .await?;
    let outer = statement.into_optimized_plan().map_err(failed)?;
    let (function, rows) = match subject {
        Subject::Report | Subject::Times => (
            "funnel() counts these rows, one per unit",
            inside(session, request).await?,
        ),
        Subject::Comparison => (
            "funnel_comparison() counts these rows, one per unit, and those of as many days before",
            inside(session, request).await?,
        ),
        Subject::Units { .. } | Subject::Losses | Subject::Trend(_) => (
            "funnel_units() judges these rows, unit by unit",
            keys::rows(session, request).await?,
        ),
        Subject::Availability { stale_after } => {
            let params = context::about_offers(session, request, *stale_after).await?;
            let query = named::find(context::LOST_OFFERS)?;
            (
                "named_query() runs",
                named::plan(session, &query, &params).await?,
            )
        }
    };
    let inner = rows.create_physical_plan().await.map_err(failed)?;
    Ok(format!(
        "{}\n\n-- {function}:\n{}",
        outer.display_indent(),
        displayable(inner.as_ref()).indent(false)
    ))
}

async fn inside(session: &QuerySession, request: &ReportRequest) -> Result<DataFrame> {
    let account = choose_account(session, request.account.as_deref()).await?;
    let scope = super::Scope {
        as_of: Some(session.complete_until().await?),
        ..request.scope(account)
    };
    execution::plan(session.ctx(), &scope, &request.question()).await
}

fn units(arguments: &str, level: Option<i32>, state: Option<&str>, reason: Option<&str>) -> String {
    let level = level.map(|level| format!("level = {level}"));
    let state = state.map(|state| format!("state = {}", text(state)));
    let reason = reason.map(|reason| format!("reason = {}", text(reason)));
    let wanted: Vec<String> = [level, state, reason].into_iter().flatten().collect();
    let condition = match wanted.is_empty() {
        true => String::new(),
        false => format!("\nWHERE {}", wanted.join(" AND ")),
    };
    format!("SELECT * FROM funnel_units({arguments}){condition}\nORDER BY key")
}

/// Periods in which nobody began are rows too: a line drawn across one would hide it.
fn trend(arguments: &str, zone: &str, every: Every) -> String {
    let day = format!("local_date(array_min(step_times), {})", text(zone));
    let (day, step) = match every {
        Every::Day => (day, "1 day"),
        Every::Week => (format!("CAST(date_trunc('week', {day}) AS DATE)"), "7 days"),
        Every::Month => (
            format!("CAST(date_trunc('month', {day}) AS DATE)"),
            "1 month",
        ),
    };
    format!(
        "WITH units AS (
  SELECT {day} AS began, state
  FROM funnel_units({arguments})
),
periods AS (
  SELECT
    began,
    count(*) AS entered,
    count(CASE WHEN state = 'converted' THEN 1 END) AS converted,
    count(CASE WHEN state = 'open' THEN 1 END) AS open
  FROM units
  WHERE began IS NOT NULL
  GROUP BY began
),
-- Each period with those after it in which nobody began.
calendar AS (
  SELECT *, unnest(generate_series(
    began, coalesce(lead(began) OVER (ORDER BY began) - INTERVAL '1 day', began), INTERVAL '{step}'
  )) AS day
  FROM periods
)
SELECT
  CAST(day AS DATE) AS day,
  CASE WHEN day = began THEN entered ELSE 0 END AS entered,
  CASE WHEN day = began THEN converted ELSE 0 END AS converted,
  CASE WHEN day = began THEN CAST(converted AS DOUBLE) / entered END AS rate,
  CASE WHEN day = began THEN open ELSE 0 END AS open,
  day = began AND open > 0 AS incomplete
FROM calendar
ORDER BY 1"
    )
}

/// The arguments of `funnel` and of the functions beside it.
fn arguments(request: &ReportRequest) -> String {
    let mut out = format!(
        "{}, DATE '{}', DATE '{}'",
        text(&request.funnel.name),
        request.from,
        request.to
    );
    let mut options = request.options();
    if !request.by.is_empty() {
        let by: Vec<String> = request.by.iter().map(|column| text(column)).collect();
        options.push(("breakdown", format!("make_array({})", by.join(", "))));
    }
    if !options.is_empty() {
        let options = options
            .iter()
            .map(|(name, value)| format!("'{name}', {value}"));
        let options: Vec<String> = options.collect();
        // Writing to a String cannot fail.
        let _ = write!(out, ", named_struct({})", options.join(", "));
    }
    out
}

fn text(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl ReportRequest {
    /// What is not left to the defaults, each as a literal of SQL that [`set`](Self::set) reads.
    fn options(&self) -> Vec<(&'static str, String)> {
        let basis = (self.date_basis != DateBasis::SessionStart).then_some(self.date_basis);
        let attribution = self.attribution;
        let attribution = (attribution != Attribution::default())
            .then(|| format!("{},{}d", attribution.model, attribution.days()));
        let given = [
            ("account", self.account.clone()),
            ("top", self.top.map(|top| top.to_string())),
            ("where", self.where_sql.clone()),
            ("unit", self.unit.map(|unit| unit.to_string())),
            ("mode", self.mode.map(|mode| mode.to_string())),
            ("window", self.window.map(|window| window.to_string())),
            ("timezone", self.timezone.map(|zone| zone.name().to_owned())),
            ("date_basis", basis.map(|basis| basis.to_string())),
            ("attribution", attribution),
        ];
        let given = given.into_iter();
        given
            .filter_map(|(name, value)| Some((name, text(&value?))))
            .collect()
    }
}

#[cfg(test)]
mod tests;
