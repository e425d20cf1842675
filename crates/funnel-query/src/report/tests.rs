//! Reports over rows written by hand: units, modes, breakdowns, filters, dates.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Float64Type, Int64Type};
use serde_json::{Value, json};

use super::*;
use crate::testing::{TWO_STEPS, row, session};

fn request(text: &str) -> ReportRequest {
    let day: NaiveDate = "2024-03-04".parse().unwrap();
    ReportRequest::new(
        FunnelDefinition::parse("test.toml", text).unwrap(),
        day,
        day,
    )
}

fn shipped(name: &str) -> ReportRequest {
    let day: NaiveDate = "2024-03-04".parse().unwrap();
    ReportRequest::new(FunnelDefinition::shipped(name).unwrap(), day, day)
}

fn numbers(report: &Report, column: &str) -> Vec<Option<i64>> {
    let values = report
        .rows
        .column_by_name(column)
        .unwrap()
        .as_primitive::<Int64Type>();
    values.iter().collect()
}

fn reached(report: &Report) -> Vec<i64> {
    numbers(report, "reached").into_iter().flatten().collect()
}

fn offer(context: &str) -> Value {
    json!({"offer_key": format!("a|v|s|{context}"), "context_id": context, "campaign_id": 1, "engagement_id": 2})
}

async fn ask(rows: &[Value], request: ReportRequest) -> Report {
    report(&session(rows).await, request).await.unwrap()
}

#[tokio::test]
async fn each_offer_counts_for_itself() {
    let rows = [
        row("engagement_impression", Some("s"), 10, offer("c1")),
        row("engagement_impression", Some("s"), 20, offer("c2")),
        row("engagement_click", Some("s"), 30, offer("c2")),
    ];
    assert_eq!(reached(&ask(&rows, request(TWO_STEPS)).await), [2, 1]);
    let by_session = ReportRequest {
        unit: Some(Unit::Session),
        ..request(TWO_STEPS)
    };
    assert_eq!(reached(&ask(&rows, by_session).await), [1, 1]);
}

#[tokio::test]
async fn a_click_without_impression_is_skipped_in_loose_and_lost_in_ordered() {
    let rows = [
        row("engagement_impression", Some("s"), 10, offer("c1")),
        row("engagement_click", Some("s"), 20, offer("c1")),
        row("engagement_click", Some("s"), 30, offer("c2")),
    ];
    let loose = ask(&rows, request(TWO_STEPS)).await;
    assert_eq!(reached(&loose), [1, 2]);
    assert_eq!(numbers(&loose, "skipped"), [Some(1), Some(0)]);
    let ordered = ask(
        &rows,
        ReportRequest {
            mode: Some(Mode::Ordered),
            ..request(TWO_STEPS)
        },
    )
    .await;
    assert_eq!(reached(&ordered), [1, 1]);
    assert_eq!(numbers(&ordered, "skipped"), [Some(0), Some(0)]);
}

#[tokio::test]
async fn rates_have_bounds_but_for_the_first_step_and_for_more_than_all() {
    let mut rows = Vec::new();
    for n in 0..20 {
        let context = format!("c{n}");
        rows.push(row("engagement_impression", Some("s"), n, offer(&context)));
        if n < 5 {
            rows.push(row("engagement_click", Some("s"), n + 30, offer(&context)));
        }
    }
    let bounds = |report: &Report| {
        ["previous_low", "previous_high", "first_low", "first_high"].map(|name| {
            let values = report.rows.column_by_name(&format!("rate_from_{name}"));
            let values = values.unwrap().as_primitive::<Float64Type>();
            values
                .iter()
                .map(|value| value.map(|value| (value * 1e4).round()))
                .collect::<Vec<_>>()
        })
    };
    // 5 of 20: 0.1119 to 0.4687.
    let (low, high) = (vec![None, Some(1119.0)], vec![None, Some(4687.0)]);
    let report = ask(&rows, request(TWO_STEPS)).await;
    assert_eq!(bounds(&report), [low.clone(), high.clone(), low, high]);
    rows.truncate(1);
    for n in 0..2 {
        let context = format!("late{n}");
        rows.push(row("engagement_click", Some("s"), n + 90, offer(&context)));
    }
    let report = ask(&rows, request(TWO_STEPS)).await;
    assert_eq!(reached(&report), [1, 2]);
    assert!(bounds(&report).iter().flatten().all(Option::is_none));
}

