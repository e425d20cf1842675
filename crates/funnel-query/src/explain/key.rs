//! From what a person pastes to the key of one unit.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Date32Type;
use arrow::error::ArrowError;
use chrono::{Days, NaiveDate};
use datafusion::common::utils::datafusion_strsim::levenshtein;
use datafusion::functions::expr_fn::{coalesce, ends_with};
use datafusion::functions_aggregate::expr_fn::{max, min};
use datafusion::logical_expr::{Expr, lit};
use datafusion::prelude::{DataFrame, ident};

use super::timeline::text;
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::Unit;

/// Keys that are looked at for one that was meant.
pub(super) const NEAR_KEYS_READ: usize = 50_000;
const NEAR_KEYS_SHOWN: usize = 3;

/// A unit and the local days on which its rows lie.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) key: String,
    pub(super) from: NaiveDate,
    pub(super) to: NaiveDate,
}

/// The column that holds the key of `unit`.
pub(crate) fn column_of(unit: Unit) -> &'static str {
    match unit {
        Unit::Session => "session_key",
        Unit::Offer => "offer_key",
        Unit::Conversation => "conversation_key",
        Unit::Visitor => "visitor_key",
    }
}

/// The unit that `key` names: the whole key, or its last part.
///
/// # Errors
/// Usage when no unit or several have such a key; the message lists keys that are near.
pub(super) async fn find(
    session: &QuerySession,
    account: &str,
    unit: Unit,
    key: &str,
) -> Result<Found> {
    let mut found = matching(session, account, unit, key).await?;
    if found.len() > 1 {
        let some: Vec<&str> = found
            .iter()
            .take(5)
            .map(|found| found.key.as_str())
            .collect();
        return Err(QueryError::usage(format!(
            "`{key}` names {} {unit} keys: write one of them in full, such as {}",
            found.len(),
            listed(&some)
        )));
    }
    match found.pop() {
        Some(found) => Ok(found),
        None => Err(unknown(session, account, unit, key).await?),
    }
}

async fn unknown(
    session: &QuerySession,
    account: &str,
    unit: Unit,
    key: &str,
) -> Result<QueryError> {
    for other in Unit::ALL.iter().copied().filter(|other| *other != unit) {
        if !matching(session, account, other, key).await?.is_empty() {
            return Ok(QueryError::usage(format!(
                "no {unit} of account `{account}` has the key `{key}`, but a {other} has: \
                 add --unit {other}"
            )));
        }
    }
    let near = near(session, account, unit, key).await?;
    let near: Vec<&str> = near.iter().map(String::as_str).collect();
    let hint = if near.is_empty() {
        format!("the account has no {unit} at all")
    } else {
        format!("the nearest keys are {}", listed(&near))
    };
    Ok(QueryError::usage(format!(
        "no {unit} of account `{account}` has the key `{key}`; {hint}"
    )))
}

pub(super) fn listed(keys: &[&str]) -> String {
    let quoted: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    quoted.join(", ")
}

async fn rows_with_key(
    session: &QuerySession,
    account: &str,
    unit: Unit,
) -> datafusion::error::Result<DataFrame> {
    let rows = session.ctx().table("events_enriched").await?;
    let has_key = ident(column_of(unit)).is_not_null();
    rows.filter(ident("account_id").eq(lit(account)).and(has_key))
}

async fn matching(
    session: &QuerySession,
    account: &str,
    unit: Unit,
    key: &str,
) -> Result<Vec<Found>> {
    let failed = |source| QueryError::query("could not look for the key", source);
    let column = || ident(column_of(unit));
    let last_part = ends_with(column(), lit(format!("|{key}")));
    let session_date = || coalesce(vec![ident("session_start_date"), ident("local_date")]);
    let read = async {
        let rows = rows_with_key(session, account, unit).await?;
        let days = vec![
            min(session_date()).alias("first_session"),
            min(ident("local_date")).alias("first_event"),
            max(session_date()).alias("last_session"),
            max(ident("local_date")).alias("last_event"),
        ];
        rows.filter(column().eq(lit(key)).or(last_part))?
            .aggregate(vec![column().alias("key")], days)?
            .sort(vec![ident("key").sort(true, false)])?
            .collect()
            .await
    };
    let mut found = Vec::new();
    for batch in read.await.map_err(failed)? {
        let keys = text(&batch, "key").map_err(|source| failed(source.into()))?;
        let day = |name: &str, row: usize| {
            let days = batch.column_by_name(name)?;
            days.as_primitive::<Date32Type>().value_as_date(row)
        };
        for row in 0..batch.num_rows() {
            let from = day("first_session", row).min(day("first_event", row));
            let to = day("last_session", row).max(day("last_event", row));
            // Another time zone than the account's moves a day by one.
            found.push(Found {
                key: keys.value(row).to_owned(),
                from: from
                    .and_then(|day| day.checked_sub_days(Days::new(1)))
                    .unwrap_or_default(),
                to: to
                    .and_then(|day| day.checked_add_days(Days::new(1)))
                    .unwrap_or_default(),
            });
        }
    }
    Ok(found)
}

/// The keys whose last part is most like what was asked for.
async fn near(session: &QuerySession, account: &str, unit: Unit, key: &str) -> Result<Vec<String>> {
    let failed = |source| QueryError::query("could not look for near keys", source);
    let read = async {
        let rows = rows_with_key(session, account, unit).await?;
        let key: Expr = ident(column_of(unit)).alias("key");
        rows.select(vec![key])?
            .distinct()?
            .limit(0, Some(NEAR_KEYS_READ))?
            .collect()
            .await
    };
    let batches = read.await.map_err(failed)?;
    nearest(&batches, key).map_err(|source| failed(source.into()))
}

/// Of the column `key` the values whose last part is most like what was asked for.
pub(super) fn nearest(batches: &[RecordBatch], asked: &str) -> Result<Vec<String>, ArrowError> {
    let last_part = |key: &str| key.rsplit('|').next().unwrap_or_default().to_owned();
    let asked = last_part(asked);
    let mut keys = Vec::new();
    for batch in batches {
        let batch = text(batch, "key")?;
        keys.extend(batch.iter().flatten().map(|key| {
            let distance = levenshtein(&last_part(key), &asked);
            (distance, key.to_owned())
        }));
    }
    keys.sort();
    let keys = keys.into_iter().take(NEAR_KEYS_SHOWN);
    Ok(keys.map(|(_, key)| key).collect())
}
