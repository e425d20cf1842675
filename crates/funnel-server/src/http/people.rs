//! Who stands behind a number: keys, why they were lost, when they began, what happened to one.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::TimestampMicrosecondType;
use axum::Json;
use axum::extract::Path;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate};
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::{DataFrame, col, lit};
use funnel_query::explain::{self, Verdict};
use funnel_query::format::RowFormat;
use funnel_query::funnel::Every;
use funnel_query::report::{ReportRequest, unit_levels, unit_report};
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
        let failed = |source| Problem::from(QueryError::query("could not count reasons", source));
        let groups = vec![col("level"), col("state"), col("reason")];
        let order = groups.iter().map(|group| group.clone().sort(true, false));
        let order = order.collect();
        let rows = unit_levels(&session, &request).await?;
        let rows = session
            .ctx()
            .read_batch(rows)
            .and_then(|rows| rows.aggregate(groups, vec![count(lit(1)).alias("keys")]))
            .and_then(|rows| rows.sort(order))
            .map_err(failed)?;
        let schema = Arc::clone(rows.schema().inner());
        let batches = rows.collect().await.map_err(failed)?;
        if form != RowFormat::Json {
            return answer::rows(form, &schema, &batches);
        }
        let losses = answer::json(&schema, &batches)?;
        Ok(Json(Losses { losses }).into_response())
    };
    asked.answer(query).await
}

/// The units that began in one period.
#[derive(Debug, Default, Serialize, ToSchema)]
struct Day {
    /// Its first day.
    #[schema(value_type = String, format = Date)]
    day: NaiveDate,
    entered: u32,
    converted: u32,
    /// Converted of entered; null where nobody entered.
    rate: Option<f64>,
    /// Those that can still go on.
    open: u32,
    /// Some can still go on, so that the rate can still grow.
    incomplete: bool,
}

/// One entry for each period from the first in which a unit began to the last.
#[derive(Debug, Serialize, ToSchema)]
struct Trend {
    /// In which days are days.
    time_zone: String,
    rows: Vec<Day>,
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
    let session = asked.session();
    let every = question.every.unwrap_or(Every::Day);
    let query = async move {
        let account = request.account.as_deref();
        let account = funnel_query::report::choose_account(&session, account).await?;
        let zone = request.timezone;
        let zone = zone.unwrap_or_else(|| session.options().time_zone(&account));
        let units = unit_levels(&session, &request).await?;
        let trend = Trend {
            time_zone: zone.name().to_owned(),
            rows: days(&units, zone, every),
        };
        Ok(Json(trend).into_response())
    };
    asked.answer(query).await
}

/// Units by the period of their first step.
fn days(units: &RecordBatch, zone: chrono_tz::Tz, every: Every) -> Vec<Day> {
    let columns = ("state", "step_times");
    let (Some(states), Some(times)) = (
        units.column_by_name(columns.0),
        units.column_by_name(columns.1),
    ) else {
        return Vec::new();
    };
    let (states, times) = (states.as_string::<i32>(), times.as_list::<i32>());
    let mut days: BTreeMap<NaiveDate, Day> = BTreeMap::new();
    for unit in 0..units.num_rows() {
        let times = times.value(unit);
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let began = times.iter().flatten().min();
        let Some(began) = began.and_then(DateTime::from_timestamp_micros) else {
            continue;
        };
        let date = began.with_timezone(&zone).date_naive();
        let date = every.beginning(date).unwrap_or(date);
        let day = days.entry(date).or_default();
        day.day = date;
        day.entered += 1;
        match states.value(unit) {
            "converted" => day.converted += 1,
            "open" => day.open += 1,
            _ => {}
        }
    }
    let (Some((first, _)), Some((last, _))) = (days.first_key_value(), days.last_key_value())
    else {
        return Vec::new();
    };
    let dates = std::iter::successors(Some(*first), |date| every.next(*date));
    let dates = dates.take_while(|date| date <= last);
    // A line drawn across a period in which nobody came would hide it.
    let day = |date: NaiveDate| match days.get(&date) {
        Some(day) => Day {
            rate: Some(f64::from(day.converted) / f64::from(day.entered)),
            incomplete: day.open > 0,
            ..*day
        },
        None => Day {
            day: date,
            ..Day::default()
        },
    };
    dates.map(day).collect()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ListArray, StringArray};

    use super::*;

    #[test]
    fn days_without_entries_are_days_of_the_trend() {
        let times = |days: &[i64]| {
            let noon = |day: &i64| Some((day * 24 + 12) * 3_600_000_000);
            Some(days.iter().map(noon).collect::<Vec<_>>())
        };
        let times = [times(&[0]), times(&[0, 1]), times(&[3])];
        let times = ListArray::from_iter_primitive::<TimestampMicrosecondType, _, _>(times);
        let states = StringArray::from(vec!["dropped", "converted", "open"]);
        let units = RecordBatch::try_from_iter([
            ("state", Arc::new(states) as _),
            ("step_times", Arc::new(times) as _),
        ]);
        let units = units.unwrap();
        let found = days(&units, chrono_tz::UTC, Every::Day);
        let found = found
            .iter()
            .map(|day| (day.day.to_string(), day.entered, day.rate, day.incomplete));
        let date = |day: u32| format!("1970-01-0{day}");
        assert_eq!(
            found.collect::<Vec<_>>(),
            [
                (date(1), 2, Some(0.5), false),
                (date(2), 0, None, false),
                (date(3), 0, None, false),
                (date(4), 1, Some(0.0), true),
            ]
        );
        // 1970-01-01 was a Thursday.
        let weeks = days(&units, chrono_tz::UTC, Every::Week);
        let weeks: Vec<_> = weeks
            .iter()
            .map(|week| (week.day.to_string(), week.entered))
            .collect();
        assert_eq!(weeks, [("1969-12-29".to_owned(), 3)]);
    }

    #[test]
    fn months_without_entries_are_periods_of_the_trend() {
        let noon = |day: i64| Some((day * 24 + 12) * 3_600_000_000);
        // 31 January and 1 March.
        let times = [Some(vec![noon(30)]), Some(vec![noon(59)])];
        let times = ListArray::from_iter_primitive::<TimestampMicrosecondType, _, _>(times);
        let states = StringArray::from(vec!["dropped", "converted"]);
        let units = RecordBatch::try_from_iter([
            ("state", Arc::new(states) as _),
            ("step_times", Arc::new(times) as _),
        ]);
        let months = days(&units.unwrap(), chrono_tz::UTC, Every::Month);
        let months = months
            .iter()
            .map(|month| (month.day.to_string(), month.entered));
        let wanted = [("1970-01-01", 1), ("1970-02-01", 0), ("1970-03-01", 1)];
        assert_eq!(
            months.collect::<Vec<_>>(),
            wanted.map(|(day, n)| (day.to_owned(), n))
        );
    }
}
