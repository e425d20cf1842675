//! A chat from the queue to its end: first what happens, then who tells it and how.

use super::tour::Tour;
use crate::payload::Engagement;
use crate::payload::app::AuthIds;
use crate::payload::chat::{Chat, ChatEvent, ChatEventKind as Kind};
use crate::payload::data_access::Conversation;
use crate::payload::history;
use crate::scribe::Polled;
use crate::truth::record::{LegRecord, Outcome, Step};

/// Where a chat comes from.
pub(super) struct Origin<'a> {
    pub(super) offer: usize,
    pub(super) context: u32,
    pub(super) engagement: &'a Engagement,
    pub(super) auth: Option<AuthIds>,
}

/// One stretch from a queue to its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leg {
    pub(super) queued: i64,
    pub(super) connected: Option<i64>,
    pub(super) line: Option<i64>,
    pub(super) ended: i64,
    /// System message that passes it on; `None` for the last leg.
    pub(super) passed_by: Option<i64>,
    pub(super) end_reason: i64,
}

/// Everything about one chat.
pub(super) struct Story {
    pub(super) chat: Chat,
    pub(super) legs: Vec<Leg>,
    /// Handed to another account at the end.
    pub(super) to_account: bool,
}

/// Runs a chat; answers when it is over.
pub(super) fn chat(tour: &mut Tour<'_>, from: Origin<'_>, page: &str, start: i64) -> i64 {
    let offer = from.offer;
    let story = live(tour, from, start);
    write_down(tour, &story, offer);
    super::feed::tell(tour, &story);
    let ended = story.legs.last().map_or(start, |l| l.ended);
    let mut bought = None;
    if let Some(line) = story.legs.iter().find_map(|l| l.line) {
        // Some buy while they are talking.
        if ended - line > 20_000 {
            let during = tour.dice.between(line + 6_000, ended - 6_000);
            bought = tour.convert(during, page, 0.1);
        }
        if tour.dice.chance(0.15) {
            let id = tour.dice.between(1_000_000, 9_999_999_999);
            let key = format!("{}{}", tour.visit.account, story.chat.rt_session_id);
            tour.scribe.survey(ended + 25_000, id, 2, Some(&key));
        }
    }
    copies(tour, &story, bought.as_ref());
    ended + 30_000
}

fn live(tour: &mut Tour<'_>, from: Origin<'_>, start: i64) -> Story {
    tour.next_chat += 1;
    let key = format!(
        "H{}-{}K{}",
        tour.dice.digits(19),
        tour.dice.hex(32),
        tour.dice.digits(7)
    );
    let chat = Chat {
        session_key: key,
        rt_session_id: tour.next_chat,
        numeric_visitor: tour
            .dice
            .between(1_000_000_000_000_000, 1_999_999_999_999_999),
        start,
        offer: Some((
            tour.visit.visitor.clone(),
            tour.visit.session.clone(),
            from.context,
        )),
        engagement: Some(from.engagement.clone()),
        auth: from.auth,
    };
    let mut legs = vec![leg(tour, start, tour.options.abandon, 0.12)];
    // The default window tells nothing about passing on.
    let may_pass = !tour.traits.default_window || tour.visit.flow != "monitored";
    while may_pass && legs.len() < 3 {
        let at = legs.len() - 1;
        if legs[at].line.is_none() || !tour.dice.chance(tour.options.transfer) {
            break;
        }
        let by = [13, 15, 23][tour.dice.below(3)];
        legs[at].passed_by = Some(by);
        legs[at].end_reason = if by == 13 { 101 } else { 106 };
        let next = leg(tour, legs[at].ended, tour.options.abandon, 0.3);
        legs.push(next);
    }
    let interactive = legs.last().is_some_and(|l| l.line.is_some());
    let to_account = may_pass && interactive && tour.dice.chance(0.02);
    Story {
        chat,
        legs,
        to_account,
    }
}

fn leg(tour: &mut Tour<'_>, queued: i64, abandon: f64, ghost: f64) -> Leg {
    let left = |ended| Leg {
        queued,
        connected: None,
        line: None,
        ended,
        passed_by: None,
        end_reason: 205,
    };
    if tour.dice.chance(abandon) {
        return left(queued + tour.dice.seconds(15, 180));
    }
    let connected = queued + tour.dice.seconds(2, 110);
    let end_reason = [201, 202, 205, 208, 210][tour.dice.below(5)];
    if tour.dice.chance(ghost) {
        let ended = connected + tour.dice.seconds(60, 240);
        return Leg {
            connected: Some(connected),
            end_reason,
            ..left(ended)
        };
    }
    let line = connected + tour.dice.seconds(4, 45);
    let ended = line + tour.dice.seconds(40, 400);
    Leg {
        connected: Some(connected),
        line: Some(line),
        end_reason,
        ..left(ended)
    }
}

