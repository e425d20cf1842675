//! Simulated traffic against its own truth: metrics, outcomes and funnels of every account.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use arrow::json::ArrayWriter;
use funnel_datagen::truth::{AccountTruth, StepTruth};
use funnel_datagen::{Options, Simulation, Truth};
use serde_json::Value;

use super::*;
use crate::QueryOptions;
use crate::testing::decode;

pub(super) async fn simulated(options: Options) -> (QuerySession, Truth) {
    let (events, truth) = messages(options.clone());
    (session_as_of(&options, events, None).await, truth)
}

/// The simulated events, every message decoded, and their truth.
pub(super) fn messages(options: Options) -> (RecordBatch, Truth) {
    let mut simulation = Simulation::new(options).unwrap();
    let messages: Vec<_> = simulation.by_ref().collect();
    (decode(&messages).0, simulation.into_truth())
}

/// A session over simulated events that are complete up to `as_of`.
pub(super) async fn session_as_of(
    options: &Options,
    events: RecordBatch,
    as_of: Option<DateTime<Utc>>,
) -> QuerySession {
    let zones = Simulation::time_zones(options);
    let accounts = zones
        .into_iter()
        .map(|(account, zone)| (account, zone.parse().unwrap()));
    let query = QueryOptions {
        accounts: accounts.collect(),
        as_of,
        ..QueryOptions::default()
    };
    let session = QuerySession::from_batches(vec![events], query);
    session.await.unwrap()
}

fn days(truth: &Truth) -> [(String, String); 2] {
    [
        ("from".to_owned(), truth.from.clone()),
        ("to".to_owned(), truth.to.clone()),
    ]
}

async fn wrong_metrics(
    session: &QuerySession,
    truth: &Truth,
    account: &str,
    expected: &AccountTruth,
) -> Vec<String> {
    let mut params: BTreeMap<String, String> = days(truth).into();
    params.insert("account".to_owned(), account.to_owned());
    let batches = crate::named::run(session, "metrics", &params)
        .await
        .unwrap();
    let mut writer = ArrayWriter::new(Vec::new());
    writer
        .write_batches(&batches.iter().collect::<Vec<_>>())
        .unwrap();
    writer.finish().unwrap();
    let rows: Value = serde_json::from_slice(&writer.into_inner()).unwrap();
    let mut wrong = Vec::new();
    for (name, wanted) in &expected.metrics {
        let found = &rows[0][name];
        if found.as_u64() != Some(*wanted) {
            wrong.push(format!("{account}: {name} is {found} instead of {wanted}"));
        }
    }
    for (name, wanted) in &expected.revenue {
        let amount: f64 = match &rows[0][name] {
            Value::String(text) => text.parse().unwrap(),
            other => other.as_f64().unwrap_or(f64::NAN),
        };
        if format!("{amount:.2}") != *wanted {
            wrong.push(format!("{account}: {name} is {amount} instead of {wanted}"));
        }
    }
    wrong
}

async fn reached(session: &QuerySession, request: ReportRequest) -> Vec<StepTruth> {
    let (_, rows) = counts(session, &request).await.unwrap();
    let names = rows.column_by_name("step").unwrap().as_string::<i32>();
    let reached = rows
        .column_by_name("reached")
        .unwrap()
        .as_primitive::<Int64Type>();
    let both = names.iter().flatten().zip(reached.values());
    both.map(|(step, reached)| StepTruth {
        step: step.to_owned(),
        reached: u64::try_from(*reached).unwrap(),
    })
    .collect()
}

async fn wrong_funnels(
    session: &QuerySession,
    truth: &Truth,
    account: &str,
    expected: &AccountTruth,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (funnel, units) in &expected.funnels {
        for (unit, modes) in units {
            for (mode, wanted) in [(Mode::Loose, &modes.loose), (Mode::Ordered, &modes.ordered)] {
                let definition = FunnelDefinition::shipped(funnel).unwrap();
                let (from, to) = (truth.from.parse().unwrap(), truth.to.parse().unwrap());
                let request = ReportRequest {
                    account: Some(account.to_owned()),
                    unit: Some(unit.parse().unwrap()),
                    mode: Some(mode),
                    ..ReportRequest::new(definition, from, to)
                };
                let found = reached(session, request).await;
                if found != *wanted {
                    wrong.push(format!(
                        "{account}: {funnel} by {unit}, {mode}: {found:?} instead of {wanted:?}"
                    ));
                }
            }
        }
    }
    wrong
}

