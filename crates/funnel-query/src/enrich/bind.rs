//! Inside one session: which copies count, and which offer each row belongs to.

use hashbrown::{HashMap, HashSet};

use super::intern::{NULL, Sym};
use super::row::{Availability, Duplicate, Flow, Join, Row, code};

/// Two reports of one display or click closer than this are one (microseconds).
const NEAR_US: i64 = 1_000_000;
/// How much later than the answer to it a click may be stamped (microseconds): the click has the
/// client's clock, the answer the server's.
const CLOCK_SKEW_US: i64 = 60_000_000;

/// Applies every rule that looks at one session only. `session` holds the positions of its rows
/// in `rows`, in order of time.
pub(crate) fn enrich_session(rows: &mut [Row], session: &[usize]) {
    start_session(rows, session);
    share_flow(rows, session);
    mark_source_copies(rows, session);
    bind_contexts(rows, session);
    mark_near_copies(rows, session);
    number_unavailable(rows, session);
    follow_agent_state(rows, session);
    mark_stale_clicks(rows, session);
}

/// A session starts when the best source says so, else with its first event.
fn start_session(rows: &mut [Row], session: &[usize]) {
    let started = session
        .iter()
        .map(|index| &rows[*index])
        .filter(|row| row.code == code::SESSION_STARTED)
        .min_by_key(|row| (row.source.tier(), row.first_time))
        .map(|row| row.first_time);
    let start = started.or_else(|| session.iter().map(|index| rows[*index].time).min());
    for index in session {
        rows[*index].session_start = start;
    }
}

/// Rows that do not say their flow have that of their session.
fn share_flow(rows: &mut [Row], session: &[usize]) {
    let known = session
        .iter()
        .map(|index| rows[*index].flow)
        .find(|flow| *flow != Flow::Unknown);
    for index in session {
        let row = &mut rows[*index];
        if row.flow == Flow::Unknown {
            row.flow = known.unwrap_or(Flow::Unknown);
        }
    }
}

/// What copies of different sources are compared within; `None`: never a copy.
fn family(row: &Row) -> Option<(i16, Sym)> {
    match row.code {
        code::SESSION_STARTED | code::PAGE_VIEWED | code::CLICK => Some((row.code, NULL)),
        code::RETRIEVED..=code::REMOVED => Some((code::RETRIEVED, NULL)),
        code::SURVEY => Some((code::SURVEY, row.variety)),
        code::SDE if row.is_conversion => Some((code::SDE, NULL)),
        code::SDE => Some((code::SDE + 1, row.variety)),
        _ => None,
    }
}

/// Nightly copies count only where nothing of their family was seen live in the session.
fn mark_source_copies(rows: &mut [Row], session: &[usize]) {
    if session.iter().all(|index| rows[*index].source.tier() == 0) {
        return;
    }
    let mut best: HashMap<(i16, Sym), u8> = HashMap::new();
    for index in session {
        let row = &rows[*index];
        if let Some(family) = family(row) {
            best.entry(family)
                .and_modify(|tier| *tier = row.source.tier().min(*tier))
                .or_insert(row.source.tier());
        }
    }
    for index in session {
        let row = &mut rows[*index];
        let Some(family) = family(row) else { continue };
        if row.is_kept()
            && best
                .get(&family)
                .is_some_and(|best| row.source.tier() > *best)
        {
            row.duplicate = Some(Duplicate::Source);
        }
    }
}

/// Finds the offer of rows that do not name their context.
fn bind_contexts(rows: &mut [Row], session: &[usize]) {
    let opened = opened_contexts(rows, session);
    for index in session {
        let row = rows[*index];
        if !row.is_offer_row() {
            continue;
        }
        if row.context != NULL {
            rows[*index].join = row.join.or(Some(Join::Exact));
        } else if row.is_display() {
            let context = latest(&opened, &row, row.time);
            bind(&mut rows[*index], context, Join::Context);
        }
    }
    let clicks: Vec<Row> = session
        .iter()
        .map(|index| rows[*index])
        .filter(|row| row.code == code::CLICK && row.context != NULL)
        .collect();
    let asked = chat_starts(rows, session);
    for index in session {
        let row = rows[*index];
        if !row.is_chat_row() || row.context != NULL {
            continue;
        }
        // All rows of a chat belong to the click before its request.
        let time = asked.get(&row.chat).copied().unwrap_or(row.time);
        let click = latest(&clicks, &row, time);
        if click.is_some() {
            bind(&mut rows[*index], click, Join::Click);
        } else {
            bind(
                &mut rows[*index],
                latest(&opened, &row, time),
                Join::Context,
            );
        }
    }
}

