//! Each rule on a handful of events.

use funnel_events::EventType as T;

use crate::fixture::{ev, rows, session};

mod chats;
mod golden;
mod links;
mod sessions;
mod simulated;

#[tokio::test]
async fn every_view_answers_over_no_events_at_all() {
    let session = session(&[]).await;
    for view in [
        "events_enriched",
        "sessions",
        "offers",
        "chats",
        "conversions",
    ] {
        let found = rows(&session, &format!("SELECT * FROM {view}")).await;
        assert!(found.is_empty(), "{view}: {found:?}");
    }
}

#[tokio::test]
async fn a_session_with_one_offer_is_one_row_of_each_view() {
    let session = session(&[
        ev(T::SessionStarted, 0),
        ev(T::EngagementImpression, 5)
            .context("1")
            .engagement(7)
            .state(1),
        ev(T::EngagementClick, 9).context("1").engagement(7),
    ])
    .await;
    let sql = "SELECT session_key, exposed, clicked, offers, views FROM sessions";
    assert_eq!(rows(&session, sql).await, ["a|v|s true true 1 1"]);
    let sql = "SELECT offer_key, engagement_id, agent_state_at_click, offer_outcome, join_quality \
               FROM offers";
    assert_eq!(
        rows(&session, sql).await,
        ["a|v|s|1 7 1 click_no_request exact"]
    );
    assert_eq!(rows(&session, "SELECT count(*) FROM chats").await, ["0"]);
}

#[tokio::test]
async fn rare_columns_come_when_they_are_asked_for() {
    let session = session(&[
        ev(T::SessionStarted, 0),
        ev(T::SdeReported, 1).set(|e| {
            e.sde_type = Some("cart".to_owned());
            e.sde_json = Some("{}".to_owned());
        }),
    ])
    .await;
    assert_eq!(
        rows(&session, "SELECT count(*) FROM events_enriched").await,
        ["2"]
    );
    let sql = "SELECT sde_json, time_zone FROM events_enriched WHERE sde_type = 'cart'";
    assert_eq!(rows(&session, sql).await, ["{} UTC"]);
}
