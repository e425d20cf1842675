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
    let zones = Simulation::time_zones(&options);
    let accounts = zones
        .into_iter()
        .map(|(account, zone)| (account, zone.parse().unwrap()));
    let query = QueryOptions {
        accounts: accounts.collect(),
        ..QueryOptions::default()
    };
    let mut simulation = Simulation::new(options).unwrap();
    let messages: Vec<_> = simulation.by_ref().collect();
    let session = QuerySession::from_batches(vec![decode(&messages).0], query)
        .await
        .unwrap();
    (session, simulation.into_truth())
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
