//! The same question about as many days before, and what has changed since.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, Int64Array, PrimitiveArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float64Type, Int64Type, SchemaRef, TimeUnit,
    TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use chrono::{DateTime, Days, NaiveDate, Utc};
use chrono_tz::Tz;
use datafusion::functions_aggregate::expr_fn::min;
use datafusion::logical_expr::lit;
use datafusion::prelude::ident;

use super::rate::{difference, rate};
use super::rows::Columns;
use super::{Header, ReportRequest, counts, nothing};
use crate::QuerySession;
use crate::days::{begins_at, ends_at};
use crate::error::{QueryError, Result};

/// One part in so many of a period may be missing, and it is still taken for whole.
const MISSING_AT_MOST: i32 = 100;

/// How much of a period the lake holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Coverage {
    Whole,
    /// It begins before the first event of the account, or is not over yet.
    Partly,
    None,
}

/// Days that are compared.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Period {
    pub from: NaiveDate,
    /// Inclusive.
    pub to: NaiveDate,
    pub coverage: Coverage,
}

/// A period beside the one of as many days before it.
#[derive(Debug, Clone)]
pub struct Comparison {
    pub header: Header,
    pub period: Period,
    pub previous: Period,
    /// When the first event of the account happened.
    pub data_from: Option<DateTime<Utc>>,
    /// One sentence for people: what is compared, or why it cannot be.
    pub text: String,
    /// One row per step. Columns: `step_index`, step, title, then what the report counts (`reached`,
    /// `rate_from_previous`, `rate_from_first`, `dropped`, `drop_rate` (dropped of previous), the medians
    /// `p50_seconds_to_next` and `p50_seconds_from_first`), each with `…_before` and, but for
    /// `dropped`, `…_change`: of `reached` in parts of what was there before, of rates their
    /// difference with its bounds (`…_change_low`, `…_change_high`), of times seconds. Where a period
    /// is not whole nothing is said to have changed.
    pub rows: RecordBatch,
}

/// Answers a question beside the same one about as many days before, in the time zone of the report.
///
/// # Errors
/// As [`report`](super::report()); usage, too, when the question has a breakdown.
pub async fn comparison(session: &QuerySession, request: &ReportRequest) -> Result<Comparison> {
    refuse_breakdown(request)?;
    let (from, to) = before(request.from, request.to)
        .ok_or_else(|| QueryError::usage("there is no calendar before these days"))?;
    let (header, now) = counts(session, request).await?;
    let earlier = ReportRequest {
        from,
        to,
        account: Some(header.account.clone()),
        ..request.clone()
    };
    let (_, then) = counts(session, &earlier).await?;
    let data_from = first_event(session, &header.account).await?;
    let zone = request.zone(session, &header.account);
    let period = |from, to| Period {
        from,
        to,
        coverage: coverage(from, to, zone, data_from.zip(header.as_of)),
    };
    let (period, previous) = (period(request.from, request.to), period(from, to));
    let is_whole = [period.coverage, previous.coverage] == [Coverage::Whole; 2];
    let rows = side_by_side(&now, &then, is_whole)
        .map_err(|source| QueryError::query("could not lay out the comparison", source.into()))?;
    let text = words(&period, &previous, zone, data_from, header.as_of, &then);
    Ok(Comparison {
        header,
        period,
        previous,
        data_from,
        text,
        rows,
    })
}

/// The columns of the rows of a comparison.
pub(crate) fn schema(session: &QuerySession, request: &ReportRequest) -> Result<SchemaRef> {
    refuse_breakdown(request)?;
    let none = nothing(session, request, &[])?;
    let rows = side_by_side(&none, &none, false)
        .map_err(|source| QueryError::query("could not lay out the comparison", source.into()))?;
    Ok(rows.schema())
}

fn refuse_breakdown(request: &ReportRequest) -> Result<()> {
    if request.by.is_empty() {
        return Ok(());
    }
    Err(QueryError::usage(
        "a breakdown is not compared: leave it out, or restrict the question to one value",
    ))
}

/// As many days just before these. Days are those of a calendar, of 23 and 25 hours too.
fn before(from: NaiveDate, to: NaiveDate) -> Option<(NaiveDate, NaiveDate)> {
    let days = u64::try_from((to - from).num_days() + 1).ok()?;
    Some((from.checked_sub_days(Days::new(days))?, from.pred_opt()?))
}

/// How much of these days lies between the first event and the time up to which the input is complete.
fn coverage(
    from: NaiveDate,
    to: NaiveDate,
    zone: Tz,
    held: Option<(DateTime<Utc>, DateTime<Utc>)>,
) -> Coverage {
    let (Some(begin), Some(end), Some((first, until))) =
        (begins_at(from, zone), ends_at(to, zone), held)
    else {
        return Coverage::None;
    };
    let known = end.min(until) - begin.max(first);
    if known <= chrono::TimeDelta::zero() {
        Coverage::None
    } else if (end - begin - known) * MISSING_AT_MOST <= end - begin {
        Coverage::Whole
    } else {
        Coverage::Partly
    }
}

