//! ClickHouse's functions and modes, as queries that move here meet them.

use crate::{session, text};

/// `SELECT … FROM` rows of time and number.
async fn over(select: &str, rows: &str) -> String {
    let sql = format!("SELECT {select} FROM (VALUES {rows}) AS t(ts, n)");
    text(&session(), &sql).await
}

#[tokio::test]
async fn rows_that_no_condition_names_are_invisible_to_a_pattern() {
    let rows = "(1, 1), (2, 3), (3, 2)";
    let pattern = "sequence_match('(?1)(?2)', ts, n = 1, n = 2)";
    assert_eq!(over(pattern, rows).await, "true");
    let pattern = "sequence_match('(?1)(?2)', ts, n = 1, n = 2, n = 3)";
    assert_eq!(over(pattern, rows).await, "false");
    let pattern = "sequence_match('(?1).(?2)', ts, n = 1, n = 2, n = 3)";
    assert_eq!(over(pattern, rows).await, "true");
}

#[tokio::test]
async fn found_patterns_are_counted_without_overlaps() {
    let rows = "(1, 1), (2, 3), (3, 2), (4, 1), (5, 3), (6, 2)";
    let count = "sequence_count('(?1).*(?2)', ts, n = 1, n = 2)";
    assert_eq!(over(count, rows).await, "2");
    let nothing = format!("{count} FILTER (WHERE n > 3)");
    assert_eq!(over(&nothing, rows).await, "0");
}

#[tokio::test]
async fn time_in_a_pattern_is_in_seconds_days_or_the_unit_of_the_integer() {
    let rows = "(0, 1), (10, 2)";
    for (time, within, without) in [
        ("ts", 10, 9),
        ("to_timestamp(ts)", 10, 9),
        (
            "arrow_cast(to_timestamp(ts), 'Timestamp(Nanosecond, None)')",
            10,
            9,
        ),
        (
            "arrow_cast(to_timestamp(ts), 'Timestamp(Second, Some(\"UTC\"))')",
            10,
            9,
        ),
        ("arrow_cast(CAST(ts AS INT), 'Date32')", 10, 9),
    ] {
        let select = format!(
            "sequence_match('(?1)(?t<={within})(?2)', {time}, n = 1, n = 2),
             sequence_match('(?1)(?t<={without})(?2)', {time}, n = 1, n = 2)"
        );
        assert_eq!(over(&select, rows).await, "true | false", "{time}");
    }
}

#[tokio::test]
async fn retention_is_each_condition_together_with_the_first() {
    let sql = "SELECT k, retention(day = 1, day = 2, day = 3) FROM (VALUES
        ('all', 3), ('all', 1), ('all', 2), ('first', 1), ('late', 2), ('late', 3),
        ('null', 1), ('null', NULL), ('some', 3), ('some', 1)) AS t(k, day)
        GROUP BY k ORDER BY k";
    assert_eq!(
        text(&session(), sql).await,
        "all | [true, true, true]\nfirst | [true, false, false]\nlate | [false, false, false]\n\
         null | [true, false, false]\nsome | [true, false, true]"
    );
}

#[tokio::test]
async fn row_with_a_null_argument_is_skipped() {
    let conditions = "n > 0, CASE WHEN n > 1 THEN true WHEN n > 0 THEN NULL ELSE false END";
    let rows = "(1, 1), (2, 2)";
    let select = format!(
        "window_funnel(5, 'ordered', ts, {conditions}), window_funnel(5, 'ch:default', ts, {conditions}),
         sequence_match('(?1)(?2)', ts, {conditions}), retention({conditions})"
    );
    // ClickHouse lets the row at 2 fill both steps.
    assert_eq!(over(&select, rows).await, "2 | 2 | false | [true, true]");
    assert_eq!(
        over(&select, "(1, 1)").await,
        "1 | 0 | false | [false, false]"
    );
}

#[tokio::test]
async fn irrelevant_rows_break_a_strict_order_only() {
    let rows = "(0, 1), (1, 9), (2, 2)";
    for (mode, level) in [("default", 2), ("strict_order", 1), ("strict_once", 2)] {
        let select = format!("window_funnel(5, 'ch:{mode}', ts, n = 1, n = 2)");
        assert_eq!(over(&select, rows).await, level.to_string(), "{mode}");
    }
    let filtered = "window_funnel(5, 'ch:strict_order', ts, n = 1, n = 2) FILTER (WHERE n < 9)";
    assert_eq!(over(filtered, rows).await, "2");
}

#[tokio::test]
async fn wrong_calls_are_refused_while_planning() {
    let many = ", n = 1".repeat(33);
    for (call, expected) in [
        (
            format!("window_funnel(5, 'ch:default', ts{many})"),
            "at most 32 steps",
        ),
        (
            "window_funnel(5, 'ch:allow_reentry', ts, n = 1)".to_owned(),
            "window_funnel: `mode`: mode 'ch:allow_reentry'",
        ),
        (
            "sequence_match('(?3)', ts, n = 1, n = 2)".to_owned(),
            "sequence_match: `pattern`: pattern '(?3)', position",
        ),
        (
            "sequence_count('(?1', ts, n = 1)".to_owned(),
            "sequence_count: `pattern`",
        ),
        (
            "sequence_count(NULL, ts, n = 1)".to_owned(),
            "`pattern` must be text such as '(?1).*(?2)'",
        ),
        (
            "sequence_match(CAST(n AS VARCHAR), ts, n = 1)".to_owned(),
            "`pattern` must be a constant",
        ),
        (
            "sequence_match('(?1)', ts)".to_owned(),
            "sequence_match needs a pattern, a time and a condition",
        ),
        (
            "sequence_match('(?1)', ts, n)".to_owned(),
            "condition 1 must be a condition (BOOLEAN), found Int64",
        ),
        (
            "sequence_match('(?1)', n = 1, n = 1)".to_owned(),
            "`time` must be a TIMESTAMP",
        ),
        (
            format!("sequence_match('(?1)', ts{many})"),
            "at most 32 conditions, found 33",
        ),
        ("retention()".to_owned(), "retention needs a condition"),
        ("retention(n = 1, n)".to_owned(), "retention: condition 2"),
    ] {
        let sql = format!("SELECT {call} FROM (VALUES (1, 1)) AS t(ts, n)");
        let planned = match session().sql(&sql).await {
            Ok(query) => query.create_physical_plan().await.map(|_| ()),
            Err(error) => Err(error),
        };
        let error = match planned {
            Err(error) => error.to_string(),
            Ok(()) => panic!("{call} was planned"),
        };
        assert!(
            error.contains(expected),
            "{call}\nfound:    {error}\nexpected: {expected}"
        );
    }
}
