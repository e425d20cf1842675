//! Two tables in memory that compare positions as the real ones do, and that fail on request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use async_trait::async_trait;
use funnel_lake::{
    Commit, DataFile, Halt, LedgerEntry, LedgerKind, OffsetAdvance, OffsetKey, Outcome, RecentEvent,
};

use crate::core::Recovered;
use crate::message::Loaded;
use crate::store::{Store, StoreError, Table};

/// What happens to the calls of one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The first commit lands, but its caller hears an error.
    LostReply,
    /// The first commit fails without landing.
    Refused,
    /// The process dies before its n-th call.
    DieBeforeCall(u32),
}

#[derive(Debug, Clone, PartialEq)]
struct Row {
    partition: i32,
    offset: i64,
    entry: Option<i32>,
    recent: Option<RecentEvent>,
}

#[derive(Debug, Default)]
struct Db {
    positions: BTreeMap<(&'static str, String), i64>,
    files: BTreeMap<String, Vec<RecordBatch>>,
    /// Files that a commit made part of a table.
    named: BTreeSet<String>,
    events: Vec<Row>,
    rejects: Vec<Row>,
    ledger: Vec<LedgerEntry>,
    version: i64,
    fault: Option<Fault>,
    calls: u32,
}

#[derive(Debug, Default)]
pub(super) struct MemoryStore {
    db: Mutex<Db>,
}

impl MemoryStore {
    pub(super) fn arm(&self, fault: Fault) {
        let mut db = self.db();
        db.fault = Some(fault);
        db.calls = 0;
    }

    /// Rows of both tables.
    pub(super) fn rows(&self) -> (usize, usize) {
        let db = self.db();
        (db.events.len(), db.rejects.len())
    }

    /// Files that no commit names.
    pub(super) fn orphans(&self) -> usize {
        let db = self.db();
        db.files.len() - db.named.len()
    }

    /// The tables hold exactly these coordinates of a partition, and its ledger closes.
    pub(super) fn check(
        &self,
        partition: i32,
        events: &BTreeSet<(i64, Option<i32>)>,
        rejects: &BTreeSet<(i64, Option<i32>)>,
    ) {
        let db = self.db();
        assert_eq!(
            &places(&db.events, partition),
            events,
            "events of partition {partition}"
        );
        assert_eq!(
            &places(&db.rejects, partition),
            rejects,
            "rejects of partition {partition}"
        );
        let mut next = 0;
        let (mut event_rows, mut reject_rows) = (0, 0);
        for entry in db
            .ledger
            .iter()
            .filter(|entry| entry.kafka_partition == partition)
        {
            assert_eq!(entry.from_offset, next, "the ledger chains");
            if entry.kind == LedgerKind::Data {
                assert_eq!(
                    entry.accounted(),
                    entry.to_offset - entry.from_offset,
                    "{entry:?}"
                );
            }
            next = entry.to_offset;
            event_rows += entry.event_rows;
            reject_rows += entry.reject_rows;
        }
        assert_eq!(event_rows as usize, events.len());
        assert_eq!(reject_rows as usize, rejects.len());
    }

    fn db(&self) -> MutexGuard<'_, Db> {
        self.db.lock().expect("not poisoned")
    }
}

/// Coordinates, each of which may be there once.
fn places(rows: &[Row], partition: i32) -> BTreeSet<(i64, Option<i32>)> {
    let mut places = BTreeSet::new();
    for row in rows.iter().filter(|row| row.partition == partition) {
        let place = (row.offset, row.entry);
        assert!(
            places.insert(place),
            "{place:?} of partition {partition} is there twice"
        );
    }
    places
}

impl Db {
    fn call(&mut self) -> Result<(), StoreError> {
        let call = self.calls;
        self.calls += 1;
        match self.fault {
            Some(Fault::DieBeforeCall(at)) if at == call => Err(error(false)),
            _ => Ok(()),
        }
    }

    fn mismatches(&self, table: Table, advances: &[OffsetAdvance]) -> Vec<(String, Option<i64>)> {
        let stored = |advance: &OffsetAdvance| {
            let id = advance.key.app_id();
            let stored = self.positions.get(&(table.as_str(), id.clone())).copied();
            (stored != advance.from).then_some((id, stored))
        };
        advances.iter().filter_map(stored).collect()
    }

    fn is_there(&self, table: Table, advances: &[OffsetAdvance]) -> bool {
        advances.iter().all(|advance| {
            let id = (table.as_str(), advance.key.app_id());
            self.positions.get(&id) == Some(&advance.to)
        })
    }

    fn land(&mut self, table: Table, commit: &Commit) {
        self.version += 1;
        for advance in &commit.advances {
            let id = (table.as_str(), advance.key.app_id());
            let before = self.positions.insert(id, advance.to);
            assert!(before < Some(advance.to), "a position went back");
        }
        for file in &commit.files {
            self.named.insert(file.path.clone());
            let rows = self.files[&file.path]
                .iter()
                .flat_map(rows_of)
                .collect::<Vec<_>>();
            match table {
                Table::Events => self.events.extend(rows),
                Table::Rejects => self.rejects.extend(rows),
            }
        }
        self.ledger.extend(commit.ledger.iter().cloned());
    }
}

