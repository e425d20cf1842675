//! The rows of the marts for one local day.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDate, Utc};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::{max as latest, min as earliest};
use datafusion::logical_expr::when;
use datafusion::prelude::ident;

use super::contract::{self, Origin};
use super::state;
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::projection::date_literal;
use crate::funnel::{Attribution, FunnelDefinition, Unit, attribution, fingerprint};
use crate::report::{self, Header, ReportRequest};

/// The local date of the session start: a real date, in both marts and in every file.
pub(super) const DATE: &str = "session_start_date";

/// What decides the rows of `offers` beside the events.
pub(super) const OFFERS_SQL: &str = include_str!("../../../../queries/views/offers.sql");
/// Dimensions by which `funnel_daily` is broken down, each for itself.
pub(super) const BREAKDOWNS: [&str; 3] = ["campaign_id", "engagement_id", "device_family"];

type Span = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// The rows that some events give for one day.
pub(super) struct DayRows {
    pub(super) state: RecordBatch,
    /// As in view `offers`, in the types of the mart.
    pub(super) offers: RecordBatch,
}

/// Makes once what the rows of every day are made from.
pub(super) async fn prepare(session: &QuerySession) -> Result<()> {
    session.keep("offers").await?;
    session.keep("sessions").await?;
    // All reports of a day attribute alike.
    attribution::keep(session.ctx(), Attribution::default()).await
}

/// What the events of `session` and `accounts` give for the sessions that began on `day`.
pub(super) async fn day_rows(
    session: &QuerySession,
    day: NaiveDate,
    accounts: &[String],
) -> Result<DayRows> {
    let definitions = session.options().funnels.all()?;
    let mut parts = Vec::new();
    for account in accounts {
        let units = Unit::ALL.iter().copied();
        let requests = units.flat_map(|unit| daily_requests(&definitions, account, unit, day));
        let requests: Vec<ReportRequest> = requests.collect();
        let units = report::units(session, &requests).await?;
        for (request, units) in requests.iter().zip(&units) {
            parts.extend(state::of_units(request, units)?);
        }
    }
    parts.extend(spans(session, day).await?);
    Ok(DayRows {
        state: state::joined(&parts).map_err(laid_out)?,
        offers: offers(session, day).await?,
    })
}

/// The rows of several, which have no key in common.
pub(super) fn joined(parts: &[DayRows]) -> Result<DayRows> {
    let joined = || {
        let state = parts.iter().map(|part| part.state.clone());
        let offers = parts.iter().map(|part| &part.offers);
        Ok(DayRows {
            state: state::joined(&state.collect::<Vec<_>>())?,
            offers: match parts.first() {
                Some(first) => concat_batches(&first.offers.schema(), offers)?,
                None => RecordBatch::new_empty(Arc::new(Schema::empty())),
            },
        })
    };
    joined().map_err(laid_out)
}

/// The rows of a day on which nothing happened.
pub(super) async fn no_rows(session: &QuerySession) -> Result<DayRows> {
    let failed = |source| QueryError::query("could not make the mart `offers`", source);
    let offers = session.ctx().table("offers").await.map_err(failed)?;
    let offers = contract::stored(offers.schema().as_arrow(), &[]);
    Ok(DayRows {
        state: state::joined(&[]).map_err(laid_out)?,
        offers: offers.map_err(|source| failed(source.into()))?,
    })
}

/// When the events of the sessions of `day` happened, key by key.
async fn spans(session: &QuerySession, day: NaiveDate) -> Result<Vec<RecordBatch>> {
    let failed = |source| QueryError::query("could not read the events of the day", source);
    let read = async {
        let events = session.ctx().table("events_enriched").await?;
        let time = || ident("event_time");
        // Where there is a visitor, the ids of chats would only make more rows.
        let chat = |name: &str| {
            let id = when(ident("visitor_id").is_null(), ident(name)).end();
            Ok::<_, DataFusionError>(id?.alias(name))
        };
        let mut columns = vec![ident("account_id"), ident("visitor_id"), time()];
        for name in [
            "chat_session_key",
            "chat_key",
            "auth_conversation_id",
            "participant_id",
        ] {
            columns.push(chat(name)?);
        }
        let keys = columns.iter().filter(|column| **column != time());
        let keys = keys
            .map(|key| ident(key.schema_name().to_string()))
            .collect();
        events
            .filter(
                ident(DATE)
                    .eq(date_literal(day))
                    .and(ident("is_duplicate").is_false()),
            )?
            .select(columns)?
            .aggregate(
                keys,
                vec![
                    earliest(time()).alias("first"),
                    latest(time()).alias("last"),
                ],
            )?
            .collect()
            .await
    };
    let batches = read.await.map_err(failed)?;
    let spans = batches.iter().map(|batch| state::of_spans(day, batch));
    spans
        .collect::<Result<_, _>>()
        .map_err(|source| failed(source.into()))
}

/// One row per offer of the sessions that began on `day`.
pub(super) async fn offers(session: &QuerySession, day: NaiveDate) -> Result<RecordBatch> {
    let failed = |source| QueryError::query("could not make the mart `offers`", source);
    let read = async {
        let offers = session.ctx().table("offers").await?;
        let rows = offers.filter(ident(DATE).eq(date_literal(day)))?;
        let schema = rows.schema().as_arrow().clone();
        Ok((schema, rows.collect().await?))
    };
    let (schema, batches) = read.await.map_err(failed)?;
    contract::stored(&schema, &batches).map_err(|source| failed(source.into()))
}

