//! The Chat API, the chat SDK's callbacks over it, and the state of the chat window.

use super::{offer, read_conversation};
use crate::draft::{Draft, Record, fill, replace};
use crate::envelope::time_reject;
use crate::event_type::EventType;
use crate::json::Value;
use crate::reject::RejectCode;
use crate::time::read_time;

/// System lines that move the chat to another agent, another skill, or back to the queue.
const TRANSFER_MESSAGES: [i16; 3] = [13, 15, 23];

/// An answer with several chat events. True if the payload has this shape.
pub(super) fn read_answer<'d, 'a>(record: &mut Record<'d, 'a>) -> bool {
    let outer = record.payload;
    let (chat, base) = match outer.object("chat") {
        Some(chat) => (chat, "/payload/chat"),
        None => (outer, "/payload"),
    };
    let (array, path) =
        if let Some(event) = chat.object("events").and_then(|events| events.get("event")) {
            (event, format!("{base}/events/event"))
        } else if chat.object("events").is_some() {
            // A poll without news.
            return true;
        } else if let Some(lines) = chat.array("lines") {
            (lines, format!("{base}/lines"))
        } else {
            return false;
        };
    let lines_only = path.ends_with("lines");
    let events = if array.is_array() {
        record.objects(array, &path)
    } else if array.is_object() {
        vec![(array, path)]
    } else {
        record.refuse(
            RejectCode::NotObject,
            path,
            "chat events are an array of objects",
        );
        return true;
    };
    for (event, path) in events {
        read_entry(record, chat, (event, path), lines_only);
    }
    true
}

fn read_entry<'d, 'a>(
    record: &mut Record<'d, 'a>,
    chat: Value<'d, 'a>,
    (event, path): (Value<'d, 'a>, String),
    lines_only: bool,
) {
    let mut draft = record.entry(event);
    if let Some(time) = event.get("time") {
        match read_time(time) {
            Ok(time_us) => draft.set_own_time(Some(time_us)),
            Err(error) => {
                let reject = time_reject(error);
                let path = format!("{path}/time");
                return record.refuse_draft(&draft, reject.code, path, &reject.detail);
            }
        }
        time.mark();
    }
    read_event(event, &mut draft);
    let kind = match event.get("@type") {
        None if lines_only => Some("line".to_owned()),
        None => None,
        Some(kind) => {
            kind.mark();
            kind.as_text(64)
        }
    };
    let event_type = match kind.as_deref() {
        Some("state") => state_type(draft.event.chat_state.as_deref()),
        Some("line") if is_transfer(&draft) => EventType::ChatTransferred,
        Some("line" | "url") => EventType::ChatLine,
        Some("a2a-transfer") => EventType::ChatTransferred,
        _ => {
            let detail = "a chat event has one of the types state, line, url, a2a-transfer";
            return record.refuse_draft(
                &draft,
                RejectCode::TypeUnknown,
                format!("{path}/@type"),
                detail,
            );
        }
    };
    draft.set_type(event_type);
    draft.event.source_event = kind.unwrap_or_default();
    read_around(chat, &mut draft);
    conclude(&mut draft);
    record.push(draft);
}

fn is_transfer(draft: &Draft<'_, '_>) -> bool {
    draft
        .event
        .system_message_id
        .is_some_and(|id| TRANSFER_MESSAGES.contains(&id))
}

/// The fact that a chat state is. States without a fact of their own are states of the window.
fn state_type(state: Option<&str>) -> EventType {
    match state {
        Some("waiting") => EventType::ChatRequested,
        Some("chatting") => EventType::ChatConnected,
        Some("ended") => EventType::ChatEnded,
        Some("notfound") => EventType::ChatResumeFailed,
        _ => EventType::ChatWindowState,
    }
}

/// A payload that is one fact, of the type that the envelope names.
pub(super) fn read_single(payload: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let chat = payload.object("chat").unwrap_or(payload);
    if let Some(event) = chat.object("event") {
        read_event(event, draft);
        // The envelope's time and type hold; the same stands here once more.
        for key in ["time", "@type"] {
            event.take_text(key);
        }
    }
    read_around(chat, draft);
    read_event(chat, draft);
    chat.take_text("time");
    conclude(draft);
}