async fn first_event(session: &QuerySession, account: &str) -> Result<Option<DateTime<Utc>>> {
    let failed = |source| QueryError::query("could not read the events of the lake", source);
    let read = async {
        let events = session.ctx().table("events").await?;
        events
            .filter(ident("account_id").eq(lit(account)))?
            .aggregate(Vec::new(), vec![min(ident("event_time"))])?
            .collect()
            .await
    };
    let micros = DataType::Timestamp(TimeUnit::Microsecond, None);
    let mut first = None;
    for batch in read.await.map_err(failed)? {
        let times = cast(batch.column(0), &micros).map_err(|source| failed(source.into()))?;
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let found = arrow::compute::min(times).and_then(DateTime::from_timestamp_micros);
        first = first.or(found);
    }
    Ok(first)
}

fn words(
    period: &Period,
    previous: &Period,
    zone: Tz,
    data_from: Option<DateTime<Utc>>,
    as_of: Option<DateTime<Utc>>,
    then: &RecordBatch,
) -> String {
    let local = |time: Option<DateTime<Utc>>| {
        time.map_or_else(
            || "(no event)".to_owned(),
            |time| {
                let time = time.with_timezone(&zone).format("%Y-%m-%d %H:%M:%S");
                format!("{time} ({})", zone.name())
            },
        )
    };
    let days = |period: &Period| format!("{} to {}", period.from, period.to);
    let (now, earlier) = (days(period), days(previous));
    let first = local(data_from);
    match (period.coverage, previous.coverage) {
        (Coverage::Whole, Coverage::Whole) if !anybody(then) => {
            format!("nobody entered this funnel in the period before, {earlier}")
        }
        (Coverage::Whole, Coverage::Whole) => {
            format!("compared with {earlier} ({})", zone.name())
        }
        (_, Coverage::None) => format!(
            "the lake has nothing of the period before, {earlier}: the account's first event is of {first}"
        ),
        (_, Coverage::Partly) => format!(
            "the lake has only a part of the period before, {earlier}: the account's first event is of {first}"
        ),
        (_, Coverage::Whole) => format!(
            "the days {now} are not complete: the lake is, up to {}",
            local(as_of)
        ),
    }
}

/// Did a unit reach any step?
fn anybody(rows: &RecordBatch) -> bool {
    let reached = rows.column_by_name("reached");
    let reached = reached.map(|reached| reached.as_primitive::<Int64Type>());
    reached.and_then(arrow::compute::max).unwrap_or(0) > 0
}

/// The rows of one report, without a breakdown.
struct Side<'a>(&'a RecordBatch);

impl Side<'_> {
    fn column<T: ArrowPrimitiveType>(&self, name: &str) -> Result<PrimitiveArray<T>, ArrowError> {
        let found = self.0.column_by_name(name);
        let found = found.and_then(|found| found.as_primitive_opt::<T>());
        let missing = || ArrowError::SchemaError(format!("the report has no column `{name}`"));
        found.cloned().ok_or_else(missing)
    }

    fn counts(&self, name: &str) -> Result<Vec<Option<i64>>, ArrowError> {
        Ok(self.column::<Int64Type>(name)?.iter().collect())
    }

    fn numbers(&self, name: &str) -> Result<Vec<Option<f64>>, ArrowError> {
        Ok(self.column::<Float64Type>(name)?.iter().collect())
    }

    /// Each rate as part and whole: none at the first step, which is a part of nothing.
    fn shares(&self, part: &str, whole: &Whole) -> Result<Vec<Share>, ArrowError> {
        let (parts, previous) = (self.counts(part)?, self.counts("previous")?);
        let first = self.counts("reached")?.first().copied().flatten();
        let whole = |previous: Option<i64>| match whole {
            Whole::Previous => previous,
            Whole::First => previous.and(first),
        };
        let pairs = parts.into_iter().zip(previous);
        Ok(pairs
            .map(|(part, previous)| part.zip(whole(previous)))
            .collect())
    }
}

/// A part and its whole.
type Share = Option<(i64, i64)>;

/// Reads a column of a report.
type Read<'a, T> = fn(&Side<'a>, &str) -> Result<Vec<Option<T>>, ArrowError>;

/// What a rate is a rate of.
enum Whole {
    Previous,
    First,
}

fn side_by_side(
    now: &RecordBatch,
    then: &RecordBatch,
    is_whole: bool,
) -> Result<RecordBatch, ArrowError> {
    let mut out = Beside {
        columns: Columns::default(),
        now: Side(now),
        then: Side(then),
        is_whole,
    };
    for name in ["step_index", "step", "title", "optional"] {
        let kept = now.column_by_name(name);
        let missing = || ArrowError::SchemaError(format!("the report has no column `{name}`"));
        out.columns
            .push(name, Arc::clone(kept.ok_or_else(missing)?));
    }
    out.counts("reached")?;
    out.rates("rate_from_previous", "reached", &Whole::Previous)?;
    out.rates("rate_from_first", "reached", &Whole::First)?;
    out.both("previous", Side::counts, int64)?;
    out.both("dropped", Side::counts, int64)?;
    out.rates("drop_rate", "dropped", &Whole::Previous)?;
    out.times("p50_seconds_to_next")?;
    out.times("p50_seconds_from_first")?;
    out.columns.finish()
}

