//! Attempts, beginnings, gaps and exclusions, and options that do not go together.

use serde_json::json;

use super::*;

/// `a` goes through twice, `b` once and begins again; `c` is stopped by a refund, `d` after it.
const ORDERS: &str = "CREATE TABLE t AS SELECT * FROM (VALUES
    ('a', 1, 'view', 'e1'), ('a', 2, 'view', 'e2'), ('a', 3, 'cart', 'e3'), ('a', 4, 'buy', 'e4'),
    ('a', 5, 'buy', 'e5'), ('a', 6, 'view', 'e6'), ('a', 7, 'cart', 'e7'), ('a', 9, 'buy', 'e8'),
    ('b', 1, 'view', 'f1'), ('b', 2, 'cart', 'f2'), ('b', 200, 'view', 'f3'),
    ('c', 1, 'view', 'g1'), ('c', 2, 'cart', 'g2'), ('c', 3, 'refund', 'g3'), ('c', 4, 'buy', 'g4'),
    ('d', 1, 'view', 'h1'), ('d', 2, 'cart', 'h2'), ('d', 3, 'buy', 'h3'), ('d', 4, 'refund', 'h4')
  ) AS v (\"user\", ts, what, id)";

/// The shop's funnel with `first` as its first and `last` as its last lines.
fn shop_with(first: &str, last: &str) -> TableFunnel {
    TableFunnel::parse("test.toml", &format!("{first}\n{FUNNEL}\n{last}")).unwrap()
}

const REFUND: &str = "[[exclusions]]\nname = 'refunded'\nwhen = \"what = 'refund'\"";

#[tokio::test]
async fn attempts_and_completions_are_counted_each() {
    assert_eq!(reached(ORDERS, &shop("")).await, [4, 4, 3]);
    let attempts = report_of(ORDERS, &shop("count = 'attempts'")).await;
    assert_eq!(column(&attempts, "reached"), [6, 5, 4]);
    assert_eq!(column(&attempts, "dropped"), [-1, 1, 1]);
    let keys = json_of(attempts.keys.as_ref().unwrap());
    let of_a = keys.iter().filter(|row| row["key"] == json!("a"));
    let times: Vec<_> = of_a.map(|row| &row["step_times"]).collect();
    assert_eq!(times, [&json!([1, 3, 4]), &json!([6, 7, 9])]);
    assert_eq!(
        reached(ORDERS, &shop("count = 'completions'")).await,
        [4, 4, 4]
    );
}

#[tokio::test]
async fn an_excluded_row_ends_an_attempt_and_the_next_one_begins() {
    let rows = "CREATE TABLE t AS SELECT * FROM (VALUES
        ('a', 1, 'view', '1'), ('a', 2, 'cart', '2'), ('a', 3, 'refund', '3'), ('a', 4, 'buy', '4'),
        ('a', 5, 'view', '5'), ('a', 6, 'cart', '6'), ('a', 7, 'buy', '7')) AS v (\"user\", ts, what, id)";
    let count = "count = 'attempts'";
    let dropped = report_of(rows, &shop_with(count, REFUND)).await;
    assert_eq!(column(&dropped, "reached"), [1, 1, 1]);
    assert_eq!(column(&dropped, "excluded")[0], 1);
    let stop = format!("{REFUND}\naction = 'stop'");
    let stopped = report_of(rows, &shop_with(count, &stop)).await;
    assert_eq!(column(&stopped, "reached"), [2, 2, 1]);
    assert_eq!(column(&stopped, "excluded"), [0, 0, 1]);
    let keys = json_of(stopped.keys.as_ref().unwrap());
    let states: Vec<_> = keys
        .iter()
        .map(|row| (&row["state"], &row["reason"]))
        .collect();
    let expected = [
        (json!("excluded"), json!("excluded_by")),
        (json!("converted"), json!(null)),
    ];
    assert_eq!(
        states,
        expected.each_ref().map(|(state, reason)| (state, reason))
    );
}

#[tokio::test]
async fn rows_outside_of_an_attempt_say_why_it_went_no_further() {
    let rows = "CREATE TABLE t AS SELECT * FROM (VALUES
        ('a', 0, 'view', '1'), ('a', 105, 'cart', '2'), ('a', 300, 'view', '3'), ('a', 310, 'cart', '4'),
        ('b', 0, 'cart', '5'), ('b', 1, 'view', '6'), ('c', 1, 'view', '7')) AS v (\"user\", ts, what, id)";
    let report = report_of(rows, &shop("count = 'attempts'")).await;
    let keys = json_of(report.keys.as_ref().unwrap());
    let reasons: Vec<_> = keys
        .iter()
        .map(|row| (&row["key"], &row["reason"]))
        .collect();
    let expected = [
        ("a", "after_window"),
        ("a", "never_seen"),
        ("b", "only_before_entry"),
        ("c", "never_seen"),
    ]
    .map(|(key, reason)| (json!(key), json!(reason)));
    assert_eq!(
        reasons,
        expected.each_ref().map(|(key, reason)| (key, reason))
    );
}

#[tokio::test]
async fn the_beginning_that_counts_is_the_one_asked_for() {
    let times = async |first: &str| {
        let report = report_of(ORDERS, &shop(first)).await;
        json_of(report.keys.as_ref().unwrap())[0]["step_times"].clone()
    };
    assert_eq!(times("").await, json!([2, 3, 4]));
    assert_eq!(times("entry = 'first'").await, json!([1, 3, 4]));
    assert_eq!(times("entry = 'earliest_longest'").await, json!([1, 3, 4]));
}

#[tokio::test]
async fn a_gap_that_is_too_long_breaks_the_chain() {
    let mut funnel = shop("");
    funnel.steps[2].max_gap = Some(Span::Number(0));
    assert_eq!(reached(ORDERS, &funnel).await, [4, 4, 0]);
    funnel.steps[2].max_gap = Some(Span::Number(1));
    assert_eq!(
        reached(ORDERS, &funnel).await,
        [4, 4, 2],
        "c waits 2 seconds"
    );
    funnel.steps[2].max_gap = Some("1 day".parse().unwrap());
    let found = refusal(ORDERS, &funnel).await;
    assert!(found.contains("`steps[2].max_gap` is 1 days"), "{found}");
}

#[tokio::test]
async fn excluded_keys_stand_apart_or_at_the_step_that_they_missed() {
    let dropped = report_of(ORDERS, &shop_with("", REFUND)).await;
    assert_eq!(column(&dropped, "reached"), [3, 3, 2]);
    assert_eq!(column(&dropped, "excluded"), [1, 0, 0]);
    assert_eq!(column(&dropped, "dropped"), [-1, 0, 1]);
    let key = &json_of(dropped.keys.as_ref().unwrap())[2];
    assert_eq!(
        *key,
        json!({"key": "c", "level": 0, "state": "excluded", "reason": "excluded_by",
               "exclusion": "refunded", "excluded_by": "g3",
               "step_times": [null, null, null], "event_ids": [null, null, null]})
    );
    let stop = format!("{REFUND}\naction = 'stop'");
    let stopped = report_of(ORDERS, &shop_with("", &stop)).await;
    assert_eq!(column(&stopped, "reached"), [4, 4, 2]);
    assert_eq!(column(&stopped, "excluded"), [0, 0, 1]);
    assert_eq!(column(&stopped, "dropped"), [-1, 0, 1]);
    let rows = json_of(&stopped.rows);
    assert_eq!(rows[2]["drop_reasons"], json!({"never_seen": 1}));
    let key = &json_of(stopped.keys.as_ref().unwrap())[2];
    assert_eq!(
        (&key["level"], &key["state"]),
        (&json!(2), &json!("excluded"))
    );
    // Between other steps the refund of `c` is harmless.
    let early = format!("{REFUND}\nto = 'cart'");
    assert_eq!(reached(ORDERS, &shop_with("", &early)).await, [4, 4, 3]);
}

#[tokio::test]
async fn an_excluded_key_has_a_period_and_the_value_of_its_steps() {
    let table = "CREATE TABLE t AS SELECT u AS \"user\", CAST(at AS TIMESTAMP) AS ts, what, via, at AS id
      FROM (VALUES ('a', '2024-03-04T12:00:00', 'refund', 'app'), ('a', '2024-03-05T12:00:00', 'view', 'web'),
                   ('a', '2024-03-06T12:00:00', 'refund', 'app')) AS v (u, at, what, via)";
    let more = format!("{REFUND}\n[period]\nevery = 'day'\n[breakdown]\nby = ['via']");
    let funnel = TableFunnel {
        window: Some("7 days".parse().unwrap()),
        ..shop_with("", &more)
    };
    let first = &json_of(&report_of(table, &funnel).await.rows)[0];
    assert_eq!(
        (&first["via"], &first["period"], &first["excluded"]),
        (&json!("web"), &json!("2024-03-05"), &json!(1))
    );
}

#[tokio::test]
async fn options_that_do_not_go_together_are_named_by_their_key() {
    let gap = FUNNEL.replace("name = \"buy\"", "name = \"buy\"\nmax_gap = 5");
    for (first, text, last, wanted) in [
        ("mode = 'loose'", FUNNEL, REFUND, "`exclusions`"),
        ("mode = 'next'\nentry = 'first'", FUNNEL, "", "`entry`"),
        (
            "count = 'attempts'\nentry = 'earliest_longest'",
            FUNNEL,
            "",
            "`count`",
        ),
        (
            "mode = 'set'",
            &*gap.replace("window = 100", ""),
            "",
            "`steps`",
        ),
        ("mode = 'set'", FUNNEL, "", "`window`"),
        ("mode = 'ORDERED'", FUNNEL, "", "write \"ordered\""),
        ("mode = 'ch:default'\nas_of = 5", FUNNEL, "", "`as_of`"),
        (
            "entry = 'last'",
            FUNNEL,
            "",
            "`entry`: `last` is none of the choices; write \"latest\"",
        ),
        (
            "",
            FUNNEL,
            &*format!("{REFUND}\nfrom = 'basket'"),
            "`exclusions[0].from`: `basket`",
        ),
        (
            "",
            FUNNEL,
            &*format!("{REFUND}\nfrom = 'cart'\nto = 'cart'"),
            "`exclusions[0].from`",
        ),
        (
            "",
            FUNNEL,
            &*format!("{REFUND}\n{REFUND}"),
            "`exclusions[1].name`",
        ),
        (
            "",
            &*FUNNEL.replace("when = \"what = 'view'\"", "when = 'true'\noptional = true"),
            "",
            "`steps[0].optional`",
        ),
    ] {
        let text = format!("{first}\n{text}\n{last}");
        let error = TableFunnel::parse("test.toml", &text)
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("test.toml") && error.contains(wanted),
            "{wanted}: {error}"
        );
    }
    let no_length = FUNNEL.replace("window = 100", "window = true");
    let error = TableFunnel::parse("test.toml", &no_length).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert!(source.contains("such as \"30 minutes\""), "{source}");
    let mut wrong = shop_with("", REFUND);
    wrong.exclusions[0].when = "what".to_owned();
    assert!(refusal(ORDERS, &wrong).await.contains("exclusions[0].when"));
}
