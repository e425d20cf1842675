//! Rules inside one session: copies, offers, states, dates.

use std::collections::BTreeMap;

use chrono_tz::Tz;
use funnel_events::EventType as T;

use crate::fixture::{Ev, ev, ev_ms, rows, session, session_with};
use crate::session::QueryOptions;

async fn kinds(events: &[Ev]) -> Vec<String> {
    let sql = "SELECT event_type, source_system, duplicate_kind FROM events_enriched \
               ORDER BY event_time, kafka_offset";
    rows(&session(events).await, sql).await
}

#[tokio::test]
async fn the_copy_that_reached_kafka_first_counts() {
    let once = ev(T::PageViewed, 3);
    let late = Ev {
        delay_ms: 9000,
        ..once.clone()
    };
    // Listed first, but later in Kafka's time.
    let found = kinds(&[late, once]).await;
    assert_eq!(
        found,
        ["page_viewed web_tag event_id", "page_viewed web_tag -"]
    );
}

#[tokio::test]
async fn double_clicks_within_a_second_of_the_last_that_counted_are_one() {
    let click = |ms| ev_ms(T::EngagementClick, ms).context("1");
    let session = session(&[click(0), click(600), click(1100), click(1999), click(2100)]).await;
    let sql = "SELECT duplicate_kind FROM events_enriched ORDER BY event_time";
    assert_eq!(rows(&session, sql).await, ["-", "near", "-", "near", "-"]);
}

#[tokio::test]
async fn impressions_on_two_pages_are_two_views() {
    let shown = |ms, page: &str| {
        let page = page.to_owned();
        ev_ms(T::EngagementImpression, ms)
            .context("1")
            .set(move |e| e.page_id = Some(page))
    };
    let session = session(&[shown(0, "p1"), shown(100, "p2")]).await;
    assert_eq!(rows(&session, "SELECT views FROM offers").await, ["2"]);
}

#[tokio::test]
async fn nightly_copies_count_only_in_families_that_nobody_saw_live() {
    let found = kinds(&[
        ev(T::SessionStarted, 0),
        ev(T::SessionStarted, 1)
            .source("data_access")
            .set(|e| e.source_event = "x".to_owned()),
        ev(T::EngagementImpression, 2)
            .source("data_access")
            .context("1"),
        ev(T::EngagementClick, 3).source("data_access").context("1"),
        ev(T::EngagementClick, 4).source("visit_info").context("1"),
        ev(T::PageViewed, 5).source("visit_info"),
    ])
    .await;
    assert_eq!(
        found,
        [
            "session_started web_tag -",
            "session_started data_access source",
            "engagement_impression data_access -",
            "engagement_click data_access -",
            "engagement_click visit_info source",
            "page_viewed visit_info -",
        ]
    );
}

#[tokio::test]
async fn an_impression_without_context_goes_to_the_latest_open_one_of_its_engagement() {
    let shown = |second, engagement| {
        ev(T::EngagementImpression, second)
            .engagement(engagement)
            .source("app_engagement")
    };
    let retrieved = |second, context: &str, engagement| {
        shown(second, engagement).context(context).set(|e| {
            e.event_type = T::EngagementRetrieved;
            e.event_type_code = T::EngagementRetrieved.code();
            e.availability = Some("Available".to_owned());
        })
    };
    let session = session(&[
        retrieved(0, "1", 7),
        retrieved(10, "2", 7),
        retrieved(20, "3", 8),
        shown(5, 7),
        shown(15, 7),
        shown(25, 7),
        shown(26, 9),
    ])
    .await;
    let sql = "SELECT context_id, join_quality FROM events_enriched \
               WHERE event_type = 'engagement_impression' ORDER BY event_time";
    assert_eq!(
        rows(&session, sql).await,
        ["1 context", "2 context", "2 context", "- none"]
    );
}

#[tokio::test]
async fn each_refused_request_is_an_offer_of_its_own() {
    let refused = |second, answer: &str| {
        let answer = answer.to_owned();
        ev(T::EngagementRetrieved, second).set(move |e| e.availability = Some(answer))
    };
    let session = session(&[
        refused(0, "NotAvailable"),
        refused(5, "Error"),
        refused(9, "NotAvailable"),
    ])
    .await;
    let sql = "SELECT offer_key, offer_outcome, offer_outcome_code FROM offers ORDER BY 1";
    assert_eq!(
        rows(&session, sql).await,
        ["a|v|s|na1 not_available 1", "a|v|s|na2 not_available 1"]
    );
}

#[tokio::test]
async fn a_click_without_a_state_has_the_last_state_of_its_offer() {
    let session = session(&[
        ev(T::EngagementImpression, 0).context("1").state(1),
        ev(T::EngagementImpression, 5).context("2").state(4),
        ev(T::EngagementRendered, 7).context("1").state(2),
        ev(T::EngagementClick, 9).context("1"),
        ev(T::EngagementClick, 10).context("2").state(1),
    ])
    .await;
    let sql = "SELECT context_id, agent_state_at_impression, agent_state_at_click, offer_outcome \
               FROM offers ORDER BY 1";
    assert_eq!(
        rows(&session, sql).await,
        ["1 1 2 blocked_offline", "2 4 1 click_no_request"]
    );
}

