//! The conversations of one visitor: which rows are one conversation, its key, its derived rows.

use std::collections::BTreeMap;

use hashbrown::HashMap;

use super::intern::{Interner, NULL, Sym};
use super::legs::{Canonical, Fact, find_legs};
use super::row::{Form, Row, code};

/// How much earlier than its answer a call may be stamped later (microseconds): the call has the
/// client's clock.
const CLOCK_SKEW_US: i64 = 60_000_000;

/// Session and context: the offer, inside one visitor.
type Offer = (Sym, Sym);

/// The rows of one conversation.
#[derive(Debug, Default)]
struct Conversation {
    rows: Vec<usize>,
    /// Its earliest row that a chat system wrote.
    start: i64,
}

/// Finds the conversations among the rows of one visitor, in order of time, and appends the rows
/// that have to be derived to `derived`.
pub(crate) fn enrich_conversations(rows: &mut [Row], texts: &mut Interner, derived: &mut Vec<Row>) {
    for conversation in conversations(rows) {
        let key = conversation_key(rows, &conversation, texts);
        for index in &conversation {
            rows[*index].conversation = key;
        }
        let told: Vec<usize> = conversation
            .iter()
            .copied()
            .filter(|index| (code::WINDOW..=code::ENDED).contains(&rows[*index].code))
            .collect();
        date_without_session(rows, &conversation);
        let facts = find_legs(rows, &told);
        let connected = |leg| {
            facts
                .iter()
                .any(|fact| fact.leg == leg && fact.fact == Fact::Connected)
        };
        for fact in facts.iter().filter(|fact| fact.derive) {
            let mut row = derive(rows, fact, texts);
            row.was_connected = Some(connected(fact.leg));
            derived.push(row);
        }
    }
}

/// The positions of the rows of each conversation, in order of time.
fn conversations(rows: &[Row]) -> Vec<Vec<usize>> {
    let mut named: BTreeMap<u32, Conversation> = BTreeMap::new();
    let mut unnamed: BTreeMap<Offer, Vec<usize>> = BTreeMap::new();
    let strong = strong_chats(rows);
    for (index, row) in rows.iter().enumerate() {
        if row.chat != 0 && strong.contains_key(&row.chat) {
            let conversation = named.entry(row.chat).or_default();
            conversation.start = strong.get(&row.chat).copied().unwrap_or(row.time);
            conversation.rows.push(index);
        } else if row.chat != 0 || (row.visitor != NULL && is_chat_fact(row)) {
            unnamed
                .entry((row.session, row.context))
                .or_default()
                .push(index);
        }
    }
    for (offer, loose) in unnamed {
        place_unnamed(rows, offer, loose, &mut named);
    }
    let mut all: Vec<Vec<usize>> = named
        .into_values()
        .map(|conversation| conversation.rows)
        .collect();
    for conversation in &mut all {
        conversation.sort_unstable();
    }
    all
}

/// Chats that are named by themselves, not only by an authentication, and when they began.
fn strong_chats(rows: &[Row]) -> HashMap<u32, i64> {
    let mut strong: HashMap<u32, i64> = HashMap::new();
    for row in rows {
        if row.chat != 0 && row.has_chat_id() {
            let start = strong.entry(row.chat).or_insert(row.time);
            *start = row.time.min(*start);
        }
    }
    strong
}

/// Rows without a chat id that are part of a chat all the same.
fn is_chat_fact(row: &Row) -> bool {
    row.chat == 0 && (code::WINDOW..=code::ENDED).contains(&row.code) && row.form != Form::Nothing
}

/// Puts rows of one offer that do not name their chat into the chat of that offer: a request into
/// the first chat that begins after it, what follows into the chat that is under way. Rows
/// without any such chat are a conversation of their own.
fn place_unnamed(
    rows: &[Row],
    offer: Offer,
    loose: Vec<usize>,
    named: &mut BTreeMap<u32, Conversation>,
) {
    let candidates = chats_of_offer(rows, offer, named);
    let mut rest = Vec::new();
    for index in loose {
        let row = &rows[index];
        let asks = row.form == Form::Call || row.code == code::AUTHENTICATED;
        let found = if asks {
            candidates
                .iter()
                .find(|(start, _)| *start >= row.time - CLOCK_SKEW_US)
        } else {
            candidates
                .iter()
                .rfind(|(start, _)| *start <= row.time + CLOCK_SKEW_US)
                .or_else(|| candidates.first())
        };
        match found.and_then(|(_, chat)| named.get_mut(chat)) {
            Some(conversation) => conversation.rows.push(index),
            None => rest.push(index),
        }
    }
    // Preparations without a request are no conversation.
    if rest.iter().any(|index| rows[*index].form != Form::Nothing) {
        let number = named.keys().next_back().map_or(1, |last| last + 1);
        named.insert(
            number,
            Conversation {
                start: rest.first().map_or(0, |index| rows[*index].time),
                rows: rest,
            },
        );
    }
}

/// Start and number of the chats of `offer`; of its session, when the offer is not known.
fn chats_of_offer(
    rows: &[Row],
    offer: Offer,
    named: &BTreeMap<u32, Conversation>,
) -> Vec<(i64, u32)> {
    let (session, context) = offer;
    let mut found: Vec<(i64, u32)> = named
        .iter()
        .filter(|(_, conversation)| {
            conversation.rows.iter().any(|index| {
                let row = &rows[*index];
                row.has_chat_id()
                    && row.session == session
                    && (context == NULL || row.context == context)
            })
        })
        .map(|(chat, conversation)| (conversation.start, *chat))
        .collect();
    found.sort_unstable();
    found
}

/// The conversation's name: the chat's, else the chat resource's, else the offer's.
fn conversation_key(rows: &[Row], conversation: &[usize], texts: &mut Interner) -> Sym {
    let first = |id: fn(&Row) -> Sym| {
        conversation
            .iter()
            .map(|index| &rows[*index])
            .filter(|row| id(row) != NULL)
            .min_by_key(|row| row.chronology())
            .map(|row| (row.account, id(row)))
    };
    if let Some((_, chat)) = first(|row| row.chat_key) {
        return chat;
    }
    let text = match first(|row| row.chat_session) {
        Some((account, resource)) => {
            format!("{}|{}", texts.text(account), texts.text(resource))
        }
        None => {
            let Some(row) = conversation.first().map(|index| &rows[*index]) else {
                return NULL;
            };
            let parts = [row.account, row.visitor, row.session, row.context];
            parts.map(|part| texts.text(part)).join("|")
        }
    };
    texts.intern(&text)
}

/// A chat that nobody can place in a session is dated by itself, so that it can be counted.
fn date_without_session(rows: &mut [Row], conversation: &[usize]) {
    let start = conversation.iter().map(|index| rows[*index].time).min();
    for index in conversation {
        let row = &mut rows[*index];
        if row.session == NULL || row.visitor == NULL {
            row.session_start = start;
        }
    }
}

/// A row of the fact's own type, made from a row that states the fact in another form.
fn derive(rows: &[Row], fact: &Canonical, texts: &Interner) -> Row {
    let mut row = rows[fact.row];
    let leg = fact.leg.to_string();
    let mut hasher = blake3::Hasher::new();
    for part in [
        "derived",
        texts.text(row.account),
        texts.text(row.conversation),
        &leg,
        fact.fact.event_type(),
    ] {
        hasher.update(part.as_bytes());
        hasher.update(&[0x1f]);
    }
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
    row.id = u128::from_be_bytes(id);
    row.code = fact.fact.code();
    row.derived = true;
    row.duplicate = None;
    row.leg = Some(fact.leg);
    row
}