#[tokio::test]
async fn the_window_ends_a_chain_and_zero_seconds_need_the_same_instant() {
    let rows = [
        row("engagement_impression", Some("s"), 10, offer("c1")),
        row("engagement_click", Some("s"), 40, offer("c1")),
    ];
    for (window, clicked) in [("30s", 1), ("29s", 0), ("unbounded", 1)] {
        let asked = ReportRequest {
            window: Some(window.parse().unwrap()),
            mode: Some(Mode::Ordered),
            ..request(TWO_STEPS)
        };
        assert_eq!(reached(&ask(&rows, asked).await), [1, clicked], "{window}");
    }
}

#[tokio::test]
async fn seconds_to_the_next_step_are_exact() {
    let rows = [
        row("engagement_impression", Some("s"), 10, offer("c1")),
        row("engagement_click", Some("s"), 40, offer("c1")),
        row("engagement_impression", Some("s"), 50, offer("c2")),
        row("engagement_click", Some("s"), 60, offer("c2")),
    ];
    for mode in [Mode::Loose, Mode::Ordered] {
        let report = ask(
            &rows,
            ReportRequest {
                mode: Some(mode),
                ..request(TWO_STEPS)
            },
        )
        .await;
        let median = report.rows.column_by_name("p50_seconds_to_next").unwrap();
        let median = median.as_primitive::<Float64Type>();
        assert!((median.value(0) - 20.0).abs() < 1e-9, "{mode}");
        assert!(median.is_null(1), "nothing follows the last step");
    }
}

#[tokio::test]
async fn a_breakdown_repeats_session_rows_for_each_value_and_keeps_null() {
    let rows = [
        row("session_started", Some("s"), 0, json!({})),
        row("engagement_impression", Some("s"), 10, offer("c1")),
        row(
            "engagement_impression",
            Some("s"),
            20,
            json!({"offer_key": "a|v|s|c2", "campaign_id": 7}),
        ),
        row("session_started", Some("t"), 0, json!({})),
    ];
    let asked = ReportRequest {
        by: vec!["campaign_id".to_owned()],
        ..shipped("monitored")
    };
    let report = ask(&rows, asked).await;
    let campaign = report.rows.column(0).as_primitive::<Int64Type>();
    let reached = reached(&report);
    let steps = FunnelDefinition::shipped("monitored").unwrap().steps.len();
    let first: Vec<_> = (0..campaign.len())
        .step_by(steps)
        .map(|row| {
            (
                campaign.is_valid(row).then(|| campaign.value(row)),
                reached[row],
                reached[row + 4],
            )
        })
        .collect();
    assert_eq!(first, [(Some(1), 1, 1), (Some(7), 1, 1), (None, 1, 0)]);
}

#[tokio::test]
async fn a_filter_keeps_the_rows_that_do_not_carry_the_dimension() {
    let rows = [
        row("session_started", Some("s"), 0, json!({})),
        row("engagement_impression", Some("s"), 10, offer("c1")),
        row("session_started", Some("t"), 0, json!({})),
        row(
            "engagement_impression",
            Some("t"),
            10,
            json!({"offer_key": "a|v|t|c", "campaign_id": 7}),
        ),
    ];
    let asked = ReportRequest {
        where_sql: Some("campaign_id = 1".to_owned()),
        ..shipped("monitored")
    };
    assert_eq!(reached(&ask(&rows, asked).await)[..5], [1, 0, 0, 0, 1]);
}