/// Steps of `impression_to_chat` by device: devices without a unit have no row.
async fn wrong_devices(
    session: &QuerySession,
    truth: &Truth,
    account: &str,
    expected: &AccountTruth,
) -> Vec<String> {
    let name = "impression_to_chat";
    let mut wrong = Vec::new();
    for unit in expected.funnels[name].keys() {
        for mode in [Mode::Loose, Mode::Ordered] {
            let (from, to) = (truth.from.parse().unwrap(), truth.to.parse().unwrap());
            let request = ReportRequest {
                account: Some(account.to_owned()),
                unit: Some(unit.parse().unwrap()),
                mode: Some(mode),
                by: vec!["device_family".to_owned()],
                ..ReportRequest::new(FunnelDefinition::shipped(name).unwrap(), from, to)
            };
            let (_, rows) = counts(session, &request).await.unwrap();
            let text = |column: &str| rows.column_by_name(column).unwrap().as_string::<i32>();
            let reached = rows.column_by_name("reached").unwrap();
            let reached = reached.as_primitive::<Int64Type>().values();
            let keys = text("device_family").iter().zip(text("step").iter());
            let found: BTreeMap<(String, String), u64> = keys
                .zip(reached)
                .filter(|(_, n)| **n > 0)
                .map(|((device, step), n)| {
                    let key = |text: Option<&str>| text.unwrap_or("null").to_owned();
                    ((key(device), key(step)), u64::try_from(*n).unwrap())
                })
                .collect();
            let mut wanted = BTreeMap::new();
            for (device, funnels) in &expected.by_device {
                let modes = &funnels[name][unit];
                let steps = match mode {
                    Mode::Loose => &modes.loose,
                    _ => &modes.ordered,
                };
                for step in steps.iter().filter(|step| step.reached > 0) {
                    wanted.insert((device.clone(), step.step.clone()), step.reached);
                }
            }
            if found != wanted {
                wrong.push(format!(
                    "{account}: by {unit}, {mode}: {found:?} instead of {wanted:?}"
                ));
            }
        }
    }
    wrong
}

#[tokio::test]
async fn simulated_traffic_gives_the_numbers_of_its_truth() {
    let (session, truth) = simulated(Options {
        sessions: 900,
        ..Options::default()
    })
    .await;
    let mut wrong = Vec::new();
    for (account, expected) in &truth.accounts {
        wrong.extend(wrong_metrics(&session, &truth, account, expected).await);
        wrong.extend(wrong_funnels(&session, &truth, account, expected).await);
        wrong.extend(wrong_devices(&session, &truth, account, expected).await);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Losses of all accounts with their outcomes, against the offers of the truth.
#[tokio::test]
async fn losses_by_availability_are_the_losses_of_the_truth() {
    let (session, truth) = simulated(Options {
        sessions: 900,
        ..Options::default()
    })
    .await;
    let mut wrong = Vec::new();
    for (account, expected) in &truth.accounts {
        let (from, to) = (truth.from.parse().unwrap(), truth.to.parse().unwrap());
        let funnel = FunnelDefinition::shipped("impression_to_chat").unwrap();
        let request = ReportRequest {
            account: Some(account.clone()),
            ..ReportRequest::new(funnel, from, to)
        };
        let tolerance = std::time::Duration::from_secs(120);
        let rows = availability(&session, &request, tolerance).await.unwrap();
        let number = |name: &str| {
            let values = rows.column_by_name(name).unwrap();
            values.as_primitive::<Int64Type>().clone()
        };
        let names = crate::explain::timeline::text(&rows, "offer_outcome").unwrap();
        let clicks = crate::explain::timeline::text(&rows, "state_at_click").unwrap();
        let losses = number("losses");
        let mut found: BTreeMap<String, u64> = BTreeMap::new();
        for (row, name) in names.iter().flatten().enumerate() {
            let count = u64::try_from(losses.value(row)).unwrap();
            *found.entry(name.to_owned()).or_default() += count;
            let door = match name {
                "blocked_offline" => Some("offline"),
                "blocked_busy" => Some("busy"),
                "ignored" | "declined" | "timed_out" => Some("no_click"),
                _ => None,
            };
            if door.is_some_and(|door| door != clicks.value(row)) {
                wrong.push(format!("{account}: {name} at {}", clicks.value(row)));
            }
        }
        // An offer whose impression got lost was not shown, as far as anybody knows.
        let unseen = format!(
            "SELECT offer_outcome, count(*) AS n FROM offers WHERE account_id = '{account}' \
             AND impression_time IS NULL GROUP BY 1"
        );
        for batch in session.collect(&unseen).await.unwrap() {
            let names = crate::explain::timeline::text(&batch, "offer_outcome").unwrap();
            let counts = batch.column(1).as_primitive::<Int64Type>();
            for (name, count) in names.iter().flatten().zip(counts.values()) {
                *found.entry(name.to_owned()).or_default() += u64::try_from(*count).unwrap();
            }
        }
        let not_lost = [
            "interactive",
            "content_clicked",
            "not_displayed",
            "not_available",
        ];
        let mut wanted = expected.outcomes.clone();
        let is_lost = |name: &str| !not_lost.contains(&name);
        wanted.retain(|name, count| is_lost(name) && *count > 0);
        found.retain(|name, _| is_lost(name));
        if found != wanted {
            wrong.push(format!("{account}: {found:?} instead of {wanted:?}"));
        }
        let stale: i64 = number("stale_state").values().iter().sum();
        let never = availability(&session, &request, std::time::Duration::from_secs(86_400));
        let never = never.await.unwrap();
        let never = never.column_by_name("stale_state").unwrap();
        let never: i64 = never.as_primitive::<Int64Type>().values().iter().sum();
        assert!(never == 0 && stale >= never, "{stale} and {never}");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
