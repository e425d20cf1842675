//! What stands beside a funnel: the accounts of the lake, how complete the input is, and what
//! became of the offers. Each is a named query, so that anybody can ask it alone.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, TimestampMicrosecondType};
use chrono::DateTime;
use chrono_tz::Tz;
use datafusion::prelude::ident;

use super::{Completeness, Header, ReportRequest, choose_account};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::DateBasis;
use crate::named;

/// The accounts whose rows are in `table`, sorted.
pub(crate) async fn accounts(session: &QuerySession, table: &str) -> Result<Vec<String>> {
    let failed = |source| QueryError::query("could not list the accounts of the lake", source);
    let read = async {
        let events = session.ctx().table(table).await?;
        let accounts = events.select(vec![ident("account_id")])?.distinct()?;
        accounts
            .sort(vec![ident("account_id").sort(true, false)])?
            .collect()
            .await
    };
    let mut names = Vec::new();
    for batch in read.await.map_err(failed)? {
        let column = arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8)
            .map_err(|source| failed(source.into()))?;
        names.extend(
            column
                .as_string::<i32>()
                .iter()
                .flatten()
                .map(str::to_owned),
        );
    }
    Ok(names)
}

/// The range and account of a report as parameters of a named query.
pub(super) fn params(header: &Header, timezone: Option<Tz>) -> BTreeMap<String, String> {
    let mut params = BTreeMap::from([
        ("from".to_owned(), header.from.to_string()),
        ("to".to_owned(), header.to.to_string()),
        ("account".to_owned(), header.account.clone()),
    ]);
    if let Some(zone) = timezone {
        params.insert("timezone".to_owned(), zone.name().to_owned());
    }
    params
}

/// How many conversations of the range could be joined to an offer.
pub(super) async fn completeness(
    session: &QuerySession,
    params: &BTreeMap<String, String>,
) -> Result<Completeness> {
    let mut found = Completeness::default();
    for batch in named::run(session, "completeness", params).await? {
        found.chats += sum(&batch, "conversations");
        found.chats_with_offer += sum(&batch, "conversations_with_offer");
        found.unattributed += sum(&batch, "unattributed");
        if let Some(column) = batch.column_by_name("data_to") {
            let times = column.as_primitive::<TimestampMicrosecondType>();
            let latest = arrow::compute::max(times).and_then(DateTime::from_timestamp_micros);
            found.data_to = found.data_to.max(latest);
        }
    }
    let through = found.data_to.map_or_else(
        || "no events in this range".to_owned(),
        |time| format!("events up to {}", time.format("%Y-%m-%d %H:%M:%S UTC")),
    );
    found.text = format!(
        "{through}; {} of {} conversations joined to an offer, {} unattributed",
        found.chats_with_offer, found.chats, found.unattributed
    );
    Ok(found)
}

/// The named query of lost offers.
pub(super) const LOST_OFFERS: &str = "availability_losses";

/// Every loss by what the agents were when the offer was shown and when it was clicked, with all
/// exposures and the reachable ones: the named query `availability_losses` for the flow that the
/// funnel is about. What was shown longer than `stale_after` before the click is stale.
///
/// # Errors
/// Usage when the request restricts or dates the rows in a way that offers cannot follow.
pub async fn availability(
    session: &QuerySession,
    request: &ReportRequest,
    stale_after: Duration,
) -> Result<RecordBatch> {
    let params = about_offers(session, request, stale_after).await?;
    one_table(session, LOST_OFFERS, &params).await
}

/// The parameters of [`LOST_OFFERS`] for a request.
pub(super) async fn about_offers(
    session: &QuerySession,
    request: &ReportRequest,
    stale_after: Duration,
) -> Result<BTreeMap<String, String>> {
    let refused = [
        ("--by", !request.by.is_empty()),
        ("--where", request.where_sql.is_some()),
        ("--timezone", request.timezone.is_some()),
        (
            "--date-basis",
            request.date_basis != DateBasis::SessionStart,
        ),
    ];
    if let Some((option, _)) = refused.into_iter().find(|(_, given)| *given) {
        return Err(QueryError::usage(format!(
            "{option} has no meaning for --availability, which is about all offers of the sessions \
             that began on these days: leave it out, or ask view `offers` with `funnel sql`"
        )));
    }
    let account = choose_account(session, request.account.as_deref()).await?;
    let mut params = BTreeMap::from([
        ("from".to_owned(), request.from.to_string()),
        ("to".to_owned(), request.to.to_string()),
        ("account".to_owned(), account),
        (
            "stale_seconds".to_owned(),
            stale_after.as_secs().to_string(),
        ),
    ]);
    about_flow(&request.funnel.name, &mut params);
    Ok(params)
}

/// Offers by outcome, for the flow that the funnel is about.
pub(super) async fn outcomes(
    session: &QuerySession,
    header: &Header,
    params: BTreeMap<String, String>,
) -> Result<RecordBatch> {
    let mut params = params;
    about_flow(&header.funnel, &mut params);
    one_table(session, "outcomes", &params).await
}

/// The two flows have a funnel each.
fn about_flow(funnel: &str, params: &mut BTreeMap<String, String>) {
    if matches!(funnel, "monitored" | "unmonitored") {
        params.insert("flow".to_owned(), funnel.to_owned());
    }
}

async fn one_table(
    session: &QuerySession,
    query: &str,
    params: &BTreeMap<String, String>,
) -> Result<RecordBatch> {
    let batches = named::run(session, query, params).await?;
    let schema = batches.first().map_or_else(
        || std::sync::Arc::new(arrow::datatypes::Schema::empty()),
        RecordBatch::schema,
    );
    concat_batches(&schema, &batches)
        .map_err(|source| QueryError::query(format!("could not lay out `{query}`"), source.into()))
}

fn sum(batch: &RecordBatch, column: &str) -> i64 {
    let values = batch.column_by_name(column);
    values
        .and_then(|values| arrow::compute::sum(values.as_primitive::<Int64Type>()))
        .unwrap_or(0)
}
