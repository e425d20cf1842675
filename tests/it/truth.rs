//! Comparing a lake with the simulator's truth: every number, no tolerance.

use std::collections::BTreeMap;

use funnel_datagen::Truth;
use funnel_datagen::truth::{AccountTruth, RecordFates};
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
        for (funnel, units) in &expected.funnels {
            for (unit, modes) in units {
                for (mode, steps) in [("loose", &modes.loose), ("ordered", &modes.ordered)] {
                    let found = report(lab, truth, account, [funnel, unit, mode]);
                    let wanted: Vec<(String, u64)> =
                        steps.iter().map(|s| (s.step.clone(), s.reached)).collect();
                    assert_eq!(
                        found, wanted,
                        "account {account}: {funnel} by {unit}, {mode}"
                    );
                }
            }
        }
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

fn report(
    lab: &Lab,
    truth: &Truth,
    account: &str,
    [funnel, unit, mode]: [&str; 3],
) -> Vec<(String, u64)> {
    let rows = lab.json(&[
        "report",
        funnel,
        "--unit",
        unit,
        "--mode",
        mode,
        "--account",
        account,
        "--from",
        &truth.from,
        "--to",
        &truth.to,
    ]);
    let rows = rows
        .as_array()
        .unwrap_or_else(|| panic!("rows of {funnel}: {rows}"));
    rows.iter()
        .map(|row| {
            let step = row["step"].as_str().unwrap_or_default().to_owned();
            (
                step,
                row["reached"]
                    .as_u64()
                    .unwrap_or_else(|| panic!("reached in {row}")),
            )
        })
        .collect()
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
