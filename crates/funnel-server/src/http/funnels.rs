//! Funnels: which there are, and what they count.

use std::time::Duration;

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use funnel_query::format::RowFormat;
use funnel_query::funnel::Unit;
use funnel_query::{QueryError, report};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer;
use super::asked::Asked;
use super::extract::Params;
use super::problem::Problem;
use super::question::Question;

/// How old an agent state may be to be believed, where nobody says otherwise: LivePerson refreshes a button every 120 s.
const STALE_AFTER: Duration = Duration::from_secs(120);

/// A funnel that can be asked.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Funnel {
    name: String,
    question: String,
    /// What it counts.
    #[schema(value_type = String)]
    unit: Unit,
    /// What else it can count.
    #[schema(value_type = Vec<String>)]
    units: &'static [Unit],
    mode: String,
    /// `null`: unbounded.
    window_seconds: Option<i64>,
    /// Changes when the definition does.
    definition_hash: String,
    steps: Vec<Step>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Step {
    name: String,
    title: String,
    /// May be missing.
    optional: bool,
}

#[utoipa::path(get, path = "/api/v1/funnels", tag = "funnels", security(("token" = [])),
    responses((status = 200, body = Vec<Funnel>), (status = "4XX", body = Problem)))]
pub(super) async fn list(asked: Asked) -> Result<Response, Problem> {
    let funnels = asked.funnels().all().map_err(QueryError::from)?;
    let funnels = funnels.iter().map(|funnel| {
        let steps = funnel.steps.iter().map(|step| Step {
            name: step.name.clone(),
            title: step.title.clone(),
            optional: step.optional,
        });
        Funnel {
            name: funnel.name.clone(),
            question: funnel.question.clone(),
            unit: funnel.unit,
            units: Unit::ALL,
            mode: funnel.mode.to_string(),
            window_seconds: funnel.windows.of(funnel.unit).seconds(),
            definition_hash: funnel.hash.clone(),
            steps: steps.collect(),
        }
    });
    let funnels: Vec<Funnel> = funnels.collect();
    Ok(Json(funnels).into_response())
}

/// What a funnel counts.
#[derive(Debug, Serialize, ToSchema)]
struct Report {
    /// What was asked, and what the answer rests on.
    #[schema(value_type = Object)]
    header: report::Header,
    /// One row per breakdown value and step, with the columns of `funnel report`.
    #[schema(value_type = Vec<Object>)]
    rows: Box<RawValue>,
    /// What became of the offers of these days.
    #[schema(value_type = Vec<Object>)]
    outcomes: Box<RawValue>,
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/report", tag = "funnels", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), Question),
    responses((status = 200, body = Report), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn report(
    asked: Asked,
    Path(name): Path<String>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let request = question.request(asked.funnels(), &name)?;
    let form = asked.form(question.format.as_deref())?;
    let session = asked.session();
    let query = async move {
        let found = report::report(&session, request).await?;
        let schema = found.rows.schema();
        let rows = std::slice::from_ref(&found.rows);
        if form != RowFormat::Json {
            return answer::rows(form, &schema, rows);
        }
        let outcomes = std::slice::from_ref(&found.outcomes);
        let report = Report {
            rows: answer::json(&schema, rows)?,
            outcomes: answer::json(&found.outcomes.schema(), outcomes)?,
            header: found.header,
        };
        Ok(Json(report).into_response())
    };
    asked.answer(query).await
}

/// Rows of one answer.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Rows {
    /// One object per row.
    #[schema(value_type = Vec<Object>)]
    pub(super) rows: Box<RawValue>,
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/availability", tag = "funnels", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), Question),
    responses((status = 200, body = Rows), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn availability(
    asked: Asked,
    Path(name): Path<String>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let request = question.request(asked.funnels(), &name)?;
    let form = asked.form(question.format.as_deref())?;
    let stale_after = stale_after(&question)?;
    let session = asked.session();
    let query = async move {
        let rows = report::availability(&session, &request, stale_after).await?;
        let (schema, rows) = (rows.schema(), [rows]);
        if form != RowFormat::Json {
            return answer::rows(form, &schema, &rows);
        }
        let rows = answer::json(&schema, &rows)?;
        Ok(Json(Rows { rows }).into_response())
    };
    asked.answer(query).await
}

pub(super) fn stale_after(question: &Question) -> Result<Duration, Problem> {
    let given = question.stale_after.as_deref();
    given.map_or(Ok(STALE_AFTER), seconds)
}

/// `30s`, `5m`.
fn seconds(text: &str) -> Result<Duration, Problem> {
    let unit = text.trim_start_matches(|digit: char| digit.is_ascii_digit());
    let number = text.trim_end_matches(unit).parse::<u64>();
    let factor = match unit {
        "s" => Some(1),
        "m" => Some(60),
        "h" => Some(3600),
        _ => None,
    };
    match (number, factor) {
        (Ok(number), Some(factor)) => Ok(Duration::from_secs(number.saturating_mul(factor))),
        _ => Err(Problem::wrong(format!(
            "`stale_after` is a time such as `30s` or `5m`, found `{text}`"
        ))),
    }
}
