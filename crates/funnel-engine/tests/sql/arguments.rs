//! Wrong calls are refused while planning, by a message that names the argument and the way out.

use datafusion::error::DataFusionError;
use datafusion::prelude::SessionContext;

use crate::session;

const TABLE: &str = "(VALUES (TIMESTAMP '2026-01-01T00:00:00Z', 1, 'x', true, 1.5),
    (NULL, NULL, NULL, NULL, NULL)) AS t(ts, n, word, yes, x)";

/// The message of the planning error that `call` gets.
async fn refusal(session: &SessionContext, call: &str) -> String {
    let planned = match session.sql(&format!("SELECT {call} FROM {TABLE}")).await {
        Ok(query) => query.create_physical_plan().await.map(|_| ()),
        Err(error) => Err(error),
    };
    let error = planned
        .err()
        .unwrap_or_else(|| panic!("{call} was planned"));
    match error.find_root() {
        DataFusionError::Plan(message) => {
            let first_line = message.lines().next().unwrap_or_default();
            first_line.trim().to_owned()
        }
        other => panic!("{call}: not an error of planning: {other:?}"),
    }
}

/// Every refusal begins with the function's name and contains what stands beside it.
pub(crate) async fn check(cases: &[(&str, &str)]) {
    let session = session();
    for (call, expected) in cases {
        let message = refusal(&session, call).await;
        let function = call.split('(').next().unwrap_or_default();
        assert!(
            message.starts_with(function) && message.contains(expected),
            "{call}\nfound:    {message}\nexpected: {expected}"
        );
    }
}

#[tokio::test]
async fn window_must_have_a_unit_where_time_has_one() {
    check(&[
        (
            "window_funnel(3600, 'ordered', ts, yes)",
            "window_funnel: `window` is a bare number but `time` is Timestamp",
        ),
        (
            "window_funnel(3600, 'ordered', ts, yes)",
            "for example INTERVAL '3600 seconds'",
        ),
        (
            "funnel_match(1.5, 'ordered', CAST(ts AS DATE), yes)",
            "funnel_match: `window` is a bare",
        ),
        (
            "window_funnel(INTERVAL '1 hour', 'ordered', n, yes)",
            "in the unit of `time`",
        ),
        (
            "window_funnel('1 hour', 'ordered', ts, yes)",
            "`window` must be an INTERVAL",
        ),
        (
            "window_funnel(1.5, 'ordered', n, yes)",
            "`window` must be a whole number",
        ),
        (
            "window_funnel(yes, 'ordered', ts, yes)",
            "`window` must be an INTERVAL",
        ),
    ])
    .await;
}

#[tokio::test]
async fn window_must_be_a_length_of_time() {
    check(&[
        (
            "window_funnel(INTERVAL '1 month', 'ordered', ts, yes)",
            "`window` must not contain months",
        ),
        (
            "window_funnel(INTERVAL '1 year', 'ordered', ts, yes)",
            "for example INTERVAL '30 days'",
        ),
        (
            "window_funnel(INTERVAL '-1 hour', 'ordered', ts, yes)",
            "`window` must not be negative",
        ),
        (
            "window_funnel(- INTERVAL '1 hour', 'ordered', ts, yes)",
            "`window` must not be negative",
        ),
        (
            "window_funnel(-1, 'ordered', n, yes)",
            "`window` must not be negative, found -1",
        ),
        (
            "funnel_steps(n, 'ordered', n, yes)",
            "funnel_steps: `window` must be a constant",
        ),
    ])
    .await;
}

#[tokio::test]
async fn mode_must_be_a_known_word() {
    check(&[
        (
            "window_funnel(NULL, 'strict_order', ts, yes)",
            "window_funnel: `mode`: there is no mode 'strict_order'; known modes: 'ordered', 'ordered,increase', 'next'",
        ),
        ("window_funnel(NULL, NULL, ts, yes)", "`mode` must be text such as 'ordered'"),
        ("window_funnel(NULL, word, ts, yes)", "`mode` must be a constant"),
    ])
    .await;
}

#[tokio::test]
async fn time_and_steps_must_have_their_types() {
    check(&[
        (
            "window_funnel(NULL, 'ordered', x, yes)",
            "`time` must be a TIMESTAMP, a DATE or an integer",
        ),
        ("window_funnel(NULL, 'ordered', word, yes)", "to_timestamp"),
        (
            "window_funnel(NULL, 'ordered', ts, yes, n)",
            "step 2 must be a condition (BOOLEAN), found Int64",
        ),
        (
            "window_funnel(NULL, 'ordered', ts, word)",
            "step 1 must be a condition (BOOLEAN)",
        ),
    ])
    .await;
}

#[tokio::test]
async fn arguments_must_be_there() {
    let too_many = format!("window_funnel(NULL, 'ordered', ts{})", ", yes".repeat(65));
    check(&[
        (
            "window_funnel()",
            "window_funnel needs a window, a time and a step",
        ),
        (
            "window_funnel(NULL)",
            "window_funnel needs a window, a time and a step",
        ),
        (
            "window_funnel(NULL, 'ordered', ts)",
            "window_funnel(window, mode, time, step1, …)",
        ),
        (&too_many, "a funnel has at most 64 steps, found 65"),
        (
            "window_funnel(DISTINCT NULL, 'ordered', ts, yes)",
            "DISTINCT has no meaning here",
        ),
    ])
    .await;
}

#[tokio::test]
async fn window_functions_are_checked_like_aggregates() {
    check(&[
        (
            "window_funnel(NULL, 'backwards', ts, yes) OVER ()",
            "there is no mode 'backwards'",
        ),
        (
            "window_funnel(INTERVAL '1 month', ts, yes) OVER ()",
            "must not contain months",
        ),
        (
            "window_funnel(3600, ts, yes) OVER ()",
            "`window` is a bare number",
        ),
    ])
    .await;
}

#[tokio::test]
async fn local_time_refuses_what_has_no_calendar() {
    check(&[
        (
            "local_date(ts, 'Mars/Olympus')",
            "local_date: there is no time zone 'Mars/Olympus'",
        ),
        (
            "local_hour(n, 'UTC')",
            "local_hour: `time` must be a TIMESTAMP, found Int64",
        ),
        ("local_hour(ts, 1)", "local_hour: `zone` must be text"),
        ("local_hour(ts)", "local_hour takes a time and a time zone"),
    ])
    .await;
}

#[tokio::test]
async fn parameters_are_checked_once_they_are_bound() {
    let session = session();
    let sql = format!("SELECT window_funnel($1, $2, ts, yes) AS level FROM {TABLE}");
    let hour = datafusion::common::ScalarValue::new_interval_mdn(0, 0, 3_600_000_000_000);
    let bind = |mode: &str| vec![hour.clone(), mode.into()];

    let query = session
        .sql(&sql)
        .await
        .unwrap()
        .with_param_values(bind("ordered"))
        .unwrap();
    assert_eq!(query.collect().await.unwrap()[0].num_rows(), 1);

    let query = session
        .sql(&sql)
        .await
        .unwrap()
        .with_param_values(bind("backwards"))
        .unwrap();
    let error = query.create_physical_plan().await.unwrap_err();
    assert!(
        error.to_string().contains("there is no mode 'backwards'"),
        "{error}"
    );
}
