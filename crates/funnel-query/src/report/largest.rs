//! Breakdowns by the largest values and one group for all others.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use funnel_datagen::Options;
use serde_json::{Value, json};

use super::simulated::simulated;
use super::*;
use crate::testing::{row, session};

const TWO_STEPS: &str = r#"
name = "two"
question = "?"
unit = "visitor"
mode = "ordered"
[[steps]]
name = "shown"
when = "event_type = 'engagement_impression'"
[[steps]]
name = "clicked"
when = "event_type = 'engagement_click'"
"#;

/// Units reached by value and step, without those of no step.
fn reached(rows: &RecordBatch, by: &str) -> BTreeMap<(Option<String>, i32), i64> {
    let values = cast(rows.column_by_name(by).unwrap(), &DataType::Utf8).unwrap();
    let values = values.as_string::<i32>().iter();
    let steps = rows.column_by_name("step_index").unwrap();
    let steps = steps.as_primitive::<arrow::datatypes::Int32Type>().values();
    let counts = rows.column_by_name("reached").unwrap();
    let counts = counts.as_primitive::<Int64Type>().values();
    let rows = values.zip(steps.iter().zip(counts));
    rows.map(|(value, (step, count))| ((value.map(str::to_owned), *step), *count))
        .collect()
}

fn offer(campaign: u32, at: u32, event_type: &str) -> Value {
    let more = json!({"offer_key": format!("a|v|s|{campaign}"), "campaign_id": campaign});
    row(event_type, Some("s"), at, more)
}

async fn ask(rows: &[Value], top: Option<usize>) -> BTreeMap<(Option<String>, i32), i64> {
    let day: NaiveDate = "2024-03-04".parse().unwrap();
    let funnel = FunnelDefinition::parse("test.toml", TWO_STEPS).unwrap();
    let request = ReportRequest {
        by: vec!["campaign_id".to_owned()],
        top,
        ..ReportRequest::new(funnel, day, day)
    };
    let (header, rows) = counts(&session(rows).await, &request).await.unwrap();
    assert_eq!(header.top, top);
    reached(&rows, "campaign_id")
}

/// One visitor sees three campaigns, another one of them: the sum over two small ones would be a visitor too many.
#[tokio::test]
async fn a_unit_with_several_of_the_others_counts_once() {
    let mut rows = vec![
        offer(1, 10, "engagement_impression"),
        offer(2, 20, "engagement_impression"),
        offer(3, 30, "engagement_impression"),
        offer(3, 40, "engagement_click"),
    ];
    let mut other = offer(1, 10, "engagement_impression");
    for (key, value) in [
        ("event_id", "w"),
        ("visitor_key", "a|w"),
        ("session_key", "a|w|s"),
        ("offer_key", "a|w|s|1"),
    ] {
        other[key] = json!(value);
    }
    rows.push(other);
    let all = ask(&rows, None).await;
    let at = |found: &BTreeMap<_, i64>, value: &str, step| found[&(Some(value.to_owned()), step)];
    assert_eq!(
        [at(&all, "1", 1), at(&all, "2", 1), at(&all, "3", 1)],
        [2, 1, 1]
    );
    let largest = ask(&rows, Some(1)).await;
    assert_eq!(largest.len(), 4, "{largest:?}");
    assert_eq!([at(&largest, "1", 1), at(&largest, "1", 2)], [2, 0]);
    assert_eq!(
        [at(&largest, "(other)", 1), at(&largest, "(other)", 2)],
        [1, 1]
    );
    // Of as many units the first by name stays.
    let two = ask(&rows, Some(2)).await;
    assert_eq!([at(&two, "2", 1), at(&two, "(other)", 1)], [1, 1]);
    assert_eq!(ask(&rows, Some(3)).await, all, "there are no others");
}

/// Units reached by step, of a question without a breakdown.
async fn totals(session: &QuerySession, request: &ReportRequest) -> Vec<i64> {
    let (_, rows) = counts(session, request).await.unwrap();
    let reached = rows.column_by_name("reached").unwrap();
    reached.as_primitive::<Int64Type>().values().to_vec()
}

#[tokio::test]
async fn the_others_are_what_a_filter_on_them_counts() {
    let options = Options {
        sessions: 250,
        ..Options::default()
    };
    let (session, truth) = simulated(options).await;
    let account = truth.accounts.keys().next().unwrap();
    let mut shared = 0;
    for (unit, mode, by) in [
        (Unit::Visitor, Mode::Ordered, "engagement_id"),
        (Unit::Visitor, Mode::Loose, "campaign_id"),
        (Unit::Session, Mode::Loose, "skill_id"),
        (Unit::Offer, Mode::Loose, "device_family"),
    ] {
        let funnel = FunnelDefinition::shipped("impression_to_chat").unwrap();
        let request = ReportRequest {
            account: Some(account.clone()),
            by: vec![by.to_owned()],
            unit: Some(unit),
            mode: Some(mode),
            ..ReportRequest::new(
                funnel,
                truth.from.parse().unwrap(),
                truth.to.parse().unwrap(),
            )
        };
        let place = format!("{unit}, {mode}, by {by}");
        let all = reached(&counts(&session, &request).await.unwrap().1, by);
        let top = ReportRequest {
            top: Some(1),
            ..request.clone()
        };
        let found = reached(&counts(&session, &top).await.unwrap().1, by);
        let other = Some("(other)".to_owned());
        let kept = found
            .keys()
            .find_map(|(value, _)| value.clone().filter(|v| Some(v) != other.as_ref()));
        let kept = kept.unwrap();
        for ((value, step), count) in &found {
            if *value != other {
                assert_eq!(
                    all[&(value.clone(), *step)],
                    *count,
                    "{place}: {value:?} {step}"
                );
            }
        }
        let rest = ReportRequest {
            by: Vec::new(),
            where_sql: Some(format!("CAST({by} AS VARCHAR) <> '{kept}'")),
            ..request
        };
        let rest = totals(&session, &rest).await;
        let others: Vec<i64> = found
            .iter()
            .filter(|((value, _), _)| *value == other)
            .map(|(_, count)| *count)
            .collect();
        assert_eq!(others, rest, "{place}");
        let sum: i64 = all
            .iter()
            .filter(|((v, step), _)| *step == 1 && v.is_some() && v.as_ref() != Some(&kept))
            .map(|(_, n)| n)
            .sum();
        shared += sum - others[0];
    }
    assert!(shared > 0, "no unit has several of the other values");
}

#[tokio::test]
async fn top_needs_a_breakdown_and_a_number() {
    let day: NaiveDate = "2024-03-04".parse().unwrap();
    let funnel = FunnelDefinition::parse("test.toml", TWO_STEPS).unwrap();
    let mut request = ReportRequest::new(funnel, day, day);
    for wrong in ["0", "-1", "many", "1001"] {
        assert!(request.set("top", wrong).is_err(), "{wrong}");
    }
    request.set("top", "3").unwrap();
    let refused = counts(&session(&[]).await, &request).await.unwrap_err();
    assert_eq!(refused.kind(), crate::ErrorKind::Usage);
}
