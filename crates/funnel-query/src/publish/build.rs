//! The rows of the marts for one local day.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches, max, min};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, TimestampMicrosecondType};
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDate, Utc};
use datafusion::functions_aggregate::expr_fn::{max as latest, min as earliest};
use datafusion::prelude::ident;

use super::contract::{self, Origin};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::projection::date_literal;
use crate::funnel::{FunnelDefinition, Unit, fingerprint};
use crate::report::{self, Header, ReportRequest};

/// The local date of the session start: a real date, in both marts and in every file.
pub(super) const DATE: &str = "session_start_date";

/// What decides the rows of `offers` beside the events.
const OFFERS_SQL: &str = include_str!("../../../../queries/views/offers.sql");
/// Dimensions by which `funnel_daily` is broken down, each for itself.
const BREAKDOWNS: [&str; 3] = ["campaign_id", "engagement_id", "device_family"];

/// The first and the last instant of the events behind a day.
pub(super) type Span = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// When the events of the sessions of `day` happened.
pub(super) async fn span(session: &QuerySession, day: NaiveDate) -> Result<Span> {
    let failed = |source| QueryError::query("could not read the events of the day", source);
    let read = async {
        let events = session.ctx().table("events_enriched").await?;
        let time = || ident("event_time");
        events
            .filter(
                ident(DATE)
                    .eq(date_literal(day))
                    .and(ident("is_duplicate").is_false()),
            )?
            .aggregate(
                vec![],
                vec![earliest(time()).alias("a"), latest(time()).alias("b")],
            )?
            .collect()
            .await
    };
    let batches = read.await.map_err(failed)?;
    let mut found = (None, None);
    for batch in batches {
        let column = |index: usize| {
            batch
                .column(index)
                .as_primitive::<TimestampMicrosecondType>()
        };
        found.0 = min(column(0)).and_then(DateTime::from_timestamp_micros);
        found.1 = max(column(1)).and_then(DateTime::from_timestamp_micros);
    }
    Ok(found)
}

/// One row per offer of the sessions that began on `day`.
pub(super) async fn offers(
    session: &QuerySession,
    day: NaiveDate,
    span: Span,
    computed_at: DateTime<Utc>,
) -> Result<RecordBatch> {
    let failed = |source| QueryError::query("could not make the mart `offers`", source);
    let read = async {
        let offers = session.ctx().table("offers").await?;
        let order = [
            "account_id",
            "visitor_id",
            "session_start_time",
            "offer_key",
        ];
        let rows = offers
            .filter(ident(DATE).eq(date_literal(day)))?
            .sort(order.map(|name| ident(name).sort(true, false)).to_vec())?;
        let schema = rows.schema().as_arrow().clone();
        Ok((schema, rows.collect().await?))
    };
    let (schema, batches) = read.await.map_err(failed)?;
    let origin = Origin {
        data_from: span.0,
        data_to: span.1,
        window_seconds: None,
        definition_hash: &fingerprint(OFFERS_SQL.as_bytes()),
        computed_at,
    };
    contract::stored(&schema, &batches)
        .and_then(|rows| contract::with_origin(&rows, &origin))
        .map_err(|source| failed(source.into()))
}

/// One row per account, funnel, unit, breakdown value and step of the sessions that began on
/// `day`. Units are counted anew for each breakdown; adding rows up counts units twice.
pub(super) async fn funnel_daily(
    session: &QuerySession,
    day: NaiveDate,
    span: Span,
    computed_at: DateTime<Utc>,
) -> Result<RecordBatch> {
    let definitions: Vec<FunnelDefinition> = FunnelDefinition::names()
        .into_iter()
        .map(FunnelDefinition::shipped)
        .collect::<Result<_, _>>()?;
    let mut parts = Vec::new();
    for account in report::accounts(session).await? {
        for unit in Unit::ALL.iter().copied() {
            let requests = daily_requests(&definitions, &account, unit, day);
            for (header, rows) in report::counts_of_unit(session, unit, &requests).await? {
                let by = header.by.first().map(String::as_str);
                let rows = daily_rows(&header, by, &rows).map_err(laid_out)?;
                let origin = Origin {
                    data_from: span.0,
                    data_to: span.1,
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

/// Every shipped funnel at one unit: as a whole, and at its own unit by each dimension.
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
