//! Values that all rows of a chain share, against the same funnels with the value in GROUP BY.

use crate::arguments::check;
use crate::oracle::{session_of, several_steps_a_row};
use crate::{session, text};

/// Rows with a value to hold, which is NULL at times.
const ROWS: &str = "(SELECT *, CASE WHEN t % 5 = 4 THEN NULL WHEN a IS NULL THEN 'x' ELSE concat('v', t % 2) END AS h FROM t)";

/// Rows of one time in the order in which `hold` has them: it chooses among equally good chains.
const FREE: &str = "named_struct('time', t, 'id', 0)";

const MODES: [&str; 8] = [
    "ordered",
    "ordered,increase",
    "next",
    "unordered",
    "loose",
    "ch:default",
    "ch:strict_once",
    "pinot:default",
];

/// The best of the answers of a key: the level, then what can still become more, then the first value.
fn best(call: &str) -> String {
    let state = match call.contains("as_of") {
        true => {
            "CASE m['state'] WHEN 'converted' THEN 3 WHEN 'open' THEN 2 ELSE CAST(m['level'] > 0 AS INT) END"
        }
        false => "0",
    };
    format!(
        "SELECT k, m FROM (SELECT *, row_number() OVER (PARTITION BY k ORDER BY worse, h NULLS LAST) AS place
         FROM (SELECT *, 4 - 10 * m['level'] - {state} AS worse
               FROM (SELECT k, h, {call} AS m FROM {ROWS} GROUP BY k, h))) WHERE place = 1 ORDER BY k"
    )
}

#[tokio::test]
async fn a_held_value_is_as_if_a_part_of_the_key() {
    let batch = several_steps_a_row(17, 120);
    let mut split = 0;
    for (partitions, batch_rows) in [(1, 8192), (3, 7)] {
        let session = session_of(&batch, partitions, batch_rows);
        for mode in MODES {
            let options = match mode.starts_with("ordered") {
                true => "named_struct('as_of', 14), ",
                false => "",
            };
            let call = |time: &str| format!("funnel_match(6, '{mode}', {options}{time}, a, b, c)");
            let held = call("named_struct('time', t, 'id', 0, 'hold', h)");
            let sql = format!("SELECT k, {held} AS m FROM {ROWS} GROUP BY k ORDER BY k");
            let found = text(&session, &sql).await;
            assert_eq!(found, text(&session, &best(&call(FREE))).await, "{mode}");
            let free = format!("SELECT k, {} AS m FROM t GROUP BY k ORDER BY k", call(FREE));
            split += usize::from(found != text(&session, &free).await);
        }
    }
    assert!(split > 12, "only {split} answers depend on the value");
}

#[tokio::test]
async fn levels_steps_and_counts_are_those_of_the_parts() {
    let batch = several_steps_a_row(23, 120);
    let session = session_of(&batch, 2, 16);
    let time = "named_struct('time', t, 'hold', h)";
    for (held, parts) in [
        (
            format!("window_funnel(6, 'ch:default', {time}, a, b, c)"),
            "max(x) FROM (SELECT k, h, window_funnel(6, 'ch:default', t, a, b, c)",
        ),
        (
            format!("funnel_steps(6, 'next', {time}, a, b, c)"),
            "max(x) FROM (SELECT k, h, funnel_steps(6, 'next', t, a, b, c)",
        ),
        (
            format!(
                "funnel_match(6, named_struct('count', 'attempts'), {time}, a, b, c)['attempts']"
            ),
            "sum(x) FROM (SELECT k, h, funnel_match(6, named_struct('count', 'attempts'), t, a, b, c)['attempts']",
        ),
        (
            format!(
                "funnel_match(6, named_struct('count', 'unique'), {time}, a, b, c)['completions']"
            ),
            "max(x) FROM (SELECT k, h, funnel_match(6, t, a, b, c)['level'] / 3",
        ),
    ] {
        let held = format!("SELECT k, {held} FROM {ROWS} GROUP BY k ORDER BY k");
        let parts =
            format!("SELECT k, {parts} AS x FROM {ROWS} GROUP BY k, h) GROUP BY k ORDER BY k");
        assert_eq!(
            text(&session, &held).await,
            text(&session, &parts).await,
            "{held}"
        );
    }
}

#[tokio::test]
async fn ids_and_several_values_go_with_it() {
    let rows = "(VALUES ('ann', 1, 'a', 1, 'x'), ('ann', 2, 'b', 2, 'x'), ('ann', 3, 'b', 1, 'y'), ('ann', 4, 'b', 1, 'x'),
                 ('bob', 1, 'a', NULL, 'x'), ('bob', 2, 'b', NULL, 'x')) AS t(who, at, what, basket, shop)";
    let answer = |hold: &str| {
        format!(
            "SELECT who, funnel_match(9, named_struct('time', at, 'id', at * 10, 'hold', {hold}), what = 'a', what = 'b')
             FROM {rows} GROUP BY who ORDER BY who"
        )
    };
    let held =
        |times: &str| format!("ann | {times}\nbob | {{level: 2, times: [1, 2], ids: [10, 20]}}");
    let session = session();
    for (hold, times) in [
        ("basket", "{level: 2, times: [1, 3], ids: [10, 30]}"),
        (
            "named_struct('basket', basket, 'shop', shop)",
            "{level: 2, times: [1, 4], ids: [10, 40]}",
        ),
        (
            "arrow_cast(shop, 'Dictionary(Int8, Utf8)')",
            "{level: 2, times: [1, 2], ids: [10, 20]}",
        ),
        ("NULL", "{level: 2, times: [1, 2], ids: [10, 20]}"),
    ] {
        assert_eq!(text(&session, &answer(hold)).await, held(times), "{hold}");
    }
    let none =
        answer("basket").replace("GROUP BY who ORDER", "WHERE who = 'eve' GROUP BY who ORDER");
    assert_eq!(text(&session, &none).await, "");
    let no_group = format!(
        "SELECT window_funnel(9, named_struct('time', at, 'hold', shop), what = 'a') FROM {rows} WHERE who = 'eve'"
    );
    assert_eq!(text(&session, &no_group).await, "0");
}

#[tokio::test]
async fn a_wrong_hold_is_refused_while_planning() {
    check(&[
        (
            "window_funnel(9, named_struct('hold', n), n, yes)",
            "`hold` is a value of each row, so it stands with the time",
        ),
        (
            "funnel_state(9, named_struct('time', n, 'hold', n), yes)",
            "funnel_state: a state is one of times and steps",
        ),
        (
            "window_funnel(9, 'doris:default', named_struct('time', n, 'hold', n), yes)",
            "give it as `sequence`",
        ),
        (
            "window_funnel(9, named_struct('time', n, 'sequence', n), yes)",
            "must have `id` or `hold`",
        ),
    ])
    .await;
}
