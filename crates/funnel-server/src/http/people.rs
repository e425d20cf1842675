//! Who stands behind a number: keys, why they were lost, when they began, what happened to one.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use datafusion::prelude::{DataFrame, col, lit};
use funnel_query::explain::{self, Verdict};
use funnel_query::format::RowFormat;
use funnel_query::report::sql::{self, Subject};
use funnel_query::report::{ReportRequest, choose_account, unit_report};
use funnel_query::{QueryError, QuerySession};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer;
use super::asked::Asked;
use super::extract::Params;
use super::problem::Problem;
use super::question::Question;

const KEYS_DEFAULT: usize = 100;
const KEYS_MAX: usize = 10_000;

/// A page of keys.
#[derive(Debug, Serialize, ToSchema)]
struct Keys {
    /// One object per unit: key, level, state, reason, step_times, event_ids, offer_outcome.
    #[schema(value_type = Vec<Object>)]
    keys: Box<RawValue>,
    /// What to give as `after` for the next page; `null` at the end.
    next: Option<String>,
    /// All that fit, on all pages.
    total: usize,
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/keys", tag = "people", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), Question),
    responses((status = 200, body = Keys), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn keys(
    asked: Asked,
    Path(name): Path<String>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let request = question.request(asked.funnels(), &name)?;
    let form = asked.form(question.format.as_deref())?;
    let session = asked.session();
    let query = async move {
        let units = units(&session, &request).await?;
        let found = page(units, &question, form).await?;
        let schema = found.rows.schema();
        if form != RowFormat::Json {
            return answer::rows(form, &schema, &[found.rows]);
        }
        let keys = Keys {
            keys: answer::json(&schema, &[found.rows])?,
            next: found.next,
            total: found.total,
        };
        Ok(Json(keys).into_response())
    };
    asked.answer(query).await
}

struct Page {
    rows: RecordBatch,
    next: Option<String>,
    total: usize,
}

/// The units that fit, in the order of their keys; without JSON all of them.
async fn page(units: DataFrame, question: &Question, form: RowFormat) -> Result<Page, Problem> {
    let failed = |source| Problem::from(QueryError::query("could not list the keys", source));
    let mut rows = units;
    if let Some(level) = question.level {
        rows = rows.filter(col("level").eq(lit(level))).map_err(failed)?;
    }
    for (column, wanted) in [("state", &question.state), ("reason", &question.reason)] {
        if let Some(wanted) = wanted {
            let fits = col(column).eq(lit(wanted.as_str()));
            rows = rows.filter(fits).map_err(failed)?;
        }
    }
    let total = rows.clone().count().await.map_err(failed)?;
    if let Some(after) = &question.after {
        let later = col("key").gt(lit(after.as_str()));
        rows = rows.filter(later).map_err(failed)?;
    }
    let order = vec![col("key").sort(true, true)];
    rows = rows.sort(order).map_err(failed)?;
    let limit = match (question.limit, form) {
        (Some(limit), _) => Some(limit.clamp(1, KEYS_MAX)),
        (None, RowFormat::Json) => Some(KEYS_DEFAULT),
        (None, _) => None,
    };
    if let Some(limit) = limit {
        rows = rows.limit(0, Some(limit + 1)).map_err(failed)?;
    }
    let schema = Arc::clone(rows.schema().inner());
    let batches = rows.collect().await.map_err(failed)?;
    let rows = arrow::compute::concat_batches(&schema, &batches)?;
    let limit = limit.unwrap_or(usize::MAX);
    let shown = rows.slice(0, rows.num_rows().min(limit));
    let keys = shown
        .column_by_name("key")
        .map(|keys| keys.as_string::<i32>());
    let last = keys.filter(|keys| !keys.is_empty());
    let last = last.map(|keys| keys.value(keys.len() - 1).to_owned());
    Ok(Page {
        next: last.filter(|_| rows.num_rows() > limit),
        rows: shown,
        total,
    })
}

/// One row per unit of the report.
async fn units(session: &QuerySession, request: &ReportRequest) -> Result<DataFrame, Problem> {
    let units = unit_report(session, request).await?;
    let units = session.ctx().read_batch(units);
    units.map_err(|source| QueryError::query("could not list the keys", source).into())
}

/// Units by how far they got, and why no further.
#[derive(Debug, Serialize, ToSchema)]
struct Losses {
    /// level, state, reason, keys.
    #[schema(value_type = Vec<Object>)]
    losses: Box<RawValue>,
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/losses", tag = "people", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), Question),
    responses((status = 200, body = Losses), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn losses(
    asked: Asked,
    Path(name): Path<String>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let request = question.request(asked.funnels(), &name)?;
    let form = asked.form(question.format.as_deref())?;
    let session = asked.session();
    let query = async move {
        let rows = sql::answer(&session, &request, &Subject::Losses).await?;
        let (schema, rows) = (rows.schema(), [rows]);
        if form != RowFormat::Json {
            return answer::rows(form, &schema, &rows);
        }
        let losses = answer::json(&schema, &rows)?;
        Ok(Json(Losses { losses }).into_response())
    };
    asked.answer(query).await
}

/// One row for each period from the first in which a unit began to the last.
#[derive(Debug, Serialize, ToSchema)]
struct Trend {
    /// In which days are days.
    time_zone: String,
    /// day (its first), entered, converted, rate (converted of entered; null where nobody entered), open (can still go
    /// on), incomplete (some can, so that the rate can still grow).
    #[schema(value_type = Vec<Object>)]
    rows: Box<RawValue>,
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/trend", tag = "people", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), Question),
    responses((status = 200, body = Trend), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn trend(
    asked: Asked,
    Path(name): Path<String>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let request = question.request(asked.funnels(), &name)?;
    let form = asked.form(question.format.as_deref())?;
    let session = asked.session();
    let query = async move {
        let account = choose_account(&session, request.account.as_deref()).await?;
        let zone = request.zone(&session, &account);
        let rows = sql::answer(&session, &request, &Subject::Trend(question.every())).await?;
        let (schema, rows) = (rows.schema(), [rows]);
        if form != RowFormat::Json {
            return answer::rows(form, &schema, &rows);
        }
        let trend = Trend {
            time_zone: zone.name().to_owned(),
            rows: answer::json(&schema, &rows)?,
        };
        Ok(Json(trend).into_response())
    };
    asked.answer(query).await
}

/// What happened to one unit, and why it went no further.
#[derive(Debug, Serialize, ToSchema)]
struct Explanation {
    #[schema(value_type = Object)]
    verdict: Verdict,
    /// Of `local_time`.
    time_zone: String,
    /// One object per row of the unit, in the order of time.
    #[schema(value_type = Vec<Object>)]
    rows: Box<RawValue>,
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/explain/{key}", tag = "people", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), ("key" = String, Path, description = "The unit"), Question),
    responses((status = 200, body = Explanation), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn explain(
    asked: Asked,
    Path((name, key)): Path<(String, String)>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let request = question.request(asked.funnels(), &name)?;
    let form = asked.form(question.format.as_deref())?;
    let session = asked.session();
    let query = async move {
        let found = explain::explain(&session, request, &key).await?;
        let (schema, rows) = (found.rows.schema(), [found.rows]);
        if form != RowFormat::Json {
            return answer::rows(form, &schema, &rows);
        }
        let explanation = Explanation {
            verdict: found.verdict,
            time_zone: found.time_zone,
            rows: answer::json(&schema, &rows)?,
        };
        Ok(Json(explanation).into_response())
    };
    asked.answer(query).await
}
