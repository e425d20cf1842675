//! Units that can still go on, and the table of units: held to the view `offers`, to the matcher
//! over a table, and to each other.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type, TimestampMicrosecondType};
use funnel_datagen::Options;
use serde_json::json;

use super::simulated::{messages, session_as_of};
use super::*;
use crate::explain::timeline::text;
use crate::funnel::TableFunnel;
use crate::testing::{row, session_at};

const TWO_STEPS: &str = r#"
name = "two"
question = "?"
unit = "offer"
mode = "ordered"
[[steps]]
name = "shown"
when = "event_type = 'engagement_impression'"
[[steps]]
name = "clicked"
when = "event_type = 'engagement_click'"
"#;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn numbers(rows: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    let values = rows.column_by_name(name).unwrap();
    values.as_primitive::<Int64Type>().iter().collect()
}

/// The instant before which half of the events happened.
fn halfway(events: &RecordBatch) -> DateTime<Utc> {
    let times = events.column_by_name("event_time").unwrap();
    let mut times = times
        .as_primitive::<TimestampMicrosecondType>()
        .values()
        .to_vec();
    times.sort_unstable();
    DateTime::from_timestamp_micros(times[times.len() / 2]).unwrap()
}

/// The events that happened by then.
fn until(events: &RecordBatch, now: DateTime<Utc>) -> RecordBatch {
    let times = events.column_by_name("event_time").unwrap();
    let times = times.as_primitive::<TimestampMicrosecondType>().values();
    let seen = times
        .iter()
        .map(|time| Some(*time <= now.timestamp_micros()));
    let seen: BooleanArray = seen.collect();
    arrow::compute::filter_record_batch(events, &seen).unwrap()
}

