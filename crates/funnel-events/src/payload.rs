//! Payloads: which shape a record has and who reads it.

mod chat;
mod data_access;
mod engagement_history;
mod offer;
mod sde;
mod session;
mod survey;
mod visit_info;

pub(crate) use sde::is_appended;

use crate::draft::Record;
use crate::event_type::EventType;
use crate::json::Value;

/// Finds every fact of the record. What it finds nowhere is an empty record.
pub(crate) fn read_payload(record: &mut Record<'_, '_>) {
    match record.base.source_system.as_str() {
        "data_access" => data_access::read(record),
        "engagement_history" => engagement_history::read(record),
        "visit_info" => visit_info::read(record),
        _ => read_live(record),
    }
}

/// Payloads of the live sources are told apart by their members: producers send the same Chat API
/// answer as `chat_sdk` and as `server_chat`.
fn read_live(record: &mut Record<'_, '_>) {
    let payload = record.payload;
    if chat::read_answer(record) || session::read_body(record) || session::read_offers(record) {
        return;
    }
    let mut draft = record.whole();
    match record.event_type() {
        EventType::SdeReported => sde::read_reported(payload, &mut draft),
        EventType::SurveyEvent => survey::read(payload, &mut draft),
        EventType::GoalReached => data_access::read_goal(payload, &mut draft),
        event_type => {
            offer::read_ids(payload, &mut draft);
            session::read_answer(payload, &mut draft);
            session::read_visitor(payload, &mut draft);
            if event_type.is_chat() {
                chat::read_single(payload, &mut draft);
            } else if event_type.is_offer() {
                offer::read_state(payload, &mut draft);
            } else {
                session::read_page(payload, &mut draft);
            }
        }
    }
    record.push(draft);
}

/// What a number that calls itself conversation is: a UUID of authentication, a chat of this
/// account, or neither.
fn read_conversation(value: Value<'_, '_>, key: &str, draft: &mut crate::draft::Draft<'_, '_>) {
    let Some(id) = value.get(key) else { return };
    let Some(text) = id.as_text(64) else { return };
    let event = &mut draft.event;
    if crate::privacy::is_uuid(&text) {
        crate::draft::fill(&mut event.auth_conversation_id, Some(text));
    } else if let Some(number) = id.as_int().filter(|number| is_rt_session(*number)) {
        crate::draft::fill(&mut event.rt_session_id, Some(number));
    } else if let Some(number) = rt_session_of(&text, &event.account_id) {
        crate::draft::fill(&mut event.rt_session_id, Some(number));
    } else {
        return;
    }
    id.mark();
}

/// Chats are numbered from 2^32 on.
fn is_rt_session(number: i64) -> bool {
    (1 << 32..1 << 33).contains(&number)
}

/// The chat's number in a key made of account and number.
fn rt_session_of(chat_key: &str, account_id: &str) -> Option<i64> {
    crate::json::integer(chat_key.strip_prefix(account_id)?).filter(|number| *number > 0)
}

/// A record that names its chat by account and number.
fn set_chat_key(draft: &mut crate::draft::Draft<'_, '_>, chat_key: Option<String>) {
    let Some(chat_key) = chat_key else { return };
    draft.event.rt_session_id = rt_session_of(&chat_key, &draft.event.account_id);
    draft.event.chat_key = Some(chat_key);
}
