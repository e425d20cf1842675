//! Comparing a lake with the simulator's truth: every number, no tolerance.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use funnel_datagen::Truth;
use funnel_datagen::truth::{AccountTruth, FunnelTruth, RecordFates, StepTruth};
use funnel_lake::Lake;
use funnel_query::funnel::FunnelDefinition;
use funnel_query::report::{ReportRequest, report};
use funnel_query::{QueryOptions, QuerySession};
use funnel_tests::Lab;
use serde_json::Value;

/// The fates in the ledger, the rows of both tables and the reject codes equal the truth.
pub(crate) fn records_match(lab: &Lab, truth: &Truth) {
    let fates = lab.sql(
        "SELECT sum(accepted) AS accepted, sum(duplicate) AS duplicate, sum(rejected) AS rejected, \
         sum(empty) AS empty, sum(tombstone) AS tombstone, sum(to_offset - from_offset) AS produced, \
         sum(holes) AS holes, sum(event_rows) AS events, sum(reject_rows) AS rejects, \
         sum(duplicate_entries) AS duplicate_entries FROM ledger",
    );
    let got = |name: &str| {
        fates[0][name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {fates:?}"))
    };
    let found = RecordFates {
        produced: got("produced") - got("holes"),
        accepted: got("accepted"),
        duplicate: got("duplicate"),
        rejected: got("rejected"),
        empty: got("empty"),
        tombstone: got("tombstone"),
    };
    assert_eq!(found, truth.records, "record fates");
    assert_eq!(
        got("events"),
        truth.entries.events,
        "event rows in the ledger"
    );
    assert_eq!(
        got("rejects"),
        truth.entries.rejects,
        "reject rows in the ledger"
    );
    assert_eq!(
        got("duplicate_entries"),
        truth.entries.duplicate_entries,
        "duplicate entries"
    );
    let rows = lab.count("SELECT count(*) FROM events");
    assert_eq!(rows, truth.entries.events.cast_signed(), "rows of events");
    assert_eq!(
        rows,
        lab.count("SELECT count(DISTINCT event_id) FROM events"),
        "distinct ids"
    );
    let codes: BTreeMap<String, u64> =
        counts(&lab.sql("SELECT reason_code AS name, count(*) AS n FROM rejects GROUP BY 1"));
    assert_eq!(codes, truth.rejects, "rejects by reason");
}

/// Metrics, outcomes and funnels of every account equal the truth.
pub(crate) fn funnels_match(lab: &Lab, truth: &Truth) {
    for (account, expected) in &truth.accounts {
        outcomes_match(lab, account, expected);
        metrics_match(lab, truth, account, expected);
    }
    // One session for all reports: the binary would enrich the same events for each of them.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let wrong = runtime.block_on(wrong_funnels(lab, truth));
    assert!(wrong.is_empty(), "{wrong:#?}");
    one_report_of_the_binary_matches(lab, truth);
    devices_match(lab, truth);
}

async fn wrong_funnels(lab: &Lab, truth: &Truth) -> Vec<String> {
    let lake = Lake::open(&lab.lake().to_string_lossy())
        .await
        .expect("the lake opens");
    let zones = truth.accounts.iter().map(|(id, account)| {
        (
            id.clone(),
            account.time_zone.parse().expect("an IANA time zone"),
        )
    });
    let options = QueryOptions {
        accounts: zones.collect(),
        ..QueryOptions::default()
    };
    let session = QuerySession::open(&lake, options).await.expect("a session");
    let mut wrong = Vec::new();
    for (account, expected) in &truth.accounts {
        for (funnel, units) in &expected.funnels {
            for (unit, modes) in units {
                for (mode, wanted) in [("loose", &modes.loose), ("ordered", &modes.ordered)] {
                    let found = reached(&session, truth, account, [funnel, unit, mode]).await;
                    if found != steps(wanted) {
                        let place = format!("{account}: {funnel} by {unit}, {mode}");
                        wrong.push(format!("{place}: {found:?} instead of {wanted:?}"));
                    }
                }
            }
        }
    }
    wrong
}

async fn reached(
    session: &QuerySession,
    truth: &Truth,
    account: &str,
    [funnel, unit, mode]: [&str; 3],
) -> Vec<(String, u64)> {
    let definition = FunnelDefinition::shipped(funnel).expect("a shipped funnel");
    let day = |text: &str| text.parse().expect("a day");
    let request = ReportRequest {
        account: Some(account.to_owned()),
        unit: Some(unit.parse().expect("a unit")),
        mode: Some(mode.parse().expect("a mode")),
        ..ReportRequest::new(definition, day(&truth.from), day(&truth.to))
    };
    let rows = report(session, request).await.expect("a report").rows;
    let steps = rows
        .column_by_name("step")
        .expect("steps")
        .as_string::<i32>();
    let counts = rows
        .column_by_name("reached")
        .expect("counts")
        .as_primitive::<Int64Type>();
    steps
        .iter()
        .zip(counts.values())
        .map(|(step, n)| (step.unwrap_or_default().to_owned(), n.cast_unsigned()))
        .collect()
}

fn steps(truth: &[StepTruth]) -> Vec<(String, u64)> {
    truth.iter().map(|s| (s.step.clone(), s.reached)).collect()
}

fn one_report_of_the_binary_matches(lab: &Lab, truth: &Truth) {
    let (account, expected) = truth.accounts.iter().next().expect("an account");
    let rows = lab.json(&[
        "report",
        "impression_to_chat",
        "--unit",
        "offer",
        "--mode",
        "loose",
        "--account",
        account,
        "--from",
        &truth.from,
        "--to",
        &truth.to,
    ]);
    let found: Vec<(String, u64)> = rows
        .as_array()
        .into_iter()
        .flatten()
        .map(|row| {
            let step = row["step"].as_str().unwrap_or_default().to_owned();
            (step, row["reached"].as_u64().unwrap_or_default())
        })
        .collect();
    assert_eq!(
        found,
        steps(&expected.funnels["impression_to_chat"]["offer"].loose)
    );
}

/// The same by device, through the binary: each cell that anything reached.
fn devices_match(lab: &Lab, truth: &Truth) {
    let name = "impression_to_chat";
    let (account, expected) = truth.accounts.iter().next().expect("an account");
    for unit in ["session", "visitor"] {
        let rows = lab.json(&[
            "report",
            name,
            "--unit",
            unit,
            "--mode",
            "loose",
            "--by",
            "device_family",
            "--account",
            account,
            "--from",
            &truth.from,
            "--to",
            &truth.to,
        ]);
        let text = |row: &Value, key: &str| row[key].as_str().unwrap_or("null").to_owned();
        let found: BTreeMap<_, u64> = rows
            .as_array()
            .into_iter()
            .flatten()
            .map(|row| {
                let cell = (text(row, "device_family"), text(row, "step"));
                (cell, row["reached"].as_u64().unwrap_or_default())
            })
            .filter(|(_, reached)| *reached > 0)
            .collect();
        let of_device = |(device, funnels): (&String, &BTreeMap<_, BTreeMap<_, FunnelTruth>>)| {
            let steps = steps(&funnels[name][unit].loose);
            let cells = steps.into_iter().filter(|(_, reached)| *reached > 0);
            let device = device.clone();
            cells
                .map(move |(step, reached)| ((device.clone(), step), reached))
                .collect::<Vec<_>>()
        };
        let wanted: BTreeMap<_, u64> = expected.by_device.iter().flat_map(of_device).collect();
        assert_eq!(found, wanted, "{name} by {unit} and device");
    }
}

fn outcomes_match(lab: &Lab, account: &str, expected: &AccountTruth) {
    let sql = format!(
        "SELECT offer_outcome AS name, count(*) AS n FROM offers WHERE account_id = '{account}' GROUP BY 1"
    );
    assert_eq!(
        counts(&lab.sql(&sql)),
        expected.outcomes,
        "account {account}: outcomes"
    );
}

fn metrics_match(lab: &Lab, truth: &Truth, account: &str, expected: &AccountTruth) {
    let params = [
        format!("account={account}"),
        format!("from={}", truth.from),
        format!("to={}", truth.to),
    ];
    let rows = lab.json(&[
        "run", "metrics", "--param", &params[0], "--param", &params[1], "--param", &params[2],
    ]);
    let row = &rows[0];
    let mut wrong = Vec::new();
    for (name, wanted) in &expected.metrics {
        if row[name].as_u64() != Some(*wanted) {
            wrong.push(format!("{name}: {} instead of {wanted}", row[name]));
        }
    }
    for (name, wanted) in &expected.revenue {
        if !same_amount(&row[name], wanted) {
            wrong.push(format!("{name}: {} instead of {wanted}", row[name]));
        }
    }
    assert!(wrong.is_empty(), "account {account}: {wrong:#?}");
    assert!(!expected.metrics.is_empty(), "the truth names metrics");
}

fn counts(rows: &[Value]) -> BTreeMap<String, u64> {
    rows.iter()
        .map(|row| {
            let name = row["name"].as_str().unwrap_or("null").to_owned();
            (
                name,
                row["n"].as_u64().unwrap_or_else(|| panic!("n in {row}")),
            )
        })
        .collect()
}

/// Money is decimal: `120`, `120.00` and `"120.0000"` are the same amount.
pub(crate) fn same_amount(found: &Value, wanted: &str) -> bool {
    let text = match found {
        Value::String(text) => text.clone(),
        Value::Null => "0".to_owned(),
        other => other.to_string(),
    };
    let plain = |t: &str| {
        if t.contains('.') {
            t.trim_end_matches('0').trim_end_matches('.').to_owned()
        } else {
            t.to_owned()
        }
    };
    plain(&text) == plain(wanted)
}
