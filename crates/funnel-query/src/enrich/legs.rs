//! The facts of one conversation and the legs they belong to.
//!
//! Each source tells the story of a chat in its own order and on its own clock, so each is read by
//! itself: it says which facts happened on which leg. The stories are then laid over each other leg
//! by leg, the most direct source first.

use std::collections::BTreeMap;

use super::row::{Duplicate, Form, Row, Source, code};

/// What happens at most once on each leg of a chat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fact {
    Requested,
    Connected,
    Interactive,
    Transferred,
    Ended,
}

impl Fact {
    /// The event type that states this fact and nothing else.
    pub(crate) fn code(self) -> i16 {
        match self {
            Self::Requested => code::REQUESTED,
            Self::Connected => code::CONNECTED,
            Self::Interactive => code::INTERACTIVE,
            Self::Transferred => code::TRANSFERRED,
            Self::Ended => code::ENDED,
        }
    }

    pub(crate) fn event_type(self) -> &'static str {
        match self {
            Self::Requested => "chat_requested",
            Self::Connected => "chat_connected",
            Self::Interactive => "chat_interactive",
            Self::Transferred => "chat_transferred",
            Self::Ended => "chat_ended",
        }
    }
}

/// One row that states a fact of a leg.
#[derive(Debug, Clone, Copy)]
struct Witness {
    leg: i32,
    fact: Fact,
    /// Position of the row.
    row: usize,
    source: Source,
    /// The row is of the fact's own event type.
    own: bool,
    /// The row is a call of a client, on the client's clock.
    call: bool,
    /// Place in the story of its source.
    place: usize,
}

/// The row that counts for a fact of a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Canonical {
    pub(crate) leg: i32,
    pub(crate) fact: Fact,
    pub(crate) row: usize,
    /// A row of the fact's own type has to be made from `row`.
    pub(crate) derive: bool,
}

/// Finds the legs of the conversation whose rows stand at `conversation`, numbers them in the rows,
/// marks all but one form of each fact, and returns the rows that count.
pub(crate) fn find_legs(rows: &mut [Row], conversation: &[usize]) -> Vec<Canonical> {
    let mut witnesses = Vec::new();
    for source in [Source::Live, Source::Page, Source::DataAccess] {
        let story = in_order(rows, conversation, source);
        witnesses.extend(tell(rows, &story, source));
    }
    witnesses.extend(tell_history(rows, conversation));
    drop_indirect_interactions(rows, conversation, &mut witnesses);
    let last = witnesses.iter().map(|w| w.leg).max().unwrap_or(0);
    for witness in &mut witnesses {
        // A chat ends once, on its last leg; the history numbers its legs itself.
        if witness.fact == Fact::Ended && witness.source != Source::History {
            witness.leg = last;
            rows[witness.row].leg = Some(last);
        }
    }
    let chosen = choose(&witnesses);
    mark(rows, conversation, &chosen);
    chosen
}

/// The rows of one source in the order of the chat: by sequence number where there is one, with
/// the others between them by time.
fn in_order(rows: &[Row], conversation: &[usize], source: Source) -> Vec<usize> {
    let mut story: Vec<usize> = conversation
        .iter()
        .copied()
        .filter(|index| rows[*index].source == source)
        .collect();
    story.sort_by_key(|index| (rows[*index].line_seq, rows[*index].chronology()));
    let mut latest = i64::MIN;
    let mut keyed: Vec<_> = story
        .into_iter()
        .map(|index| {
            let row = &rows[index];
            let time = match row.line_seq {
                // A number orders more reliably than a time: time never runs backwards along it.
                Some(_) => {
                    latest = latest.max(row.time);
                    latest
                }
                None => row.time,
            };
            // Without a number: before the others if it begins something, else after them.
            let sequence = row.line_seq.unwrap_or(match row.form {
                Form::Call | Form::Requested | Form::Connected => i64::MIN,
                _ => i64::MAX,
            });
            ((time, sequence, row.chronology()), index)
        })
        .collect();
    keyed.sort();
    keyed.into_iter().map(|(_, index)| index).collect()
}

/// Walks through the story of one source.
fn tell(rows: &mut [Row], story: &[usize], source: Source) -> Vec<Witness> {
    let numbered_requests = story
        .iter()
        .any(|index| rows[*index].form == Form::Requested && rows[*index].line_seq.is_some());
    let names_transfers = story
        .iter()
        .any(|index| rows[*index].code == code::TRANSFERRED);
    let mut witnesses = Vec::new();
    let (mut leg, mut connected) = (0, false);
    for (place, index) in story.iter().enumerate() {
        let row = rows[*index];
        let mut state = |leg, fact: Fact| {
            witnesses.push(Witness {
                leg,
                fact,
                row: *index,
                source,
                own: row.code == fact.code(),
                call: row.form == Form::Call,
                place,
            });
        };
        let mut own_leg = leg;
        match row.form {
            Form::Call => {
                own_leg = 0;
                state(0, Fact::Requested);
            }
            Form::Requested => {
                // Back in the queue although nobody said so.
                if connected && (row.line_seq.is_some() || !numbered_requests) {
                    leg += 1;
                    connected = false;
                }
                own_leg = leg;
                state(leg, Fact::Requested);
            }
            Form::Connected => {
                connected = true;
                state(leg, Fact::Connected);
            }
            Form::VisitorLine if connected => state(leg, Fact::Interactive),
            Form::Interactive => state(leg, Fact::Interactive),
            Form::Forwarded => state(leg, Fact::Transferred),
            // An end by transfer repeats a transfer that the same source reports.
            Form::Transferred if row.code == code::ENDED && names_transfers => {}
            Form::Transferred => {
                state(leg, Fact::Transferred);
                leg += 1;
                connected = false;
                state(leg, Fact::Requested);
            }
            Form::Ended => state(leg, Fact::Ended),
            Form::VisitorLine | Form::OtherLine | Form::Nothing => {}
        }
        rows[*index].leg = Some(own_leg);
    }
    witnesses
}

