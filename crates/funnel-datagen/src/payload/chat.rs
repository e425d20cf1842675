//! Chat API events, answers and callbacks.

use super::app::AuthIds;
use super::{Engagement, id, iso};
use crate::json::Obj;
use crate::message::IdStyle;

/// One chat as its messages name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chat {
    /// `H…K…`, the key of the chat resource.
    pub session_key: String,
    /// The chat's number inside the account.
    pub rt_session_id: i64,
    /// The chat system's own number of the visitor.
    pub numeric_visitor: i64,
    /// When it was requested, epoch milliseconds.
    pub start: i64,
    /// The offer it came from: visitor, session without suffix, context.
    pub offer: Option<(String, String, u32)>,
    pub engagement: Option<Engagement>,
    pub auth: Option<AuthIds>,
}

/// One entry of `events.event[]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatEvent {
    /// `@id`.
    pub seq: i64,
    pub time: i64,
    pub kind: ChatEventKind,
}

/// What happened in a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChatEventKind {
    Waiting,
    Chatting,
    Ended,
    /// A system line with its message id.
    System(i64),
    Visitor,
    Agent,
    /// Passed on to another account.
    AccountTransfer,
}

impl ChatEventKind {
    /// The canonical event type of a message that holds only this.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Waiting => "chat_requested",
            Self::Chatting => "chat_connected",
            Self::Ended => "chat_ended",
            Self::System(13 | 15 | 23) | Self::AccountTransfer => "chat_transferred",
            Self::System(_) | Self::Visitor | Self::Agent => "chat_line",
        }
    }

    /// `@type`.
    pub fn source_event(self) -> &'static str {
        match self {
            Self::Waiting | Self::Chatting | Self::Ended => "state",
            Self::AccountTransfer => "a2a-transfer",
            _ => "line",
        }
    }

    fn state(self) -> Option<&'static str> {
        match self {
            Self::Waiting => Some("waiting"),
            Self::Chatting => Some("chatting"),
            Self::Ended => Some("ended"),
            _ => None,
        }
    }
}

/// One entry of `events.event[]`.
pub fn event(e: ChatEvent) -> Obj {
    let mut o = Obj::with_capacity(200);
    o.str("@id", &e.seq.to_string());
    o.str("@type", e.kind.source_event());
    o.str("time", &iso(e.time));
    if let Some(state) = e.kind.state() {
        o.str("state", state);
        return o;
    }
    let (text, by, source) = match e.kind {
        ChatEventKind::AccountTransfer => {
            o.str("domain", "va-a.example.liveperson.test");
            o.str("a2aEventId", "9001")
                .str("skill", "Cards")
                .int("remoteSiteId", 58_219_901);
            return o;
        }
        ChatEventKind::Visitor => ("What is the rate today?", "You", "visitor"),
        ChatEventKind::Agent => ("<div dir=\"ltr\">Let me check.</div>", "Mira", "agent"),
        _ => ("One moment, please.", "info", "system"),
    };
    o.str("textType", if source == "agent" { "html" } else { "plain" });
    o.str("text", text).str("by", by).str("source", source);
    if let ChatEventKind::System(number) = e.kind {
        // The documents show it both as text and as a number.
        if number % 2 == 0 {
            o.str("systemMessageId", &number.to_string());
        } else {
            o.int("systemMessageId", number);
        }
    }
    o.str("subType", "REGULAR");
    o
}

/// The `info` object of an answer.
pub fn info(chat: &Chat, state: &str, at: i64, style: IdStyle) -> Obj {
    let mut o = Obj::with_capacity(600);
    o.str("state", state);
    o.str("chatSessionKey", &chat.session_key);
    if let Some(e) = &chat.engagement {
        o.str("skillName", &e.skill);
        id(&mut o, "skillId", e.skill_id, false, style);
    }
    if state == "chatting" {
        o.str("agentName", "Mira");
        id(&mut o, "agentId", 88_214, false, style);
    }
    o.str("startTime", &iso(chat.start + 1));
    o.int("duration", (at - chat.start) / 1000);
    o.str("lastUpdate", &iso(at + 120));
    o.int("chatTimeout", 40);
    id(&mut o, "visitorId", chat.numeric_visitor, false, style);
    o.str("agentTyping", "not-typing")
        .str("visitorTyping", "not-typing");
    o.str("visitorName", "You");
    id(&mut o, "rtSessionId", chat.rt_session_id, false, style);
    if let Some((visitor, session, context)) = &chat.offer {
        o.str("sharkVisitorId", visitor)
            .str("sharkSessionId", session);
        id(&mut o, "sharkContextId", i64::from(*context), false, style);
    }
    if let Some(e) = &chat.engagement {
        id(&mut o, "engagementId", e.id, false, style);
        id(&mut o, "campaignId", e.campaign, false, style);
    }
    o.str("language", "en-US");
    if let Some(auth) = &chat.auth {
        o.str("participantId", &auth.participant);
    }
    o
}

/// One event as its own message. State events bring the `info`, others only the chat's ids.
pub fn single(chat: &Chat, e: ChatEvent, style: IdStyle) -> Obj {
    let mut o = Obj::with_capacity(900);
    o.obj("event", event(e));
    match e.kind {
        ChatEventKind::Waiting => o.obj("info", info(chat, "waiting", e.time, style)),
        ChatEventKind::Chatting => o.obj("info", info(chat, "chatting", e.time, style)),
        _ => return with_chat_ids(o, chat, style),
    };
    o
}

/// A poll answer, or the answer of `requestChat`: several entries and the `info`.
pub fn poll(chat: &Chat, entries: &[String], state: &str, at: i64, style: IdStyle) -> Obj {
    let mut events = Obj::with_capacity(1024);
    events.arr("event", entries);
    let mut o = Obj::with_capacity(2048);
    o.obj("events", events);
    o.obj("info", info(chat, state, at, style));
    o
}

/// `onStart`, `onStop`, `onState`: a state and a time, with the chat's ids added by the page.
pub fn callback(chat: &Chat, state: &str, time: i64, style: IdStyle) -> Obj {
    let mut o = Obj::new();
    o.str("state", state).str("time", &iso(time));
    with_chat_ids(o, chat, style)
}

/// The body of the call that asks for a chat.
pub fn request(chat: &Chat, style: IdStyle) -> Obj {
    let mut r = Obj::with_capacity(400);
    if let Some(e) = &chat.engagement {
        r.str("skill", &e.skill);
    }
    r.int("interactionTimeout", 40);
    if let Some((visitor, session, context)) = &chat.offer {
        r.str("LETagVisitorId", visitor)
            .str("LETagSessionId", session);
        id(&mut r, "LETagContextId", i64::from(*context), true, style);
    }
    if let Some(e) = &chat.engagement {
        id(&mut r, "engagementId", e.id, false, style);
        id(&mut r, "campaignId", e.campaign, false, style);
    }
    r.str("language", "en-US");
    if let Some(auth) = &chat.auth {
        r.str("conversationId", &auth.conversation)
            .str("participantId", &auth.participant);
    }
    let mut o = Obj::new();
    o.obj("request", r);
    o
}

fn with_chat_ids(mut o: Obj, chat: &Chat, style: IdStyle) -> Obj {
    o.str("chatSessionKey", &chat.session_key);
    id(&mut o, "rtSessionId", chat.rt_session_id, false, style);
    o
}
