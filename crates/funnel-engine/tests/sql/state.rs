//! States of stretches of time, merged: the level of all their rows.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch};
use datafusion::arrow::datatypes::Int32Type;

use crate::arguments::check;
use crate::oracle::{Random, session_of};
use crate::{error, run, session, text};

/// Rows of `keys` keys over twenty instants, any of which may satisfy several steps; one in ten has no time.
fn history(seed: u64, rows: usize, keys: i64) -> RecordBatch {
    let mut random = Random(seed);
    let k: Int64Array = (0..rows).map(|_| Some(random.int(keys))).collect();
    let t: Int64Array = (0..rows)
        .map(|_| (random.below(10) > 0).then(|| random.int(20) - 10))
        .collect();
    let mut columns: Vec<(&str, ArrayRef)> = vec![("k", Arc::new(k)), ("t", Arc::new(t))];
    for name in ["a", "b", "c"] {
        let condition =
            (0..rows).map(|_| [None, Some(true), Some(false)][random.below(3) as usize]);
        columns.push((name, Arc::new(condition.collect::<BooleanArray>())));
    }
    RecordBatch::try_from_iter(columns).unwrap()
}

/// Days of four instants; the rows without a time are a stretch of their own, which is empty.
fn by_days(window: &str, mode: &str) -> String {
    format!(
        "SELECT k, funnel_level(funnel_merge(state), {window}) AS level
         FROM (SELECT k, (t + 100) / 4 AS day, funnel_state({window}, '{mode}', t, a, b, c) AS state
               FROM t GROUP BY k, (t + 100) / 4)
         GROUP BY k ORDER BY k"
    )
}

#[tokio::test]
async fn merged_days_have_the_level_of_the_whole() {
    let batch = history(17, 260, 40);
    let mut differ = false;
    for mode in ["ordered", "ordered,increase"] {
        let mut levels = Vec::new();
        for window in ["NULL", "0", "2", "6", "15"] {
            let whole = format!(
                "SELECT k, window_funnel({window}, '{mode}', t, a, b, c) AS level
                 FROM t GROUP BY k ORDER BY k"
            );
            let expected = text(&session_of(&batch, 1, 8192), &whole).await;
            for (partitions, batch_rows) in [(1, 8192), (2, 1), (3, 7), (4, 8192)] {
                let session = session_of(&batch, partitions, batch_rows);
                assert_eq!(
                    text(&session, &by_days(window, mode)).await,
                    expected,
                    "mode {mode}, window {window}, {partitions} partitions of {batch_rows} rows"
                );
            }
            levels.push(expected);
        }
        levels.dedup();
        differ |= levels.len() == 5;
    }
    assert!(
        differ,
        "the windows change nothing, so the test shows little"
    );
}

#[tokio::test]
async fn merging_goes_on_day_by_day() {
    let batch = history(23, 200, 9);
    let session = session_of(&batch, 2, 16);
    let sql = "SELECT k, day, funnel_level(funnel_merge(state) OVER (PARTITION BY k ORDER BY day)) AS level
               FROM (SELECT k, (t + 100) / 4 AS day, funnel_state(6, t, a, b, c) AS state
                     FROM t WHERE t IS NOT NULL GROUP BY k, (t + 100) / 4) ORDER BY k, day";
    let whole = "SELECT DISTINCT k, day, window_funnel(6, t, a, b, c) OVER (PARTITION BY k ORDER BY day) AS level
                 FROM (SELECT *, (t + 100) / 4 AS day FROM t WHERE t IS NOT NULL) ORDER BY k, day";
    assert_eq!(text(&session, sql).await, text(&session, whole).await);
}

#[tokio::test]
async fn null_is_the_state_of_no_rows() {
    let state = "funnel_state(NULL, t, w = 'a', w = 'b')";
    let sql = format!(
        "SELECT funnel_level(funnel_merge(s)), funnel_level(NULL),
                funnel_level(funnel_merge(NULL)), funnel_merge(NULL) IS NULL
         FROM (SELECT {state} AS s FROM (VALUES (1, 'a')) AS x(t, w)
               UNION ALL SELECT NULL
               UNION ALL SELECT {state} FROM (VALUES (5, 'z')) AS x(t, w)
               UNION ALL SELECT {state} FROM (VALUES (2, 'b')) AS x(t, w)) GROUP BY ()"
    );
    assert_eq!(
        text(&session(), &sql.replace(" GROUP BY ()", "")).await,
        "2 | 0 | 0 | true"
    );
}