/// The history has one record per leg, numbered by itself.
fn tell_history(rows: &mut [Row], conversation: &[usize]) -> Vec<Witness> {
    let story = in_order(rows, conversation, Source::History);
    let mut witnesses = Vec::new();
    for (place, index) in story.iter().enumerate() {
        let row = rows[*index];
        let leg = row.sequence.unwrap_or(0);
        rows[*index].leg = Some(leg);
        let mut state = |leg, fact: Fact| {
            witnesses.push(Witness {
                leg,
                fact,
                row: *index,
                source: Source::History,
                own: row.code == fact.code(),
                call: row.form == Form::Call,
                place,
            });
        };
        match row.form {
            Form::Call | Form::Requested => state(leg, Fact::Requested),
            Form::Connected => state(leg, Fact::Connected),
            Form::Interactive | Form::VisitorLine => state(leg, Fact::Interactive),
            Form::Forwarded => state(leg, Fact::Transferred),
            Form::Transferred => {
                state(leg, Fact::Transferred);
                state(leg + 1, Fact::Requested);
            }
            Form::Ended => state(leg, Fact::Ended),
            Form::OtherLine | Form::Nothing => {}
        }
    }
    witnesses
}

/// Whether the visitor wrote is decided by the lines where they were seen live: a summary knows it
/// of the whole chat only. And nobody interacts before an agent is there.
fn drop_indirect_interactions(rows: &[Row], conversation: &[usize], witnesses: &mut Vec<Witness>) {
    let saw_lines = conversation.iter().any(|index| {
        let row = &rows[*index];
        let line = matches!(row.form, Form::VisitorLine | Form::OtherLine);
        row.source == Source::Live && line
    });
    let from_page = witnesses
        .iter()
        .any(|w| w.fact == Fact::Interactive && w.source == Source::Page);
    let connected: Vec<i32> = witnesses
        .iter()
        .filter(|w| w.fact == Fact::Connected)
        .map(|w| w.leg)
        .collect();
    witnesses.retain(|w| {
        w.fact != Fact::Interactive
            || (connected.contains(&w.leg)
                && match w.source {
                    Source::Live => true,
                    Source::DataAccess => !saw_lines && !from_page,
                    _ => !saw_lines,
                })
    });
}

/// For each fact of each leg: the most direct source, in it a row of the fact's own type, of these
/// one that a chat system wrote, of these the first.
fn choose(witnesses: &[Witness]) -> Vec<Canonical> {
    let mut best: BTreeMap<(i32, Fact), &Witness> = BTreeMap::new();
    let rank = |w: &Witness| (w.source, !w.own, w.call, w.place);
    for witness in witnesses {
        best.entry((witness.leg, witness.fact))
            .and_modify(|found| {
                if rank(witness) < rank(found) {
                    *found = witness;
                }
            })
            .or_insert(witness);
    }
    best.into_values()
        .map(|w| Canonical {
            leg: w.leg,
            fact: w.fact,
            row: w.row,
            derive: !w.own,
        })
        .collect()
}

/// Marks the other forms of each fact, and says of each row whether its leg was connected.
fn mark(rows: &mut [Row], conversation: &[usize], chosen: &[Canonical]) {
    let connected: Vec<i32> = chosen
        .iter()
        .filter(|c| c.fact == Fact::Connected)
        .map(|c| c.leg)
        .collect();
    let has_live_lines = conversation
        .iter()
        .any(|index| rows[*index].code == code::LINE && rows[*index].source.tier() == 0);
    for index in conversation {
        let is_canonical = chosen.iter().any(|c| c.row == *index && !c.derive);
        let row = &mut rows[*index];
        row.was_connected = row.leg.map(|leg| connected.contains(&leg));
        let states_fact = matches!(
            row.code,
            code::REQUESTED | code::CONNECTED | code::INTERACTIVE | code::TRANSFERRED | code::ENDED
        );
        if states_fact && !is_canonical && row.is_kept() {
            row.duplicate = Some(Duplicate::Form);
        }
        // Lines are told apart by their number, which each source gives by itself.
        if row.code == code::LINE && row.source.tier() > 0 && has_live_lines && row.is_kept() {
            row.duplicate = Some(Duplicate::Source);
        }
    }
}
