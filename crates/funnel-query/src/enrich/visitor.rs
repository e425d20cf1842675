//! All rules over the rows of one visitor.

use std::collections::BTreeMap;

use super::bind::enrich_session;
use super::chats::enrich_conversations;
use super::intern::{Interner, NULL, Sym};
use super::row::{Form, Join, Row, Source, code};

/// A chat that is only known afterwards belongs to a click at most this long before its request,
/// unless its session went on longer (microseconds).
const CLICK_TO_REQUEST_US: i64 = 30 * 60 * 1_000_000;

/// Enriches the rows of one visitor, or of one chat whose visitor nobody knows; appends the rows
/// that have to be derived to `derived`.
pub(crate) fn enrich_visitor(rows: &mut [Row], texts: &mut Interner, derived: &mut Vec<Row>) {
    rows.sort_by_key(Row::chronology);
    if rows.first().is_some_and(|row| row.visitor != NULL) {
        place_late_chats(rows);
        let mut sessions: BTreeMap<Sym, Vec<usize>> = BTreeMap::new();
        for (index, row) in rows.iter().enumerate() {
            if row.session != NULL {
                sessions.entry(row.session).or_default().push(index);
            }
        }
        for session in sessions.values() {
            enrich_session(rows, session);
        }
    }
    for row in rows.iter_mut() {
        if row.is_chat_row() && row.join.is_none() {
            row.join = Some(Join::None);
        }
    }
    if rows
        .iter()
        .any(|row| (code::AUTHENTICATED..=code::ENDED).contains(&row.code))
    {
        enrich_conversations(rows, texts, derived);
    }
}

/// Chats that name their visitor but no session (the history of a chat that was not seen live):
/// each belongs to the latest click before its request.
fn place_late_chats(rows: &mut [Row]) {
    let mut late: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (index, row) in rows.iter().enumerate() {
        if row.session == NULL && row.chat != 0 {
            late.entry(row.chat).or_default().push(index);
        }
    }
    for chat in late.into_values() {
        let Some(click) = click_before(rows, &chat) else {
            continue;
        };
        for index in chat {
            let row = &mut rows[index];
            row.session = click.session;
            row.flow = click.flow;
            if row.is_chat_row() {
                row.context = click.context;
                row.join = Some(Join::Time);
            }
        }
    }
}

fn click_before(rows: &[Row], chat: &[usize]) -> Option<Row> {
    let afterwards =
        |index: &usize| matches!(rows[*index].source, Source::History | Source::DataAccess);
    if !chat.iter().all(afterwards) {
        return None;
    }
    let request = chat
        .iter()
        .map(|index| &rows[*index])
        .filter(|row| row.is_chat_row())
        .min_by_key(|row| (row.form != Form::Requested, row.time))?;
    let click = rows
        .iter()
        .filter(|row| {
            row.code == code::CLICK
                && row.session != NULL
                && row.time <= request.time
                && row.same_engagement(request)
        })
        .max_by_key(|row| row.chronology())?;
    let session_end = rows
        .iter()
        .filter(|row| row.session == click.session)
        .map(|row| row.time)
        .max()?;
    let near = request.time - click.time <= CLICK_TO_REQUEST_US;
    (near || request.time <= session_end).then_some(*click)
}
