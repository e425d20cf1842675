//! Named queries, and SQL.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use datafusion::execution::context::SQLOptions;
use funnel_query::format::RowFormat;
use funnel_query::{QueryError, QuerySession, named};
use futures::StreamExt;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer;
use super::asked::Asked;
use super::extract::{Body, Params};
use super::funnels::Rows;
use super::problem::Problem;
use crate::App;
use crate::access::Caller;

/// A named query.
#[derive(Debug, Serialize, ToSchema)]
struct Named {
    name: String,
    question: String,
    params: Vec<Param>,
    columns: Vec<NamedColumn>,
}

#[derive(Debug, Serialize, ToSchema)]
struct Param {
    name: String,
    kind: String,
    /// `null`: it must be given.
    default: Option<String>,
    help: String,
}

#[derive(Debug, Serialize, ToSchema)]
struct NamedColumn {
    name: String,
    kind: String,
    help: String,
}

#[utoipa::path(get, path = "/api/v1/queries", tag = "queries", security(("token" = [])),
    responses((status = 200, body = Vec<Named>), (status = "4XX", body = Problem)))]
pub(super) async fn list() -> Result<Response, Problem> {
    let queries = named::list()?.into_iter().map(|query| Named {
        name: query.name,
        question: query.question,
        params: query
            .params
            .into_iter()
            .map(|param| Param {
                name: param.name,
                kind: param.kind,
                default: param.default,
                help: param.help,
            })
            .collect(),
        columns: query
            .columns
            .into_iter()
            .map(|column| NamedColumn {
                name: column.name,
                kind: column.kind,
                help: column.help,
            })
            .collect(),
    });
    Ok(Json(queries.collect::<Vec<_>>()).into_response())
}

#[utoipa::path(get, path = "/api/v1/queries/{name}", tag = "queries", security(("token" = [])),
    params(("name" = String, Path, description = "The query"),
        ("format" = Option<String>, Query, description = "json, csv, ndjson, arrow, parquet; further parameters are those of the query")),
    responses((status = 200, body = Rows), (status = 304), (status = "4XX", body = Problem)))]
pub(super) async fn run(
    asked: Asked,
    Path(name): Path<String>,
    Params(mut params): Params<BTreeMap<String, String>>,
) -> Result<Response, Problem> {
    if !named::list()?.iter().any(|query| query.name == name) {
        return Err(Problem::not_found(format!(
            "there is no query `{name}`; `/api/v1/queries` lists them"
        )));
    }
    let form = asked.form(params.remove("format").as_deref())?;
    let session = asked.session();
    let query = async move {
        let batches = named::run(&session, &name, &params).await?;
        let schema = batches
            .first()
            .map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
        if form != RowFormat::Json {
            return answer::rows(form, &schema, &batches);
        }
        let rows = answer::json(&schema, &batches)?;
        Ok(Json(Rows { rows }).into_response())
    };
    asked.answer(query).await
}

/// A query in SQL.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Sql {
    /// One statement that reads.
    sql: String,
    /// The form of the answer, instead of the header `Accept`.
    format: Option<String>,
}

/// What a query found.
#[derive(Debug, Serialize, ToSchema)]
struct Found {
    columns: Vec<Column>,
    #[schema(value_type = Vec<Object>)]
    rows: Box<RawValue>,
    /// There were more rows than an answer may have.
    truncated: bool,
}

#[derive(Debug, Serialize, ToSchema)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    data_type: String,
}

#[utoipa::path(post, path = "/api/v1/sql", tag = "queries", security(("token" = [])), request_body = Sql,
    responses((status = 200, body = Found), (status = "4XX", body = Problem)))]
pub(super) async fn sql(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    Body(asked): Body<Sql>,
) -> Result<Response, Problem> {
    let form = answer::form(asked.format.as_deref(), &headers)?;
    let snapshot = app.snapshots.get(&caller.sight).await?;
    let limit = app.limits.answer_bytes;
    app.runner
        .run(async move {
            let found = rows(&snapshot.session, &asked.sql, limit).await?;
            if form != RowFormat::Json {
                if found.truncated {
                    return Err(Problem::too_large(format!(
                        "the answer has more than {limit} bytes; add a LIMIT, or read the lake with \
                         `funnel sql`"
                    )));
                }
                return answer::rows(form, &found.schema, &found.batches);
            }
            let columns = found.schema.fields().iter().map(|field| Column {
                name: field.name().clone(),
                data_type: field.data_type().to_string(),
            });
            let answer = Found {
                columns: columns.collect(),
                rows: answer::json(&found.schema, &found.batches)?,
                truncated: found.truncated,
            };
            Ok(Json(answer).into_response())
        })
        .await
}

struct Answer {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
    truncated: bool,
}

/// Runs one statement, which may only read, up to `limit` bytes.
async fn rows(session: &QuerySession, text: &str, limit: usize) -> Result<Answer, Problem> {
    let failed = |source| Problem::from(QueryError::query("could not run the query", source));
    let reading = SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false);
    let plan = session.ctx().sql_with_options(text, reading).await;
    let plan = plan.map_err(|source| QueryError::query("could not plan the query", source))?;
    let mut stream = plan.execute_stream().await.map_err(failed)?;
    let schema = stream.schema();
    let (mut batches, mut bytes) = (Vec::new(), 0);
    while let Some(batch) = stream.next().await.transpose().map_err(failed)? {
        bytes += batch.get_array_memory_size();
        if bytes > limit {
            return Ok(Answer {
                schema,
                batches,
                truncated: true,
            });
        }
        batches.push(batch);
    }
    Ok(Answer {
        schema,
        batches,
        truncated: false,
    })
}
