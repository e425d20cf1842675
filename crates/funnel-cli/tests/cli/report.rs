//! `funnel report --table`: no lake, no configuration.

use std::path::Path;

use serde_json::{Value, json};

use super::{empty_dir, funnel, run};

const SHOP: &str = r#"
name = "shop"
window = 30
[source]
table = "t"
key = '"user"'
time = "ts"
[[steps]]
name = "seen"
when = "c1"
[[steps]]
name = "bought"
when = "c2"
"#;

/// `funnel report` over two users, one of whom buys after 40.
#[track_caller]
fn report(dir: &Path, words: &[&str], code: i32) -> (String, String) {
    std::fs::write(dir.join("shop.toml"), SHOP).unwrap();
    let rows = "SELECT * FROM (VALUES ('a', 10, 1, 0), ('a', 50, 0, 1), ('b', 10, 1, 0),
                ('b', 20, 0, 1)) AS v (\"user\", ts, c1, c2)";
    run(funnel(dir).args(["sql", "-o", "t.parquet", "-c", rows]), 0);
    run(
        funnel(dir)
            .args(["report", "--file", "shop.toml"])
            .args(words),
        code,
    )
}

fn reached(text: &str) -> Vec<Value> {
    let rows: Vec<Value> = serde_json::from_str(text).unwrap();
    rows.iter().map(|row| row["reached"].clone()).collect()
}

#[test]
fn a_definition_runs_over_a_parquet_file() {
    let dir = empty_dir();
    let table = ["--table", "t=t.parquet", "--format", "json"];
    let (out, _) = report(dir.path(), &table, 0);
    assert_eq!(reached(&out), [2, 1]);
    for (words, wanted) in [
        (["--window", "40"], [2, 2]),
        (["--where", "ts <> 20"], [2, 0]),
        (["--mode", "ch:strict_once"], [2, 1]),
    ] {
        let (out, _) = report(dir.path(), &[&table[..], &words[..]].concat(), 0);
        assert_eq!(reached(&out), wanted, "{words:?}");
    }
}

#[test]
fn keys_can_be_asked_for_one_by_one() {
    let dir = empty_dir();
    let words = ["--table", "t=t.parquet", "--format", "json", "--per-key"];
    let (out, _) = report(dir.path(), &words, 0);
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(rows[0]["reason"], json!("after_window"));
    assert_eq!(rows[1]["step_times"], json!([10, 20]));
}

#[test]
fn one_key_of_a_table_is_explained() {
    let dir = empty_dir();
    report(dir.path(), &["--table", "t=t.parquet"], 0);
    let words = ["explain", "--file", "shop.toml", "--table", "t=t.parquet"];
    let mut command = funnel(dir.path());
    let (out, err) = run(command.args(words).args(["a", "--format", "json"]), 0);
    let rows: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert_eq!(rows[1]["class"], json!("out_of_window"));
    assert!(err.contains("reason: after_window"), "{err}");
    let mut command = funnel(dir.path());
    let (_, err) = run(command.args(words).args(["c"]), 2);
    assert!(
        err.contains("has the key `c`; the nearest keys are"),
        "{err}"
    );
    let mut command = funnel(dir.path());
    let (_, err) = run(command.args(words).args(["shop", "a"]), 2);
    assert!(err.contains("name the key alone"), "{err}");
}

#[test]
fn what_is_missing_or_too_much_is_a_usage_error_that_says_what_to_write() {
    let dir = empty_dir();
    let days = ["--from", "2024-03-04", "--to", "2024-03-04"];
    let (_, err) = report(dir.path(), &days, 2);
    assert!(err.contains("--table t=FILE"), "{err}");
    let (_, err) = report(
        dir.path(),
        &["--table", "t=t.parquet", "--window", "3 days"],
        2,
    );
    assert!(err.contains("bare number"), "{err}");
    let (_, err) = report(
        dir.path(),
        &["--table", "t=t.parquet", "--mode", "orderly"],
        2,
    );
    assert!(err.contains("'ordered'"), "{err}");
    let (_, err) = report(
        dir.path(),
        &[&["--table", "t=t.parquet"], &days[..]].concat(),
        2,
    );
    assert!(err.contains("--from"), "{err}");
}
