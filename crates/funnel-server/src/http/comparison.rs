//! A funnel beside what it was in the period before.

use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use funnel_query::format::RowFormat;
use funnel_query::report;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer;
use super::asked::Asked;
use super::extract::Params;
use super::problem::Problem;
use super::question::Question;

/// Days that are compared.
#[derive(Debug, Serialize, ToSchema)]
struct Period {
    #[schema(value_type = String, format = Date)]
    from: NaiveDate,
    #[schema(value_type = String, format = Date)]
    to: NaiveDate,
    /// How much of it the lake holds: `whole`, `partly`, `none`.
    #[schema(value_type = String)]
    coverage: report::Coverage,
}

impl From<report::Period> for Period {
    fn from(period: report::Period) -> Self {
        Self {
            from: period.from,
            to: period.to,
            coverage: period.coverage,
        }
    }
}

/// A period beside the one of as many days before it.
#[derive(Debug, Serialize, ToSchema)]
struct Comparison {
    account: String,
    /// In which days are days.
    time_zone: String,
    period: Period,
    previous: Period,
    /// When the first event of the account happened.
    #[schema(value_type = Option<String>, format = DateTime)]
    data_from: Option<DateTime<Utc>>,
    /// What is compared, or why it cannot be.
    text: String,
    /// One row per step: what the report counts, `…_before`, and `…_change` where both periods are whole (of `reached` in
    /// parts of what was there before, of rates their difference with its 95 % bounds, of times seconds).
    #[schema(value_type = Vec<Object>)]
    rows: Box<RawValue>,
}

#[utoipa::path(get, path = "/api/v1/funnels/{name}/comparison", tag = "funnels", security(("token" = [])),
    params(("name" = String, Path, description = "The funnel"), Question),
    responses((status = 200, body = Comparison), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn comparison(
    asked: Asked,
    Path(name): Path<String>,
    Params(question): Params<Question>,
) -> Result<Response, Problem> {
    let request = question.request(asked.funnels(), &name)?;
    let form = asked.form(question.format.as_deref())?;
    let session = asked.session();
    let query = async move {
        let found = report::comparison(&session, &request).await?;
        let (schema, rows) = (found.rows.schema(), [found.rows]);
        if form != RowFormat::Json {
            return answer::rows(form, &schema, &rows);
        }
        let comparison = Comparison {
            account: found.header.account,
            time_zone: found.header.time_zone,
            period: found.period.into(),
            previous: found.previous.into(),
            data_from: found.data_from,
            text: found.text,
            rows: answer::json(&schema, &rows)?,
        };
        Ok(Json(comparison).into_response())
    };
    asked.answer(query).await
}
