//! Statements against the reports that they stand for, and against counts by hand.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::{
    DataType, Date32Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
};
use arrow::util::pretty::pretty_format_batches;
use chrono::{DateTime, NaiveDate};
use chrono_tz::Tz;
use funnel_datagen::Options;

use super::super::compared::offer;
use super::super::simulated::simulated;
use super::super::{comparison, counts, unit_report};
use super::*;
use crate::funnel::{FunnelDefinition, Mode, Unit};
use crate::testing::session_at;

fn asked(from: &str, to: &str) -> ReportRequest {
    let funnel = FunnelDefinition::shipped("impression_to_chat").unwrap();
    ReportRequest::new(funnel, from.parse().unwrap(), to.parse().unwrap())
}

fn shown(rows: &RecordBatch) -> String {
    pretty_format_batches(std::slice::from_ref(rows))
        .unwrap()
        .to_string()
}

type Period = (String, i64, i64, Option<f64>, i64, bool);

async fn periods(session: &QuerySession, request: &ReportRequest, every: Every) -> Vec<Period> {
    let rows = answer(session, request, &Subject::Trend(every))
        .await
        .unwrap();
    let column = |name: &str| rows.column_by_name(name).unwrap();
    assert_eq!(column("day").data_type(), &DataType::Date32);
    let number = |name: &str, row: usize| column(name).as_primitive::<Int64Type>().value(row);
    let rates = column("rate").as_primitive::<Float64Type>();
    let period = |row: usize| {
        let day = column("day").as_primitive::<Date32Type>();
        (
            day.value_as_date(row).unwrap().to_string(),
            number("entered", row),
            number("converted", row),
            rates.is_valid(row).then(|| rates.value(row)),
            number("open", row),
            column("incomplete").as_boolean().value(row),
        )
    };
    (0..rows.num_rows()).map(period).collect()
}

#[tokio::test]
async fn periods_in_which_nobody_began_are_rows_of_the_trend() {
    let offers = [
        // A Thursday, 23:30 of the day before in UTC.
        ("2024-01-31T23:30:00Z", false),
        ("2024-02-01T12:00:00Z", true),
        ("2024-02-04T12:00:00Z", false),
        ("2024-04-01T12:00:00Z", false),
    ];
    let rows: Vec<_> = offers
        .iter()
        .flat_map(|(time, clicked)| offer(time, *clicked))
        .collect();
    let session = session_at(&rows, Some("2024-05-08T12:00:00Z".parse().unwrap())).await;
    let request = ReportRequest {
        timezone: Some(Tz::Europe__Berlin),
        ..asked("2024-01-01", "2024-04-30")
    };
    let entered = |found: Vec<Period>| -> Vec<(String, i64, bool)> {
        let found = found.into_iter();
        found
            .map(|(day, entered, _, rate, ..)| (day, entered, rate.is_some()))
            .collect()
    };
    let days = entered(periods(&session, &request, Every::Day).await);
    let row = |day: &str, entered| (day.to_owned(), entered, entered > 0);
    assert_eq!(
        days[..5],
        [
            row("2024-02-01", 2),
            row("2024-02-02", 0),
            row("2024-02-03", 0),
            row("2024-02-04", 1),
            row("2024-02-05", 0)
        ]
    );
    assert_eq!(days.len(), 61);
    let weeks = entered(periods(&session, &request, Every::Week).await);
    assert_eq!(weeks[..2], [row("2024-01-29", 3), row("2024-02-05", 0)]);
    assert_eq!(weeks.last(), Some(&row("2024-04-01", 1)));
    assert_eq!(weeks.len(), 10);
    let months = entered(periods(&session, &request, Every::Month).await);
    let wanted = [("2024-02-01", 3), ("2024-03-01", 0), ("2024-04-01", 1)];
    assert_eq!(months, wanted.map(|(day, n)| row(day, n)));
    let none = periods(&session, &asked("2023-01-01", "2023-01-31"), Every::Day).await;
    assert_eq!(none, []);
}

/// Units by level, state and reason.
type Losses = BTreeMap<(i32, String, String), i64>;

/// The trend and the losses of units, counted by hand.
fn counted(units: &RecordBatch, zone: Tz) -> (Vec<Period>, Losses) {
    let column = |name: &str| units.column_by_name(name).unwrap();
    let (mut days, mut losses) = (BTreeMap::<NaiveDate, [u32; 3]>::new(), BTreeMap::new());
    for unit in 0..units.num_rows() {
        let state = column("state").as_string::<i32>().value(unit);
        let reasons = column("reason").as_string::<i32>();
        let reason = if reasons.is_valid(unit) {
            reasons.value(unit)
        } else {
            ""
        };
        let level = column("level").as_primitive::<Int32Type>().value(unit);
        *losses
            .entry((level, state.to_owned(), reason.to_owned()))
            .or_default() += 1;
        let times = column("step_times").as_list::<i32>().value(unit);
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let Some(began) = times.iter().flatten().min() else {
            continue;
        };
        let began = DateTime::from_timestamp_micros(began).unwrap();
        let day = days
            .entry(began.with_timezone(&zone).date_naive())
            .or_default();
        day[0] += 1;
        day[1] += u32::from(state == "converted");
        day[2] += u32::from(state == "open");
    }
    let (first, last) = (
        *days.first_key_value().unwrap().0,
        *days.last_key_value().unwrap().0,
    );
    let days = first.iter_days().take_while(|day| *day <= last).map(|day| {
        let [entered, converted, open] = days.get(&day).copied().unwrap_or_default();
        let rate = (entered > 0).then(|| f64::from(converted) / f64::from(entered));
        let [entered, converted, open] = [entered, converted, open].map(i64::from);
        (day.to_string(), entered, converted, rate, open, open > 0)
    });
    (days.collect(), losses)
}

