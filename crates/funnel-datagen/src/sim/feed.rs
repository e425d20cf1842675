//! Who tells a chat: single events, poll answers, page callbacks or the default window.

use super::talk::{Story, events, polled};
use super::tour::Tour;
use crate::payload::chat::{ChatEvent, ChatEventKind as Kind};
use crate::scribe::Polled;

/// Entries that no reader can make an event of, and why.
const BAD_ENTRIES: [(&str, &str); 3] = [
    ("\"not an entry\"", "E_NOT_OBJECT"),
    (
        r#"{"@id":"900","@type":"hologram","time":"2024-03-04T09:00:44.011-05:00"}"#,
        "E_TYPE_UNKNOWN",
    ),
    (
        r#"{"@id":"901","@type":"line","time":"half past nine","source":"visitor"}"#,
        "E_TIME_FORMAT",
    ),
];

/// Writes the chat's messages in one of the ways they come.
pub(super) fn tell(tour: &mut Tour<'_>, story: &Story) {
    if tour.traits.default_window && tour.visit.flow == "monitored" {
        default_window(tour, story);
        return;
    }
    if tour.dice.chance(0.5) {
        tour.scribe
            .request_call(story.chat.start - 1_000, &story.chat);
    }
    let events = events(tour, story);
    match tour.dice.below(10) {
        0..=3 => singles(tour, story, &events),
        4..=6 => polls(tour, story, &events),
        _ => callbacks(tour, story, &events),
    }
}

fn singles(tour: &mut Tour<'_>, story: &Story, events: &[ChatEvent]) {
    let doubled = tour.dice.chance(0.3);
    for e in events {
        tour.scribe.chat_event(&story.chat, *e, "server_chat");
        // The page hears of the same changes.
        if let Some((name, state)) = callback(e.kind).filter(|_| doubled) {
            tour.scribe.callback(e.time + 20, &story.chat, name, state);
        }
    }
}

fn callback(kind: Kind) -> Option<(&'static str, &'static str)> {
    match kind {
        Kind::Waiting => Some(("onState", "waiting")),
        Kind::Chatting => Some(("onStart", "chatting")),
        Kind::Ended => Some(("onStop", "ended")),
        _ => None,
    }
}

fn polls(tour: &mut Tour<'_>, story: &Story, events: &[ChatEvent]) {
    let mut rest = events;
    let mut state = "waiting";
    while !rest.is_empty() {
        let n = (1 + tour.dice.below(5)).min(rest.len());
        let (now, later) = rest.split_at(n);
        rest = later;
        for e in now {
            match e.kind {
                Kind::Chatting => state = "chatting",
                Kind::Ended => state = "ended",
                _ => {}
            }
        }
        let mut how = polled(state);
        if tour.dice.chance(tour.options.disorder.bad_entries) {
            let (text, code) = BAD_ENTRIES[tour.dice.below(BAD_ENTRIES.len())];
            how.bad = Some((tour.dice.below(n + 1), text, code));
        }
        tour.scribe.poll(&story.chat, now, how);
        if let Some(last) = now.last() {
            empty_poll(tour, story, last.time, state);
        }
    }
}

fn empty_poll(tour: &mut Tour<'_>, story: &Story, after: i64, state: &str) {
    // Per record of the feed; a poll answer stands for about three of them.
    if tour
        .dice
        .chance((tour.options.disorder.empty_polls * 3.0).min(1.0))
    {
        tour.scribe.empty_poll(after + 700, &story.chat, state);
    }
}

fn callbacks(tour: &mut Tour<'_>, story: &Story, events: &[ChatEvent]) {
    let first = events
        .iter()
        .take_while(|e| matches!(e.kind, Kind::Waiting | Kind::System(4)));
    let answer: Vec<ChatEvent> = first.copied().collect();
    let how = Polled {
        system: "chat_sdk",
        event: "onRequestChat",
        state: "waiting",
        bad: None,
    };
    tour.scribe.poll(&story.chat, &answer, how);
    for e in events.iter().skip(answer.len()) {
        match callback(e.kind) {
            Some((name, state)) => tour.scribe.callback(e.time, &story.chat, name, state),
            None => tour.scribe.chat_event(&story.chat, *e, "chat_sdk"),
        }
    }
}

/// Window states, each with the conversation's data behind it.
fn default_window(tour: &mut Tour<'_>, story: &Story) {
    let Some(leg) = story.legs.first() else {
        return;
    };
    let mut both = |time: i64, state: &str| {
        tour.scribe.window(time, state);
        tour.scribe.conversation_info(time + 30, &story.chat, state);
    };
    both(leg.queued, "waiting");
    if let Some(connected) = leg.connected {
        both(connected, "chatting");
    }
    both(leg.ended, "ended");
    if let Some(line) = leg.line {
        tour.scribe.window(line, "interactive");
    }
    tour.scribe.window_closed(leg.ended + 3_000);
}
