//! What comes back, and from which types of time.

use crate::{session, text};

const CHATS: &str = "(VALUES
    ('ann', TIMESTAMP '2026-03-01T10:00:00Z', 'exposed'),
    ('ann', TIMESTAMP '2026-03-01T10:00:40Z', 'exposed'),
    ('ann', TIMESTAMP '2026-03-01T10:01:00Z', 'clicked'),
    ('ann', TIMESTAMP '2026-03-01T10:01:30Z', 'requested'),
    ('bob', TIMESTAMP '2026-03-01T11:00:00Z', 'clicked'),
    ('bob', TIMESTAMP '2026-03-01T11:00:05Z', 'requested'),
    ('cat', TIMESTAMP '2026-03-01T12:00:00Z', 'left'),
    ('dan', NULL, 'exposed')) AS t(visitor, time, event)";

const STEPS: &str = "time, event = 'exposed', event = 'clicked', event = 'requested'";

#[tokio::test]
async fn ordered_needs_the_steps_before_and_loose_does_not() {
    let sql = format!(
        "SELECT visitor, window_funnel(INTERVAL '1 minute', 'ordered', {STEPS}),
                funnel_steps(INTERVAL '1 minute', 'ordered', {STEPS}),
                window_funnel(INTERVAL '1 minute', 'loose', {STEPS}),
                funnel_steps(INTERVAL '1 minute', 'loose', {STEPS})
         FROM {CHATS} GROUP BY visitor ORDER BY visitor"
    );
    assert_eq!(
        text(&session(), &sql).await,
        "ann | 3 | [true, true, true] | 3 | [true, true, true]\n\
         bob | 0 | [false, false, false] | 3 | [false, true, true]\n\
         cat | 0 | [false, false, false] | 0 | [false, false, false]\n\
         dan | 0 | [false, false, false] | 0 | [false, false, false]"
    );
}

#[tokio::test]
async fn conditions_as_clickhouse_writes_them_are_taken() {
    let byte = |column: &str| format!("arrow_cast({column}, 'UInt8') AS {column}");
    let sql = format!(
        "SELECT who, window_funnel(10, 'ch:strict_once', at, a, b),
                sequence_match('(?1)(?2)', at, a, b), retention(a, b)
         FROM (SELECT who, at, {}, {}
               FROM (VALUES ('ann', 1, 1, 0), ('ann', 2, 0, 7), ('bob', 1, 0, 1), ('bob', 2, 1, NULL))
                    AS t(who, at, a, b))
         GROUP BY who ORDER BY who",
        byte("a"),
        byte("b")
    );
    assert_eq!(
        text(&session(), &sql).await,
        "ann | 2 | true | [true, true]\n\
         bob | 0 | false | [false, false]"
    );
}

#[tokio::test]
async fn times_are_those_of_the_chain_or_the_first_of_each_step() {
    let sql = format!(
        "SELECT visitor, funnel_match(INTERVAL '1 minute', 'ordered', {STEPS}) AS ordered,
                funnel_match(NULL, 'loose', {STEPS}) AS loose
         FROM {CHATS} WHERE visitor IN ('ann', 'bob') GROUP BY visitor ORDER BY visitor"
    );
    assert_eq!(
        text(&session(), &sql).await,
        "ann | {level: 3, times: [2026-03-01T10:00:40Z, 2026-03-01T10:01:00Z, 2026-03-01T10:01:30Z]} \
         | {level: 3, times: [2026-03-01T10:00:00Z, 2026-03-01T10:01:00Z, 2026-03-01T10:01:30Z]}\n\
         bob | {level: 0, times: []} \
         | {level: 3, times: [, 2026-03-01T11:00:00Z, 2026-03-01T11:00:05Z]}"
    );
}

#[tokio::test]
async fn mode_is_ordered_where_none_is_given() {
    let sql = format!(
        "SELECT visitor, window_funnel(INTERVAL '1 minute', {STEPS}) FROM {CHATS}
         GROUP BY visitor ORDER BY visitor"
    );
    assert_eq!(
        text(&session(), &sql).await,
        "ann | 3\nbob | 0\ncat | 0\ndan | 0"
    );
}

#[tokio::test]
async fn no_rows_are_level_zero_and_no_step() {
    let sql = format!(
        "SELECT window_funnel(NULL, 'ordered', {STEPS}) AS level,
                funnel_match(NULL, 'ordered', {STEPS}) AS m, funnel_steps(NULL, 'loose', {STEPS}) AS s
         FROM {CHATS} WHERE visitor = 'nobody'"
    );
    assert_eq!(
        text(&session(), &sql).await,
        "0 | {level: 0, times: []} | [false, false, false]"
    );
}

