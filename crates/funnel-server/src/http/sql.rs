//! The SQL behind each number, and how it is answered.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use funnel_query::report::sql::{self, Subject};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::asked::Asked;
use super::extract::Params;
use super::funnels::stale_after;
use super::problem::Problem;
use super::question::Question;

/// Whose numbers a statement gives: each is the route of that name.
#[derive(Debug, Clone, Copy, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Of {
    #[default]
    Report,
    /// Of the report, how long units take to the next step.
    Times,
    Comparison,
    /// With `level`, `state` and `reason`.
    Keys,
    Losses,
    /// With `every`.
    Trend,
    /// With `stale_after`.
    Availability,
}

/// A statement of SQL.
#[derive(Debug, Serialize, ToSchema)]
struct Statement {
    sql: String,
}

/// How a statement is answered.
#[derive(Debug, Serialize, ToSchema)]
struct Plan {
    plan: String,
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/sql", tag = "funnels", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), Question),
    responses((status = 200, body = Statement), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn statement(
    asked: Asked,
    Path(name): Path<String>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let (request, subject) = (
        question.request(asked.funnels(), &name)?,
        subject(&question)?,
    );
    let session = asked.session();
    let query = async move {
        let sql = sql::statement(&session, &request, &subject).await?;
        Ok(Json(Statement { sql }).into_response())
    };
    asked.answer(query).await
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/plan", tag = "funnels", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), Question),
    responses((status = 200, body = Plan), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn plan(
    asked: Asked,
    Path(name): Path<String>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let (request, subject) = (
        question.request(asked.funnels(), &name)?,
        subject(&question)?,
    );
    let session = asked.session();
    let query = async move {
        let plan = sql::plan(&session, &request, &subject).await?;
        Ok(Json(Plan { plan }).into_response())
    };
    asked.answer(query).await
}

fn subject(question: &Question) -> Result<Subject, Problem> {
    Ok(match question.of.unwrap_or_default() {
        Of::Report => Subject::Report,
        Of::Times => Subject::Times,
        Of::Comparison => Subject::Comparison,
        Of::Keys => Subject::Units {
            level: question.level,
            state: question.state.clone(),
            reason: question.reason.clone(),
        },
        Of::Losses => Subject::Losses,
        Of::Trend => Subject::Trend(question.every()),
        Of::Availability => Subject::Availability {
            stale_after: stale_after(question)?,
        },
    })
}
