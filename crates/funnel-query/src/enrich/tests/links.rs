//! How chat rows find their visitor, session and offer.

use funnel_events::{EventType as T, Flow};

use crate::fixture::{Ev, chat, ev, rows, session};

async fn links(events: &[Ev]) -> Vec<String> {
    let sql = "SELECT event_type, offer_key, join_quality, conversation_key FROM events_enriched \
               WHERE event_type_code BETWEEN 30 AND 39 AND NOT is_derived \
               ORDER BY event_time, event_type_code";
    rows(&session(events).await, sql).await
}

fn click(second: i64, context: &str) -> Ev {
    ev(T::EngagementClick, second)
        .context(context)
        .engagement(7)
}

#[tokio::test]
async fn rows_with_a_chat_id_only_share_what_the_chat_knows() {
    let found = links(&[
        chat(T::ChatRequested, 10, 0).known().chat_key("a1"),
        chat(T::ChatConnected, 20, 2),
        ev(T::ChatEnded, 30)
            .source("data_access")
            .anonymous()
            .chat_key("a1"),
    ])
    .await;
    assert_eq!(
        found,
        [
            "chat_requested a|v|s|1 exact a1",
            "chat_connected a|v|s|1 chat a1",
            "chat_ended a|v|s|1 chat a1",
        ]
    );
}

#[tokio::test]
async fn a_history_record_in_lower_case_finds_its_visitor_and_the_click_before_it() {
    let ended = |second, visitor: &str| {
        let visitor = visitor.to_owned();
        ev(T::ChatEnded, second)
            .source("engagement_history")
            .engagement(7)
            .chat_key("a1")
            .set(move |e| {
                e.visitor_id = Some(visitor);
                e.session_id = None;
            })
    };
    let click = |second| click(second, "1").visitor("ViSiT");
    let found = links(&[click(0), ended(60, "visit")]).await;
    assert_eq!(found, ["chat_ended a|ViSiT|s|1 time a1"]);
    // More than half an hour later, and the session was over.
    let found = links(&[click(0), ended(1801, "visit")]).await;
    assert_eq!(found, ["chat_ended - none a1"]);
    // Two visitors can be meant: the record keeps its own spelling.
    let found = links(&[click(0), click(1).visitor("vISIT"), ended(60, "visit")]).await;
    assert_eq!(found, ["chat_ended - none a1"]);
}

#[tokio::test]
async fn window_states_belong_to_the_latest_click_of_the_session() {
    let window = |second, state: &str| {
        let state = state.to_owned();
        ev(T::ChatWindowState, second).set(move |e| e.chat_state = Some(state))
    };
    let session = session(&[
        click(0, "1"),
        window(5, "prechat"),
        click(100, "2"),
        window(110, "waiting"),
        window(120, "chatting"),
        window(130, "interactive"),
        window(140, "ended"),
    ])
    .await;
    let sql = "SELECT context_id, offer_outcome, join_quality, window_ready_time IS NOT NULL \
               FROM offers ORDER BY 1";
    assert_eq!(
        rows(&session, sql).await,
        ["1 click_no_request exact true", "2 interactive click false"]
    );
    let sql = "SELECT offer_key, requested, connected, interactive, ended FROM chats";
    assert_eq!(rows(&session, sql).await, ["a|v|s|2 true true true true"]);
}

#[tokio::test]
async fn a_request_call_belongs_to_the_next_chat_of_its_offer() {
    let call = ev(T::ChatRequested, 9)
        .source("server_chat")
        .context("1")
        .set(|e| e.auth_conversation_id = Some("c".to_owned()));
    let session = session(&[
        click(0, "1"),
        call,
        chat(T::ChatRequested, 10, 0).known(),
        chat(T::ChatEnded, 50, 1),
    ])
    .await;
    let sql = "SELECT conversation_key, leg_number, requested, connected, ended, \
                      is_authenticated FROM chats";
    assert_eq!(rows(&session, sql).await, ["a|k 0 true false true true"]);
    let sql = "SELECT event_time, duplicate_kind FROM events_enriched \
               WHERE event_type = 'chat_requested' ORDER BY 1";
    assert_eq!(
        rows(&session, sql).await,
        ["2024-03-04T12:00:09Z form", "2024-03-04T12:00:10Z -"]
    );
}

#[tokio::test]
async fn a_chat_without_any_offer_is_unattributed_and_dated_by_itself() {
    let session = session(&[
        chat(T::ChatRequested, 10, 0).chat_key("a1"),
        chat(T::ChatEnded, 50, 1),
    ])
    .await;
    let sql = "SELECT unattributed, abandoned, session_start_date, join_quality FROM chats";
    assert_eq!(rows(&session, sql).await, ["true true 2024-03-04 none"]);
    assert_eq!(rows(&session, "SELECT count(*) FROM offers").await, ["0"]);
}

#[tokio::test]
async fn two_chats_of_one_participant_stay_two() {
    let of = |key: &str, second, seq| {
        let key = key.to_owned();
        chat(T::ChatRequested, second, seq).known().set(move |e| {
            e.chat_session_key = Some(key);
            e.participant_id = Some("p".to_owned());
        })
    };
    let session = session(&[of("k1", 10, 0), of("k2", 500, 0)]).await;
    let sql = "SELECT conversation_key FROM chats ORDER BY 1";
    assert_eq!(rows(&session, sql).await, ["a|k1", "a|k2"]);
}

#[tokio::test]
async fn rows_that_do_not_say_their_flow_have_that_of_the_earliest_row_of_their_chat() {
    let flow = |event: Ev, flow: Flow| event.set(move |e| e.flow = flow);
    let session = session(&[
        flow(chat(T::ChatEnded, 50, 3), Flow::Unknown),
        flow(chat(T::ChatConnected, 20, 1), Flow::Monitored),
        flow(chat(T::ChatRequested, 10, 0), Flow::Unmonitored),
        // Another chat that nobody knows anything of.
        flow(chat(T::ChatEnded, 60, 0), Flow::Unknown)
            .set(|e| e.chat_session_key = Some("other".to_owned())),
    ])
    .await;
    let sql =
        "SELECT event_type, flow FROM events_enriched WHERE NOT is_derived ORDER BY event_time";
    assert_eq!(
        rows(&session, sql).await,
        [
            "chat_requested unmonitored",
            "chat_connected monitored",
            "chat_ended unmonitored",
            "chat_ended unknown",
        ]
    );
}
