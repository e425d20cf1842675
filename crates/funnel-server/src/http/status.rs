//! What the numbers rest on.

use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use funnel_query::QuerySession;
use funnel_query::days::ends_at;
use serde::Serialize;
use utoipa::ToSchema;

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
    /// How long before `snapshot_at` that was.
    behind_seconds: i64,
    /// It is longer than `serve.stale_after`.
    is_stale: bool,
    accounts: Vec<Account>,
}

#[utoipa::path(get, path = "/api/v1/status", tag = "server", security(("token" = [])),
    responses((status = 200, body = Status), (status = "4XX", body = Problem)))]
pub(super) async fn status(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
) -> Result<Response, Problem> {
    let snapshot = app.snapshots.get(&caller.sight).await?;
    let stale_after = app.stale_after;
    let lake = app.snapshots.lake().url().to_string();
    let query = async move {
        let session = &snapshot.session;
        let complete_until = session.complete_until().await?;
        let behind = snapshot.taken - complete_until;
        let status = Status {
            version: env!("CARGO_PKG_VERSION"),
            lake,
            lake_version: snapshot.version,
            snapshot_at: snapshot.taken,
            complete_until,
            behind_seconds: behind.num_seconds().max(0),
            is_stale: behind.to_std().is_ok_and(|behind| behind > stale_after),
            accounts: accounts(session, complete_until, caller.sight.operations).await?,
        };
        Ok(Json(status).into_response())
    };
    app.runner.run(query).await
}

const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// An account of the lake; days are those of its time zone.
#[derive(Debug, Serialize, ToSchema)]
struct Account {
    account: String,
    time_zone: &'static str,
    /// The first day with an event, and the last.
    #[schema(value_type = String, format = Date)]
    first_day: NaiveDate,
    #[schema(value_type = String, format = Date)]
    last_day: NaiveDate,
    /// The last day with an event that was over when the input was complete.
    #[schema(value_type = Option<String>, format = Date)]
    last_whole_day: Option<NaiveDate>,
    events: i64,
    /// `null` for those who do not see rejects.
    rejects: Option<i64>,
}

async fn accounts(
    session: &QuerySession,
    complete_until: DateTime<Utc>,
    operations: bool,
) -> Result<Vec<Account>, Problem> {
    let rejects = if operations {
        "(SELECT count(*) FROM rejects WHERE rejects.account_id = e.account_id)"
    } else {
        "CAST(NULL AS BIGINT)"
    };
    let text = format!(
        "SELECT account_id, min(event_time), max(event_time), count(*) AS events, {rejects} AS rejects
         FROM events AS e GROUP BY account_id ORDER BY account_id"
    );
    let mut accounts = Vec::new();
    for batch in session.collect(&text).await? {
        let names = cast(batch.column(0), &DataType::Utf8)?;
        let names = names.as_string::<i32>();
        let (first, last) = (
            cast(batch.column(1), &MICROS)?,
            cast(batch.column(2), &MICROS)?,
        );
        let [first, last] =
            [&first, &last].map(|times| times.as_primitive::<TimestampMicrosecondType>());
        let [events, rejects] = [3, 4].map(|at| batch.column(at).as_primitive::<Int64Type>());
        for row in 0..batch.num_rows() {
            let account = names.value(row).to_owned();
            let zone = session.options().time_zone(&account);
            let day = |time: DateTime<Utc>| time.with_timezone(&zone).date_naive();
            let [first, last] =
                [first, last].map(|times| DateTime::from_timestamp_micros(times.value(row)));
            let (first_day, last_day) = (
                day(first.unwrap_or_default()),
                day(last.unwrap_or_default()),
            );
            accounts.push(Account {
                last_whole_day: last_whole_day(first_day, last_day, complete_until, zone),
                account,
                time_zone: zone.name(),
                first_day,
                last_day,
                events: events.value(row),
                rejects: rejects.is_valid(row).then(|| rejects.value(row)),
            });
        }
    }
    Ok(accounts)
}

/// The last of these days that ended by then.
fn last_whole_day(
    first: NaiveDate,
    last: NaiveDate,
    complete_until: DateTime<Utc>,
    zone: Tz,
) -> Option<NaiveDate> {
    let ended = |day: NaiveDate| ends_at(day, zone).is_some_and(|end| end <= complete_until);
    let reached = complete_until.with_timezone(&zone).date_naive().min(last);
    let day = if ended(reached) {
        reached
    } else {
        reached.pred_opt()?
    };
    (day >= first).then_some(day)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_whole_once_it_is_over_where_the_account_is() {
        let day = |text: &str| -> NaiveDate { text.parse().unwrap() };
        let found = |until: &str| {
            let until = until.parse().unwrap();
            let found = last_whole_day(
                day("2024-03-04"),
                day("2024-03-10"),
                until,
                Tz::America__New_York,
            );
            found.map(|day| day.to_string())
        };
        assert_eq!(found("2024-03-08T04:59:59Z").as_deref(), Some("2024-03-06"));
        assert_eq!(found("2024-03-08T05:00:00Z").as_deref(), Some("2024-03-07"));
        // Summer time began on the 10th.
        assert_eq!(found("2024-03-11T03:59:59Z").as_deref(), Some("2024-03-09"));
        assert_eq!(found("2024-03-11T04:00:00Z").as_deref(), Some("2024-03-10"));
        assert_eq!(found("2026-11-30T00:00:00Z").as_deref(), Some("2024-03-10"));
        assert_eq!(found("2024-03-04T12:00:00Z"), None);
    }
}