#[tokio::test]
async fn authentication_is_asked_of_units_with_a_connector_only() {
    let flow = |more: Value| {
        let mut row = json!({"flow": "unmonitored"});
        for (key, value) in more.as_object().unwrap() {
            row[key] = value.clone();
        }
        row
    };
    let mut rows = Vec::new();
    for (session, connector) in [("s", json!(null)), ("t", json!(9))] {
        let key = format!("a|v|{session}|c");
        let chat = json!({"offer_key": key, "conversation_key": format!("chat-{session}")});
        rows.extend([
            row("session_started", Some(session), 0, flow(json!({}))),
            row("engagement_retrieved", Some(session), 1,
                flow(json!({"offer_key": key, "availability": "Available", "connector_id": connector}))),
            row("engagement_impression", Some(session), 2, flow(json!({"offer_key": key}))),
            row("engagement_click", Some(session), 3, flow(json!({"offer_key": key}))),
            row("chat_requested", Some(session), 5, flow(chat)),
        ]);
    }
    for mode in [Mode::Loose, Mode::Ordered] {
        let report = ask(
            &rows,
            ReportRequest {
                mode: Some(mode),
                ..shipped("unmonitored")
            },
        )
        .await;
        let requested = if mode == Mode::Loose { 2 } else { 1 };
        assert_eq!(
            reached(&report)[..8],
            [2, 2, 2, 2, 2, 0, 0, requested],
            "{mode}"
        );
        assert_eq!(numbers(&report, "required")[6], Some(1), "{mode}");
        let skipped = if mode == Mode::Loose { (2, 1) } else { (1, 0) };
        assert_eq!(
            numbers(&report, "skipped")[5..7],
            [Some(skipped.0), Some(skipped.1)],
            "{mode}"
        );
    }
}

#[tokio::test]
async fn a_conversion_of_a_later_session_counts_for_the_conversation_that_caused_it() {
    let chat = json!({"offer_key": "a|v|s|c", "conversation_key": "k", "chat_leg_key": "k#0", "leg_number": 0});
    let sale = json!({
        "event_type_code": 50, "event_time": "2024-03-10T00:00:00Z", "local_date": "2024-03-10",
        "session_start_date": "2024-03-10", "session_start_time": "2024-03-10T00:00:00Z",
        "conversion_type": "purchase", "order_ref": "o", "amount": "80.00",
    });
    let rows = [
        row("engagement_impression", Some("s"), 1, offer("c")),
        row("chat_requested", Some("s"), 10, chat.clone()),
        row("chat_connected", Some("s"), 20, chat.clone()),
        row("chat_interactive", Some("s"), 30, chat),
        row("sde_reported", Some("late"), 0, sale),
    ];
    for unit in Unit::ALL {
        let asked = ReportRequest {
            unit: Some(*unit),
            ..shipped("impression_to_chat")
        };
        assert_eq!(
            reached(&ask(&rows, asked).await),
            [1, 0, 1, 1, 1, 1],
            "{unit}"
        );
    }
    let asked = ReportRequest {
        attribution: "last,5d".parse().unwrap(),
        ..shipped("impression_to_chat")
    };
    assert_eq!(reached(&ask(&rows, asked).await), [1, 0, 1, 1, 1, 0]);
}

#[tokio::test]
async fn several_accounts_need_a_name_and_the_error_lists_them() {
    let rows = [
        row("session_started", Some("s"), 0, json!({})),
        row("session_started", Some("s"), 0, json!({"account_id": "b"})),
    ];
    let error = report(&session(&rows).await, shipped("monitored"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Usage);
    assert!(error.to_string().contains("a, b"), "{error}");
}

#[tokio::test]
async fn a_column_that_does_not_exist_is_a_usage_error() {
    let rows = [row("session_started", Some("s"), 0, json!({}))];
    let asked = ReportRequest {
        by: vec!["campain".to_owned()],
        ..shipped("monitored")
    };
    let error = report(&session(&rows).await, asked).await.unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Usage);
    assert!(error.to_string().contains("campain"), "{error}");
}