/// The rows of the mart `offers`, in its order.
pub(super) fn offers_mart(
    rows: &RecordBatch,
    state: &RecordBatch,
    computed_at: DateTime<Utc>,
) -> Result<RecordBatch> {
    let make = || {
        let order = [
            "account_id",
            "visitor_id",
            "session_start_time",
            "offer_key",
        ];
        let rows = contract::sorted(rows, &order)?;
        let (data_from, data_to) = span(state)?;
        let origin = Origin {
            data_from,
            data_to,
            window_seconds: None,
            definition_hash: &fingerprint(OFFERS_SQL.as_bytes()),
            computed_at,
        };
        contract::with_origin(&rows, &origin)
    };
    make().map_err(|source: ArrowError| {
        QueryError::query("could not make the mart `offers`", source.into())
    })
}

/// One row per account, funnel, unit, breakdown value and step of the sessions that began on
/// `day`. Units are counted anew for each breakdown; adding rows up counts units twice.
pub(super) async fn funnel_daily(
    session: &QuerySession,
    day: NaiveDate,
    accounts: &BTreeSet<String>,
    state: &RecordBatch,
    computed_at: DateTime<Utc>,
) -> Result<RecordBatch> {
    let definitions = session.options().funnels.all()?;
    let (data_from, data_to) = span(state).map_err(laid_out)?;
    let by_report = state::ByReport::new(state).map_err(laid_out)?;
    let mut parts = Vec::new();
    for account in accounts {
        for unit in Unit::ALL.iter().copied() {
            for request in daily_requests(&definitions, account, unit, day) {
                let units = by_report.units(session, &request).await?;
                let (header, rows) = report::counts_of(session, &request, &[units]).await?;
                let by = header.by.first().map(String::as_str);
                let rows = daily_rows(&header, by, &rows).map_err(laid_out)?;
                let origin = Origin {
                    data_from,
                    data_to,
                    window_seconds: header.window_seconds,
                    definition_hash: &header.definition_hash,
                    computed_at,
                };
                parts.push(contract::with_origin(&rows, &origin).map_err(laid_out)?);
            }
        }
    }
    let Some(first) = parts.first() else {
        return Ok(RecordBatch::new_empty(Arc::new(Schema::empty())));
    };
    concat_batches(&first.schema(), &parts).map_err(laid_out)
}

/// The first and the last instant of the events behind a day.
fn span(state: &RecordBatch) -> Result<Span, ArrowError> {
    let (first, last) = state::span(state)?;
    let time = |micros: Option<i64>| micros.and_then(DateTime::from_timestamp_micros);
    Ok((time(first), time(last)))
}

/// Every funnel that has a name at one unit: as a whole, and at its own unit by each dimension.
fn daily_requests(
    definitions: &[FunnelDefinition],
    account: &str,
    unit: Unit,
    day: NaiveDate,
) -> Vec<ReportRequest> {
    let mut requests = Vec::new();
    for definition in definitions {
        let whole = ReportRequest {
            account: Some(account.to_owned()),
            unit: Some(unit),
            ..ReportRequest::new(definition.clone(), day, day)
        };
        if unit == definition.unit {
            let by = |name: &&str| ReportRequest {
                by: vec![(*name).to_owned()],
                ..whole.clone()
            };
            requests.extend(BREAKDOWNS.iter().map(by));
        }
        requests.push(whole);
    }
    requests
}

fn laid_out(source: ArrowError) -> QueryError {
    QueryError::query("could not lay out the mart `funnel_daily`", source.into())
}

/// The rows of a report with account, breakdown and date as columns of their own.
fn daily_rows(
    header: &Header,
    by: Option<&str>,
    rows: &RecordBatch,
) -> Result<RecordBatch, ArrowError> {
    let count = rows.num_rows();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; count])) };
    let value: ArrayRef = match by {
        None => Arc::new(StringArray::new_null(count)),
        Some(_) => cast(rows.column(0), &DataType::Utf8)?,
    };
    let days = i32::try_from(
        header
            .from
            .signed_duration_since(NaiveDate::default())
            .num_days(),
    );
    let day = days.map_err(|error| ArrowError::CastError(error.to_string()))?;
    let mut columns: Vec<(String, ArrayRef)> = vec![
        (
            DATE.to_owned(),
            Arc::new(Date32Array::from(vec![day; count])),
        ),
        ("account_id".to_owned(), text(&header.account)),
        // `all` is the whole: a NULL value of a dimension is a row of its own.
        ("breakdown".to_owned(), text(by.unwrap_or("all"))),
        ("breakdown_value".to_owned(), value),
        ("attribution".to_owned(), text(&header.attribution)),
    ];
    let schema = rows.schema();
    let rest = schema
        .fields()
        .iter()
        .zip(rows.columns())
        .skip(usize::from(by.is_some()));
    columns.extend(rest.map(|(field, values)| (field.name().clone(), Arc::clone(values))));
    let fields: Vec<FieldRef> = columns
        .iter()
        .map(|(name, values)| Arc::new(Field::new(name, values.data_type().clone(), true)))
        .collect();
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}
