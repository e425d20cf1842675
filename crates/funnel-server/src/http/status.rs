//! What the numbers rest on.

use std::sync::Arc;

use arrow::datatypes::Schema;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, Utc};
use funnel_query::QuerySession;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer;
use super::problem::Problem;
use crate::App;
use crate::access::Caller;

/// The state of the server and of the lake that it reads.
#[derive(Debug, Serialize, ToSchema)]
struct Status {
    version: &'static str,
    /// The lake.
    lake: String,
    /// Version of the table `events`.
    lake_version: i64,
    /// When the lake was looked at.
    #[schema(value_type = String, format = DateTime)]
    snapshot_at: DateTime<Utc>,
    /// How far the input is complete.
    #[schema(value_type = String, format = DateTime)]
    complete_until: DateTime<Utc>,
    /// One entry for each account: account, time_zone, first_day, last_day (UTC days with events), events, rejects
    /// (null for those who do not see rejects).
    #[schema(value_type = Vec<Object>)]
    accounts: Box<RawValue>,
}

#[utoipa::path(get, path = "/api/v1/status", tag = "server", security(("token" = [])),
    responses((status = 200, body = Status), (status = "4XX", body = Problem)))]
pub(super) async fn status(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let snapshot = app.snapshots.get(&caller.sight).await?;
    let lake = app.snapshots.lake().url().to_string();
    let query = async move {
        let session = &snapshot.session;
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            lake,
            lake_version: snapshot.version,
            snapshot_at: snapshot.taken,
            complete_until: session.complete_until().await?,
            accounts: accounts(session, caller.sight.operations).await?,
        };
        Ok(Json(status).into_response())
    };
    app.runner.run(query).await
}

async fn accounts(session: &QuerySession, operations: bool) -> Result<Box<RawValue>, Problem> {
    let rejects = if operations {
        "(SELECT count(*) FROM rejects WHERE rejects.account_id = e.account_id)"
    } else {
        "CAST(NULL AS BIGINT)"
    };
    let mut zones = String::new();
    for (account, zone) in &session.options().accounts {
        let account = account.replace('\'', "''");
        zones.push_str(&format!(" WHEN '{account}' THEN '{}'", zone.name()));
    }
    let zone = match zones.is_empty() {
        true => "'UTC'".to_owned(),
        false => format!("CASE account_id{zones} ELSE 'UTC' END"),
    };
    let text = format!(
        "SELECT account_id AS account, {zone} AS time_zone, CAST(min(event_time) AS DATE) AS first_day,
                CAST(max(event_time) AS DATE) AS last_day, count(*) AS events, {rejects} AS rejects
         FROM events AS e GROUP BY account_id ORDER BY account_id"
    );
    let batches = session.collect(&text).await?;
    let schema = batches
        .first()
        .map_or_else(|| Arc::new(Schema::empty()), |batch| batch.schema());
    answer::json(&schema, &batches)
}

/// Can the lake be read?
pub(super) async fn ready(State(app): State<Arc<App>>) -> Response {
    match app.snapshots.lake().events().load().await {
        Ok(_) => "ready\n".into_response(),
        Err(error) => {
            tracing::warn!(%error, "not ready");
            let text = "not ready: the lake cannot be read\n";
            (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
        }
    }
}
