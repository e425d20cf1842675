//! Which two facts are the same fact.
//!
//! An id is the hash of account, event type, visitor and of what tells facts of that type apart.
//! Where one of these parts is missing, session, source event, exact time and the hash of the entry
//! stand in for it: two different facts must never share an id, even at the price that one fact in
//! two forms has two.

use blake3::Hasher;

use crate::column::hex;
use crate::draft::Draft;
use crate::event::Event;
use crate::event_type::EventType;
use crate::json::{Kind, Value};
use crate::payload::is_appended;

/// Between the parts of an identity; no id contains it.
const SEPARATOR: &[u8] = &[0x1f];

/// The id of a fact. `entry` is the hash of the entry that states it.
pub(crate) fn event_id(draft: &Draft<'_, '_>, entry: &blake3::Hash) -> [u8; 16] {
    let event = &*draft.event;
    let mut parts = vec![
        Some(event.account_id.clone()),
        Some(event.event_type.as_str().to_owned()),
        event.visitor_id.clone(),
    ];
    match discriminators(draft, entry) {
        Some(own) if own.iter().all(Option::is_some) => parts.extend(own),
        own => {
            parts.extend(own.unwrap_or_default());
            parts.extend([
                event.session_id.clone(),
                Some(event.source_event.clone()),
                Some(time_part(event)),
                draft.discriminator.clone(),
                Some(hex(entry.as_bytes())),
            ]);
        }
    }
    let mut hasher = Hasher::new();
    for part in &parts {
        hasher.update(part.as_deref().unwrap_or_default().as_bytes());
        hasher.update(SEPARATOR);
    }
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    id
}

/// The time as the source told it: a replaced time is not the fact's own.
fn time_part(event: &Event) -> String {
    event
        .event_time_raw
        .clone()
        .unwrap_or_else(|| event.event_time_us.to_string())
}

/// The parts that tell facts of one type apart; None for types that have no such list.
fn discriminators(draft: &Draft<'_, '_>, entry: &blake3::Hash) -> Option<Vec<Option<String>>> {
    let event = &*draft.event;
    let text = |number: Option<i64>| number.map(|number| number.to_string());
    let time = Some(time_part(event));
    Some(match event.event_type {
        // The tag tells that a session is there, the files tell its device: forms of one fact with
        // different contents, of which none may hide the other.
        EventType::SessionStarted => vec![
            event.visitor_id.clone(),
            event.session_id.clone(),
            Some(event.source_system.clone()),
        ],
        EventType::PageViewed => {
            vec![
                event.visitor_id.clone(),
                event.session_id.clone(),
                event.page_id.clone(),
            ]
        }
        EventType::EngagementEligible => {
            vec![
                event.session_id.clone(),
                text(event.campaign_id),
                text(event.engagement_id),
            ]
        }
        EventType::EngagementRetrieved => {
            let answer = event
                .context_id
                .clone()
                .or_else(|| event.availability.clone());
            vec![
                event.session_id.clone(),
                event.page_id.clone(),
                answer,
                time,
            ]
        }
        event_type if event_type.is_offer() => vec![
            event.visitor_id.clone(),
            event.session_id.clone(),
            event.context_id.clone(),
            event.page_id.clone(),
            time,
        ],
        EventType::ChatRequested
        | EventType::ChatConnected
        | EventType::ChatInteractive
        | EventType::ChatEnded
        | EventType::ChatLine
        | EventType::ChatTransferred => chat_parts(event),
        EventType::AvailabilityChecked => {
            vec![event.session_id.clone(), event.context_id.clone(), time]
        }
        EventType::SurveyEvent => vec![
            event.survey_id.clone(),
            event.chat_key.clone().or_else(|| event.session_id.clone()),
            event.survey_type.map(|survey_type| survey_type.to_string()),
            event.survey_action.clone(),
            draft.discriminator.clone(),
        ],
        EventType::SdeReported => attribute_parts(draft, entry),
        EventType::GoalReached => vec![event.goal_event_id.clone()],
        _ => return None,
    })
}

