//! Which chat rows are one chat, and whose it is: rows that share an id of the chat share what any
//! of them knows about visitor, session, offer and engagement.

use std::collections::BTreeMap;

use hashbrown::{HashMap, HashSet};

use super::intern::{Interner, NULL, Sym};
use super::row::{Flow, Join, Row, Source, code};

/// Sets that grow together (union-find with path halving).
#[derive(Debug, Default)]
struct Sets {
    parent: Vec<u32>,
}

impl Sets {
    fn add(&mut self) -> u32 {
        let number = u32::try_from(self.parent.len()).unwrap_or(u32::MAX);
        self.parent.push(number);
        number
    }

    fn root(&mut self, mut node: u32) -> u32 {
        while self.parent[node as usize] != node {
            let above = self.parent[self.parent[node as usize] as usize];
            self.parent[node as usize] = above;
            node = above;
        }
        node
    }

    fn join(&mut self, one: u32, other: u32) {
        let (one, other) = (self.root(one), self.root(other));
        // The older root stays, whatever the order of the rows.
        self.parent[one.max(other) as usize] = one.min(other);
    }
}

/// What the rows of one chat know together.
#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// Rank of the row that the ids come from; smaller is better.
    rank: Option<(u8, u8, i64, u128)>,
    visitor: Sym,
    session: Sym,
    context: Sym,
    engagement_rank: Option<(u8, i64, u128)>,
    campaign: Option<i64>,
    engagement: Option<i64>,
    revision: Option<i32>,
    /// The flow that the earliest row says.
    flow: Option<(i64, u128, Flow)>,
}

/// Numbers the chats and fills what a row lacks from the other rows of its chat.
pub(crate) fn link_chats(rows: &mut [Row], texts: &Interner) {
    name_history_visitors(rows, texts);
    let chats = number_chats(rows);
    if chats == 0 {
        return;
    }
    let mut known = vec![Known::default(); chats + 1];
    for row in rows.iter() {
        learn(&mut known[row.chat as usize], row);
    }
    name_participants(rows, &mut known);
    for row in rows.iter_mut() {
        if row.chat != 0 {
            fill(row, &known[row.chat as usize], texts);
        }
    }
}

/// Engagement History writes visitor ids in lower case: gives them back the spelling of the other
/// sources, where exactly one visitor can be meant.
fn name_history_visitors(rows: &mut [Row], texts: &Interner) {
    let wanted: HashSet<(Sym, Sym)> = rows
        .iter()
        .filter(|row| row.source == Source::History && row.visitor != NULL)
        .map(|row| (row.account, row.visitor))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let mut seen = HashSet::new();
    let mut spelling: HashMap<(Sym, String), Option<Sym>> = HashMap::new();
    for row in rows.iter() {
        if row.source == Source::History || row.visitor == NULL {
            continue;
        }
        if !seen.insert((row.account, row.visitor)) {
            continue;
        }
        let lower = texts.text(row.visitor).to_lowercase();
        spelling
            .entry((row.account, lower))
            .and_modify(|visitor| *visitor = None)
            .or_insert(Some(row.visitor));
    }
    for row in rows.iter_mut() {
        if row.source != Source::History || row.visitor == NULL {
            continue;
        }
        let lower = texts.text(row.visitor).to_lowercase();
        if let Some(Some(visitor)) = spelling.get(&(row.account, lower)) {
            row.visitor = *visitor;
        }
    }
}

