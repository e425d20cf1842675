//! One partition: what the ledger says of its offsets, and what the tables hold.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;

use super::{Partitions, places};
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::explain::timeline::text;

/// What the ledger counts: records by fate, then entries.
pub(super) const LEDGER: [&str; 9] = [
    "accepted",
    "rejected",
    "duplicate",
    "empty",
    "tombstone",
    "holes",
    "event_rows",
    "reject_rows",
    "duplicate_entries",
];
/// How many of them are fates.
const FATES: usize = 6;
const ACCEPTED: usize = 0;
const EVENT_ROWS: usize = 6;
const REJECT_ROWS: usize = 7;

/// A partition of one incarnation of a topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) uuid: String,
    pub(super) partition: i32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            topic,
            uuid,
            partition,
        } = self;
        write!(f, "partition {partition} of topic `{topic}` ({uuid})")
    }
}

/// The sums of one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    /// The rows of `events` by class and step.
    pub(super) classes: BTreeMap<(String, Option<usize>), Rows>,
    /// `None` where there is no ledger.
    pub(super) ledger: Option<Ledger>,
    /// Rows of `events`, and how many records they come from.
    pub(super) read: i64,
    records: i64,
    /// The offsets between which they lie.
    read_offsets: Range<i64>,
    rejects: i64,
}

/// Rows of one class, and the offsets between which they stand.
#[derive(Debug, Clone)]
pub(super) struct Rows {
    pub(super) count: i64,
    pub(super) offsets: Range<i64>,
}

/// What the ledger says of one partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger {
    /// Entries that follow each other and say the same are one.
    pub(super) ranges: Vec<Covered>,
    /// In the order of [`LEDGER`].
    pub(super) counts: [i64; LEDGER.len()],
}

/// Offsets that were read, or could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Covered {
    pub(super) offsets: Range<i64>,
    /// Why they could not be read.
    pub(super) gap: Option<String>,
}

impl Partition {
    pub(super) fn add(
        &mut self,
        class: &str,
        step: Option<usize>,
        count: i64,
        offsets: Range<i64>,
    ) {
        let none = || Rows {
            count: 0,
            offsets: offsets.clone(),
        };
        let key = (class.to_owned(), step);
        let rows = self.classes.entry(key).or_insert_with(none);
        rows.count += count;
        rows.offsets.start = rows.offsets.start.min(offsets.start);
        rows.offsets.end = rows.offsets.end.max(offsets.end);
    }

    pub(super) fn classified(&self) -> i64 {
        self.classes.values().map(|rows| rows.count).sum()
    }

    /// What does not add up.
    pub(super) fn problems(&self, place: &Place) -> Vec<String> {
        let mut found = Vec::new();
        let (classified, read) = (self.classified(), self.read);
        if classified != read {
            found.push(format!("{classified} rows have a class, {read} were read"));
        }
        if let Some(ledger) = &self.ledger {
            ledger.check(&mut found);
            let counts = ledger.counts;
            for (what, is, says) in [
                ("rows of `events`", read, counts[EVENT_ROWS]),
                (
                    "records with a row of `events`",
                    self.records,
                    counts[ACCEPTED],
                ),
            ] {
                if is != says {
                    found.push(format!("{is} {what}, the ledger says {says}"));
                }
            }
            // Rejects come first: those of a commit under way are claimed by nobody yet.
            if self.rejects < counts[REJECT_ROWS] {
                let (is, says) = (self.rejects, counts[REJECT_ROWS]);
                found.push(format!("{is} rows of `rejects`, the ledger says {says}"));
            }
            let covered = ledger.covered();
            let rows = &self.read_offsets;
            if read > 0 && (rows.start < covered.start || rows.end > covered.end) {
                found.push(format!(
                    "rows of `events` stand at offsets {}..{}, the ledger covers {}..{}",
                    rows.start, rows.end, covered.start, covered.end
                ));
            }
        }
        let named = |problem: String| format!("{place}: {problem}");
        found.into_iter().map(named).collect()
    }
}

impl Ledger {
    /// From the first offset to the last; the end is not included.
    pub(super) fn covered(&self) -> Range<i64> {
        let first = self.ranges.first().map_or(0, |range| range.offsets.start);
        let ends = self.ranges.iter().map(|range| range.offsets.end);
        first..ends.max().unwrap_or(first)
    }

