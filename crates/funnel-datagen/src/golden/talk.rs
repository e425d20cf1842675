//! How the scenario tells a chat: as the Chat API's single events, or in every form at once.

use crate::payload::chat::{Chat, ChatEvent, ChatEventKind as Kind};
use crate::payload::data_access::Conversation;
use crate::payload::history::Leg;
use crate::scribe::{Polled, Scribe, Visit};

use super::cast::SECOND;

/// One queue-to-end stretch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    /// After the request, in ms; `None`: nobody came.
    pub(super) connected: Option<i64>,
    /// After the request, in ms.
    pub(super) line: Option<i64>,
    /// After the request, in ms.
    pub(super) ended: i64,
    pub(super) end_reason: i64,
}

/// One chat with its legs; the last one ends it, the others are passed on.
#[derive(Debug)]
pub(super) struct Talk<'a> {
    pub(super) visit: &'a Visit,
    pub(super) chat: Chat,
    pub(super) legs: Vec<Stretch>,
    pub(super) all_forms: bool,
}

impl Talk<'_> {
    /// Writes every message of the chat.
    pub(super) fn write(&self, s: &mut Scribe<'_>) {
        if self.all_forms {
            s.request_call(self.chat.start - SECOND, &self.chat);
        }
        let mut seq = 0;
        let mut start = self.chat.start;
        for (n, leg) in self.legs.iter().enumerate() {
            let last = n + 1 == self.legs.len();
            self.leg(s, &mut seq, start, *leg, (n == 0, last));
            if leg.end_reason != 0 {
                s.history(&self.history(n, start, *leg));
            }
            start += leg.ended;
        }
        if self.all_forms {
            self.data_access(s);
        }
    }

    fn leg(
        &self,
        s: &mut Scribe<'_>,
        seq: &mut i64,
        start: i64,
        leg: Stretch,
        (first, last): (bool, bool),
    ) {
        let forms = self.all_forms;
        let mut say = |s: &mut Scribe<'_>, time: i64, kind: Kind| {
            let event = ChatEvent {
                seq: *seq,
                time,
                kind,
            };
            *seq += 1;
            s.chat_event(&self.chat, event, "server_chat");
            event
        };
        if first {
            let waiting = say(s, start, Kind::Waiting);
            if forms {
                let routing = say(s, start + 1, Kind::System(4));
                // The answer to the request repeats both entries.
                let how = Polled {
                    system: "chat_sdk",
                    event: "onRequestChat",
                    state: "waiting",
                    bad: None,
                };
                s.poll(&self.chat, &[waiting, routing], how);
                self.also(s, start, "onState", "waiting");
            }
        } else if forms {
            // Back in the queue: told by the transfer already.
            say(s, start + 40, Kind::Waiting);
            self.also(s, start + 40, "onState", "waiting");
        }
        if let Some(connected) = leg.connected.map(|c| start + c) {
            say(s, connected, Kind::Chatting);
            if forms {
                say(s, connected, Kind::System(3));
                self.also(s, connected, "onStart", "chatting");
            }
        }
        if let Some(line) = leg.line.map(|l| start + l) {
            let event = say(s, line, Kind::Visitor);
            say(s, line + 15 * SECOND, Kind::Agent);
            if forms {
                // The page hears its own line, too.
                s.chat_event(&self.chat, event, "chat_sdk");
                if self.visit.flow == "monitored" {
                    s.window(line + 40, "interactive");
                }
            }
        }
        let end = start + leg.ended;
        if !last {
            say(s, end, Kind::System(15));
            return;
        }
        say(s, end, Kind::Ended);
        if forms {
            say(
                s,
                end,
                Kind::System(if leg.end_reason == 201 { 5 } else { 6 }),
            );
            self.also(s, end, "onStop", "ended");
        }
    }

    /// The same fact from the page: a callback and, on tagged pages, the window's states.
    fn also(&self, s: &mut Scribe<'_>, time: i64, callback: &str, state: &str) {
        s.callback(time + 20, &self.chat, callback, state);
        if self.visit.flow == "monitored" {
            s.window(time + 40, state);
            s.conversation_info(time + 60, &self.chat, state);
        }
    }

    fn chat_key(&self) -> String {
        format!("{}{}", self.visit.account, self.chat.rt_session_id)
    }

    fn history(&self, n: usize, start: i64, leg: Stretch) -> Leg<'_> {
        Leg {
            device: crate::payload::Device::DESKTOP,
            account: &self.visit.account,
            chat_key: self.chat_key(),
            visitor: Some(self.visit.visitor.to_lowercase()),
            requested: start,
            connected: leg.connected.map(|c| start + c),
            ended: start + leg.ended,
            interactive: leg.line.is_some(),
            end_reason: leg.end_reason,
            sequence: i64::try_from(n).unwrap_or_default(),
            engagement: self.chat.engagement.as_ref(),
            bought: None,
        }
    }

    fn data_access(&self, s: &mut Scribe<'_>) {
        let Some(last) = self.legs.last() else { return };
        let length: i64 = self.legs.iter().map(|l| l.ended).sum();
        let monitored = self.visit.flow == "monitored";
        let visitor = (self.visit.visitor.as_str(), self.visit.session_raw.as_str());
        s.da_conversation(&Conversation {
            device: crate::payload::Device::DESKTOP,
            chat_key: self.chat_key(),
            requested: self.chat.start,
            connected: self
                .legs
                .iter()
                .find_map(|l| l.connected)
                .map(|c| self.chat.start + c),
            ended: self.chat.start + length,
            interactive: self.legs.iter().any(|l| l.line.is_some()),
            end_reason: if last.end_reason == 0 {
                205
            } else {
                last.end_reason
            },
            visitor: monitored.then_some(visitor),
            engagement: self.chat.engagement.as_ref().filter(|_| monitored),
        });
    }
}