/// One chat event: a state, a line, a transfer.
fn read_event(event: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let fact = &mut draft.event;
    fill(
        &mut fact.line_seq,
        event.take_int("@id").or_else(|| event.take_int("lineSeq")),
    );
    fill(
        &mut fact.chat_state,
        event.take_text("state").map(|state| state.to_lowercase()),
    );
    fill(&mut fact.text_type, event.take_text("textType"));
    fill(
        &mut fact.line_source,
        event
            .take_text("source")
            .map(|source| source.to_lowercase()),
    );
    fill(&mut fact.line_subtype, event.take_text("subType"));
    fill(
        &mut fact.system_message_id,
        event.take_int("systemMessageId"),
    );
    fill(&mut fact.agent_id, take_agent(event));
    offer::read_skill(event, draft);
}

/// The agent, unless it is 0: the system's own lines.
pub(super) fn take_agent(value: Value<'_, '_>) -> Option<String> {
    value
        .take_id("agentId")
        .filter(|agent| agent != "0" && !agent.contains('@'))
}

/// What stands around the chat events: the chat's keys, its info, and the request that began it.
fn read_around(chat: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    read_keys(chat, draft);
    if let Some(info) = chat.object("info") {
        read_keys(info, draft);
        read_shark(info, draft);
        fill(&mut draft.event.agent_id, take_agent(info));
        fill(&mut draft.event.chat_visitor_id, info.take_int("visitorId"));
        offer::read_ids(info, draft);
        info.take_text("state");
    }
    if let Some(request) = chat.object("request") {
        read_request(request, draft);
    }
    read_visit(chat, draft);
    let event = &mut draft.event;
    fill(&mut event.available, chat.take_bool("availability"));
    fill(
        &mut event.estimated_wait_time,
        chat.take_int("estimatedWaitTime"),
    );
    fill(&mut event.ended_locally, chat.take_bool("endedLocally"));
    fill(&mut event.is_authenticated, chat.take_bool("authenticated"));
}

fn read_keys(value: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    fill(&mut event.chat_session_key, value.take_id("chatSessionKey"));
    fill(&mut event.rt_session_id, value.take_int("rtSessionId"));
    fill(&mut event.participant_id, value.take_id("participantId"));
    read_conversation(value, "conversationId", draft);
}

/// The join from chat to offer.
fn read_shark(value: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    for (prefix_visitor, session, context) in [
        ("sharkVisitorId", "sharkSessionId", "sharkContextId"),
        ("LETagVisitorId", "LETagSessionId", "LETagContextId"),
    ] {
        fill(&mut event.visitor_id, value.take_id(prefix_visitor));
        fill(&mut event.session_id_raw, value.take_id(session));
        fill(&mut event.context_id, value.take_id(context));
    }
}

/// Ids of the visit under the names of the window and of the SDK's `requestChat`. A visitor that is
/// a number is the Chat API's own.
fn read_visit(value: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    match value
        .get("visitorId")
        .map(|visitor| visitor.as_int().is_some())
    {
        Some(true) => fill(&mut event.chat_visitor_id, value.take_int("visitorId")),
        Some(false) => fill(&mut event.visitor_id, value.take_id("visitorId")),
        None => {}
    }
    let session = value.take_id("monitoringSessionId");
    fill(
        &mut event.session_id_raw,
        session.or_else(|| value.take_id("sessionId")),
    );
}

fn read_request(request: Value<'_, '_>, draft: &mut Draft<'_, '_>) {
    read_shark(request, draft);
    read_keys(request, draft);
    read_visit(request, draft);
    offer::read_ids(request, draft);
    replace(
        &mut draft.event.referrer_url,
        request.take_url("chatReferrer"),
    );
}

/// What follows from the fields read.
fn conclude(draft: &mut Draft<'_, '_>) {
    let event = &mut draft.event;
    match event.event_type {
        EventType::ChatAuthenticated if event.is_authenticated.is_none() => {
            event.is_authenticated = match event.source_event.as_str() {
                "onAuthentication" => Some(true),
                "onAuthenticationFail" => Some(false),
                _ => None,
            };
        }
        _ => {}
    }
    let by_message = match event.system_message_id {
        Some(5) => Some("agent"),
        Some(6) => Some("system"),
        _ => None,
    };
    let by = match event.event_type {
        EventType::ChatEnded if event.ended_locally == Some(true) => Some("visitor"),
        EventType::ChatEnded => by_message.or(Some("unknown")),
        EventType::ChatLine => by_message,
        _ => None,
    };
    event.ended_by = by.map(str::to_owned);
}
