//! `events_enriched`: every event with what it can only know from other events.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`schema`] | the columns of the view |
//! | [`provider`] | the view as a DataFusion table |
//! | `read`, `row`, `intern` | events as small rows of numbers |
//! | `dedup` | rows with one event id are one event |
//! | `link` | rows that share an id of a chat share what they know |
//! | `visitor` | the rules over one visitor: `bind` (one session), `chats`, `legs` |
//! | `output`, `calendar` | rows as Arrow columns again |
//! | `parts` | rows in parts that nothing ties together |
//!
//! The result depends on the set of events alone, not on the order of their arrival.

mod bind;
mod calendar;
mod chats;
mod dedup;
mod intern;
mod legs;
mod link;
mod output;
mod parts;
pub mod provider;
mod read;
mod row;
pub mod schema;
mod visitor;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::Field;
use arrow::error::ArrowError;
use chrono::NaiveDate;
use chrono_tz::Tz;
use hashbrown::HashMap;

use calendar::Calendar;
use intern::{Interner, NULL, Sym};
use output::Writer;
use read::RowReader;
use row::Row;

pub use provider::EnrichedProvider;

/// Rows per batch of the result.
pub(crate) const CHUNK_ROWS: usize = 8192;

/// What the rules have to know beside the events.
#[derive(Debug, Clone, Default)]
pub struct EnrichRules {
    /// Time zone of each account; UTC for the others.
    pub zones: BTreeMap<String, Tz>,
    /// The UTC days, both inclusive, whose events are read; all, if there are none.
    pub event_days: Option<(NaiveDate, NaiveDate)>,
}

/// The enriched rows, ordered by account, visitor and time, and the batches they came from.
#[derive(Debug)]
pub(crate) struct Enriched {
    texts: Arc<Interner>,
    rows: Vec<Row>,
    batches: Arc<[RecordBatch]>,
    calendar: Calendar,
}

impl Enriched {
    /// Applies all rules to `batches`.
    pub(crate) fn new(batches: Vec<RecordBatch>, rules: &EnrichRules) -> Result<Self, ArrowError> {
        let mut reader = RowReader::new();
        for (number, batch) in batches.iter().enumerate() {
            reader.add(u32::try_from(number).unwrap_or(u32::MAX), batch)?;
        }
        let dedup::Deduplicated {
            mut texts,
            mut kept,
            mut copies,
        } = dedup::by_event_id(reader);
        link::link_chats(&mut kept, &texts);
        let derived = enrich_visitors(&mut kept, &mut texts);
        dedup::follow_originals(&kept, &mut copies);
        let rows = in_order(kept, copies, derived, &texts);
        let calendar = Calendar::new(&rules.zones, &mut texts);
        Ok(Self {
            texts: Arc::new(texts),
            rows,
            batches: batches.into(),
            calendar,
        })
    }

    /// The rows in parts that nothing ties together: no visitor, session, offer or conversation has
    /// rows in two of them. A part has at least `rows` rows, unless it is the last, and the parts
    /// follow each other by account and time.
    pub(crate) fn split(self, rows: usize) -> Vec<Self> {
        let parts = parts::split(self.rows, rows);
        let part = |rows| Self {
            texts: Arc::clone(&self.texts),
            rows,
            batches: Arc::clone(&self.batches),
            calendar: self.calendar.clone(),
        };
        parts.into_iter().map(part).collect()
    }

    /// Bytes held, roughly.
    pub(crate) fn bytes(&self) -> usize {
        let batches: usize = self
            .batches
            .iter()
            .map(RecordBatch::get_array_memory_size)
            .sum();
        batches + self.rows.len() * size_of::<Row>()
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// One column, in chunks of [`CHUNK_ROWS`] rows.
    pub(crate) fn column(&mut self, field: &Field) -> Result<Vec<ArrayRef>, ArrowError> {
        let mut writer = Writer {
            texts: &self.texts,
            batches: &self.batches,
            calendar: &mut self.calendar,
        };
        self.rows
            .chunks(CHUNK_ROWS)
            .map(|rows| writer.column(field, rows))
            .collect()
    }
}

/// Applies the rules visitor by visitor; returns the derived rows.
fn enrich_visitors(rows: &mut [Row], texts: &mut Interner) -> Vec<Row> {
    // A chat without a visitor is a visitor of its own.
    let group = |row: &Row| {
        let chat = if row.visitor == NULL { row.chat } else { 0 };
        (row.account, row.visitor, chat)
    };
    rows.sort_unstable_by_key(group);
    let mut derived = Vec::new();
    for visitor in rows.chunk_by_mut(|one, next| group(one) == group(next)) {
        visitor::enrich_visitor(visitor, texts, &mut derived);
    }
    derived
}

/// All rows by account, visitor and time. `kept` has the rows of a visitor together, in order.
fn in_order(kept: Vec<Row>, copies: Vec<Row>, derived: Vec<Row>, texts: &Interner) -> Vec<Row> {
    let visitor = |row: &Row| (row.account, row.visitor);
    let mut all: HashMap<(Sym, Sym), Vec<Row>> = HashMap::new();
    let total = kept.len() + copies.len() + derived.len();
    for rows in kept.chunk_by(|one, next| visitor(one) == visitor(next)) {
        if let Some(first) = rows.first() {
            all.entry(visitor(first))
                .or_default()
                .extend_from_slice(rows);
        }
    }
    drop(kept);
    for row in copies.into_iter().chain(derived) {
        all.entry(visitor(&row)).or_default().push(row);
    }
    let mut visitors: Vec<((Sym, Sym), Vec<Row>)> = all.into_iter().collect();
    visitors.sort_unstable_by_key(|((account, visitor), _)| {
        (texts.text(*account), texts.text(*visitor))
    });
    let mut rows = Vec::with_capacity(total);
    for (_, mut of_visitor) in visitors {
        let key = |row: &Row| (row.chronology(), row.duplicate.is_some(), row.at);
        if !of_visitor.is_sorted_by_key(key) {
            of_visitor.sort_by_key(key);
        }
        rows.append(&mut of_visitor);
    }
    rows
}

#[cfg(test)]
mod tests;
