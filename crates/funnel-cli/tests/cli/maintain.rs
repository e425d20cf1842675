//! `funnel maintain compact`: the same rows in another order, and every number stays.

use std::path::Path;

use serde_json::Value;

use super::{empty_dir, funnel, run};

/// A lake of simulated traffic, from files; its truth.
fn lake(dir: &Path) -> Value {
    let words = "generate --sessions 150 --seed 11 -o traffic --truth truth.json";
    run(funnel(dir).args(words.split(' ')), 0);
    let mut files: Vec<_> = std::fs::read_dir(dir.join("traffic"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut ingest = funnel(dir);
    run(
        ingest
            .args(["ingest", "--lake", "lake", "--files"])
            .args(files),
        0,
    );
    serde_json::from_str(&std::fs::read_to_string(dir.join("truth.json")).unwrap()).unwrap()
}

fn json(dir: &Path, words: &str, code: i32) -> (Vec<Value>, String) {
    let mut command = funnel(dir);
    command
        .args(words.split(' '))
        .args(["--lake", "lake", "--format", "json"]);
    let (out, err) = run(&mut command, code);
    (serde_json::from_str(&out).unwrap(), err)
}

#[test]
fn sorted_days_give_the_same_numbers_and_the_audit_closes() {
    let dir = empty_dir();
    let truth = lake(dir.path());
    let account = truth["accounts"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    let (from, to) = (
        truth["from"].as_str().unwrap(),
        truth["to"].as_str().unwrap(),
    );
    let report = format!("report impression_to_chat --account {account} --from {from} --to {to}");
    let before = json(dir.path(), &report, 0).0;
    let (rows, _) = json(dir.path(), "maintain compact", 0);
    let events: u64 = rows.iter().map(|row| row["rows"].as_u64().unwrap()).sum();
    assert_eq!(Some(events), truth["entries"]["events"].as_u64());
    for row in &rows {
        assert_eq!(row["action"], "sorted", "{row}");
        assert!(
            row["files_after"].as_u64() <= row["files_before"].as_u64(),
            "{row}"
        );
        assert!(row["bytes_after"].as_u64() > Some(0), "{row}");
    }
    assert_eq!(json(dir.path(), &report, 0).0, before);
    let (_, err) = json(dir.path(), "audit", 0);
    assert!(err.contains("the accounting closes"), "{err}");
    let (again, err) = json(dir.path(), "maintain compact", 0);
    assert_eq!(again, Vec::<Value>::new());
    assert!(err.contains("nothing to do"), "{err}");
    let plan = "EXPLAIN SELECT account_id FROM events ORDER BY account_id, visitor_id, event_time";
    let mut explain = funnel(dir.path());
    let (plan, _) = run(explain.args(["sql", "--lake", "lake", "-c", plan]), 0);
    assert!(
        plan.contains("DataSourceExec") && !plan.contains("SortExec"),
        "{plan}"
    );
}

#[test]
fn a_named_day_that_is_open_is_exit_3_and_stays() {
    let dir = empty_dir();
    lake(dir.path());
    let config = "[publish]\nclose_after = \"36500d\"\n";
    std::fs::write(dir.path().join("funnel.toml"), config).unwrap();
    let (rows, _) = json(dir.path(), "maintain compact", 0);
    let action = |row: &Value| row["action"].as_str().unwrap().to_owned();
    assert!(rows.iter().all(|row| action(row) == "open"), "{rows:?}");
    let day = rows[0]["event_date"].as_str().unwrap();
    let (rows, err) = json(dir.path(), &format!("maintain compact --date {day}"), 3);
    assert_eq!(rows.iter().map(action).collect::<Vec<_>>(), ["open"]);
    assert!(err.contains(&format!("{day} is not closed: ")), "{err}");
    let words = format!("maintain compact --open --date {day}");
    let (rows, _) = json(dir.path(), &words, 0);
    assert_eq!(rows.iter().map(action).collect::<Vec<_>>(), ["sorted"]);
}

#[test]
fn wrong_days_and_sizes_are_usage_errors() {
    let dir = empty_dir();
    for (words, part) in [
        ("--from 2024-03-05 --to 2024-03-04", "lies after"),
        ("--memory 64", "64 MiB"),
        ("--date 2024-03-04 --to 2024-03-05", "--date"),
    ] {
        let mut command = funnel(dir.path());
        command
            .args(["maintain", "compact", "--lake", "lake"])
            .args(words.split(' '));
        let (_, err) = run(&mut command, 2);
        assert!(err.contains(part), "{words}\n{err}");
    }
}