#[tokio::test]
async fn a_click_after_the_validity_of_its_offer_is_stale() {
    let retrieved = ev(T::EngagementRetrieved, 0).context("1").set(|e| {
        e.availability = Some("Available".to_owned());
        e.valid_for_seconds = Some(900);
    });
    let click = |ms| ev_ms(T::EngagementClick, ms).context("1");
    let session = session(&[retrieved, click(900_000), click(902_000)]).await;
    let sql = "SELECT stale_offer FROM events_enriched \
               WHERE event_type = 'engagement_click' ORDER BY event_time";
    assert_eq!(rows(&session, sql).await, ["false", "true"]);
}

#[tokio::test]
async fn all_events_of_a_session_have_the_local_date_of_its_start() {
    let zones = BTreeMap::from([("a".to_owned(), Tz::America__New_York)]);
    let options = QueryOptions {
        accounts: zones,
        ..QueryOptions::default()
    };
    // 2024-03-05 04:30 UTC is 23:30 of the day before in New York.
    let start = 16 * 3600 + 30 * 60;
    let events = [
        ev(T::SessionStarted, start),
        ev(T::EngagementClick, start + 3600).context("1"),
    ];
    let session = session_with(&events, options).await;
    let sql = "SELECT session_start_date, local_date, time_zone FROM events_enriched \
               ORDER BY event_time";
    assert_eq!(
        rows(&session, sql).await,
        [
            "2024-03-04 2024-03-04 America/New_York",
            "2024-03-04 2024-03-05 America/New_York",
        ]
    );
}

#[tokio::test]
async fn events_that_arrive_more_than_six_hours_late_say_so() {
    let event = |hours: i64| Ev {
        delay_ms: hours * 3_600_000,
        ..ev(T::PageViewed, hours)
    };
    let session = session(&[event(6), event(7)]).await;
    let sql = "SELECT is_late FROM events_enriched ORDER BY event_time";
    assert_eq!(rows(&session, sql).await, ["false", "true"]);
}

#[tokio::test]
async fn an_open_session_is_in_progress_until_six_hours_after_its_start() {
    use chrono::DateTime;

    let events = [
        ev(T::SessionStarted, 0),
        ev(T::EngagementImpression, 5).context("1"),
    ];
    for (hours, outcome) in [(5, "in_progress 0"), (7, "ignored 10")] {
        let as_of = crate::fixture::NOON_US + hours * 3_600_000_000;
        let options = QueryOptions {
            as_of: DateTime::from_timestamp_micros(as_of),
            ..QueryOptions::default()
        };
        let session = session_with(&events, options).await;
        let sql = "SELECT offer_outcome, offer_outcome_code FROM offers";
        assert_eq!(rows(&session, sql).await, [outcome], "{hours} h");
    }
}

#[tokio::test]
async fn a_second_session_of_a_visitor_is_a_returning_one() {
    let session = session(&[
        ev(T::SessionStarted, 0),
        ev(T::SessionStarted, 500).session("s2"),
        ev(T::SessionStarted, 900).visitor("w").session("s3"),
    ])
    .await;
    let sql = "SELECT session_id, new_vs_returning FROM sessions ORDER BY 1";
    assert_eq!(
        rows(&session, sql).await,
        ["s new", "s2 returning", "s3 new"]
    );
}

#[tokio::test]
async fn conversions_of_several_sources_are_one_by_their_reference() {
    let bought = |second, source: &str, order: &str| {
        let order = order.to_owned();
        ev(T::SdeReported, second).source(source).set(move |e| {
            e.sde_type = Some("purchase".to_owned());
            e.conversion_type = Some("purchase".to_owned());
            e.order_ref = Some(order);
            e.amount = Some(125_000);
        })
    };
    let session = session(&[
        bought(1, "web_tag", "o-1"),
        bought(2, "data_access", "o-1"),
        bought(3, "app_engagement", "o-1").session("s2"),
        bought(4, "web_tag", "o-2"),
    ])
    .await;
    let sql = "SELECT order_ref, amount, session_id FROM conversions ORDER BY 1";
    assert_eq!(
        rows(&session, sql).await,
        ["o-1 12.5000 s", "o-2 12.5000 s"]
    );
}

#[tokio::test]
async fn a_session_limited_to_some_days_reads_no_others() {
    use chrono::NaiveDate;

    let day = 86_400;
    let events = [
        ev(T::SessionStarted, -day),
        ev(T::SessionStarted, 0).session("s2"),
        ev(T::SessionStarted, day).session("s3"),
    ];
    let date = |day| NaiveDate::from_ymd_opt(2024, 3, day).expect("date");
    let options = QueryOptions {
        event_days: Some((date(4), date(5))),
        ..QueryOptions::default()
    };
    let session = session_with(&events, options).await;
    let sql = "SELECT session_id FROM sessions ORDER BY 1";
    assert_eq!(rows(&session, sql).await, ["s2", "s3"]);
}
