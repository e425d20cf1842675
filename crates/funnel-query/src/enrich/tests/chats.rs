//! Legs and facts of a chat.

use funnel_events::EventType as T;

use crate::fixture::{Ev, chat, ev, line, rows, session, system_line};

const LEGS: &str = "SELECT leg_number, requested, connected, interactive, transferred, ended, \
                           abandoned FROM chats ORDER BY leg_number";

async fn legs(events: &[Ev]) -> Vec<String> {
    rows(&session(events).await, LEGS).await
}

/// A record of the history: one fact of one leg.
fn history(event_type: T, second: i64, leg: i32) -> Ev {
    ev(event_type, second)
        .source("engagement_history")
        .anonymous()
        .chat_key("a1")
        .set(|e| e.engagement_sequence = Some(leg))
}

#[tokio::test]
async fn a_chat_seen_as_lines_only_has_all_its_facts_derived() {
    let events = [
        system_line(4, 0, 1),
        system_line(3, 10, 3),
        line("visitor", 12, 4),
        line("agent", 14, 5),
        system_line(5, 90, 9),
    ];
    assert_eq!(legs(&events).await, ["0 true true true false true false"]);
    let session = session(&events).await;
    let sql = "SELECT event_type, is_duplicate, was_connected FROM events_enriched \
               WHERE is_derived ORDER BY event_type_code";
    assert_eq!(
        rows(&session, sql).await,
        [
            "chat_requested false true",
            "chat_connected false true",
            "chat_interactive false true",
            "chat_ended false true",
        ]
    );
    let sql = "SELECT count(*), count(DISTINCT event_id) FROM events_enriched";
    assert_eq!(rows(&session, sql).await, ["9 9"]);
}

#[tokio::test]
async fn a_line_in_the_queue_is_no_interaction() {
    let events = [
        chat(T::ChatRequested, 0, 0),
        line("visitor", 3, 1),
        chat(T::ChatConnected, 10, 2),
        chat(T::ChatEnded, 60, 3),
    ];
    assert_eq!(legs(&events).await, ["0 true true false false true false"]);
}

#[tokio::test]
async fn sequence_numbers_order_what_the_clock_does_not() {
    // The line and the connection share their millisecond; the line came later.
    let events = [
        chat(T::ChatRequested, 0, 0),
        line("visitor", 10, 3),
        chat(T::ChatConnected, 10, 2),
        chat(T::ChatEnded, 60, 4),
    ];
    assert_eq!(legs(&events).await, ["0 true true true false true false"]);
}

#[tokio::test]
async fn a_transfer_is_the_queue_entry_of_the_next_leg() {
    let mut events = vec![
        chat(T::ChatRequested, 0, 0),
        chat(T::ChatConnected, 10, 1),
        line("visitor", 12, 2),
        system_line(15, 50, 3),
        chat(T::ChatEnded, 90, 9),
    ];
    let expected = [
        "0 true true true true false false",
        "1 true false false false true true",
    ];
    assert_eq!(legs(&events).await, expected);
    // Told again as a state and a line: the same fact.
    events.push(chat(T::ChatRequested, 51, 4));
    events.push(system_line(4, 51, 5));
    assert_eq!(legs(&events).await, expected);
    let sql = "SELECT count(*) FROM events_enriched \
               WHERE event_type = 'chat_requested' AND NOT is_duplicate";
    assert_eq!(rows(&session(&events).await, sql).await, ["2"]);
}

#[tokio::test]
async fn a_chat_passed_to_another_account_has_no_further_leg() {
    let forwarded =
        chat(T::ChatTransferred, 40, 5).set(|e| e.source_event = "a2a-transfer".to_owned());
    let events = [
        chat(T::ChatRequested, 0, 0),
        chat(T::ChatConnected, 10, 1),
        forwarded,
        chat(T::ChatEnded, 41, 6),
    ];
    assert_eq!(legs(&events).await, ["0 true true false true true false"]);
}

#[tokio::test]
async fn a_queue_entry_after_a_connection_is_a_leg_even_if_the_transfer_is_missing() {
    let events = [
        chat(T::ChatRequested, 0, 0),
        chat(T::ChatConnected, 10, 1),
        chat(T::ChatRequested, 50, 5),
        chat(T::ChatConnected, 60, 6),
        chat(T::ChatEnded, 99, 9),
    ];
    assert_eq!(
        legs(&events).await,
        [
            "0 true true false false false false",
            "1 true true false false true false"
        ]
    );
}