/// Rows of the statement about losses.
fn losses_of(rows: &RecordBatch) -> Losses {
    let column = |name: &str| rows.column_by_name(name).unwrap();
    let text = |name: &str, row: usize| {
        let texts = column(name).as_string::<i32>();
        match texts.is_valid(row) {
            true => texts.value(row).to_owned(),
            false => String::new(),
        }
    };
    let rows = (0..rows.num_rows()).map(|row| {
        let level = column("level").as_primitive::<Int32Type>().value(row);
        let keys = column("keys").as_primitive::<Int64Type>().value(row);
        ((level, text("state", row), text("reason", row)), keys)
    });
    rows.collect()
}

#[tokio::test]
async fn each_statement_gives_what_the_report_does() {
    let options = Options {
        sessions: 250,
        ..Options::default()
    };
    let (session, truth) = simulated(options).await;
    let account = truth.accounts.keys().next().unwrap();
    let plain = ReportRequest {
        account: Some(account.clone()),
        ..asked(&truth.from, &truth.to)
    };
    let narrow = ReportRequest {
        unit: Some(Unit::Visitor),
        mode: Some(Mode::Loose),
        window: Some("2 days".parse().unwrap()),
        timezone: Some(Tz::Asia__Tokyo),
        where_sql: Some("device_family <> 'it''s'".to_owned()),
        date_basis: DateBasis::EventTime,
        attribution: "first,7d".parse().unwrap(),
        ..plain.clone()
    };
    for request in [plain.clone(), narrow] {
        let units = unit_report(&session, &request).await.unwrap();
        let zone = request.zone(&session, account);
        let (days, losses) = counted(&units, zone);
        assert!(days.len() > 3);
        assert_eq!(periods(&session, &request, Every::Day).await, days);

        let found = answer(&session, &request, &Subject::Losses).await.unwrap();
        assert_eq!(losses_of(&found), losses);

        let all = Subject::Units {
            level: None,
            state: None,
            reason: None,
        };
        let found = answer(&session, &request, &all).await.unwrap();
        assert_eq!(shown(&found), shown(&units));
        let found = answer(&session, &request, &Subject::Report).await.unwrap();
        let (_, wanted) = counts(&session, &request).await.unwrap();
        assert_eq!(shown(&found), shown(&wanted));
        let times = answer(&session, &request, &Subject::Times).await.unwrap();
        for name in ["p50_seconds_to_next", "histogram", "histogram_edges"] {
            assert_eq!(times.column_by_name(name), wanted.column_by_name(name));
        }
        let found = answer(&session, &request, &Subject::Comparison)
            .await
            .unwrap();
        let wanted = comparison(&session, &request).await.unwrap().rows;
        assert_eq!(shown(&found), shown(&wanted));
    }
    let by = ReportRequest {
        by: vec!["device_family".to_owned(), "is_late".to_owned()],
        top: Some(1),
        ..plain
    };
    let found = answer(&session, &by, &Subject::Report).await.unwrap();
    assert_eq!(
        shown(&found),
        shown(&counts(&session, &by).await.unwrap().1)
    );
}

#[tokio::test]
async fn one_reason_is_one_condition_and_lost_offers_are_the_named_query() {
    let options = Options {
        sessions: 120,
        ..Options::default()
    };
    let (session, truth) = simulated(options).await;
    let account = truth.accounts.keys().next().unwrap();
    let request = ReportRequest {
        account: Some(account.clone()),
        funnel: FunnelDefinition::shipped("unmonitored").unwrap(),
        ..asked(&truth.from, &truth.to)
    };
    let units = unit_report(&session, &request).await.unwrap();
    let (_, losses) = counted(&units, Tz::UTC);
    let ((level, state, reason), keys) = losses
        .iter()
        .find(|((_, state, reason), _)| state == "dropped" && !reason.is_empty())
        .unwrap();
    let one = Subject::Units {
        level: Some(*level),
        state: Some(state.clone()),
        reason: Some(reason.clone()),
    };
    let found = answer(&session, &request, &one).await.unwrap();
    assert_eq!(i64::try_from(found.num_rows()), Ok(*keys));

    let stale_after = Duration::from_secs(30);
    let lost = Subject::Availability { stale_after };
    let found = answer(&session, &request, &lost).await.unwrap();
    let wanted = context::availability(&session, &request, stale_after).await;
    assert_eq!(shown(&found), shown(&wanted.unwrap()));
    let restricted = ReportRequest {
        where_sql: Some("flow = 'monitored'".to_owned()),
        ..request
    };
    let refused = statement(&session, &restricted, &lost).await.unwrap_err();
    assert_eq!(refused.kind(), crate::ErrorKind::Usage);
}

#[tokio::test]
async fn a_plan_says_what_a_function_hides() {
    let rows = offer("2024-04-02T12:00:00Z", true);
    let session = session_at(&rows, None).await;
    let request = asked("2024-04-02", "2024-04-02");
    let stale_after = Duration::from_secs(30);
    for (subject, outer, inner) in [
        (Subject::Report, "TableScan: funnel()", "one per unit"),
        (Subject::Losses, "TableScan: funnel_units()", "unit by unit"),
        (
            Subject::Trend(Every::Week),
            "generate_series",
            "unit by unit",
        ),
        (
            Subject::Comparison,
            "funnel_comparison",
            "as many days before",
        ),
        (Subject::Availability { stale_after }, "named_query", "runs"),
    ] {
        let found = plan(&session, &request, &subject).await.unwrap();
        let (statement, read) = found.split_once("\n\n-- ").unwrap();
        assert!(statement.contains(outer), "{found}");
        assert!(
            read.contains(inner) && read.contains("DataSourceExec"),
            "{found}"
        );
    }
}
