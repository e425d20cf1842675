//! The chat itself: live events, answers, callbacks and the records made of it later.

use super::{Polled, Route, Scribe, Spec};
use crate::message::TimeForm;
use crate::payload::chat::{self, Chat, ChatEvent};
use crate::payload::data_access::{self, Conversation};
use crate::payload::history::{self, Leg};

impl Scribe<'_> {
    fn chat_spec<'s>(&self, spec: Spec<'s>, chat: &'s Chat) -> Spec<'s> {
        Spec {
            context: chat.offer.as_ref().map(|(_, _, context)| *context),
            anonymous: self.anonymous_chats.then_some(chat.session_key.as_str()),
            ..spec
        }
    }

    pub(crate) fn request_call(&mut self, time: i64, chat: &Chat) {
        let spec = Spec::new("chat_requested", "server_chat", "chat/request", time).client();
        // The brand's own server makes this call: it knows its visitor whatever the chat says.
        let spec = Spec {
            anonymous: None,
            ..self.chat_spec(spec, chat)
        };
        self.put(spec, chat::request(chat, self.style));
    }

    pub(crate) fn chat_event(&mut self, chat: &Chat, e: ChatEvent, system: &str) {
        let spec = Spec {
            form: TimeForm::Iso,
            seq: Some(e.seq),
            ..Spec::new(e.kind.event_type(), system, e.kind.source_event(), e.time)
        };
        let spec = self.chat_spec(spec, chat);
        self.put(spec, chat::single(chat, e, self.style));
    }

    /// Several entries in one answer. `bad` is an entry that nobody can read, put at its index.
    pub(crate) fn poll(&mut self, chat: &Chat, events: &[ChatEvent], how: Polled<'_>) {
        let last = events.last().map_or(chat.start, |e| e.time);
        let mut entries: Vec<String> = events.iter().map(|e| chat::event(*e).end()).collect();
        if let Some((at, text, _)) = how.bad {
            entries.insert(at.min(entries.len()), text.to_owned());
        }
        let event_type = events.first().map_or("chat_line", |e| e.kind.event_type());
        let spec = Spec {
            form: TimeForm::Iso,
            events: u32::try_from(events.len()).unwrap_or(u32::MAX),
            ..Spec::new(event_type, how.system, how.event, last)
        };
        let spec = self.chat_spec(spec, chat);
        let payload = chat::poll(chat, &entries, how.state, last, self.style);
        let draft = self.put(spec, payload);
        draft.rejects.extend(how.bad.map(|(_, _, code)| code));
    }

    /// An answer without news.
    pub(crate) fn empty_poll(&mut self, time: i64, chat: &Chat, state: &str) {
        let spec = Spec {
            form: TimeForm::Iso,
            events: 0,
            ..Spec::new("chat_line", "server_chat", "events", time)
        };
        let spec = self.chat_spec(spec, chat);
        let payload = chat::poll(chat, &[], state, time, self.style);
        self.put(spec, payload);
    }

    /// `onStart`, `onStop`, `onState`.
    pub(crate) fn callback(&mut self, time: i64, chat: &Chat, name: &str, state: &str) {
        let event_type = match state {
            "waiting" => "chat_requested",
            "chatting" => "chat_connected",
            _ => "chat_ended",
        };
        let spec = Spec {
            form: TimeForm::Iso,
            ..Spec::new(event_type, "chat_sdk", name, time)
        };
        let spec = self.chat_spec(spec, chat);
        self.put(spec, chat::callback(chat, state, time, self.style));
    }

    pub(crate) fn history(&mut self, leg: &Leg<'_>) {
        let facts = 2
            + u32::from(leg.connected.is_some())
            + u32::from(leg.interactive)
            + u32::from(leg.bought.is_some());
        let (system, event) = ("engagement_history", "interactionHistoryRecord");
        let spec = Spec {
            events: facts,
            // The history knows the visitor in lower case only, and no session.
            alias: leg.visitor.as_deref(),
            anonymous: Some(&leg.chat_key),
            route: Route::History,
            ..Spec::new("chat_ended", system, event, leg.ended)
        };
        self.put(spec, history::record(leg, self.style));
    }

    pub(crate) fn da_conversation(&mut self, c: &Conversation<'_>) {
        let facts = 2 + u32::from(c.connected.is_some()) + u32::from(c.interactive);
        let spec = Spec {
            events: facts,
            anonymous: c.visitor.is_none().then_some(c.chat_key.as_str()),
            route: Route::Files,
            ..Spec::new("chat_ended", "data_access", "EngagementData", c.ended)
        };
        self.put(spec, data_access::conversation(c));
    }
}
