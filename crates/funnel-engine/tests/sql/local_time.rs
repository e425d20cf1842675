//! Days and hours of time zones.

use crate::{run, session, text};

#[tokio::test]
async fn day_begins_and_ends_with_the_zone() {
    let sql = "SELECT local_date(ts, zone), local_hour(ts, zone) FROM (VALUES
            (TIMESTAMP '2026-01-01T04:59:59Z', 'America/New_York'),
            (TIMESTAMP '2026-01-01T05:00:00Z', 'America/New_York'),
            (TIMESTAMP '2026-06-30T18:29:59Z', 'Asia/Kolkata'),
            (TIMESTAMP '2026-06-30T18:30:00Z', 'Asia/Kolkata'),
            (TIMESTAMP '1969-12-31T23:59:59Z', 'UTC'),
            (TIMESTAMP '2026-06-30T22:00:00Z', '+02:00')) AS t(ts, zone)";
    assert_eq!(
        text(&session(), sql).await,
        "2025-12-31 | 23\n2026-01-01 | 0\n2026-06-30 | 23\n2026-07-01 | 0\n\
         1969-12-31 | 23\n2026-07-01 | 0"
    );
}

#[tokio::test]
async fn clocks_that_change_skip_and_repeat_hours() {
    // 2026-03-29: 02:00 is skipped in Berlin; 2026-10-25: 02:00 comes twice.
    let hours = |day: &str| {
        format!(
            "SELECT string_agg(CAST(local_hour(ts, 'Europe/Berlin') AS VARCHAR), ' ' ORDER BY ts)
             FROM generate_series(TIMESTAMP '{day}T00:00:00', TIMESTAMP '{day}T02:00:00',
                                  INTERVAL '1 hour') AS t(ts)"
        )
    };
    assert_eq!(text(&session(), &hours("2026-03-29")).await, "1 3 4");
    assert_eq!(text(&session(), &hours("2026-10-25")).await, "2 2 3");
}

#[tokio::test]
async fn zone_of_the_timestamp_does_not_move_the_instant() {
    let sql = "SELECT local_date(ts, 'UTC'), local_hour(ts, 'UTC') FROM (SELECT
        arrow_cast(arrow_cast(TIMESTAMP '2026-01-01T00:30:00', 'Timestamp(Second, Some(\"UTC\"))'),
                   'Timestamp(Second, Some(\"-08:00\"))') AS ts)";
    assert_eq!(text(&session(), sql).await, "2026-01-01 | 0");
}

#[tokio::test]
async fn missing_time_or_zone_has_no_day() {
    let sql =
        "SELECT local_date(ts, zone), local_date(ts, 'UTC'), local_hour(ts, NULL) FROM (VALUES
        (TIMESTAMP '2026-01-01T00:00:00Z', NULL), (NULL, 'UTC')) AS t(ts, zone)";
    assert_eq!(text(&session(), sql).await, " | 2026-01-01 | \n |  | ");
}

#[tokio::test]
async fn zone_in_a_column_that_does_not_exist_is_named() {
    let sql = "SELECT local_date(ts, zone) FROM (VALUES
        (TIMESTAMP '2026-01-01T00:00:00Z', 'UTC'), (NULL, 'Nowhere')) AS t(ts, zone)";
    let error = run(&session(), sql).await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("there is no time zone 'Nowhere'"),
        "{error}"
    );
}
