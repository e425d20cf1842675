//! The coordinates of every row, compared with what the ledger claims.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};

use super::chain::name;
use super::{PartitionKey, Problem};
use crate::error::{ErrorKind, Result};
use crate::ledger::LedgerEntry;
use crate::rows;
use crate::table::{FileEntry, Snapshot};

/// The table a row is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Side {
    Events,
    Rejects,
}

/// Where a row comes from. Ordered by place, so that rows of one record lie side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Row {
    partition: u32,
    offset: i64,
    /// -1: the whole record.
    entry: i32,
    side: Side,
    batch: u32,
}

/// All rows of both tables.
#[derive(Debug, Default)]
pub(super) struct Found {
    rows: Vec<Row>,
    partitions: Interned<PartitionKey>,
    batches: Interned<String>,
    events: i64,
    rejects: i64,
}

/// Values and their numbers.
#[derive(Debug)]
struct Interned<T> {
    numbers: HashMap<T, u32>,
    values: Vec<T>,
}

/// What was found of one range of offsets.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    event_rows: i64,
    accepted: i64,
    reject_rows: i64,
    rejected: i64,
}

const COLUMNS: [&str; 6] = [
    "kafka_topic",
    "topic_uuid",
    "kafka_partition",
    "kafka_offset",
    "entry_index",
    "batch_id",
];

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Self {
            numbers: HashMap::new(),
            values: Vec::new(),
        }
    }
}

impl<T: Clone + Eq + std::hash::Hash> Interned<T> {
    fn number(&mut self, value: &T) -> u32 {
        if let Some(number) = self.numbers.get(value) {
            return *number;
        }
        let number = u32::try_from(self.values.len()).unwrap_or(u32::MAX);
        self.numbers.insert(value.clone(), number);
        self.values.push(value.clone());
        number
    }

    fn value(&self, number: u32) -> Option<&T> {
        self.values.get(number as usize)
    }
}

