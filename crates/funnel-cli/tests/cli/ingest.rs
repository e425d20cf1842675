//! `funnel ingest` against a broker: draining, stopping by signal, and the audit against the broker.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Stdio};

use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::{empty_dir, funnel, run};

const TOPICS: [&str; 4] = [
    "lp.engagement.v1",
    "lp.click.v1",
    "lp.chat.v1",
    "lp.conversion.v1",
];

pub(super) fn broker() -> MockCluster<'static, DefaultProducerContext> {
    let broker = MockCluster::new(1).unwrap();
    for topic in TOPICS {
        broker.create_topic(topic, 2, 1).unwrap();
    }
    broker
}

fn produce(dir: &Path, brokers: &str) -> serde_json::Value {
    let words = [
        "generate",
        "--sessions",
        "40",
        "--kafka",
        brokers,
        "--truth",
        "truth.json",
    ];
    run(funnel(dir).args(words), 0);
    serde_json::from_slice(&std::fs::read(dir.join("truth.json")).unwrap()).unwrap()
}

#[test]
fn until_end_reads_what_is_there_and_the_audit_agrees_with_the_broker() {
    let dir = empty_dir();
    let broker = broker();
    let brokers = broker.bootstrap_servers();
    let truth = produce(dir.path(), &brokers);
    let drain = [
        "ingest",
        "--lake",
        "lake",
        "--brokers",
        &brokers,
        "--until-end",
    ];
    let mut command = funnel(dir.path());
    let (out, err) = run(
        command
            .env("FUNNEL__KAFKA__ASSIGNMENT", "static")
            .args(drain),
        0,
    );
    assert_eq!(out, "");
    assert!(
        err.contains(&format!("{} records (", truth["records"]["produced"])),
        "{err}"
    );
    let audit = [
        "audit",
        "--lake",
        "lake",
        "--brokers",
        &brokers,
        "--format",
        "json",
    ];
    let (out, err) = run(funnel(dir.path()).args(audit), 0);
    let rows: Vec<serde_json::Value> = serde_json::from_str(&out).unwrap();
    assert!(rows.iter().all(|row| row["lag"] == 0), "{out}");
    assert!(err.contains("the accounting closes"), "{err}");
    drop(broker);
    let (_, err) = run(funnel(dir.path()).args(audit), 75);
    assert!(err.contains(&brokers), "{err}");
}

#[test]
fn a_service_that_is_told_to_stop_is_done() {
    let dir = empty_dir();
    let broker = broker();
    let brokers = broker.bootstrap_servers();
    let mut service = std::process::Command::new(assert_cmd::cargo::cargo_bin!("funnel"))
        .args([
            "ingest",
            "--lake",
            "lake",
            "--brokers",
            &brokers,
            "--http",
            "127.0.0.1:0",
        ])
        .current_dir(dir.path())
        .env_clear()
        .env("FUNNEL__KAFKA__ASSIGNMENT", "static")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = wait_for_line(&mut service, "http://127.0.0.1:");
    let pid = service.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .unwrap();
    assert!(sent.success());
    assert_eq!(service.wait().unwrap().code(), Some(0), "{started}");
}

/// Lines of stderr up to the one that says it is up; the rest is read on so that it never blocks.
pub(super) fn wait_for_line(service: &mut Child, part: &str) -> String {
    let mut lines = BufReader::new(service.stderr.take().unwrap());
    let mut seen = String::new();
    while !seen.contains(part) {
        assert!(
            lines.read_line(&mut seen).unwrap() > 0,
            "it ended early:\n{seen}"
        );
    }
    std::thread::spawn(move || lines.lines().count());
    seen
}
