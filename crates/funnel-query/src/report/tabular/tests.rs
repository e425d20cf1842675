//! Definitions over tables: expressions, options, breakdowns, periods, the table of keys.

mod parts;

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::json::ArrayWriter;
use serde_json::{Value, json};

use super::*;
use crate::QueryOptions;
use crate::funnel::Span;

/// Visits of three users; `c` has two rows at second 40, one of them delivered twice.
const VISITS: &str = "CREATE TABLE t AS SELECT * FROM (VALUES
    ('a', 10, 'view', 'web', 'e1', 1), ('a', 20, 'cart', 'app', 'e2', 1),
    ('a', 50, 'buy', 'app', 'e3', 2),
    ('b', 10, 'view', NULL, 'e4', 1), ('b', 15, 'cart', 'web', 'e5', 2),
    ('c', 40, 'view', 'app', 'e6', 1), ('c', 40, 'cart', 'app', 'e7', 1),
    ('c', 40, 'cart', 'app', 'e7', 1),
    (NULL, 60, 'view', 'web', 'e8', 1)
  ) AS v (\"user\", ts, what, via, id, basket)";

const FUNNEL: &str = r#"
name = "shop"
window = 100
[source]
table = "t"
key = '"user"'
time = "ts"
event_id = "id"
[[steps]]
name = "view"
when = "what = 'view'"
[[steps]]
name = "cart"
when = "what = 'cart'"
[[steps]]
name = "buy"
when = "what = 'buy'"
"#;

async fn over(table: &str) -> QuerySession {
    let session = QuerySession::without_lake(QueryOptions::default()).unwrap();
    session.collect(table).await.unwrap();
    session
}

/// The shop's funnel with `first` as its first lines.
fn shop(first: &str) -> TableFunnel {
    TableFunnel::parse("test.toml", &format!("{first}\n{FUNNEL}")).unwrap()
}

fn json_of(batch: &RecordBatch) -> Vec<Value> {
    let mut writer = ArrayWriter::new(Vec::new());
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    serde_json::from_slice(&writer.into_inner()).unwrap()
}

async fn report_of(table: &str, funnel: &TableFunnel) -> TableReport {
    table_report(&over(table).await, funnel, true)
        .await
        .unwrap()
}

async fn reached(table: &str, funnel: &TableFunnel) -> Vec<i64> {
    column(&report_of(table, funnel).await, "reached")
}

fn column(report: &TableReport, name: &str) -> Vec<i64> {
    let rows = json_of(&report.rows);
    rows.iter()
        .map(|row| row[name].as_i64().unwrap_or(-1))
        .collect()
}

async fn refusal(table: &str, funnel: &TableFunnel) -> String {
    let answer = table_report(&over(table).await, funnel, false).await;
    answer.unwrap_err().to_string()
}

#[tokio::test]
async fn keys_are_counted_once_and_rows_without_a_key_are_told() {
    let report = report_of(VISITS, &shop("")).await;
    assert_eq!(column(&report, "reached"), [3, 3, 1]);
    assert_eq!(column(&report, "previous"), [-1, 3, 3]);
    assert_eq!(column(&report, "dropped"), [-1, 0, 2]);
    assert_eq!(report.unplaced, 1);
    let first = &json_of(&report.rows)[0];
    assert_eq!(first["max_seconds_to_next"], json!(10.0));
    assert_eq!(
        first["histogram"],
        json!([1, 2]),
        "0, 5 and 10 in two ranges"
    );
}

#[tokio::test]
async fn the_mode_and_the_window_of_the_definition_hold() {
    assert_eq!(
        reached(VISITS, &shop("mode = 'ordered,increase'")).await,
        [3, 2, 1]
    );
    let narrow = TableFunnel {
        window: Some(Span::Number(39)),
        ..shop("")
    };
    assert_eq!(reached(VISITS, &narrow).await, [3, 3, 0]);
    let edge = TableFunnel {
        window: Some(Span::Number(40)),
        ..shop("")
    };
    assert_eq!(reached(VISITS, &edge).await, [3, 3, 1]);
    let exclusive = TableFunnel {
        window: Some(Span::Number(40)),
        ..shop("window_bound = 'exclusive'")
    };
    assert_eq!(reached(VISITS, &exclusive).await, [3, 3, 0]);
}

#[tokio::test]
async fn a_row_fills_several_steps_only_where_it_is_asked_to() {
    let one_row = "CREATE TABLE t AS SELECT 'a' AS \"user\", 1 AS ts, 'view' AS what, 'e' AS id";
    let mut funnel = shop("");
    funnel.steps[1].when = "what IN ('view', 'cart')".to_owned();
    assert_eq!(reached(one_row, &funnel).await, [1, 0, 0]);
    let many = TableFunnel {
        reuse: funnel_match::Reuse::RowMany,
        ..funnel
    };
    assert_eq!(reached(one_row, &many).await, [1, 1, 0]);
}

#[tokio::test]
async fn a_held_value_must_be_equal_over_the_chain() {
    assert_eq!(reached(VISITS, &shop("hold = ['basket']")).await, [3, 2, 0]);
}

#[tokio::test]
async fn an_open_window_is_not_a_loss() {
    let report = report_of(VISITS, &shop("as_of = 112")).await;
    assert_eq!(
        column(&report, "open"),
        [-1, 0, 1],
        "c has until 140, b had until 110"
    );
    assert_eq!(column(&report, "dropped"), [-1, 0, 1]);
}

#[tokio::test]
async fn the_attribution_chooses_the_row_that_names_the_group() {
    let groups = [
        ("first", vec![(json!("app"), 1, 0), (json!("web"), 2, 1)]),
        ("last", vec![(json!("app"), 2, 1), (json!("web"), 1, 0)]),
        (
            "step 1",
            vec![
                (json!("app"), 1, 0),
                (json!("web"), 1, 1),
                (json!(null), 1, 0),
            ],
        ),
        (
            "all",
            vec![
                (json!("app"), 1, 0),
                (json!("web"), 1, 0),
                (json!(null), 1, 0),
            ],
        ),
    ];
    for (attribution, wanted) in groups {
        let text = format!("{FUNNEL}\n[breakdown]\nby = ['via']\nattribution = '{attribution}'");
        let funnel = TableFunnel::parse("test.toml", &text).unwrap();
        let rows = json_of(&report_of(VISITS, &funnel).await.rows);
        let found: Vec<_> = rows
            .chunks(3)
            .map(|steps| {
                let number = |step: usize| steps[step]["reached"].as_i64().unwrap();
                (
                    steps[0].get("via").cloned().unwrap_or_default(),
                    number(0),
                    number(2),
                )
            })
            .collect();
        assert_eq!(found, wanted, "{attribution}");
    }
}

#[tokio::test]
async fn an_empty_text_names_no_group_where_another_row_does() {
    let table = VISITS.replace("'web'", "''");
    for attribution in ["first", "last"] {
        let text = format!("{FUNNEL}\n[breakdown]\nby = ['via']\nattribution = '{attribution}'");
        let funnel = TableFunnel::parse("test.toml", &text).unwrap();
        let rows = json_of(&report_of(&table, &funnel).await.rows);
        let groups: Vec<_> = rows.chunks(3).map(|steps| steps[0].get("via")).collect();
        assert_eq!(groups, [Some(&json!("app")), None], "{attribution}");
    }
}

#[tokio::test]
async fn periods_are_those_of_the_zone_on_both_sides_of_a_change_of_clocks() {
    let table = "CREATE TABLE t AS SELECT u AS \"user\", CAST(at AS TIMESTAMP) AS ts, 'view' AS what, u AS id
      FROM (VALUES ('a', '2024-03-30T22:30:00'), ('b', '2024-03-30T23:30:00'),
                   ('c', '2024-03-31T21:30:00'), ('d', '2024-03-31T22:30:00')) AS v (u, at)";
    for (every, wanted) in [
        (
            "day",
            vec![("2024-03-30", 1), ("2024-03-31", 2), ("2024-04-01", 1)],
        ),
        ("week", vec![("2024-03-25", 3), ("2024-04-01", 1)]),
        ("month", vec![("2024-03-01", 3), ("2024-04-01", 1)]),
    ] {
        let text = format!("{FUNNEL}\n[period]\nevery = '{every}'\nzone = 'Europe/Berlin'");
        let funnel = TableFunnel {
            window: Some("1 day".parse().unwrap()),
            ..TableFunnel::parse("test.toml", &text).unwrap()
        };
        let report = report_of(table, &funnel).await;
        let mut keys = BTreeMap::new();
        for key in json_of(report.keys.as_ref().unwrap()) {
            *keys
                .entry(key["period"].as_str().unwrap().to_owned())
                .or_insert(0) += 1;
        }
        let by_key: Vec<_> = keys
            .iter()
            .map(|(day, count)| (day.as_str(), *count))
            .collect();
        assert_eq!(by_key, wanted, "{every}");
        let rows = json_of(&report.rows);
        let found: Vec<_> = rows
            .chunks(3)
            .map(|steps| {
                (
                    steps[0]["period"].as_str().unwrap(),
                    steps[0]["reached"].as_i64().unwrap(),
                )
            })
            .collect();
        assert_eq!(found, wanted, "{every}");
    }
}

#[tokio::test]
async fn in_any_order_a_key_enters_with_the_step_that_comes_first() {
    let table = "CREATE TABLE t AS SELECT 'a' AS \"user\", CAST(at AS TIMESTAMP) AS ts, what, at AS id
      FROM (VALUES ('2024-03-04T12:00:00', 'cart'), ('2024-03-06T12:00:00', 'view')) AS v (at, what)";
    let text = format!("mode = 'unordered'\n{FUNNEL}\n[period]\nevery = 'day'\nzone = 'UTC'");
    let funnel = TableFunnel {
        window: Some("7 days".parse().unwrap()),
        ..TableFunnel::parse("test.toml", &text).unwrap()
    };
    let rows = json_of(&report_of(table, &funnel).await.rows);
    let reached = rows.iter().map(|row| (&row["period"], &row["reached"]));
    let day = json!("2024-03-04");
    assert_eq!(
        reached.collect::<Vec<_>>(),
        [(&day, &json!(1)), (&day, &json!(1)), (&day, &json!(0))]
    );
}

/// The times as the last numbers without a sign.
const AT_THE_END: &str =
    "arrow_cast('18446744073709551515', 'UInt64') + CAST(ts AS BIGINT UNSIGNED)";

#[tokio::test]
async fn times_above_the_last_number_with_a_sign_are_shown_as_they_are() {
    let mut funnel = shop("");
    funnel.source.time = AT_THE_END.to_owned();
    let report = report_of(VISITS, &funnel).await;
    let keys = json_of(report.keys.as_ref().unwrap());
    let times = [10, 20, 50].map(|ts| 18_446_744_073_709_551_515_u64 + ts);
    assert_eq!(keys[0]["step_times"], json!(times));
}

#[tokio::test]
async fn every_type_of_time_gives_the_same_answer() {
    for (time, window) in [
        ("CAST(ts AS SMALLINT)", "40"),
        ("CAST(ts AS BIGINT UNSIGNED)", "40"),
        (AT_THE_END, "40"),
        ("arrow_cast(ts, 'Timestamp(Second, None)')", "40 seconds"),
        (
            "arrow_cast(ts * 1000, 'Timestamp(Millisecond, Some(\"UTC\"))')",
            "40 seconds",
        ),
        (
            "arrow_cast(ts * 1000000000, 'Timestamp(Nanosecond, None)')",
            "40 seconds",
        ),
        ("arrow_cast(CAST(ts AS INT), 'Date32')", "40 days"),
    ] {
        let mut funnel = shop("");
        funnel.source.time = time.to_owned();
        funnel.window = Some(window.parse().unwrap());
        assert_eq!(reached(VISITS, &funnel).await, [3, 3, 1], "{time}");
    }
}

#[tokio::test]
async fn the_table_of_keys_tells_level_times_ids_and_reason() {
    let report = report_of(VISITS, &shop("")).await;
    let keys = json_of(report.keys.as_ref().unwrap());
    assert_eq!(
        keys[0],
        json!({"key": "a", "level": 3, "state": "converted", "step_times": [10, 20, 50],
               "event_ids": ["e1", "e2", "e3"]})
    );
    assert_eq!(keys[1]["reason"], json!("never_seen"));
    assert_eq!(keys[2]["step_times"], json!([40, 40, null]));
    let levels = report
        .keys
        .as_ref()
        .unwrap()
        .column_by_name("level")
        .unwrap();
    assert_eq!(
        levels
            .as_primitive::<arrow::datatypes::Int32Type>()
            .values(),
        &[3, 2, 2]
    );
}

#[tokio::test]
async fn what_does_not_fit_the_table_is_named_with_what_to_write() {
    let timed = TableFunnel {
        window: Some("3 days".parse().unwrap()),
        ..shop("")
    };
    assert!(
        refusal(VISITS, &timed)
            .await
            .contains("but `source.time` is an integer"),
        "a bare number is asked for"
    );
    let mut text_time = shop("");
    text_time.source.time = "what".to_owned();
    let found = refusal(VISITS, &text_time).await;
    assert!(
        found.contains("`source.time`") && found.contains("TIMESTAMP"),
        "{found}"
    );
    let mut no_condition = shop("");
    no_condition.steps[1].when = "what".to_owned();
    assert!(
        refusal(VISITS, &no_condition)
            .await
            .contains("steps[1].when")
    );
    let mut other_table = shop("");
    other_table.source.table = "nothing".to_owned();
    assert!(
        refusal(VISITS, &other_table)
            .await
            .contains("--table nothing=FILE")
    );
    let endless = TableFunnel {
        window: None,
        ..shop("")
    };
    assert!(refusal(VISITS, &endless).await.contains("has no window"));
}

/// The fenced blocks of `docs/funnels.md` from the examples on, as (language, text).
fn blocks() -> Vec<(String, String)> {
    let text = include_str!("../../../../../docs/funnels.md");
    let (_, section) = text.split_once("## Funnels over any table").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let mut blocks = Vec::new();
    for fenced in section.split("```").skip(1).step_by(2) {
        let (language, text) = fenced.split_once('\n').unwrap();
        blocks.push((language.to_owned(), text.to_owned()));
    }
    blocks
}

#[tokio::test]
async fn the_examples_of_the_documentation_give_what_it_says() {
    let blocks: Vec<_> = blocks()
        .into_iter()
        .filter(|(language, _)| language != "sh")
        .collect();
    assert_eq!(blocks.len() % 3, 0, "table, definition and answer");
    for example in blocks.chunks(3) {
        let [(_, table), (_, definition), (_, wanted)] = example else {
            panic!("three blocks");
        };
        let funnel = TableFunnel::parse("docs/funnels.md", definition).unwrap();
        let report = table_report(&over(table).await, &funnel, false)
            .await
            .unwrap();
        let (header, _) = wanted.split_once('\n').unwrap();
        let mut found = format!("{header}\n");
        for row in json_of(&report.rows) {
            let cell = |name: &str| match row.get(name) {
                None | Some(Value::Null) => String::new(),
                Some(Value::String(text)) => text.clone(),
                Some(other) => other.to_string(),
            };
            let line: Vec<String> = header.split(',').map(cell).collect();
            found.push_str(&line.join(","));
            found.push('\n');
        }
        assert_eq!(found, *wanted, "{}", funnel.name);
    }
}