impl Found {
    /// Reads the coordinates of every row of a table.
    pub(super) fn read(
        &mut self,
        snapshot: &Snapshot,
        side: Side,
        problems: &mut Vec<Problem>,
    ) -> Result<()> {
        for file in snapshot.files() {
            let batches = match rows::read(snapshot, file, Some(&COLUMNS)) {
                Ok(batches) => batches,
                Err(error) if error.is_retryable() || error.kind() == ErrorKind::Storage => {
                    return Err(error);
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error);
                    let cause = cause.map(ToString::to_string).unwrap_or_default();
                    problems.push(Problem::new("unreadable_file", format!("{error}: {cause}")));
                    continue;
                }
            };
            let mut in_file = 0;
            for batch in &batches {
                in_file += i64::try_from(batch.num_rows()).unwrap_or(i64::MAX);
                self.take(batch, side)?;
            }
            check_file(file, in_file, problems);
            match side {
                Side::Events => self.events += in_file,
                Side::Rejects => self.rejects += in_file,
            }
        }
        Ok(())
    }

    fn take(&mut self, batch: &RecordBatch, side: Side) -> Result<()> {
        let topics = rows::texts(batch, "kafka_topic")?;
        let uuids = rows::texts(batch, "topic_uuid")?;
        let batches = rows::texts(batch, "batch_id")?;
        let partitions = rows::column(batch, "kafka_partition")?
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| rows::wrong_column("kafka_partition"))?;
        let offsets = rows::column(batch, "kafka_offset")?
            .as_primitive_opt::<Int64Type>()
            .ok_or_else(|| rows::wrong_column("kafka_offset"))?;
        let entries = rows::column(batch, "entry_index")?
            .as_primitive_opt::<Int32Type>()
            .ok_or_else(|| rows::wrong_column("entry_index"))?;
        // Neighbouring rows mostly share these, and building the keys is the dear part.
        let mut last_partition: Option<(&str, &str, i32, u32)> = None;
        let mut last_batch: Option<(&str, u32)> = None;
        self.rows.reserve(batch.num_rows());
        for row in 0..batch.num_rows() {
            let place = (topics.value(row), uuids.value(row), partitions.value(row));
            let partition = match last_partition {
                Some((topic, uuid, number, known)) if (topic, uuid, number) == place => known,
                _ => {
                    let key = (place.0.to_owned(), place.1.to_owned(), place.2);
                    self.partitions.number(&key)
                }
            };
            last_partition = Some((place.0, place.1, place.2, partition));
            let id = batches.value(row);
            let batch = match last_batch {
                Some((last, known)) if last == id => known,
                _ => self.batches.number(&id.to_owned()),
            };
            last_batch = Some((id, batch));
            self.rows.push(Row {
                partition,
                offset: offsets.value(row),
                entry: if entries.is_valid(row) {
                    entries.value(row)
                } else {
                    -1
                },
                side,
                batch,
            });
        }
        Ok(())
    }

    pub(super) fn sort(&mut self) {
        self.rows.sort_unstable();
    }

    /// Rows of `events` and of `rejects`.
    pub(super) fn counts(&self) -> (i64, i64) {
        (self.events, self.rejects)
    }

    /// No coordinate twice, and no row for a whole record beside rows for its entries.
    pub(super) fn check_unique(&self, problems: &mut Vec<Problem>) {
        let mut broken: BTreeMap<(&'static str, u32), (u64, Row)> = BTreeMap::new();
        let records = self
            .rows
            .chunk_by(|a, b| (a.partition, a.offset) == (b.partition, b.offset));
        for record in records {
            let whole = record.first().is_some_and(|row| row.entry == -1);
            for (row, next) in record.iter().zip(record.iter().skip(1)) {
                let rule = match (row.entry == next.entry, row.side == next.side) {
                    (true, true) => "duplicate_coordinate",
                    (true, false) => "both_tables",
                    (false, _) if whole => "record_and_entries",
                    (false, _) => continue,
                };
                let seen = broken.entry((rule, row.partition)).or_insert((0, *row));
                seen.0 += 1;
            }
        }
        for ((rule, partition), (count, first)) in broken {
            problems.push(Problem::new(
                rule,
                format!(
                    "{}: {count} times, first at offset {}{} in `{}`",
                    self.name_of(partition),
                    first.offset,
                    match first.entry {
                        -1 => String::new(),
                        entry => format!(" entry {entry}"),
                    },
                    match first.side {
                        Side::Events => "events",
                        Side::Rejects => "rejects",
                    },
                ),
            ));
        }
    }

    /// Rows of `events` per batch.
    pub(super) fn check_batches(&self, entries: &[LedgerEntry], problems: &mut Vec<Problem>) {
        let mut claimed: BTreeMap<&str, i64> = BTreeMap::new();
        for entry in entries {
            *claimed.entry(&entry.batch_id).or_default() += entry.event_rows;
        }
        let mut there: BTreeMap<&str, i64> = BTreeMap::new();
        for row in self.rows.iter().filter(|row| row.side == Side::Events) {
            let id = self.batches.value(row.batch).map_or("", String::as_str);
            *there.entry(id).or_default() += 1;
        }
        for (batch, rows) in &claimed {
            let found = there.remove(batch).unwrap_or(0);
            if found != *rows {
                problems.push(Problem::new(
                    "batch_rows",
                    format!("batch {batch}: the ledger claims {rows} rows of `events`, {found} are there"),
                ));
            }
        }
        for (batch, rows) in there {
            problems.push(Problem::new(
                "batch_rows",
                format!("batch {batch}: {rows} rows of `events`, no entry in the ledger"),
            ));
        }
    }

    /// Rows and records per entry of the ledger, and rows outside of every entry.
    pub(super) fn check_entries(&self, entries: &[LedgerEntry], problems: &mut Vec<Problem>) {
        let mut covered = 0;
        let mut ends: HashMap<u32, i64> = HashMap::new();
        for entry in entries {
            let key = (
                entry.kafka_topic.clone(),
                entry.topic_uuid.clone(),
                entry.kafka_partition,
            );
            let partition = self.partitions.numbers.get(&key).copied();
            let rows = partition.map_or(&[][..], |number| {
                let end = ends.entry(number).or_default();
                *end = entry.to_offset.max(*end);
                self.range(number, entry.from_offset, entry.to_offset)
            });
            covered += rows.len();
            compare(entry, &key, &count(rows), problems);
        }
        // Rejects after the last entry belong to a batch whose events are not committed yet.
        let pending = |row: &Row| {
            row.side == Side::Rejects
                && row.offset >= ends.get(&row.partition).copied().unwrap_or(0)
        };
        let waiting = self.rows.iter().filter(|row| pending(row)).count();
        let all = self.rows.len();
        if covered + waiting != all {
            problems.push(Problem::new(
                "rows_without_entry",
                format!(
                    "{all} rows in both tables: {covered} inside entries of the ledger, {waiting} \
                     rejects ahead of them"
                ),
            ));
        }
    }

    fn range(&self, partition: u32, from: i64, to: i64) -> &[Row] {
        let start = self
            .rows
            .partition_point(|row| (row.partition, row.offset) < (partition, from));
        let end = self
            .rows
            .partition_point(|row| (row.partition, row.offset) < (partition, to));
        self.rows.get(start..end).unwrap_or(&[])
    }

    fn name_of(&self, partition: u32) -> String {
        self.partitions
            .value(partition)
            .map(name)
            .unwrap_or_default()
    }
}

fn check_file(file: &FileEntry, rows: i64, problems: &mut Vec<Problem>) {
    if file.num_records != Some(rows) {
        problems.push(Problem::new(
            "file_rows",
            format!(
                "file `{}`: the log says {:?} rows, it holds {rows}",
                file.path, file.num_records
            ),
        ));
    }
}

fn count(rows: &[Row]) -> Counts {
    let mut counts = Counts::default();
    for record in rows.chunk_by(|a, b| a.offset == b.offset) {
        let events = record.iter().filter(|row| row.side == Side::Events).count();
        let rejects = record.len() - events;
        counts.event_rows += i64::try_from(events).unwrap_or(i64::MAX);
        counts.reject_rows += i64::try_from(rejects).unwrap_or(i64::MAX);
        if events > 0 {
            counts.accepted += 1;
        } else {
            counts.rejected += 1;
        }
    }
    counts
}

fn compare(entry: &LedgerEntry, key: &PartitionKey, found: &Counts, problems: &mut Vec<Problem>) {
    let pairs = [
        ("event_rows", entry.event_rows, found.event_rows),
        ("accepted_records", entry.accepted, found.accepted),
        ("reject_rows", entry.reject_rows, found.reject_rows),
        ("rejected_records", entry.rejected, found.rejected),
    ];
    for (rule, claimed, there) in pairs {
        if claimed != there {
            problems.push(Problem::new(
                rule,
                format!(
                    "{} offsets {}..{} (version {}): the ledger claims {claimed}, {there} are there",
                    name(key),
                    entry.from_offset,
                    entry.to_offset,
                    entry.version
                ),
            ));
        }
    }
}