/// Chats of history are known by their key and leg; live ones by the Chat API's key and number.
fn chat_parts(event: &Event) -> Vec<Option<String>> {
    let line = event.line_seq.map(|line| line.to_string());
    if event.engagement_set.is_none() && event.engagement_sequence.is_none() {
        return vec![event.chat_session_key.clone(), line];
    }
    let mut parts = vec![
        event.chat_key.clone(),
        event.engagement_set.map(|set| set.to_string()),
        event
            .engagement_sequence
            .map(|sequence| sequence.to_string()),
    ];
    if event.event_type == EventType::ChatLine {
        parts.push(line);
    }
    parts
}

fn attribute_parts(draft: &Draft<'_, '_>, entry: &blake3::Hash) -> Vec<Option<String>> {
    let event = &*draft.event;
    let body = Some(hex(entry.as_bytes()));
    let kind = event.sde_type.clone();
    match kind.as_deref() {
        Some(name) if !is_appended(name) => vec![event.session_id.clone(), kind, body],
        _ if event.order_ref.is_some() => {
            // A service is reported again at every status: another status is another fact.
            let status = Some(draft.discriminator.clone().unwrap_or_default());
            vec![
                event.visitor_id.clone(),
                kind,
                event.order_ref.clone(),
                status,
            ]
        }
        _ => {
            let time = Some(time_part(event));
            vec![
                event.visitor_id.clone(),
                kind,
                event.session_id.clone(),
                time,
                body,
            ]
        }
    }
}

/// Hash of what an entry says: the order of members, the spelling of numbers, Avro unions and nulls
/// do not count.
pub(crate) fn entry_hash(value: Value<'_, '_>) -> blake3::Hash {
    let mut hasher = Hasher::new();
    hash_value(value, &mut hasher);
    hasher.finalize()
}

fn hash_value(value: Value<'_, '_>, hasher: &mut Hasher) {
    let value = value.unwrapped();
    match value.kind() {
        Kind::Null | Kind::Key => hasher.update(b"n"),
        Kind::True => hasher.update(b"t"),
        Kind::False => hasher.update(b"f"),
        Kind::Number | Kind::String => {
            hasher.update(b"s");
            match value.as_int() {
                Some(number) => hasher.update(number.to_string().as_bytes()),
                None => hasher.update(value.text().as_bytes()),
            };
            hasher.update(SEPARATOR)
        }
        Kind::Array => {
            hasher.update(b"[");
            for item in value.items() {
                hash_value(item, hasher);
            }
            hasher.update(b"]")
        }
        Kind::Object => {
            let mut members: Vec<_> = value
                .members()
                .filter(|(_, member)| !member.is_null())
                .collect();
            members.sort_unstable_by_key(|(name, _)| *name);
            hasher.update(b"{");
            for (name, member) in members {
                hasher.update(name.as_bytes());
                hasher.update(SEPARATOR);
                hash_value(member, hasher);
            }
            hasher.update(b"}")
        }
    };
}

/// Members of the envelope that belong to what a record says. `producedAt` and `eventId` belong to
/// its sending.
const CONTENT: [&str; 12] = [
    "eventType",
    "sourceSystem",
    "sourceEvent",
    "flow",
    "accountId",
    "visitorId",
    "sessionId",
    "pageId",
    "contextId",
    "eventTimeSource",
    "eventTime",
    "seq",
];

/// Hash of a fact's content. A fact with a time of its own does not depend on when it was polled.
pub(crate) fn content_hash(
    root: Value<'_, '_>,
    draft: &Draft<'_, '_>,
    entry: &blake3::Hash,
) -> i64 {
    let mut hasher = Hasher::new();
    hasher.update(entry.as_bytes());
    hasher.update(draft.event.event_type.as_str().as_bytes());
    for name in CONTENT {
        let of_poll = draft.own_time && matches!(name, "eventTime" | "seq");
        if let Some(value) = root.raw(name).filter(|_| !of_poll) {
            hasher.update(name.as_bytes());
            hash_value(value, &mut hasher);
        }
    }
    let mut bytes = [0; 8];
    hasher.finalize_xof().fill(&mut bytes);
    i64::from_le_bytes(bytes)
}
