//! Producers and readers that we did not write: librdkafka's Python binding on one side, DuckDB,
//! Polars, pyarrow and the `deltalake` package on the other.

use std::io::Write;
use std::process::{Command, Stdio};

use funnel_datagen::{Options, Truth};
use funnel_tests::{Lab, material, readers_python};
use serde_json::Value;

use crate::simulation;

/// The 54 sample messages of the domain, one a line.
fn samples() -> Vec<String> {
    let folder = material().join("../schemas/examples/valid");
    let mut names: Vec<_> = std::fs::read_dir(&folder)
        .expect("the examples are there")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with('g'))
        })
        .collect();
    names.sort();
    let line = |path| {
        let text = std::fs::read_to_string(path).expect("an example is read");
        let value: Value = serde_json::from_str(&text).expect("an example is JSON");
        value.to_string()
    };
    names.iter().map(line).collect()
}

#[test]
fn samples_sent_by_another_client_all_become_events() {
    let lab = Lab::new();
    let samples = samples();
    assert_eq!(samples.len(), 54, "the domain's samples");
    let mut python = Command::new(readers_python())
        .arg(material().join("readers/produce.py"))
        .args([lab.bootstrap(), &lab.topic("lp.engagement.v1")])
        .stdin(Stdio::piped())
        .spawn()
        .expect("the Python producer starts");
    let mut stdin = python.stdin.take().expect("its stdin");
    stdin
        .write_all(samples.join("\n").as_bytes())
        .expect("the samples are sent");
    drop(stdin);
    assert!(python.wait().expect("the producer ends").success());
    lab.ingest();
    lab.audit_closes();
    let rejects = lab.sql("SELECT reason_code, detail FROM rejects");
    assert!(rejects.is_empty(), "{rejects:#?}");
    assert_eq!(lab.count("SELECT sum(accepted) FROM ledger"), 54);
}

#[test]
fn every_reader_counts_the_same_rows() {
    let lab = Lab::new();
    let (truth, _) = simulation::send(
        &lab,
        Options {
            sessions: 400,
            seed: 31,
            ..Options::default()
        },
    );
    lab.ingest();
    let found = readers_count(&lab, &truth);
    let types = found["types"].as_object().expect("column types");
    assert!(
        types
            .values()
            .all(|t| !t.as_str().unwrap_or("uint").contains("uint")),
        "{types:?}"
    );
    assert_eq!(types["event_time"], "timestamp[us, tz=UTC]");
    let rows = lab.json(&["maintain", "compact", "--open"]);
    let rows = rows.as_array().expect("a row per day");
    assert!(
        !rows.is_empty() && rows.iter().all(|row| row["action"] == "sorted"),
        "{rows:?}"
    );
    readers_count(&lab, &truth);
    lab.audit_closes();
}

/// What the readers found; all of them must count what the truth has.
fn readers_count(lab: &Lab, truth: &Truth) -> Value {
    let out = Command::new(readers_python())
        .arg(material().join("readers/count_rows.py"))
        .arg(lab.lake())
        .output()
        .expect("the Python readers run");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{stderr}");
    let found: Value = serde_json::from_slice(&out.stdout).expect("one JSON object");
    for reader in ["deltalake", "duckdb", "polars", "pyarrow"] {
        assert_eq!(
            found["events"][reader].as_u64(),
            Some(truth.entries.events),
            "{reader}: {found}"
        );
    }
    assert_eq!(
        found["rejects"]["deltalake"].as_u64(),
        Some(truth.entries.rejects)
    );
    let ours = lab.sql("SELECT event_type, count(*) AS n FROM events GROUP BY 1");
    for row in &ours {
        let kind = row["event_type"].as_str().expect("a type");
        for reader in ["duckdb", "polars"] {
            assert_eq!(
                found["events_by_type"][reader][kind], row["n"],
                "{reader}: {kind}"
            );
        }
    }
    found
}