    fn check(&self, found: &mut Vec<String>) {
        for pair in self.ranges.windows(2) {
            let [
                Covered {
                    offsets: before, ..
                },
                Covered { offsets: next, .. },
            ] = pair
            else {
                continue;
            };
            let (end, start) = (before.end, next.start);
            if end < start {
                found.push(format!("no entry of the ledger for offsets {end}..{start}"));
            } else if end > start {
                let end = end.min(next.end);
                found.push(format!(
                    "two entries of the ledger for offsets {start}..{end}"
                ));
            }
        }
        let read = self.ranges.iter().filter(|range| range.gap.is_none());
        let offsets: i64 = read
            .map(|range| range.offsets.end - range.offsets.start)
            .sum();
        let fates: i64 = self.counts[..FATES].iter().sum();
        if offsets != fates {
            found.push(format!("{offsets} offsets were read, {fates} have a fate"));
        }
    }

    /// Entries come in the order of their offsets.
    fn add(&mut self, entry: Covered, counts: &[i64; LEDGER.len()]) {
        match self.ranges.last_mut() {
            Some(last) if last.offsets.end == entry.offsets.start && last.gap == entry.gap => {
                last.offsets.end = entry.offsets.end;
            }
            _ => self.ranges.push(entry),
        }
        for (sum, count) in self.counts.iter_mut().zip(counts) {
            *sum += count;
        }
    }
}

/// What stands in the tables `events`, `rejects` and `ledger`.
pub(super) async fn read(session: &QuerySession, partitions: &mut Partitions) -> Result<()> {
    const EVENTS: &str = "SELECT kafka_topic, topic_uuid, kafka_partition, count(*) AS rows, \
         count(DISTINCT kafka_offset) AS records, min(kafka_offset) AS first, \
         max(kafka_offset) AS last FROM events GROUP BY 1, 2, 3";
    const REJECTS: &str = "SELECT kafka_topic, topic_uuid, kafka_partition, count(*) AS rows \
         FROM rejects GROUP BY 1, 2, 3";
    const ENTRIES: &str = "SELECT * FROM ledger ORDER BY from_offset, to_offset";
    type Take = fn(&RecordBatch, &mut Partitions) -> Result<(), ArrowError>;
    let tables: [(&str, &str, Take); 3] = [
        ("events", EVENTS, take_events),
        ("ledger", ENTRIES, take_ledger),
        ("rejects", REJECTS, take_rejects),
    ];
    for (table, sql, take) in tables {
        if !session.ctx().table_exist(table).unwrap_or(false) {
            continue;
        }
        for batch in session.collect(sql).await? {
            take(&batch, partitions).map_err(|source| {
                QueryError::query(format!("could not read table `{table}`"), source.into())
            })?;
        }
    }
    Ok(())
}

fn take_events(batch: &RecordBatch, partitions: &mut Partitions) -> Result<(), ArrowError> {
    let number = |name: &str| numbers(batch, name);
    let (rows, records) = (number("rows")?, number("records")?);
    let (first, last) = (number("first")?, number("last")?);
    for (row, place) in places(batch)?.into_iter().enumerate() {
        let partition = partitions.entry(place).or_default();
        partition.read = rows[row];
        partition.records = records[row];
        partition.read_offsets = first[row]..last[row].saturating_add(1);
    }
    Ok(())
}

fn take_rejects(batch: &RecordBatch, partitions: &mut Partitions) -> Result<(), ArrowError> {
    let rows = numbers(batch, "rows")?;
    for (row, place) in places(batch)?.into_iter().enumerate() {
        partitions.entry(place).or_default().rejects = rows[row];
    }
    Ok(())
}

fn take_ledger(batch: &RecordBatch, partitions: &mut Partitions) -> Result<(), ArrowError> {
    let (from, to) = (numbers(batch, "from_offset")?, numbers(batch, "to_offset")?);
    let (kinds, reasons) = (text(batch, "kind")?, text(batch, "gap_reason")?);
    let counts = LEDGER.map(|name| numbers(batch, name));
    let counts: Vec<Vec<i64>> = counts.into_iter().collect::<Result<_, _>>()?;
    for (row, place) in places(batch)?.into_iter().enumerate() {
        let why = || match reasons.is_valid(row) {
            true => reasons.value(row).to_owned(),
            false => "not read".to_owned(),
        };
        let entry = Covered {
            offsets: from[row]..to[row],
            gap: (kinds.value(row) == "gap").then(why),
        };
        let mut of_entry = [0; LEDGER.len()];
        for (count, values) in of_entry.iter_mut().zip(&counts) {
            *count = values[row];
        }
        let partition = partitions.entry(place).or_default();
        partition
            .ledger
            .get_or_insert_default()
            .add(entry, &of_entry);
    }
    Ok(())
}

/// A column of whole numbers without NULL.
fn numbers(batch: &RecordBatch, name: &str) -> Result<Vec<i64>, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("the rows have no column `{name}`"));
    let column = batch.column_by_name(name).ok_or_else(missing)?;
    Ok(column.as_primitive::<Int64Type>().values().to_vec())
}