/// What the truth must know.
fn write_down(tour: &mut Tour<'_>, story: &Story, offer: usize) {
    let record = &mut tour.record;
    let c = record.conversation(offer);
    for leg in &story.legs {
        record.chat_fact(leg.queued, Step::Requested, c);
        if let Some(connected) = leg.connected {
            record.chat_fact(connected, Step::Connected, c);
        }
        if let Some(line) = leg.line {
            record.chat_fact(line, Step::Interactive, c);
        }
        let told = LegRecord {
            connected: leg.connected.is_some(),
            interactive: leg.line.is_some(),
        };
        record.conversations[c].legs.push(told);
    }
    let interactive = story.legs.iter().any(|l| l.line.is_some());
    if let Some(last) = story.legs.last().filter(|_| interactive) {
        record.chat_fact(last.ended, Step::Completed, c);
    }
    record.offers[offer].outcome = if interactive {
        Outcome::Interactive
    } else if story.legs.iter().any(|l| l.connected.is_some()) {
        Outcome::ConnectedNonInteractive
    } else {
        Outcome::AbandonedInQueue
    };
}

/// The chat's events, numbered.
pub(super) fn events(tour: &mut Tour<'_>, story: &Story) -> Vec<ChatEvent> {
    let mut events: Vec<ChatEvent> = Vec::new();
    let mut say = |time: i64, kind: Kind| {
        let seq = i64::try_from(events.len()).unwrap_or_default();
        events.push(ChatEvent { seq, time, kind });
    };
    for (n, leg) in story.legs.iter().enumerate() {
        if n == 0 {
            say(leg.queued, Kind::Waiting);
            say(leg.queued + 1, Kind::System(4));
        } else if tour.dice.chance(0.5) {
            say(leg.queued + 50, Kind::Waiting);
        }
        if leg.connected.is_none_or(|c| c - leg.queued > 60_000) {
            say(leg.queued + 12_000, Kind::System(2));
        }
        if let Some(connected) = leg.connected {
            say(connected, Kind::Chatting);
            say(connected, Kind::System(3));
        }
        if let Some(line) = leg.line {
            say(line, Kind::Visitor);
            say(line + 9_000, Kind::Agent);
            if tour.dice.chance(0.6) {
                say(line + 20_000, Kind::Visitor);
                say(line + 28_000, Kind::Agent);
            }
        }
        if let Some(by) = leg.passed_by {
            say(leg.ended, Kind::System(by));
            continue;
        }
        if story.to_account {
            say(leg.ended - 500, Kind::AccountTransfer);
        }
        say(leg.ended, Kind::Ended);
        match leg.end_reason {
            201 | 202 => say(leg.ended + 1, Kind::System(5)),
            205 => say(leg.ended + 1, Kind::System(6)),
            _ => {}
        }
    }
    events
}

/// The same chat once more, hours later: from the history or from the files, never from both.
fn copies(tour: &mut Tour<'_>, story: &Story, bought: Option<&history::Bought>) {
    let share = tour.options.disorder.copies;
    if story.to_account || !tour.dice.chance(share) {
        return;
    }
    let monitored = tour.visit.flow == "monitored";
    let visit = tour.visit;
    let chat_key = format!("{}{}", visit.account, story.chat.rt_session_id);
    let engagement = story.chat.engagement.as_ref();
    if story.legs.len() > 1 || tour.dice.chance(0.6) {
        for (n, leg) in story.legs.iter().enumerate() {
            tour.scribe.history(&history::Leg {
                device: visit.device,
                account: &visit.account,
                chat_key: chat_key.clone(),
                visitor: Some(visit.visitor.to_lowercase()),
                requested: leg.queued,
                connected: leg.connected,
                ended: leg.ended,
                interactive: leg.line.is_some(),
                end_reason: leg.end_reason,
                sequence: i64::try_from(n).unwrap_or_default(),
                engagement,
                bought: bought.filter(|_| leg.passed_by.is_none()),
            });
        }
        return;
    }
    let Some(leg) = story.legs.first() else {
        return;
    };
    tour.scribe.da_conversation(&Conversation {
        device: visit.device,
        chat_key,
        requested: leg.queued,
        connected: leg.connected,
        ended: leg.ended,
        interactive: leg.line.is_some(),
        end_reason: leg.end_reason,
        visitor: monitored.then_some((visit.visitor.as_str(), visit.session_raw.as_str())),
        engagement: engagement.filter(|_| monitored),
    });
}

/// A poll answer of the Chat API.
pub(super) fn polled(state: &str) -> Polled<'_> {
    Polled {
        system: "server_chat",
        event: "events",
        state,
        bad: None,
    }
}
