//! Each rule on a handful of events.

use std::sync::Arc;

use datafusion::datasource::MemTable;
use funnel_events::EventType as T;

use crate::fixture::{batch, chat, ev, rows, session};
use crate::{QueryOptions, QuerySession};

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

#[tokio::test]
async fn parts_follow_each_other_and_keep_visitors_of_one_conversation_together() {
    let mut events = Vec::new();
    for number in [3, 1, 0, 2, 5, 4] {
        let visitor = format!("v{number}");
        let viewed = ev(T::PageViewed, number * 100 + 1).visitor(&visitor);
        events.push(ev(T::SessionStarted, number * 100).visitor(&visitor));
        events.push(viewed.set(|event| event.page_title = Some("t".to_owned())));
    }
    for (visitor, second) in [("v0", 10), ("v4", 410)] {
        events.push(
            chat(T::ChatRequested, second, 0)
                .visitor(visitor)
                .chat_key("k"),
        );
    }
    let batch = batch(&events);
    let table = Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]]).unwrap());
    let parts = QuerySession::in_parts(table, &QueryOptions::default(), 4)
        .await
        .unwrap();
    let mut found = Vec::new();
    for part in &parts {
        // A title is read when it is asked for, and then again only that of the part.
        let count = "SELECT visitor_id, count(*) FROM events_enriched GROUP BY 1 ORDER BY 1";
        let counted = rows(part, count).await;
        let titles =
            "SELECT visitor_id, count(page_title) FROM events_enriched GROUP BY 1 ORDER BY 1";
        found.push((counted, rows(part, titles).await));
    }
    let wanted = [
        (["v0 3", "v4 3"], ["v0 1", "v4 1"]),
        (["v1 2", "v2 2"], ["v1 1", "v2 1"]),
        (["v3 2", "v5 2"], ["v3 1", "v5 1"]),
    ];
    let wanted = wanted.map(|(counts, titles)| {
        let texts = |texts: [&str; 2]| texts.map(str::to_owned).to_vec();
        (texts(counts), texts(titles))
    });
    assert_eq!(found, wanted);
}
