//! A breakdown and the view `offers` tell the same values of every dimension that both know.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use funnel_datagen::Options;
use serde_json::json;

use super::simulated::simulated;
use super::*;
use crate::testing::{row, session};

/// Dimensions that `offers` and `events_enriched` share.
const SHARED: [&str; 28] = [
    "campaign_id",
    "engagement_id",
    "engagement_revision",
    "engagement_name",
    "engagement_type",
    "conversation_type",
    "skill_id",
    "skill_name",
    "language",
    "window_id",
    "zone_id",
    "goal_id",
    "goal_type",
    "visitor_profile_id",
    "visitor_behavior_id",
    "lob_id",
    "connector_id",
    "consumer_key",
    "flow",
    "control_group",
    "device_family",
    "os",
    "browser",
    "country_code",
    "customer_type",
    "marketing_channel",
    "marketing_affiliate",
    "marketing_campaign",
];

const STEPS: [(&str, &str); 5] = [
    ("exposed", "impression_time"),
    ("clicked", "click_time"),
    ("requested", "requested_time"),
    ("connected", "connected_time"),
    ("interactive", "interactive_time"),
];

/// Units by value and step; zeros left out.
type Numbers = BTreeMap<(Option<String>, &'static str), i64>;

fn texts(batch: &RecordBatch, column: &str) -> Vec<Option<String>> {
    let values = cast(batch.column_by_name(column).unwrap(), &DataType::Utf8).unwrap();
    let values = values.as_string::<i32>().iter();
    values.map(|value| value.map(str::to_owned)).collect()
}

async fn by_view(session: &QuerySession, account: &str, by: &str, apart: &str) -> Numbers {
    let counts = STEPS.map(|(step, time)| format!("count({time}) AS {step}"));
    let sql = format!(
        "SELECT {by} AS value, {} FROM offers WHERE account_id = '{account}' AND {apart} GROUP BY 1",
        counts.join(", ")
    );
    let mut numbers = Numbers::new();
    for batch in session.collect(&sql).await.unwrap() {
        let values = texts(&batch, "value");
        for (step, _) in STEPS {
            let counts = batch.column_by_name(step).unwrap();
            let counts = counts.as_primitive::<Int64Type>().values();
            for (value, count) in values.iter().zip(counts).filter(|(_, count)| **count > 0) {
                numbers.insert((value.clone(), step), *count);
            }
        }
    }
    numbers
}

async fn by_report(session: &QuerySession, request: ReportRequest, by: &str) -> Numbers {
    numbers(&counts(session, &request).await.unwrap().1, by)
}

fn numbers(rows: &RecordBatch, by: &str) -> Numbers {
    let reached = rows.column_by_name("reached").unwrap();
    let reached = reached.as_primitive::<Int64Type>().values();
    let steps = texts(rows, "step");
    let mut numbers = Numbers::new();
    for ((value, step), count) in texts(rows, by).into_iter().zip(steps).zip(reached) {
        let step = STEPS
            .iter()
            .find(|(name, _)| Some(*name) == step.as_deref());
        if let (Some((step, _)), 1..) = (step, *count) {
            numbers.insert((value, *step), *count);
        }
    }
    numbers
}

/// A condition without the offers that have several values of their own: those count in each value,
/// where a view shows one.
async fn single_valued(session: &QuerySession, by: &str) -> String {
    let sql = format!(
        "SELECT offer_key FROM events_enriched WHERE offer_key IS NOT NULL
         GROUP BY offer_key HAVING count(DISTINCT {by}) > 1"
    );
    let mut keys = Vec::new();
    for batch in session.collect(&sql).await.unwrap() {
        keys.extend(texts(&batch, "offer_key").into_iter().flatten());
    }
    if keys.is_empty() {
        return "offer_key IS NOT NULL".to_owned();
    }
    format!("offer_key NOT IN ('{}')", keys.join("', '"))
}

#[tokio::test]
async fn breakdowns_and_the_view_agree_on_every_shared_dimension() {
    let options = Options {
        sessions: 300,
        ..Options::default()
    };
    let (session, truth) = simulated(options).await;
    let (from, to) = (truth.from.parse().unwrap(), truth.to.parse().unwrap());
    let funnel = FunnelDefinition::shipped("impression_to_chat").unwrap();
    let mut apart = Vec::new();
    for by in SHARED {
        apart.push(single_valued(&session, by).await);
    }
    let mut wrong = Vec::new();
    let mut valued = Vec::new();
    for account in truth.accounts.keys() {
        let request = |(by, apart): (&&str, &String)| ReportRequest {
            account: Some(account.clone()),
            by: vec![(*by).to_owned()],
            where_sql: Some(apart.clone()),
            ..ReportRequest::new(funnel.clone(), from, to)
        };
        let requests: Vec<_> = SHARED.iter().zip(&apart).map(request).collect();
        let reports = units(&session, &requests).await.unwrap();
        for ((by, apart), (request, units)) in
            SHARED.iter().zip(&apart).zip(requests.iter().zip(&reports))
        {
            let (_, rows) = counts_of(&session, request, units).await.unwrap();
            let found = numbers(&rows, by);
            let wanted = by_view(&session, account, by, apart).await;
            if wanted.keys().any(|(value, _)| value.is_some()) {
                valued.push(*by);
            }
            if found != wanted {
                wrong.push(format!(
                    "{account} by {by}: {found:?} instead of {wanted:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for by in [
        "device_family",
        "campaign_id",
        "engagement_id",
        "skill_id",
        "flow",
    ] {
        assert!(
            valued.contains(&by),
            "the simulation has no {by}: {valued:?}"
        );
    }
}

#[tokio::test]
async fn a_value_known_from_a_duplicate_form_of_one_offer_holds_for_its_session() {
    let offer =
        |context: &str| json!({"offer_key": format!("a|v|s|{context}"), "event_type_code": 7});
    let mut copy = row(
        "chat_requested",
        Some("s"),
        30,
        json!({"offer_key": "a|v|s|c1", "device_family": "DESKTOP", "is_duplicate": true,
               "duplicate_kind": "form", "conversation_key": "k", "event_type_code": 33}),
    );
    copy["event_id"] = json!("copy");
    let rows = [
        row("engagement_impression", Some("s"), 10, offer("c1")),
        row("engagement_impression", Some("s"), 20, offer("c2")),
        row(
            "chat_requested",
            Some("s"),
            30,
            json!({"offer_key": "a|v|s|c1", "conversation_key": "k", "event_type_code": 33}),
        ),
        copy,
        row(
            "engagement_impression",
            Some("t"),
            10,
            json!({"offer_key": "a|v|t|c1", "event_type_code": 7}),
        ),
    ];
    let session = session(&rows).await;
    let day: NaiveDate = "2024-03-04".parse().unwrap();
    let funnel = FunnelDefinition::shipped("impression_to_chat").unwrap();
    let desktop = Some("DESKTOP".to_owned());
    let wanted = Numbers::from([
        ((desktop.clone(), "exposed"), 2),
        ((desktop.clone(), "requested"), 1),
        ((None, "exposed"), 1),
    ]);
    let request = ReportRequest {
        by: vec!["device_family".to_owned()],
        ..ReportRequest::new(funnel, day, day)
    };
    assert_eq!(
        by_report(&session, request.clone(), "device_family").await,
        wanted
    );
    assert_eq!(
        by_view(&session, "a", "device_family", "true").await,
        wanted
    );
    let filtered = ReportRequest {
        where_sql: Some("device_family = 'DESKTOP'".to_owned()),
        ..request
    };
    let kept = by_report(&session, filtered, "device_family").await;
    assert!(
        kept.keys().all(|(value, _)| *value == desktop) && kept.len() == 2,
        "{kept:?}"
    );
}
