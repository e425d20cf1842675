//! The golden scenario, decoded from its messages: every stated number, in every disguise.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use arrow::json::ArrayWriter;
use funnel_datagen::golden::{self, UNMONITORED_ACCOUNT, Variant};
use serde_json::{Map, Value};

use super::*;
use crate::testing::golden_session;

/// One row per answer of the named query `metrics` for the monitored day.
async fn metrics(session: &QuerySession, more: &[(&str, &str)]) -> Vec<Map<String, Value>> {
    let fixed = [
        ("account", golden::ACCOUNT),
        ("from", golden::DATE),
        ("to", golden::DATE),
    ];
    let params: BTreeMap<String, String> = fixed
        .iter()
        .chain(more)
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let batches = crate::named::run(session, "metrics", &params)
        .await
        .unwrap();
    let mut writer = ArrayWriter::new(Vec::new());
    writer
        .write_batches(&batches.iter().collect::<Vec<_>>())
        .unwrap();
    writer.finish().unwrap();
    serde_json::from_slice(&writer.into_inner()).unwrap()
}

/// A number as the document writes it: rates with six places, money with two, counts with none.
fn text(value: Option<&Value>, like: &str) -> String {
    let places = like.split_once('.').map_or(0, |(_, places)| places.len());
    match value {
        Some(Value::Number(number)) => format!("{:.places$}", number.as_f64().unwrap()),
        Some(Value::String(decimal)) => format!("{:.places$}", decimal.parse::<f64>().unwrap()),
        other => format!("{other:?}"),
    }
}

fn request(funnel: &str, account: &str) -> ReportRequest {
    let day: NaiveDate = golden::DATE.parse().unwrap();
    let funnel = FunnelDefinition::shipped(funnel).unwrap();
    ReportRequest {
        account: Some(account.to_owned()),
        ..ReportRequest::new(funnel, day, day)
    }
}

/// One integer column of a report by step.
async fn steps(
    session: &QuerySession,
    request: ReportRequest,
    column: &str,
) -> BTreeMap<String, i64> {
    let report = report(session, request).await.unwrap();
    let names = report
        .rows
        .column_by_name("step")
        .unwrap()
        .as_string::<i32>();
    let counts = report
        .rows
        .column_by_name(column)
        .unwrap()
        .as_primitive::<Int64Type>();
    let rows = (0..report.rows.num_rows()).filter(|row| counts.is_valid(*row));
    rows.map(|row| (names.value(row).to_owned(), counts.value(row)))
        .collect()
}

#[tokio::test]
async fn every_disguise_gives_the_stated_metrics() {
    for (name, variant) in Variant::all() {
        let session = golden_session(variant).await;
        let expected = golden::expected(variant);
        let rows = metrics(&session, &[]).await;
        assert_eq!(rows.len(), 1, "{name}");
        let mut wrong = Vec::new();
        let counts = expected
            .counts
            .iter()
            .map(|(metric, count)| (*metric, count.to_string()));
        let values = expected
            .values
            .iter()
            .map(|(metric, value)| (*metric, (*value).to_owned()));
        for (metric, wanted) in counts.chain(values) {
            let found = text(rows[0].get(metric), &wanted);
            if found != wanted {
                wrong.push(format!("{metric}: {found} instead of {wanted}"));
            }
        }
        assert!(wrong.is_empty(), "{name}: {wrong:#?}");
    }
}

