//! Exact duplicates: rows with one event id are one event.

use hashbrown::HashMap;

use super::intern::Interner;
use super::read::{Coordinate, RowReader};
use super::row::{Duplicate, Row};

/// Rows without their exact copies, and the copies.
#[derive(Debug)]
pub(crate) struct Deduplicated {
    pub(crate) texts: Interner,
    pub(crate) kept: Vec<Row>,
    pub(crate) copies: Vec<Row>,
}

/// Keeps, of rows with the same event id, the one that reached Kafka first.
pub(crate) fn by_event_id(input: RowReader) -> Deduplicated {
    let RowReader {
        texts,
        rows,
        coordinates,
        ..
    } = input;
    let mut first: HashMap<u128, u32> = HashMap::with_capacity(rows.len());
    let mut is_copy = vec![false; rows.len()];
    let mut any_copy = false;
    for index in 0..rows.len() {
        let number = u32::try_from(index).unwrap_or(u32::MAX);
        let Some(best) = first.get_mut(&rows[index].id) else {
            first.insert(rows[index].id, number);
            continue;
        };
        any_copy = true;
        let rival = *best as usize;
        if order(&texts, &coordinates[index]) < order(&texts, &coordinates[rival]) {
            *best = number;
            is_copy[rival] = true;
        } else {
            is_copy[index] = true;
        }
    }
    if !any_copy {
        return Deduplicated {
            texts,
            kept: rows,
            copies: Vec::new(),
        };
    }
    split(texts, rows, &is_copy)
}

fn split(texts: Interner, rows: Vec<Row>, is_copy: &[bool]) -> Deduplicated {
    let mut kept = Vec::with_capacity(rows.len());
    let mut copies = Vec::new();
    let mut earliest: HashMap<u128, i64> = HashMap::new();
    for (mut row, copy) in rows.into_iter().zip(is_copy) {
        if *copy {
            row.duplicate = Some(Duplicate::EventId);
            earliest
                .entry(row.id)
                .and_modify(|time| *time = row.time.min(*time))
                .or_insert(row.time);
            copies.push(row);
        } else {
            kept.push(row);
        }
    }
    for row in &mut kept {
        if let Some(time) = earliest.get(&row.id) {
            row.first_time = row.time.min(*time);
        }
    }
    Deduplicated {
        texts,
        kept,
        copies,
    }
}

fn order<'a>(texts: &'a Interner, coordinate: &Coordinate) -> (i64, &'a str, i32, i64, i32) {
    let (time, topic, partition, offset, entry) = *coordinate;
    (time, texts.text(topic), partition, offset, entry)
}

/// Gives every copy what the rules found out about the row that counts.
pub(crate) fn follow_originals(kept: &[Row], copies: &mut [Row]) {
    if copies.is_empty() {
        return;
    }
    let mut originals: HashMap<u128, Option<Row>> =
        copies.iter().map(|copy| (copy.id, None)).collect();
    for row in kept {
        if let Some(original) = originals.get_mut(&row.id) {
            *original = Some(*row);
        }
    }
    for copy in copies {
        if let Some(Some(original)) = originals.get(&copy.id) {
            let (at, time, received, first_time) =
                (copy.at, copy.time, copy.received, copy.first_time);
            *copy = *original;
            copy.at = at;
            copy.time = time;
            copy.received = received;
            copy.first_time = first_time;
            copy.duplicate = Some(Duplicate::EventId);
        }
    }
}
