//! Chats that belong to no offer: nothing in their messages names a visitor.

use super::dice::Dice;
use crate::payload::Device;
use crate::payload::chat::{Chat, ChatEvent, ChatEventKind as Kind};
use crate::payload::data_access::Conversation;
use crate::scribe::{Draft, Scribe, Visit};

/// Chat numbers of strays lie in the upper half of the range, those of visitors in the lower.
const CHAT_BASE: i64 = (1 << 32) + (1 << 31);

pub(super) struct Stray {
    pub(super) drafts: Vec<Draft>,
    pub(super) connected: bool,
    pub(super) interactive: bool,
}

/// Stray chat `index` of an account, live or from the files.
pub(super) fn chat(account: &str, index: u64, start: i64, dice: &mut Dice) -> Stray {
    let visit = Visit {
        account: account.to_owned(),
        visitor: String::new(),
        session: String::new(),
        session_raw: String::new(),
        flow: "unmonitored",
        device: Device::DESKTOP,
    };
    let mut scribe = Scribe::new(&visit, (1 << 62) | index);
    scribe.anonymous_chats = true;
    let rt_session_id = CHAT_BASE + i64::try_from(index).unwrap_or_default();
    let connected = dice.chance(0.7).then(|| start + dice.seconds(5, 60));
    let line = connected
        .filter(|_| dice.chance(0.8))
        .map(|c| c + dice.seconds(5, 30));
    let ended = line.or(connected).unwrap_or(start) + dice.seconds(40, 200);
    if dice.chance(0.4) {
        scribe.da_conversation(&Conversation {
            device: Device::DESKTOP,
            chat_key: format!("{account}{rt_session_id}"),
            requested: start,
            connected,
            ended,
            interactive: line.is_some(),
            end_reason: 205,
            visitor: None,
            engagement: None,
        });
    } else {
        let chat = Chat {
            session_key: format!("H{}-{}K{}", dice.digits(19), dice.hex(32), dice.digits(7)),
            rt_session_id,
            numeric_visitor: dice.between(1_000_000_000_000_000, 1_999_999_999_999_999),
            start,
            offer: None,
            engagement: None,
            auth: None,
        };
        let facts = [
            Some((start, Kind::Waiting)),
            connected.map(|time| (time, Kind::Chatting)),
            line.map(|time| (time, Kind::Visitor)),
            Some((ended, Kind::Ended)),
        ];
        for (seq, (time, kind)) in (0..).zip(facts.into_iter().flatten()) {
            scribe.chat_event(&chat, ChatEvent { seq, time, kind }, "server_chat");
        }
    }
    Stray {
        drafts: scribe.out,
        connected: connected.is_some(),
        interactive: line.is_some(),
    }
}
