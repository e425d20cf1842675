//! Keys of a table, explained; held to the report of the same definition.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type};

use super::*;
use crate::explain::timeline::text;
use crate::report::table_report;
use crate::{ErrorKind, QueryOptions};

const VISITS: &str = "CREATE TABLE visits AS SELECT * FROM (VALUES
    ('ann', 10, 'view', 'a1', 1), ('ann', 20, 'help', 'a2', 1), ('ann', 30, 'cart', 'a3', 1),
    ('ann', 30, 'cart', 'a3', 1), ('ann', 95, 'buy', 'a4', 1),
    ('ben', 10, 'view', 'b1', 1), ('ben', 30, 'cart', 'b2', 2), ('ben', NULL, 'buy', 'b3', 1),
    ('cat', 5, 'buy', 'c1', 1), ('cat', 40, 'view', 'c2', 1), ('cat', 41, 'test', 'c3', 1),
    ('dan', 1, 'cart', 'd1', 1), ('dan', 2, 'view', 'd2', 1), ('dan', 3, 'cart', 'd3', 1),
    ('dan', 70, 'buy', 'd4', 1), ('dan', 80, 'view', 'd5', 1), ('dan', 81, 'help', 'd6', 1),
    ('dan', 82, 'cart', 'd7', 1), ('dan', 83, 'buy', 'd8', 1), ('dan', 90, 'view', 'd9', 1)
  ) AS v (visitor, second, what, id, basket)";

const FUNNEL: &str = r#"
name = "shop"
window = 60
[source]
table = "visits"
key = "visitor"
time = "second"
event_id = "id"
[[steps]]
name = "seen"
when = "what = 'view'"
[[steps]]
name = "in_cart"
when = "what = 'cart'"
[[steps]]
name = "bought"
when = "what = 'buy'"
"#;

/// The definition with more lines before it.
fn shop(first: &str) -> TableFunnel {
    TableFunnel::parse("test.toml", &format!("{first}\n{FUNNEL}")).unwrap()
}

async fn visits() -> QuerySession {
    let session = QuerySession::without_lake(QueryOptions::default()).unwrap();
    session.collect(VISITS).await.unwrap();
    session
}

/// The classes of a key's rows in the order of time, and its reason.
async fn explained(first: &str, key: &str) -> (Vec<String>, Verdict) {
    let answer = explain_key(&visits().await, &shop(first), key)
        .await
        .unwrap();
    let classes = text(&answer.rows, "class").unwrap();
    let classes = classes.iter().flatten().map(str::to_owned).collect();
    (classes, answer.verdict)
}

#[tokio::test]
async fn every_row_of_a_key_has_a_decision() {
    let (classes, verdict) = explained("", "ann").await;
    assert_eq!(
        classes,
        [
            "used",
            "not_a_step",
            "used",
            "duplicate_id",
            "out_of_window"
        ]
    );
    assert_eq!(verdict.reason, Some("after_window"));
    assert_eq!(
        verdict.text,
        "`bought` happened 25 after the window had ended"
    );
    let (classes, _) = explained("where = \"what <> 'test'\"", "cat").await;
    assert_eq!(classes, ["before_entry", "used", "filtered"]);
}

#[tokio::test]
async fn rows_of_other_held_values_are_told_apart() {
    let (classes, verdict) = explained("hold = [\"basket\"]", "ben").await;
    assert_eq!(classes, ["used", "other_hold", "null_time"]);
    assert_eq!(verdict.reason, Some("held_differs"));
    assert_eq!(verdict.missing_step.as_deref(), Some("in_cart"));
    let (_, verdict) = explained("", "ben").await;
    assert_eq!(verdict.reason, Some("never_seen"));
}

#[tokio::test]
async fn what_came_between_is_named_by_its_row() {
    let (classes, verdict) = explained("mode = \"next\"", "ann").await;
    assert_eq!(
        classes,
        [
            "used",
            "interrupts",
            "interrupted",
            "duplicate_id",
            "out_of_order"
        ]
    );
    assert_eq!(verdict.reason, Some("interrupted"));
    assert!(
        verdict.text.starts_with("row 2 came between"),
        "{}",
        verdict.text
    );
    let (classes, verdict) = explained("mode = \"ch:strict_order\"", "ann").await;
    assert_eq!(classes[2], "own_rule");
    assert_eq!(verdict.reason, Some("own_rule"));
    assert!(
        verdict.text.contains("a rule of mode ch:strict_order"),
        "{}",
        verdict.text
    );
}

