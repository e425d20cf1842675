//! The golden scenario, decoded from its messages, in every disguise.

use funnel_datagen::golden::{self, Variant};

use crate::fixture::{decoded, rows};
use crate::session::{QueryOptions, QuerySession};

/// One session per disguise: planning the views takes longer than all of their answers.
#[tokio::test]
async fn facts_outcomes_and_legs_are_the_same_in_every_disguise() {
    for (name, variant) in Variant::all() {
        let (batch, rejects) = decoded(golden::messages(variant));
        assert_eq!(rejects, 0, "{name}");
        let session = QuerySession::from_batches(vec![batch], QueryOptions::default())
            .await
            .expect("session");
        every_offer_has_its_outcome(name, variant, &session).await;
        facts_are_counted_once(name, variant, &session).await;
        legs_have_their_own_facts(name, &session).await;
        unmonitored_offers_reach_their_stages(name, &session).await;
        conversions_reported_twice_are_one(name, &session).await;
    }
}

async fn every_offer_has_its_outcome(name: &str, variant: Variant, session: &QuerySession) {
    let sql = "SELECT visitor_id, session_id, coalesce(context_id, 'na'), offer_outcome \
               FROM offers";
    let mut found = rows(session, sql).await;
    let mut expected: Vec<String> = golden::expected(variant)
        .outcomes
        .iter()
        .map(|o| {
            let context = o.context_id.unwrap_or("na");
            format!("{} {} {context} {}", o.visitor_id, o.session_id, o.stored)
        })
        .collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected, "{name}");
}

/// Metrics of the monitored day, counted plainly from the enriched events.
const COUNTS: &str = "
  SELECT
    count(DISTINCT session_key) FILTER (WHERE event_type = 'session_started'),
    count(DISTINCT session_key) FILTER (WHERE event_type = 'engagement_eligible'),
    count(DISTINCT session_key) FILTER (WHERE event_type = 'engagement_impression'),
    count(*) FILTER (WHERE event_type = 'engagement_impression'),
    count(*) FILTER (WHERE event_type = 'engagement_click'),
    count(*) FILTER (WHERE event_type = 'engagement_click' AND agent_state_at_event = 1),
    count(*) FILTER (WHERE event_type = 'chat_requested'),
    count(*) FILTER (WHERE event_type = 'chat_requested' AND leg_number = 0),
    count(*) FILTER (WHERE event_type = 'chat_connected'),
    count(DISTINCT conversation_key) FILTER (WHERE event_type = 'chat_connected'),
    count(*) FILTER (WHERE event_type = 'chat_ended' AND NOT was_connected),
    count(*) FILTER (WHERE event_type = 'chat_interactive'),
    count(DISTINCT session_key) FILTER (WHERE event_type = 'chat_interactive'),
    count(DISTINCT chat_leg_key) FILTER (WHERE offer_key IS NULL)
  FROM events_enriched
  WHERE NOT is_duplicate AND account_id = '58213347' AND session_start_date = '2024-03-04'";

async fn facts_are_counted_once(name: &str, variant: Variant, session: &QuerySession) {
    let counts = golden::expected(variant).counts;
    let expected: Vec<String> = METRICS
        .iter()
        .map(|metric| counts[metric].to_string())
        .collect();
    assert_eq!(rows(session, COUNTS).await, [expected.join(" ")], "{name}");
}

async fn legs_have_their_own_facts(name: &str, session: &QuerySession) {
    // The queue entry of the second leg is told by the transfer, or a moment later by a state.
    let sql = "SELECT leg_number, requested, connected, interactive, transferred, ended, \
                      ended_by, end_reason, CAST(round(wait_ms / 1000.0) AS INT), duration_ms, \
                      offer_key IS NULL \
               FROM chats \
               WHERE conversation_key IN (SELECT conversation_key FROM chats \
                                          WHERE leg_number = 1) \
               ORDER BY leg_number";
    let expected = [
        "0 true true true true false transfer 106 10 170000 false",
        "1 true true true false true visitor 205 18 222000 false",
    ];
    assert_eq!(rows(session, sql).await, expected, "{name}");
}

async fn unmonitored_offers_reach_their_stages(name: &str, session: &QuerySession) {
    let sql = "SELECT count(DISTINCT session_key), \
                      count(*) FILTER (WHERE availability = 'Available'), \
                      count(*) FILTER (WHERE impression_time IS NOT NULL), \
                      count(*) FILTER (WHERE click_time IS NOT NULL), \
                      count(*) FILTER (WHERE recheck_true_time IS NOT NULL), \
                      count(*) FILTER (WHERE requested_time IS NOT NULL), \
                      count(*) FILTER (WHERE connected_time IS NOT NULL), \
                      count(*) FILTER (WHERE interactive_time IS NOT NULL), \
                      count(*) FILTER (WHERE stale_offer), \
                      sum(retrievals) \
               FROM offers WHERE account_id = '58213399'";
    assert_eq!(rows(session, sql).await, ["7 7 7 6 4 3 2 1 1 8"], "{name}");
}

async fn conversions_reported_twice_are_one(name: &str, session: &QuerySession) {
    let sql = "SELECT order_ref, amount FROM conversions ORDER BY order_ref";
    let expected = ["o-1 120.0000", "o-2 80.0000", "o-3 50.0000"];
    assert_eq!(rows(session, sql).await, expected, "{name}");
}

const METRICS: [&str; 14] = [
    "sessions",
    "prospects",
    "exposed",
    "engagement_views",
    "accepted_offers",
    "online_offers_accepted",
    "requested_chats",
    "requested_conversations",
    "connected_chats",
    "connected_conversations",
    "abandoned_chats",
    "interactive_chats",
    "engaged",
    "unattributed_chats",
];