/// Gives each row the number of its chat, from 1; returns how many there are.
fn number_chats(rows: &mut [Row]) -> usize {
    let mut sets = Sets::default();
    let mut nodes: HashMap<(u8, Sym, Sym), u32> = HashMap::new();
    let mut own = vec![None; rows.len()];
    for (row, own) in rows.iter().zip(&mut own) {
        let ids = [
            (0, row.chat_session),
            (1, row.chat_key),
            (2, row.auth_conversation),
        ];
        for (kind, id) in ids {
            if id == NULL {
                continue;
            }
            let node = *nodes
                .entry((kind, row.account, id))
                .or_insert_with(|| sets.add());
            match *own {
                Some(first) => sets.join(first, node),
                None => *own = Some(node),
            }
        }
    }
    let mut numbers: HashMap<u32, u32> = HashMap::new();
    for (row, node) in rows.iter_mut().zip(own) {
        let Some(node) = node else { continue };
        let next = u32::try_from(numbers.len() + 1).unwrap_or(u32::MAX);
        row.chat = *numbers.entry(sets.root(node)).or_insert(next);
    }
    numbers.len()
}

fn learn(known: &mut Known, row: &Row) {
    if row.chat == 0 {
        return;
    }
    if row.visitor != NULL {
        let depth = match (row.session != NULL, row.context != NULL) {
            (true, true) => 0,
            (true, false) => 1,
            _ => 2,
        };
        let rank = (depth, row.source.tier(), row.time, row.id);
        if known.rank.is_none_or(|best| rank < best) {
            known.rank = Some(rank);
            known.visitor = row.visitor;
            known.session = row.session;
            known.context = if row.session == NULL {
                NULL
            } else {
                row.context
            };
        }
    }
    if row.engagement.is_some() {
        let rank = (row.source.tier(), row.time, row.id);
        if known.engagement_rank.is_none_or(|best| rank < best) {
            known.engagement_rank = Some(rank);
            known.campaign = row.campaign;
            known.engagement = row.engagement;
            known.revision = row.revision;
        }
    }
    let earlier = |(time, id, _): (i64, u128, Flow)| (row.time, row.id) < (time, id);
    if row.flow != Flow::Unknown && known.flow.is_none_or(earlier) {
        known.flow = Some((row.time, row.id, row.flow));
    }
}

/// A participant is an authenticated visitor: names the visitor of chats whose rows name only him,
/// where all other rows agree who that is.
fn name_participants(rows: &mut [Row], known: &mut [Known]) {
    let mut visitors: BTreeMap<(Sym, Sym), Option<Sym>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.participant != NULL) {
        let visitor = match row.chat {
            0 => row.visitor,
            chat if row.visitor == NULL => known[chat as usize].visitor,
            _ => row.visitor,
        };
        if visitor != NULL {
            visitors
                .entry((row.account, row.participant))
                .and_modify(|found| *found = found.filter(|found| *found == visitor))
                .or_insert(Some(visitor));
        }
    }
    for row in rows.iter_mut().filter(|row| row.participant != NULL) {
        let Some(Some(visitor)) = visitors.get(&(row.account, row.participant)) else {
            continue;
        };
        if row.visitor == NULL {
            row.visitor = *visitor;
        }
        let chat = &mut known[row.chat as usize];
        if row.chat != 0 && chat.visitor == NULL {
            chat.visitor = *visitor;
        }
    }
}

fn fill(row: &mut Row, known: &Known, texts: &Interner) {
    let is_chat = row.is_chat_row() || row.code == code::SURVEY;
    if row.flow == Flow::Unknown {
        row.flow = known.flow.map_or(Flow::Unknown, |(_, _, flow)| flow);
    }
    if is_chat && row.engagement.is_none() {
        row.campaign = row.campaign.or(known.campaign);
        row.engagement = known.engagement;
        row.revision = row.revision.or(known.revision);
    }
    let is_lower_case = row.source == Source::History
        && texts.text(row.visitor) == texts.text(known.visitor).to_lowercase();
    if row.visitor == NULL || is_lower_case {
        row.visitor = known.visitor;
    }
    if row.visitor != known.visitor || row.visitor == NULL {
        return;
    }
    if row.session == NULL {
        row.session = known.session;
    }
    if row.context == NULL && row.session == known.session && is_chat {
        row.context = known.context;
        if row.context != NULL {
            row.join = Some(Join::Chat);
        }
    }
}