#[tokio::test]
async fn stretches_must_not_overlap_or_be_of_other_funnels() {
    let session = session();
    let state = |call: &str, time: &str| {
        format!("SELECT funnel_state({call}) AS s FROM (VALUES {time}) AS x(t, w)")
    };
    let merged = |one: String, other: String| {
        format!("SELECT funnel_merge(s) FROM ({one} UNION ALL {other})")
    };
    let two = "10, t, w = 'a', w = 'b'";
    let three = "10, t, w = 'a', w = 'b', w = 'c'";
    let later = "10, 'ordered,increase', t, w = 'a', w = 'b'";
    let wider = "11, t, w = 'a', w = 'b'";
    let dated = "INTERVAL '10 days', to_timestamp(t), w = 'a', w = 'b'";
    let days = "INTERVAL '10 days', CAST(to_timestamp(t) AS DATE), w = 'a', w = 'b'";
    let cases = [
        (
            two,
            "(1, 'a'), (4, 'b')",
            two,
            "(4, 'a'), (5, 'b')",
            "funnel_merge: states of one key must not overlap in time: one ends at 4, the next begins at 4",
        ),
        (
            dated,
            "(1, 'a'), (4, 'b')",
            dated,
            "(3, 'a')",
            "one ends at",
        ),
        (
            two,
            "(1, 'a')",
            three,
            "(2, 'b')",
            "2 steps, mode 'ordered', a window of 10 and 3 steps",
        ),
        (
            two,
            "(1, 'a')",
            later,
            "(2, 'b')",
            "mode 'ordered,increase'",
        ),
        (
            two,
            "(1, 'a')",
            wider,
            "(2, 'b')",
            "a window of 10 and 2 steps, mode 'ordered', a window of 11",
        ),
        (
            dated,
            "(1, 'a')",
            days,
            "(200000, 'b')",
            "funnel_merge: funnel states of different types of time cannot be merged",
        ),
    ];
    for (one, its, other, others, expected) in cases {
        let sql = merged(state(one, its), state(other, others));
        let message = error(&session, &sql).await;
        assert!(
            message.contains(expected),
            "{sql}\nfound:    {message}\nexpected: {expected}"
        );
    }
}

#[tokio::test]
async fn window_is_the_one_that_the_state_was_made_with() {
    let session = session();
    let level = |state: &str, window: &str| {
        format!(
            "SELECT funnel_level(s, {window}) AS level FROM (SELECT funnel_state({state}, v = 2) AS s
             FROM (VALUES (1, TIMESTAMP '2024-01-01'), (2, TIMESTAMP '2024-01-02')) AS x(v, ts))"
        )
    };
    assert_eq!(text(&session, &level("10, v, v = 1", "5 + 5")).await, "2");
    let dated = "INTERVAL '1 day', ts, v = 1";
    assert_eq!(
        text(&session, &level(dated, "INTERVAL '24 hours'")).await,
        "2"
    );
    let cases = [
        (
            "10, v, v = 1",
            "11",
            "was made for a window of 10, so it cannot answer for a window of 11",
        ),
        (
            "10, v, v = 1",
            "NULL",
            "cannot answer for an unbounded window",
        ),
        (
            "10, v, v = 1",
            "INTERVAL '1 day'",
            "funnel_level: `window` is an INTERVAL but the state's times",
        ),
        (
            dated,
            "24",
            "funnel_level: `window` is a bare number but the state's times are Timestamp",
        ),
        (
            "10, v, v = 1",
            "-1",
            "funnel_level: `window` must not be negative",
        ),
        (
            "10, v, v = 1",
            "'x'",
            "funnel_level: `window` must be an INTERVAL",
        ),
        (
            "10, v, v = 1",
            "INTERVAL '1 month'",
            "must not contain months",
        ),
        (
            "10, v, v = 1",
            "funnel_level(s)",
            "funnel_level: `window` must be a constant",
        ),
    ];
    for (state, window, expected) in cases {
        let message = error(&session, &level(state, window)).await;
        assert!(
            message.contains(expected),
            "{window}\nfound:    {message}\nexpected: {expected}"
        );
    }
}