#[tokio::test]
async fn explanations_and_the_table_of_keys_say_the_same() {
    let session = visits().await;
    for first in [
        "",
        "hold = [\"basket\"]",
        "mode = \"next\"",
        "mode = \"loose\"",
        "mode = \"ordered,increase\"",
        "mode = \"unordered\"",
        "mode = \"ch:strict_deduplication\"",
        "as_of = 65",
    ] {
        let funnel = shop(first);
        let report = table_report(&session, &funnel, true).await.unwrap();
        let keys = report.keys.unwrap();
        let names = text(&keys, "key").unwrap();
        let reasons = text(&keys, "reason").unwrap();
        let levels = keys.column_by_name("level").unwrap();
        let levels = levels.as_primitive::<Int32Type>();
        let times = keys.column_by_name("step_times").unwrap().as_list::<i32>();
        assert_eq!(keys.num_rows(), 4);
        for unit in 0..keys.num_rows() {
            let key = names.value(unit);
            let answer = explain_key(&session, &funnel, key).await.unwrap();
            let place = format!("{first}: {key}");
            let reason = reasons.is_valid(unit).then(|| reasons.value(unit));
            assert_eq!(answer.verdict.reason, reason, "{place}");
            let level = i32::try_from(answer.verdict.level).unwrap();
            assert_eq!(level, levels.value(unit), "{place}");
            let classes = text(&answer.rows, "class").unwrap();
            let at = answer.rows.column_by_name("event_time").unwrap();
            let at = at.as_primitive::<Int64Type>();
            let used = (0..at.len()).filter(|row| classes.value(*row) == "used");
            let used: Vec<i64> = used.map(|row| at.value(row)).collect();
            let mut chain: Vec<i64> = {
                let steps = times.value(unit);
                let steps = steps.as_primitive::<Int64Type>();
                steps.iter().flatten().collect()
            };
            chain.sort_unstable();
            assert_eq!(used, chain, "{place}");
        }
    }
}

#[tokio::test]
async fn a_key_that_no_row_has_is_answered_with_the_nearest() {
    let error = explain_key(&visits().await, &shop(""), "anne")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let said = error.to_string();
    assert!(
        said.contains("table `visits` has the key `anne`; the nearest keys are `ann`"),
        "{said}"
    );
}

/// In each attempt the rows of its own chain, level and reason of the best; as many as the report counts.
#[tokio::test]
async fn attempts_are_explained_one_by_one() {
    for (count, attempts) in [("attempts", 3), ("completions", 1)] {
        let funnel = shop(&format!("count = '{count}'"));
        let session = visits().await;
        let answer = explain_key(&session, &funnel, "dan").await.unwrap();
        let classes = text(&answer.rows, "class").unwrap();
        let classes: Vec<&str> = classes.iter().flatten().collect();
        let numbers = answer.rows.column_by_name("attempt").unwrap();
        let numbers: Vec<_> = numbers.as_primitive::<Int32Type>().iter().collect();
        let expected = [
            (None, "before_entry"),
            (Some(1), "used"),
            (Some(1), "used"),
            (None, "out_of_window"),
            (Some(2), "used"),
            (Some(2), "not_a_step"),
            (Some(2), "used"),
            (Some(2), "used"),
            (Some(3), "used"),
        ];
        let found: Vec<_> = numbers.into_iter().zip(classes).collect();
        assert_eq!(found, expected, "{count}");
        assert_eq!((answer.verdict.level, answer.verdict.reason), (3, None));
        assert!(answer.verdict.text.starts_with("of 3 attempts the best: "));
        let report = table_report(&session, &funnel, true).await.unwrap();
        let keys = report.keys.unwrap();
        let of_dan = text(&keys, "key").unwrap();
        let of_dan = of_dan.iter().filter(|key| *key == Some("dan")).count();
        assert_eq!(of_dan, attempts, "{count}");
    }
    let (classes, verdict) = explained("count = 'attempts'", "ann").await;
    let once = explained("", "ann").await;
    assert_eq!((classes, verdict.reason), (once.0, once.1.reason));
    let (_, verdict) = explained("count = 'attempts'", "cat").await;
    assert_eq!(verdict.reason, Some("never_seen"));
}
