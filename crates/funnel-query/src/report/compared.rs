//! A period beside the one before, over rows written by hand.

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, Int64Type};
use chrono_tz::Tz;
use serde_json::{Value, json};

use super::*;
use crate::testing::{TWO_STEPS, row, session_at};

/// An offer shown at this time and, if so, clicked ten seconds later.
pub(super) fn offer(time: &str, clicked: bool) -> Vec<Value> {
    let start: DateTime<Utc> = time.parse().unwrap();
    let at = |event_type: &str, seconds: i64| {
        let time = start + chrono::TimeDelta::seconds(seconds);
        let more = json!({
            "event_id": format!("{event_type}-{time}"), "event_time": time, "event_date": time.date_naive(),
            "local_date": time.date_naive(), "session_start_time": start, "session_start_date": start.date_naive(),
            "offer_key": format!("a|v|{time}|c", time = start.timestamp()),
        });
        row(event_type, Some(&start.timestamp().to_string()), 0, more)
    };
    let mut rows = vec![at("engagement_impression", 0)];
    rows.extend(clicked.then(|| at("engagement_click", 10)));
    rows
}

fn asked(from: &str, to: &str) -> ReportRequest {
    let funnel = FunnelDefinition::parse("test.toml", TWO_STEPS).unwrap();
    ReportRequest {
        timezone: Some(Tz::Europe__Berlin),
        ..ReportRequest::new(funnel, from.parse().unwrap(), to.parse().unwrap())
    }
}

async fn compare(offers: &[(&str, bool)], request: ReportRequest) -> Comparison {
    let rows: Vec<Value> = offers
        .iter()
        .flat_map(|(time, clicked)| offer(time, *clicked))
        .collect();
    let session = session_at(&rows, Some("2024-04-08T12:00:00Z".parse().unwrap())).await;
    comparison(&session, &request).await.unwrap()
}

fn counts_of(found: &Comparison, name: &str) -> Vec<Option<i64>> {
    let values = found.rows.column_by_name(name).unwrap();
    values.as_primitive::<Int64Type>().iter().collect()
}

fn numbers_of(found: &Comparison, name: &str) -> Vec<Option<f64>> {
    let values = found.rows.column_by_name(name).unwrap();
    let round = |value: f64| (value * 1e4).round() / 1e4;
    let values = values.as_primitive::<Float64Type>().iter();
    values.map(|value| value.map(round)).collect()
}

/// The week before holds the change to summer time: an hour less than seven times 24.
#[tokio::test]
async fn the_period_before_is_as_many_days_of_the_calendar() {
    let found = compare(
        &[
            ("2024-03-01T12:00:00Z", true),
            // 23:30 of 24 March: within 7 times 24 hours before, and not within seven days.
            ("2024-03-24T22:30:00Z", true),
            // 00:30 of 25 March, then 23:59 of 31 March.
            ("2024-03-24T23:30:00Z", false),
            ("2024-03-31T21:59:00Z", true),
            // 00:00 of 1 April, then 23:59 of 7 April.
            ("2024-03-31T22:00:00Z", true),
            ("2024-04-02T12:00:00Z", true),
            ("2024-04-03T12:00:00Z", false),
            ("2024-04-07T21:59:00Z", true),
            ("2024-04-07T22:00:00Z", true),
        ],
        asked("2024-04-01", "2024-04-07"),
    )
    .await;
    let days = |period: &Period| (period.from.to_string(), period.to.to_string());
    assert_eq!(
        days(&found.previous),
        ("2024-03-25".into(), "2024-03-31".into())
    );
    assert_eq!(counts_of(&found, "reached"), [Some(4), Some(3)]);
    assert_eq!(counts_of(&found, "reached_before"), [Some(2), Some(1)]);
    assert_eq!(numbers_of(&found, "reached_change"), [Some(1.0), Some(2.0)]);
    assert_eq!(
        numbers_of(&found, "rate_from_first_change"),
        [None, Some(0.25)]
    );
    // Of 3 of 4 and 1 of 2: 0.25 - hypot(0.75 - 0.3006, 0.9055 - 0.5), 0.25 + hypot(0.9544 - 0.75, 0.5 - 0.0945).
    assert_eq!(
        numbers_of(&found, "rate_from_first_change_low"),
        [None, Some(-0.3553)]
    );
    assert_eq!(
        numbers_of(&found, "rate_from_first_change_high"),
        [None, Some(0.7041)]
    );
    assert_eq!(counts_of(&found, "dropped_before"), [None, Some(1)]);
    assert_eq!(numbers_of(&found, "drop_rate_change"), [None, Some(-0.25)]);
    assert_eq!(
        numbers_of(&found, "p50_seconds_from_first"),
        [None, Some(10.0)]
    );
    assert_eq!(
        numbers_of(&found, "p50_seconds_from_first_change"),
        [None, Some(0.0)]
    );
    assert_eq!(
        found.text,
        "compared with 2024-03-25 to 2024-03-31 (Europe/Berlin)"
    );
}

#[tokio::test]
async fn what_the_lake_does_not_hold_is_said_and_nothing_is_said_to_have_changed() {
    let offers = [
        ("2024-03-28T12:00:00Z", true),
        ("2024-04-02T12:00:00Z", true),
    ];
    for (from, to, coverage, before, says) in [
        (
            "2024-04-01",
            "2024-04-07",
            Coverage::Partly,
            Some(1),
            "only a part",
        ),
        (
            "2024-03-28",
            "2024-04-07",
            Coverage::None,
            Some(0),
            "nothing of the period",
        ),
        (
            "2024-04-07",
            "2024-04-08",
            Coverage::Whole,
            Some(0),
            "not complete",
        ),
    ] {
        let found = compare(&offers, asked(from, to)).await;
        assert_eq!(found.previous.coverage, coverage, "{from}");
        assert!(found.text.contains(says), "{}", found.text);
        assert_eq!(counts_of(&found, "reached_before")[0], before);
        for name in [
            "reached",
            "rate_from_first",
            "drop_rate",
            "p50_seconds_from_first",
        ] {
            let change = numbers_of(&found, &format!("{name}_change"));
            assert_eq!(change, [None, None], "{from}: {name}");
        }
    }
    let found = compare(&offers, asked("2024-04-02", "2024-04-04")).await;
    assert_eq!(found.previous.coverage, Coverage::Whole);
    assert!(
        found
            .text
            .starts_with("nobody entered this funnel in the period before")
    );
    assert_eq!(
        numbers_of(&found, "reached_change"),
        [None, None],
        "nothing grew out of nothing"
    );
}

#[tokio::test]
async fn a_breakdown_is_not_compared() {
    let session = session_at(&offer("2024-04-02T12:00:00Z", true), None).await;
    let request = ReportRequest {
        by: vec!["flow".to_owned()],
        ..asked("2024-04-02", "2024-04-02")
    };
    let refused = comparison(&session, &request).await.unwrap_err();
    assert_eq!(refused.kind(), crate::ErrorKind::Usage);
}
