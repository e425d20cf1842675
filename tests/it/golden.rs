//! The golden scenario, in every disguise, through a real Kafka and the real binary.

use std::collections::BTreeMap;

use funnel_datagen::golden::{self, Expected, UNMONITORED_ACCOUNT, Variant};
use funnel_tests::Lab;
use serde_json::{Map, Value};

use crate::truth::same_amount;

/// Until the end of the next day, so that s12's events after midnight are in reach of any basis.
const DAY: [&str; 2] = ["from=2024-03-04", "to=2024-03-04"];

#[test]
fn every_disguise_of_the_scenario_gives_the_stated_numbers() {
    let mut wrong = Vec::new();
    for (name, variant) in Variant::all() {
        let lab = Lab::new();
        lab.send(golden::messages(variant));
        lab.ingest();
        lab.audit_closes();
        let expected = golden::expected(variant);
        let mut check = Check {
            variant: name,
            wrong: &mut wrong,
        };
        check.monitored(&lab, &expected);
        check.unmonitored(&lab, &expected);
        check.outcomes(&lab, &expected);
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

struct Check<'a> {
    variant: &'static str,
    wrong: &'a mut Vec<String>,
}

impl Check<'_> {
    fn equal(&mut self, what: &str, found: &Value, wanted: &str) {
        if !same_amount(&rounded(found, wanted), wanted) {
            self.wrong
                .push(format!("{}: {what} is {found}, not {wanted}", self.variant));
        }
    }

    fn monitored(&mut self, lab: &Lab, expected: &Expected) {
        let row = metrics(lab, &[]);
        for (name, wanted) in &expected.counts {
            self.equal(name, &row[*name], &wanted.to_string());
        }
        for (name, wanted) in &expected.values {
            self.equal(name, &row[*name], wanted);
        }
        let both = metrics(lab, &["date_basis=session_start_and_event_time"]);
        for (name, wanted) in &expected.event_time_too {
            self.equal(
                &format!("{name} with both dates"),
                &both[*name],
                &wanted.to_string(),
            );
        }
        let short = metrics(lab, &["cross_session_days=5"]);
        for (name, wanted) in &expected.five_days {
            self.equal(
                &format!("{name} within 5 days"),
                &short[*name],
                &wanted.to_string(),
            );
        }
    }

    fn unmonitored(&mut self, lab: &Lab, expected: &Expected) {
        for (unit, steps) in [
            ("session", &expected.unmonitored_sessions),
            ("offer", &expected.unmonitored_offers),
        ] {
            let rows = lab.json(&[
                "report",
                "unmonitored",
                "--unit",
                unit,
                "--account",
                UNMONITORED_ACCOUNT,
                "--from",
                "2024-03-04",
                "--to",
                "2024-03-04",
            ]);
            let reached: BTreeMap<&str, &Value> = rows
                .as_array()
                .into_iter()
                .flatten()
                .map(|row| (row["step"].as_str().unwrap_or_default(), &row["reached"]))
                .collect();
            for (step, wanted) in steps {
                let found = reached.get(step).copied().unwrap_or(&Value::Null);
                self.equal(
                    &format!("unmonitored {step} by {unit}"),
                    found,
                    &wanted.to_string(),
                );
            }
        }
    }

    fn outcomes(&mut self, lab: &Lab, expected: &Expected) {
        let rows = lab.sql("SELECT visitor_id, session_id, context_id, offer_outcome FROM offers");
        let found: BTreeMap<(String, Option<String>), String> = rows
            .iter()
            .map(|row| {
                let text = |name: &str| row[name].as_str().map(str::to_owned);
                let session = text("session_id").unwrap_or_default();
                (
                    (session, text("context_id")),
                    text("offer_outcome").unwrap_or_default(),
                )
            })
            .collect();
        for offer in &expected.outcomes {
            let session = offer
                .session_id
                .split('.')
                .next()
                .unwrap_or_default()
                .to_owned();
            let key = (session, offer.context_id.map(str::to_owned));
            let outcome = found
                .get(&key)
                .map_or(Value::Null, |o| Value::from(o.as_str()));
            self.equal(
                &format!("outcome of {}", offer.session),
                &outcome,
                offer.stored,
            );
        }
        if rows.len() != expected.outcomes.len() {
            self.wrong
                .push(format!("{}: {} offers", self.variant, rows.len()));
        }
    }
}

fn metrics(lab: &Lab, more: &[&str]) -> Map<String, Value> {
    let account = format!("account={}", golden::ACCOUNT);
    let mut args = vec!["run", "metrics"];
    for param in [account.as_str(), DAY[0], DAY[1]].iter().chain(more) {
        args.extend(["--param", param]);
    }
    let rows = lab.json(&args);
    rows[0]
        .as_object()
        .cloned()
        .unwrap_or_else(|| panic!("one row of metrics: {rows}"))
}

/// Rates are compared at the places that the document states.
fn rounded(found: &Value, wanted: &str) -> Value {
    match (found.as_f64(), wanted.split_once('.')) {
        (Some(number), Some((_, places))) if found.is_f64() => {
            Value::from(format!("{number:.*}", places.len()))
        }
        _ => found.clone(),
    }
}

#[test]
fn an_exposure_that_is_lost_is_skipped_when_loose_and_ends_the_way_when_ordered() {
    let lab = Lab::new();
    let variant = Variant {
        drop_s9_impression: true,
        ..Variant::default()
    };
    lab.send(golden::messages(variant));
    lab.ingest();
    let step = |mode: &str, step: &str, column: &str| {
        let rows = lab.json(&[
            "report",
            "monitored",
            "--unit",
            "conversation",
            "--mode",
            mode,
            "--account",
            golden::ACCOUNT,
            "--from",
            "2024-03-04",
            "--to",
            "2024-03-04",
        ]);
        let row = rows
            .as_array()
            .into_iter()
            .flatten()
            .find(|row| row["step"] == step)
            .cloned();
        row.unwrap_or_default()[column].as_u64()
    };
    assert_eq!(step("loose", "requested", "reached"), Some(4));
    assert_eq!(step("loose", "exposed", "skipped"), Some(1));
    assert_eq!(step("ordered", "requested", "reached"), Some(3));
}