fn int64(values: Vec<Option<i64>>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

fn float64(values: Vec<Option<f64>>) -> ArrayRef {
    Arc::new(Float64Array::from(values))
}

/// Columns of two reports, one beside the other.
struct Beside<'a> {
    columns: Columns,
    now: Side<'a>,
    then: Side<'a>,
    /// Is there something to compare?
    is_whole: bool,
}

impl<'a> Beside<'a> {
    fn both<T>(
        &mut self,
        name: &str,
        read: Read<'a, T>,
        array: fn(Vec<Option<T>>) -> ArrayRef,
    ) -> Result<(), ArrowError> {
        self.columns.push(name, array(read(&self.now, name)?));
        let before = array(read(&self.then, name)?);
        self.columns.push(&format!("{name}_before"), before);
        Ok(())
    }

    fn counts(&mut self, name: &str) -> Result<(), ArrowError> {
        self.both(name, Side::counts, int64)?;
        let (now, then) = (self.now.counts(name)?, self.then.counts(name)?);
        let pairs = now.into_iter().zip(then);
        let change = pairs.map(|(now, then)| {
            let (now, then) = now.zip(then).filter(|_| self.is_whole)?;
            rate(now - then, then)
        });
        let change = float64(change.collect());
        self.columns.push(&format!("{name}_change"), change);
        Ok(())
    }

    fn rates(&mut self, name: &str, part: &str, whole: &Whole) -> Result<(), ArrowError> {
        let (now, then) = (
            self.now.shares(part, whole)?,
            self.then.shares(part, whole)?,
        );
        let rates = |shares: &[Share]| {
            let rates = shares
                .iter()
                .map(|share| (*share).and_then(|(p, w)| rate(p, w)));
            float64(rates.collect())
        };
        self.columns.push(name, rates(&now));
        self.columns.push(&format!("{name}_before"), rates(&then));
        let pairs: Vec<_> = now.into_iter().zip(then).collect();
        let compared = |pair: &(Share, Share)| pair.0.zip(pair.1).filter(|_| self.is_whole);
        let change = pairs.iter().map(|pair| {
            let ((part, whole), (part_then, whole_then)) = compared(pair)?;
            Some(rate(part, whole)? - rate(part_then, whole_then)?)
        });
        let change = float64(change.collect());
        self.columns.push(&format!("{name}_change"), change);
        let bounds = |pair: &_| {
            let (now, then) = compared(pair)?;
            difference(now, then)
        };
        self.columns
            .interval(&format!("{name}_change"), &pairs, bounds);
        Ok(())
    }

    fn times(&mut self, name: &str) -> Result<(), ArrowError> {
        self.both(name, Side::numbers, float64)?;
        let (now, then) = (self.now.numbers(name)?, self.then.numbers(name)?);
        let pairs = now.into_iter().zip(then);
        let change = pairs.map(|(now, then)| Some(now? - then?).filter(|_| self.is_whole));
        let change = float64(change.collect());
        self.columns.push(&format!("{name}_change"), change);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundredth_of_a_period_may_be_missing() {
        let day = |text: &str| text.parse().unwrap();
        let at = |text: &str| -> DateTime<Utc> { text.parse().unwrap() };
        let covered = |first: &str, until: &str| {
            let held = Some((at(first), at(until)));
            coverage(
                day("2024-03-25"),
                day("2024-03-31"),
                Tz::Europe__Berlin,
                held,
            )
        };
        // From 23:00 on the day before to 22:00, which are 167 hours.
        assert_eq!(
            covered("2024-03-24T23:00:00Z", "2024-03-31T22:00:00Z"),
            Coverage::Whole
        );
        assert_eq!(
            covered("2024-03-25T00:40:00Z", "2024-03-31T22:00:00Z"),
            Coverage::Whole
        );
        assert_eq!(
            covered("2024-03-25T00:41:00Z", "2024-03-31T22:00:00Z"),
            Coverage::Partly
        );
        assert_eq!(
            covered("2024-03-01T00:00:00Z", "2024-03-31T20:00:00Z"),
            Coverage::Partly
        );
        assert_eq!(
            covered("2024-03-31T22:00:00Z", "2024-04-09T00:00:00Z"),
            Coverage::None
        );
        assert_eq!(
            covered("2024-03-01T00:00:00Z", "2024-03-24T23:00:00Z"),
            Coverage::None
        );
        let unknown = coverage(day("2024-03-25"), day("2024-03-31"), Tz::UTC, None);
        assert_eq!(unknown, Coverage::None);
    }
}