#[tokio::test]
async fn filter_clause_leaves_rows_out() {
    let sql = format!(
        "SELECT visitor, window_funnel(INTERVAL '1 minute', 'ordered', {STEPS})
                             FILTER (WHERE event <> 'clicked')
         FROM {CHATS} GROUP BY visitor ORDER BY visitor LIMIT 1"
    );
    assert_eq!(text(&session(), &sql).await, "ann | 1");
}

#[tokio::test]
async fn growing_window_frame_shows_the_level_so_far() {
    let sql = format!(
        "SELECT event, window_funnel(INTERVAL '1 minute', 'ordered', {STEPS})
                           OVER (PARTITION BY visitor ORDER BY time)
         FROM {CHATS} WHERE visitor = 'ann' ORDER BY time"
    );
    assert_eq!(
        text(&session(), &sql).await,
        "exposed | 1\nexposed | 1\nclicked | 2\nrequested | 3"
    );
}

#[tokio::test]
async fn constants_may_be_computed() {
    let sql = format!(
        "SELECT window_funnel(INTERVAL '30 seconds' + INTERVAL '30 seconds', lower('ORDERED'), {STEPS}) FROM {CHATS}
         WHERE visitor = 'ann'"
    );
    assert_eq!(text(&session(), &sql).await, "3");
}

/// The second step comes exactly two days after the first, in every type of time.
#[tokio::test]
async fn window_means_the_same_for_every_type_of_time() {
    let session = session();
    let days = "(VALUES (DATE '1969-12-31', 1), (DATE '1970-01-02', 2)) AS t(day, step)";
    let timestamps = ["Second", "Millisecond", "Microsecond", "Nanosecond"].map(|unit| {
        [
            format!("arrow_cast(day, 'Timestamp({unit}, None)')"),
            format!("arrow_cast(arrow_cast(day, 'Timestamp({unit}, None)'), 'Timestamp({unit}, Some(\"+02:00\"))')"),
        ]
    });
    let dates = ["day".to_owned(), "arrow_cast(day, 'Date64')".to_owned()];
    for time in timestamps.concat().iter().chain(&dates) {
        for (window, level) in [
            ("2 days", 2),
            ("47 hours", 1),
            ("172799999 milliseconds", 1),
        ] {
            let sql = format!(
                "SELECT window_funnel(INTERVAL '{window}', 'ordered', {time}, step = 1, step = 2)
                 FROM {days}"
            );
            assert_eq!(
                text(&session, &sql).await,
                level.to_string(),
                "{time} within {window}"
            );
        }
    }
    for integer in [
        "TINYINT",
        "SMALLINT",
        "INT",
        "BIGINT",
        "INT UNSIGNED",
        "BIGINT UNSIGNED",
    ] {
        for (window, level) in [(2, 2), (1, 1)] {
            let sql = format!(
                "SELECT window_funnel({window}, 'ordered', CAST(step * 2 AS {integer}), step = 1,
                                      step = 2) FROM {days}"
            );
            assert_eq!(
                text(&session, &sql).await,
                level.to_string(),
                "{integer} within {window}"
            );
        }
    }
}

#[tokio::test]
async fn times_come_back_in_microseconds_utc_or_as_the_integers_they_were() {
    let session = session();
    for (time, data_type) in [
        (
            "arrow_cast(1, 'Timestamp(Nanosecond, None)')",
            "Timestamp(µs, \"UTC\")",
        ),
        ("DATE '2026-01-01'", "Timestamp(µs, \"UTC\")"),
        ("CAST(1 AS SMALLINT)", "Int64"),
        ("CAST(18446744073709551615 AS BIGINT UNSIGNED)", "UInt64"),
    ] {
        let sql =
            format!("SELECT arrow_typeof(funnel_match(NULL, 'ordered', {time}, true)['times'][1])");
        assert_eq!(text(&session, &sql).await, data_type, "{time}");
    }
    let sql =
        "SELECT funnel_match(NULL, 'loose', CAST(18446744073709551615 AS BIGINT UNSIGNED), true)";
    assert_eq!(
        text(&session, sql).await,
        "{level: 1, times: [18446744073709551615]}"
    );
}