/// Of the units by their level: how many are converted, dropped, open.
fn states(units: &RecordBatch) -> BTreeMap<(i32, String), usize> {
    let levels = units.column_by_name("level").unwrap();
    let levels = levels.as_primitive::<Int32Type>();
    let names = text(units, "state").unwrap();
    let mut counts = BTreeMap::new();
    for (level, state) in levels.values().iter().zip(names.iter().flatten()) {
        *counts.entry((*level, state.to_owned())).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn an_offer_is_open_as_long_as_its_session_lives() {
    let day: NaiveDate = "2024-03-04".parse().unwrap();
    let offer = json!({"offer_key": "a|v|s|c", "session_start_time": "2024-03-04T10:00:00Z"});
    let rows = [row("engagement_impression", Some("s"), 36_060, offer)];
    for (now, dropped, open) in [
        ("2024-03-04T15:59:59Z", 0, 1),
        ("2024-03-04T16:00:00Z", 1, 0),
    ] {
        let session = session_at(&rows, Some(at(now))).await;
        let funnel = FunnelDefinition::parse("test.toml", TWO_STEPS).unwrap();
        let request = ReportRequest::new(funnel, day, day);
        let answer = report(&session, request.clone()).await.unwrap();
        assert_eq!(answer.header.as_of, Some(at(now)));
        assert_eq!(
            numbers(&answer.rows, "dropped"),
            [None, Some(dropped)],
            "{now}"
        );
        assert_eq!(numbers(&answer.rows, "open"), [None, Some(open)], "{now}");
        let narrow = ReportRequest {
            window: Some("1h".parse().unwrap()),
            ..request
        };
        let answer = report(&session, narrow).await.unwrap();
        assert_eq!(
            numbers(&answer.rows, "dropped")[1],
            Some(1),
            "its window is over"
        );
    }
}

#[tokio::test]
async fn open_offers_are_those_that_the_view_says_are_in_progress() {
    let options = Options {
        sessions: 200,
        ..Options::default()
    };
    let (batch, truth) = messages(options.clone());
    let mut seen = 0;
    for hours in [-7, -3, 0, 5] {
        let now = halfway(&batch) + chrono::TimeDelta::hours(hours);
        let session = session_as_of(&options, batch.clone(), Some(now)).await;
        for account in truth.accounts.keys() {
            let sql = format!(
                "SELECT offer_key, offer_outcome FROM offers WHERE account_id = '{account}'"
            );
            let mut outcomes = BTreeMap::new();
            for batch in session.collect(&sql).await.unwrap() {
                let keys = text(&batch, "offer_key").unwrap();
                let names = text(&batch, "offer_outcome").unwrap();
                let both = keys.iter().flatten().zip(names.iter().flatten());
                outcomes.extend(both.map(|(key, name)| (key.to_owned(), name.to_owned())));
            }
            let request = ReportRequest {
                account: Some(account.clone()),
                mode: Some(Mode::Ordered),
                ..shipped(&truth.from, &truth.to)
            };
            let units = unit_report(&session, &request).await.unwrap();
            let (keys, states) = (text(&units, "key").unwrap(), text(&units, "state").unwrap());
            let levels = units.column_by_name("level").unwrap();
            let levels = levels.as_primitive::<Int32Type>();
            for (unit, key) in keys.iter().flatten().enumerate() {
                let outcome = outcomes[key].as_str();
                let is_open = states.value(unit) == "open";
                if outcome == "interactive" || levels.value(unit) == 0 {
                    continue; // The view does not say whether such a chat goes on.
                }
                assert_eq!(
                    is_open,
                    outcome == "in_progress",
                    "{key} at {now}: {outcome}"
                );
                seen += usize::from(is_open);
            }
        }
    }
    assert!(seen > 20, "{seen} open offers");
}

fn shipped(from: &str, to: &str) -> ReportRequest {
    let funnel = FunnelDefinition::shipped("impression_to_chat").unwrap();
    ReportRequest::new(funnel, from.parse().unwrap(), to.parse().unwrap())
}

#[tokio::test]
async fn the_units_one_by_one_add_up_to_the_report() {
    let options = Options {
        sessions: 150,
        ..Options::default()
    };
    let (batch, truth) = messages(options.clone());
    let account = truth.accounts.keys().next().unwrap();
    let now = halfway(&batch);
    let session = session_as_of(&options, until(&batch, now), Some(now)).await;
    let mut open_in_all = 0;
    for funnel in ["impression_to_chat", "monitored"] {
        for (unit, mode, window) in [
            (Unit::Offer, Mode::Ordered, None),
            (Unit::Session, Mode::Loose, None),
            (Unit::Visitor, Mode::Ordered, None),
            (Unit::Visitor, Mode::Loose, None),
            (Unit::Visitor, Mode::Ordered, Some("2h")),
            (Unit::Session, Mode::Ordered, Some("5m")),
        ] {
            let request = ReportRequest {
                funnel: FunnelDefinition::shipped(funnel).unwrap(),
                account: Some(account.clone()),
                unit: Some(unit),
                mode: Some(mode),
                window: window.map(|window| window.parse().unwrap()),
                by: vec!["device_family".to_owned()],
                ..shipped(&truth.from, &truth.to)
            };
            let place = format!("{funnel} by {unit}, {mode}, {window:?}");
            let units = unit_report(&session, &request).await.unwrap();
            let answer = report(&session, request).await.unwrap();
            let sum =
                |name: &str| -> i64 { numbers(&answer.rows, name).into_iter().flatten().sum() };
            let states = states(&units);
            let count = |wanted: &str| {
                let entered = states
                    .iter()
                    .filter(|((level, state), _)| *level > 0 && state == wanted);
                i64::try_from(entered.map(|(_, count)| *count).sum::<usize>()).unwrap()
            };
            assert_eq!(count("open"), sum("open"), "{place}: open");
            assert_eq!(count("dropped"), sum("dropped"), "{place}: dropped");
            let times = units.column_by_name("step_times").unwrap().as_list::<i32>();
            let ids = units.column_by_name("event_ids").unwrap().as_list::<i32>();
            let present = |list: &arrow::array::ListArray| {
                let values = list.values();
                i64::try_from(values.len() - values.null_count()).unwrap()
            };
            assert_eq!(
                present(times),
                sum("reached"),
                "{place}: a time for each step reached"
            );
            assert_eq!(
                present(ids),
                sum("reached"),
                "{place}: a row for each step reached"
            );
            open_in_all += count("open");
        }
    }
    assert!(open_in_all > 0);
}

#[tokio::test]
async fn visitors_with_open_windows_are_those_of_the_matcher_over_a_table() {
    let table = r#"
name = "spine"
window = "2 hours"
[source]
table = "events_enriched"
key = "visitor_key"
time = "event_time"
"#;
    let options = Options {
        sessions: 200,
        ..Options::default()
    };
    let (batch, truth) = messages(options.clone());
    let account = truth.accounts.keys().next().unwrap();
    let mut definition = FunnelDefinition::shipped("impression_to_chat").unwrap();
    definition.steps.truncate(4);
    let steps = definition.steps.iter().map(|step| {
        format!(
            "[[steps]]\nname = \"{}\"\nwhen = \"{}\"\n",
            step.name, step.when
        )
    });
    let filter = format!(
        "where = \"account_id = '{account}' AND NOT is_duplicate \
         AND (conversation_key IS NULL OR offer_key IS NOT NULL)\"\n"
    );
    let now = halfway(&batch);
    let as_of = format!("as_of = \"{}\"\n", now.to_rfc3339());
    let steps: String = steps.collect();
    let table = TableFunnel::parse("test.toml", &format!("{filter}{as_of}{table}{steps}"));
    let session = session_as_of(&options, until(&batch, now), Some(now)).await;
    let matched = table_report(&session, &table.unwrap(), true).await.unwrap();
    let request = ReportRequest {
        funnel: definition,
        account: Some(account.clone()),
        unit: Some(Unit::Visitor),
        mode: Some(Mode::Ordered),
        window: Some("2 hours".parse().unwrap()),
        ..shipped(&truth.from, &truth.to)
    };
    let answer = report(&session, request.clone()).await.unwrap();
    for name in ["reached", "previous", "dropped", "open"] {
        let (ours, theirs) = (numbers(&answer.rows, name), numbers(&matched.rows, name));
        assert_eq!(ours, theirs, "{name}");
    }
    for name in ["mean", "min", "max"] {
        let name = format!("{name}_seconds_to_next");
        let values = |rows: &RecordBatch| -> Vec<Option<f64>> {
            let column = rows.column_by_name(&name).unwrap();
            column.as_primitive::<Float64Type>().iter().collect()
        };
        assert_eq!(values(&answer.rows), values(&matched.rows), "{name}");
    }
    let open: i64 = numbers(&answer.rows, "open").into_iter().flatten().sum();
    let dropped: i64 = numbers(&answer.rows, "dropped").into_iter().flatten().sum();
    assert!(open > 0 && dropped > 0, "{open} open, {dropped} dropped");
    let units = unit_report(&session, &request).await.unwrap();
    let entered = |units: &RecordBatch| {
        let mut states = states(units);
        states.retain(|(level, _), _| *level > 0);
        states
    };
    assert_eq!(entered(&units), entered(&matched.keys.unwrap()));
}