fn bind(row: &mut Row, to: Option<Row>, join: Join) {
    match to {
        Some(offer) => {
            row.context = offer.context;
            row.campaign = row.campaign.or(offer.campaign);
            row.engagement = row.engagement.or(offer.engagement);
            row.revision = row.revision.or(offer.revision);
            row.join = Some(join);
        }
        None => row.join = Some(Join::None),
    }
}

/// The first row of each context, in order of time.
fn opened_contexts(rows: &[Row], session: &[usize]) -> Vec<Row> {
    let mut opened: Vec<Row> = Vec::new();
    let mut known = HashSet::new();
    for index in session {
        let row = rows[*index];
        let shows = row.code == code::RETRIEVED || row.is_display();
        if shows && row.context != NULL && known.insert(row.context) {
            opened.push(row);
        }
    }
    opened
}

/// The latest of `offers` (in order of time) that is not after `time` and of the same engagement;
/// else the first one shortly after, because the clocks differ.
fn latest(offers: &[Row], row: &Row, time: i64) -> Option<Row> {
    let before = offers
        .iter()
        .rev()
        .find(|offer| offer.time <= time && offer.same_engagement(row));
    let after = || {
        offers
            .iter()
            .find(|offer| offer.same_engagement(row) && offer.time - time <= CLOCK_SKEW_US)
    };
    before.or_else(after).copied()
}

/// When each chat of the session was first asked for.
fn chat_starts(rows: &[Row], session: &[usize]) -> HashMap<u32, i64> {
    let mut starts = HashMap::new();
    for index in session {
        let row = &rows[*index];
        if row.chat != 0 && row.is_chat_row() {
            let time = starts.entry(row.chat).or_insert(row.time);
            *time = row.time.min(*time);
        }
    }
    starts
}

/// Double clicks and double fires: the same page, offer and event less than a second after the
/// last one that counted.
fn mark_near_copies(rows: &mut [Row], session: &[usize]) {
    let mut last: HashMap<(Sym, Sym, i16, Sym), i64> = HashMap::new();
    for index in session {
        let row = &mut rows[*index];
        if !row.is_kept() || !row.is_display() || row.context == NULL {
            continue;
        }
        let key = (row.context, row.page, row.code, row.system);
        match last.get(&key) {
            Some(time) if row.time - time < NEAR_US => row.duplicate = Some(Duplicate::Near),
            _ => {
                last.insert(key, row.time);
            }
        }
    }
}

/// An answer `NotAvailable` has no context: the n-th of the session is an offer of its own.
fn number_unavailable(rows: &mut [Row], session: &[usize]) {
    let mut number = 0;
    for index in session {
        let row = &mut rows[*index];
        let refused = row.code == code::RETRIEVED && row.availability == Availability::NotAvailable;
        if refused && row.is_kept() && row.context == NULL {
            number += 1;
            row.unavailable = number;
            row.join = Some(Join::Exact);
        } else if row.code == code::RETRIEVED && row.context == NULL {
            row.join = None;
        }
    }
}

/// The agent state of a row is its own, else the last one seen with its offer.
fn follow_agent_state(rows: &mut [Row], session: &[usize]) {
    // 0 is a state that the page did not know.
    let said = |row: &Row| row.agent_state.filter(|state| *state != 0);
    let mut last: HashMap<Sym, i16> = HashMap::new();
    let mut first: HashMap<Sym, i16> = HashMap::new();
    for index in session {
        let row = &rows[*index];
        if let Some(state) = said(row) {
            first.entry(row.context).or_insert(state);
        }
    }
    for index in session {
        let row = &mut rows[*index];
        if !row.is_offer_row() || row.context == NULL {
            continue;
        }
        let own = said(row);
        row.state = own
            .or_else(|| last.get(&row.context).copied())
            .or_else(|| first.get(&row.context).copied());
        if let Some(state) = own {
            last.insert(row.context, state);
        }
    }
}

/// A click is stale when its offer was retrieved longer ago than it was valid for.
fn mark_stale_clicks(rows: &mut [Row], session: &[usize]) {
    let answers: Vec<Row> = session
        .iter()
        .map(|index| rows[*index])
        .filter(|row| row.code == code::RETRIEVED && row.valid_for_seconds.is_some())
        .collect();
    for index in session {
        let row = &mut rows[*index];
        if row.code != code::CLICK {
            continue;
        }
        let of_offer = |answer: &&Row| answer.context == row.context && row.context != NULL;
        let answer = answers
            .iter()
            .filter(of_offer)
            .rfind(|answer| answer.time <= row.time)
            .or_else(|| answers.iter().find(of_offer));
        row.stale = answer.map(|answer| {
            let valid_us = i64::from(answer.valid_for_seconds.unwrap_or(0)) * 1_000_000;
            row.time - answer.time > valid_us
        });
    }
}