#[tokio::test]
async fn other_calls_are_refused_while_planning() {
    check(&[
        (
            "funnel_state(NULL, 'loose', 1, true)",
            "funnel_state: `mode`: there is no funnel state for mode 'loose'",
        ),
        (
            "funnel_state(1, 'ch:strict_once', 1, true)",
            "funnel_state: `mode`: there is no funnel state for mode 'ch:strict_once'",
        ),
        (
            "funnel_state(1, named_struct('entry', 'first'), 1, true)",
            "funnel_state: `options`: a state has none",
        ),
        (
            "funnel_state(1, named_struct('time', 1, 'id', 1), true)",
            "funnel_state: a state is one of times and steps",
        ),
        (
            "funnel_state(DISTINCT 1, 1, true)",
            "DISTINCT has no meaning",
        ),
        ("funnel_merge('x')", "funnel_merge: `state` must be BINARY"),
        (
            "funnel_merge(DISTINCT NULL)",
            "funnel_merge: DISTINCT has no meaning",
        ),
        ("funnel_merge()", "funnel_merge takes a state"),
        ("funnel_level(1)", "funnel_level: `state` must be BINARY"),
        ("funnel_level()", "funnel_level takes a state and a window"),
    ])
    .await;
}

#[tokio::test]
async fn other_bytes_are_an_error_or_a_level_and_nothing_else() {
    let session = session();
    let state =
        "SELECT funnel_state(10, v, v % 2 = 0, v % 2 = 1) AS s FROM generate_series(1, 9) AS x(v)";
    let good = run(&session, state).await.unwrap();
    let good = good[0]["s"].as_binary::<i32>().value(0).to_vec();
    let level = async |bytes: &[u8]| {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let sql =
            format!("SELECT funnel_level(funnel_merge(s)) AS l FROM (VALUES (X'{hex}')) AS x(s)");
        match run(&session, &sql).await {
            Ok(levels) => Ok(levels[0]["l"].as_primitive::<Int32Type>().value(0)),
            Err(error) => Err(error.to_string()),
        }
    };
    assert_eq!(level(&good).await, Ok(2));
    for length in 0..good.len() {
        let message = level(&good[..length]).await.unwrap_err();
        assert!(
            message.contains("funnel_merge: not a funnel state"),
            "{message}"
        );
    }
    let mut refused = 0;
    for at in 0..good.len() {
        for flip in [1, 0x80, 0xff] {
            let mut other = good.clone();
            other[at] ^= flip;
            match level(&other).await {
                Ok(level) => assert!((0..=2).contains(&level), "byte {at} gives level {level}"),
                Err(message) => {
                    assert!(message.contains("funnel_merge: "), "{message}");
                    refused += 1;
                }
            }
        }
    }
    assert!(
        refused > good.len(),
        "{refused} of {} changes are seen",
        3 * good.len()
    );
}

#[tokio::test]
async fn times_of_every_type_have_a_state() {
    let session = session();
    for (time, window, level) in [
        ("arrow_cast(v, 'UInt64')", "5", "2"),
        ("arrow_cast(v, 'Int8')", "5", "2"),
        (
            "CAST(to_timestamp(v * 86400) AS DATE)",
            "INTERVAL '5 days'",
            "2",
        ),
        (
            "arrow_cast(to_timestamp(v), 'Timestamp(Nanosecond, None)')",
            "INTERVAL '5 seconds'",
            "2",
        ),
        (
            "arrow_cast(to_timestamp(v), 'Timestamp(Millisecond, Some(\"UTC\"))')",
            "INTERVAL '4 seconds'",
            "1",
        ),
    ] {
        let sql = format!(
            "SELECT funnel_level(funnel_merge(s), {window}) FROM (
             SELECT funnel_state({window}, {time}, v = 0, v = 5) AS s
             FROM (VALUES (0), (5)) AS x(v) GROUP BY v)"
        );
        assert_eq!(text(&session, &sql).await, level, "{time}");
    }
}