fn rows_of(batch: &RecordBatch) -> Vec<Row> {
    let column = |name: &str| batch.column_by_name(name);
    let partitions = column("kafka_partition")
        .expect("column")
        .as_primitive::<Int32Type>();
    let offsets = column("kafka_offset")
        .expect("column")
        .as_primitive::<Int64Type>();
    let entries = column("entry_index")
        .expect("column")
        .as_primitive::<Int32Type>();
    let hashes = column("content_hash").map(|array| array.as_primitive::<Int64Type>());
    let ids = column("event_id").expect("column").as_string::<i32>();
    let producers = column("producer_event_id").map(|array| array.as_string::<i32>());
    let sources = column("source_system").expect("column").as_string::<i32>();
    let row = |at: usize| {
        let entry = entries.is_valid(at).then(|| entries.value(at));
        let recent = hashes.map(|hashes| RecentEvent {
            event_id: u128::from_str_radix(ids.value(at), 16)
                .expect("hex")
                .to_be_bytes(),
            content_hash: hashes.value(at),
            producer_event_id: producers
                .filter(|producers| producers.is_valid(at))
                .map(|producers| producers.value(at).to_owned()),
            source_system: sources.value(at).to_owned(),
            entry_index: entry,
            offset: offsets.value(at),
            received_time: 0,
        });
        Row {
            partition: partitions.value(at),
            offset: offsets.value(at),
            entry,
            recent,
        }
    };
    (0..batch.num_rows()).map(row).collect()
}

fn error(retryable: bool) -> StoreError {
    StoreError {
        retryable,
        message: "as asked for".to_owned(),
        source: None,
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn load(&self, key: &OffsetKey, _window: u64) -> Result<Loaded, StoreError> {
        let mut db = self.db();
        db.call()?;
        let stored = db.positions.get(&("events", key.app_id())).copied();
        let rejects_stored = db.positions.get(&("rejects", key.app_id())).copied();
        let mut recovered = Recovered::new();
        for row in db.rejects.iter().filter(|row| {
            row.partition == key.partition && row.offset >= stored.unwrap_or_default()
        }) {
            recovered.entry(row.offset).or_default().insert(row.entry);
        }
        let recent = db
            .events
            .iter()
            .filter(|row| row.partition == key.partition)
            .filter_map(|row| row.recent.clone())
            .collect();
        Ok(Loaded {
            stored,
            rejects_stored,
            topic_known: stored.is_some(),
            recovered,
            recent,
            halt: None,
        })
    }

    async fn encode(
        &self,
        _table: Table,
        batches: Vec<RecordBatch>,
        batch_id: String,
    ) -> Result<Vec<DataFile>, StoreError> {
        let mut db = self.db();
        db.call()?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let path = format!("{batch_id}-{}", db.files.len());
        db.files.insert(path.clone(), batches);
        Ok(vec![DataFile {
            path,
            size: 1,
            rows: rows as i64,
            partition: None,
            stats: String::new(),
            modification_time: 0,
            sorted: false,
        }])
    }

    async fn commit(&self, table: Table, commit: Commit) -> Result<Outcome, StoreError> {
        let mut db = self.db();
        db.call()?;
        let fault = db.fault;
        if fault == Some(Fault::Refused) {
            db.fault = None;
            return Err(error(true));
        }
        let version = db.version;
        if db.is_there(table, &commit.advances) {
            return Ok(Outcome::AlreadyThere { version });
        }
        let partitions = db.mismatches(table, &commit.advances);
        if !partitions.is_empty() {
            return Ok(Outcome::Fenced { partitions });
        }
        db.land(table, &commit);
        if fault == Some(Fault::LostReply) {
            db.fault = None;
            return Err(error(true));
        }
        let version = db.version;
        Ok(Outcome::Committed { version })
    }

    async fn discard(&self, _table: Table, files: Vec<DataFile>) -> Result<(), StoreError> {
        let mut db = self.db();
        for file in files {
            if !db.named.contains(&file.path) {
                db.files.remove(&file.path);
            }
        }
        Ok(())
    }

    async fn stored(&self, _job: &str) -> Result<BTreeMap<OffsetKey, i64>, StoreError> {
        Ok(BTreeMap::new())
    }

    async fn set_halt(&self, _halt: Halt) -> Result<(), StoreError> {
        Ok(())
    }

    async fn clear_halt(&self, _key: &OffsetKey) -> Result<(), StoreError> {
        Ok(())
    }

    async fn checkpoint(&self, _every: u64) -> Result<(), StoreError> {
        Ok(())
    }

    async fn empty_rejects_before(&self, _day: chrono::NaiveDate) -> Result<u64, StoreError> {
        Ok(0)
    }
}