#[tokio::test]
async fn the_history_alone_tells_its_legs() {
    let passed_on = history(T::ChatEnded, 50, 0).set(|e| {
        e.ended_by = Some("transfer".to_owned());
        e.end_reason = Some(106);
    });
    let left = history(T::ChatEnded, 90, 1).set(|e| {
        e.ended_by = Some("visitor".to_owned());
        e.end_reason = Some(205);
    });
    let events = [
        history(T::ChatRequested, 0, 0),
        history(T::ChatConnected, 10, 0),
        history(T::ChatInteractive, 10, 0),
        passed_on,
        history(T::ChatRequested, 50, 1),
        left,
    ];
    assert_eq!(
        legs(&events).await,
        [
            "0 true true true true false false",
            "1 true false false false true true"
        ]
    );
    let sql = "SELECT ended_by, end_reason FROM chats ORDER BY leg_number";
    let session = session(&events).await;
    assert_eq!(rows(&session, sql).await, ["transfer 106", "visitor 205"]);
    // The end of the first leg is a form of its transfer, not an end.
    let sql = "SELECT count(*) FROM events_enriched \
               WHERE event_type = 'chat_ended' AND NOT is_duplicate";
    assert_eq!(rows(&session, sql).await, ["1"]);
}

#[tokio::test]
async fn the_history_settles_who_ended_a_chat_but_not_when() {
    let settled = history(T::ChatEnded, 95, 0).set(|e| {
        e.ended_by = Some("visitor".to_owned());
        e.end_reason = Some(210);
    });
    let session = session(&[
        chat(T::ChatRequested, 0, 0).known().chat_key("a1"),
        chat(T::ChatConnected, 10, 1),
        chat(T::ChatEnded, 90, 2).set(|e| e.ended_by = Some("unknown".to_owned())),
        settled,
    ])
    .await;
    let sql = "SELECT ended_by, end_reason, ended_time, wait_seconds, duration_seconds FROM chats";
    let expected = ["visitor 210 2024-03-04T12:01:30Z 10.0 80.0"];
    assert_eq!(rows(&session, sql).await, expected);
    let sql = "SELECT ended_by, end_reason, offer_outcome FROM offers";
    let expected = ["visitor 210 connected_non_interactive"];
    assert_eq!(rows(&session, sql).await, expected);
}

#[tokio::test]
async fn a_summary_does_not_overrule_the_lines_that_were_seen() {
    // The summary is of the whole chat; the lines say that it was the second leg.
    let summary = ev(T::ChatInteractive, 10)
        .source("data_access")
        .anonymous()
        .chat_key("a1");
    let events = [
        chat(T::ChatRequested, 0, 0).known().chat_key("a1"),
        chat(T::ChatConnected, 10, 1),
        system_line(13, 50, 2),
        chat(T::ChatConnected, 60, 3),
        line("visitor", 65, 4),
        chat(T::ChatEnded, 99, 9),
        summary,
    ];
    assert_eq!(
        legs(&events).await,
        [
            "0 true true false true false false",
            "1 true true true false true false"
        ]
    );
}

#[tokio::test]
async fn the_order_of_arrival_changes_nothing() {
    let mut events = vec![
        ev(T::SessionStarted, 0),
        ev(T::EngagementImpression, 1)
            .context("1")
            .engagement(7)
            .state(1),
        ev(T::EngagementClick, 2).context("1").engagement(7),
        chat(T::ChatRequested, 3, 0).known().chat_key("a1"),
        chat(T::ChatConnected, 10, 1),
        line("visitor", 12, 2),
        system_line(15, 50, 3),
        chat(T::ChatConnected, 60, 4),
        chat(T::ChatEnded, 99, 9),
        history(T::ChatEnded, 99, 1),
    ];
    let sql = "SELECT event_id, offer_key, duplicate_kind, join_quality, chat_leg_key \
               FROM events_enriched ORDER BY event_id";
    let expected = rows(&session(&events).await, sql).await;
    for turn in 0..events.len() {
        events.rotate_left(1);
        let (front, back) = (turn % 3, 5 + turn % 4);
        events.swap(front, back);
        assert_eq!(
            rows(&session(&events).await, sql).await,
            expected,
            "turn {turn}"
        );
    }
}