#[tokio::test]
async fn date_basis_window_and_grain_change_the_metrics_as_stated() {
    for variant in [
        Variant::default(),
        Variant {
            drop_s9_impression: true,
            ..Variant::default()
        },
    ] {
        let session = golden_session(variant).await;
        let expected = golden::expected(variant);
        let both = metrics(&session, &[("date_basis", "session_start_and_event_time")]).await;
        for (metric, wanted) in &expected.event_time_too {
            assert_eq!(
                text(both[0].get(*metric), ""),
                wanted.to_string(),
                "{metric}, both dates"
            );
        }
        let short = metrics(&session, &[("cross_session_days", "5")]).await;
        for (metric, wanted) in &expected.five_days {
            assert_eq!(
                text(short[0].get(*metric), ""),
                wanted.to_string(),
                "{metric}, 5 days"
            );
        }
        let engagements = metrics(&session, &[("grain", "engagement")]).await;
        let mut found: Vec<(String, String, String)> = engagements
            .iter()
            .filter(|row| text(row.get("exposures"), "") != "0")
            .map(|row| {
                let of = |metric| text(row.get(metric), "");
                let rate = text(row.get("accepted_rate"), "0.000000");
                (of("online_offers_accepted"), of("online_exposures"), rate)
            })
            .collect();
        found.sort();
        let mut wanted: Vec<(String, String, String)> = expected
            .accepted_by_engagement
            .iter()
            .map(|(_, clicks, shown, rate)| {
                (clicks.to_string(), shown.to_string(), (*rate).to_owned())
            })
            .collect();
        wanted.sort();
        assert_eq!(found, wanted);
    }
}

#[tokio::test]
async fn every_disguise_gives_the_stated_stages_of_the_unmonitored_flow() {
    for (name, variant) in Variant::all() {
        let session = golden_session(variant).await;
        let expected = golden::expected(variant);
        for (unit, wanted) in [
            (Unit::Session, &expected.unmonitored_sessions),
            (Unit::Offer, &expected.unmonitored_offers),
        ] {
            let asked = ReportRequest {
                unit: Some(unit),
                ..request("unmonitored", UNMONITORED_ACCOUNT)
            };
            let reached = steps(&session, asked, "reached").await;
            for (step, count) in wanted {
                let count = i64::try_from(*count).unwrap();
                assert_eq!(reached[*step], count, "{name}: {step} by {unit}");
            }
        }
        let required = steps(
            &session,
            request("unmonitored", UNMONITORED_ACCOUNT),
            "required",
        )
        .await;
        let wanted = i64::try_from(expected.authentication_required).unwrap();
        assert_eq!(required["authenticated"], wanted, "{name}");
    }
}

#[tokio::test]
async fn a_lost_impression_is_skipped_when_loose_and_ends_the_chain_when_ordered() {
    let lost = Variant {
        drop_s9_impression: true,
        ..Variant::default()
    };
    for (variant, skipped, ordered) in [(Variant::default(), 0, 4), (lost, 1, 3)] {
        let session = golden_session(variant).await;
        let asked = |mode| ReportRequest {
            unit: Some(Unit::Conversation),
            mode: Some(mode),
            ..request("monitored", golden::ACCOUNT)
        };
        assert_eq!(
            steps(&session, asked(Mode::Loose), "reached").await["requested"],
            4
        );
        assert_eq!(
            steps(&session, asked(Mode::Loose), "skipped").await["exposed"],
            skipped
        );
        assert_eq!(
            steps(&session, asked(Mode::Ordered), "reached").await["requested"],
            ordered
        );
    }
}

#[tokio::test]
async fn the_date_basis_and_the_attribution_window_decide_the_funnel_as_they_do_the_metrics() {
    let session = golden_session(Variant::default()).await;
    let reached = async |change: fn(&mut ReportRequest)| {
        let mut asked = request("monitored", golden::ACCOUNT);
        change(&mut asked);
        let reached = steps(&session, asked, "reached").await;
        [
            reached["session"],
            reached["exposed"],
            reached["clicked"],
            reached["converted"],
        ]
    };
    assert_eq!(reached(|_| ()).await, [13, 11, 7, 2]);
    let both = reached(|r| r.date_basis = DateBasis::SessionStartAndEventTime).await;
    assert_eq!(both, [13, 10, 6, 2]);
    let short =
        reached(|r| r.attribution.window = std::time::Duration::from_secs(5 * 86_400)).await;
    assert_eq!(short, [13, 11, 7, 1]);
    // In Auckland the evening session and everything after 11:00 UTC belong to the next day.
    let far = reached(|r| r.timezone = Some(chrono_tz::Pacific::Auckland)).await;
    assert!(far[0] < 13, "{far:?}");
}
