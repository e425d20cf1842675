//! Simulated traffic with everything that goes wrong, against what the simulator knows of it.

use std::collections::BTreeSet;

use chrono::DateTime;
use funnel_datagen::truth::AccountTruth;
use funnel_datagen::{Options, Simulation, Truth};

use crate::fixture::{decoded, rows};
use crate::session::{QueryOptions, QuerySession};

/// Metric and what is counted over the enriched events of one account.
const METRICS: [(&str, &str); 19] = [
    (
        "sessions",
        "count(DISTINCT CASE WHEN event_type = 'session_started' THEN session_key END)",
    ),
    (
        "prospects",
        "count(DISTINCT CASE WHEN event_type = 'engagement_eligible' THEN session_key END)",
    ),
    (
        "exposed",
        "count(DISTINCT CASE WHEN event_type = 'engagement_impression' THEN session_key END)",
    ),
    (
        "exposures",
        "count(DISTINCT CASE WHEN event_type = 'engagement_impression' \
         THEN concat(session_key, '|', engagement_id) END)",
    ),
    (
        "busy_exposures",
        "count(DISTINCT CASE WHEN event_type = 'engagement_impression' AND agent_state = 4 \
         THEN concat(session_key, '|', engagement_id) END)",
    ),
    (
        "engagement_views",
        "sum(CAST(event_type = 'engagement_impression' AS INT))",
    ),
    (
        "accepted_offers",
        "sum(CAST(event_type = 'engagement_click' AS INT))",
    ),
    (
        "online_offers_accepted",
        "count(CASE WHEN event_type = 'engagement_click' AND agent_state_at_event = 1 THEN 1 END)",
    ),
    (
        "offline_offers_accepted",
        "count(CASE WHEN event_type = 'engagement_click' AND agent_state_at_event = 2 THEN 1 END)",
    ),
    (
        "content_clicked",
        "count(CASE WHEN event_type = 'engagement_click' AND is_content THEN 1 END)",
    ),
    (
        "requested_chats",
        "count(CASE WHEN event_type = 'chat_requested' AND offer_key IS NOT NULL THEN 1 END)",
    ),
    (
        "requested_conversations",
        "count(DISTINCT CASE WHEN event_type = 'chat_requested' AND offer_key IS NOT NULL \
         THEN conversation_key END)",
    ),
    (
        "connected_chats",
        "count(CASE WHEN event_type = 'chat_connected' AND offer_key IS NOT NULL THEN 1 END)",
    ),
    (
        "connected_conversations",
        "count(DISTINCT CASE WHEN event_type = 'chat_connected' AND offer_key IS NOT NULL \
         THEN conversation_key END)",
    ),
    (
        "abandoned_chats",
        "count(CASE WHEN event_type = 'chat_ended' AND NOT was_connected \
         AND offer_key IS NOT NULL THEN 1 END)",
    ),
    (
        "interactive_chats",
        "count(CASE WHEN event_type = 'chat_interactive' AND offer_key IS NOT NULL THEN 1 END)",
    ),
    (
        "unattributed_chats",
        "count(DISTINCT CASE WHEN event_type = 'chat_requested' AND offer_key IS NULL \
         THEN conversation_key END)",
    ),
    ("offers", "count(DISTINCT offer_key)"),
    (
        "stale_offers",
        "count(DISTINCT CASE WHEN stale_offer THEN offer_key END)",
    ),
];

async fn simulated(seed: u64, sessions: u64) -> (QuerySession, Truth) {
    let options = Options {
        seed,
        sessions,
        ..Options::default()
    };
    let accounts = Simulation::time_zones(&options)
        .into_iter()
        .map(|(account, zone)| (account, zone.parse().expect("zone")))
        .collect();
    let mut simulation = Simulation::new(options).expect("options");
    let (batch, rejects) = decoded(simulation.by_ref());
    let truth = simulation.into_truth();
    assert_eq!(rejects as u64, truth.entries.rejects, "seed {seed}");
    let options = QueryOptions {
        accounts,
        as_of: Some(
            DateTime::parse_from_rfc3339(&truth.as_of)
                .expect("as of")
                .to_utc(),
        ),
        ..QueryOptions::default()
    };
    let session = QuerySession::from_batches(vec![batch], options)
        .await
        .expect("session");
    (session, truth)
}

#[tokio::test]
async fn metrics_outcomes_and_dates_are_those_that_the_simulator_knows() {
    for seed in [3, 4] {
        let (session, truth) = simulated(seed, 600).await;
        let columns: Vec<&str> = METRICS.iter().map(|(_, sql)| *sql).collect();
        let sql = format!(
            "SELECT account_id, {} FROM events_enriched WHERE NOT is_duplicate GROUP BY 1",
            columns.join(", ")
        );
        let found: BTreeSet<String> = rows(&session, &sql)
            .await
            .iter()
            .flat_map(|line| {
                let (account, values) = line.split_once(' ').expect("account");
                let named = METRICS.iter().zip(values.split(' '));
                named
                    .map(|((metric, _), value)| format!("{account} {metric} {value}"))
                    .collect::<Vec<_>>()
            })
            .collect();
        let metrics = |of: &AccountTruth| -> Vec<(String, u64)> {
            let value = |(name, _): &(&str, &str)| ((*name).to_owned(), of.metrics[*name]);
            METRICS.iter().map(value).collect()
        };
        assert_eq!(found, wanted(&truth, metrics), "seed {seed}");

        let sql = "SELECT account_id, offer_outcome, count(*) FROM offers GROUP BY 1, 2";
        let found: BTreeSet<String> = rows(&session, sql).await.into_iter().collect();
        let outcomes = |of: &AccountTruth| of.outcomes.clone().into_iter().collect();
        assert_eq!(found, wanted(&truth, outcomes), "seed {seed}");

        let sql = "SELECT account_id, session_start_date, count(*) FROM sessions GROUP BY 1, 2";
        let found: BTreeSet<String> = rows(&session, sql).await.into_iter().collect();
        let dates = |of: &AccountTruth| of.sessions_by_date.clone().into_iter().collect();
        assert_eq!(found, wanted(&truth, dates), "seed {seed}");
    }
}

/// `account name value` of every number in the truth.
fn wanted(
    truth: &Truth,
    numbers: impl Fn(&AccountTruth) -> Vec<(String, u64)>,
) -> BTreeSet<String> {
    truth
        .accounts
        .iter()
        .flat_map(|(account, of)| {
            let line = |(name, n): (String, u64)| format!("{account} {name} {n}");
            numbers(of).into_iter().map(line).collect::<Vec<_>>()
        })
        .collect()
}
