//! ClickHouse itself, as the judge of the modes and functions that bear its meaning.

use std::process::Command;

use funnel_tests::{funnel_binary, material, readers_python};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn clickhouse_gives_the_same_answers_for_random_groups() {
    let folder = TempDir::new().expect("a temporary folder");
    let out = Command::new(readers_python())
        .arg(material().join("readers/clickhouse_diff.py"))
        .arg(funnel_binary())
        .arg(folder.path())
        .args(["4000", "7"])
        .output()
        .expect("the comparison runs");
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{stderr}");
    let found: Value = serde_json::from_slice(&out.stdout).expect("one JSON object");
    assert_eq!(found["different"], serde_json::json!([]), "{found:#}");
    assert!(found["compared"].as_u64() > Some(200_000), "{found}");
}
