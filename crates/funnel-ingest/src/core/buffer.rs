//! The open buffer of one partition: what became of every offset since the last commit.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use funnel_events::{
    Decoded, Decoder, Entry, Event, EventsBuilder, RecordOrigin, Reject, RejectCode,
    RejectsBuilder, RejectsPolicy, Stamp,
};
use funnel_lake::{LedgerEntry, LedgerKind, OffsetKey};

use super::dedup::{Verdict, Window};
use super::start::Gap;
use crate::record::{Header, Record};

/// Coordinates of rows of `rejects` that are durable although the offsets are not committed yet:
/// offset → entries (`None`: the whole record).
pub type Recovered = BTreeMap<i64, BTreeSet<Option<i32>>>;

/// Rows, counts and position of one partition between two commits, and its window of known events,
/// which outlives them.
#[derive(Debug)]
pub struct Buffer {
    key: Arc<OffsetKey>,
    next: i64,
    gap: Option<Gap>,
    /// A jump of offsets is a gap and not holes.
    contiguous: bool,
    /// Entries before `counts`, up to the newest gap inside the stream.
    closed: Vec<LedgerEntry>,
    counts: LedgerEntry,
    events: EventsBuilder,
    rejects: RejectsBuilder,
    policy: RejectsPolicy,
    window: Window,
    recovered: Recovered,
}

/// What a buffer held when it was sealed.
#[derive(Debug)]
pub struct Contents {
    /// Entries of the ledger, in offset order.
    pub ledger: Vec<LedgerEntry>,
    /// The next offset to read after this.
    pub to: i64,
    /// New rows of `events`.
    pub events: Option<RecordBatch>,
    /// New rows of `rejects`.
    pub rejects: Option<RecordBatch>,
}

/// What a batch did to a buffer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Applied {
    /// Records that counted.
    pub records: u64,
    /// Records below the position, which were dropped.
    pub replayed: u64,
}

impl Buffer {
    /// A buffer that starts at `offset`, after `gap`.
    pub fn new(
        key: OffsetKey,
        offset: i64,
        gap: Option<Gap>,
        window: Window,
        recovered: Recovered,
        policy: RejectsPolicy,
    ) -> Self {
        Self {
            counts: counts(&key, offset),
            key: Arc::new(key),
            next: offset,
            gap,
            contiguous: false,
            closed: Vec::new(),
            events: EventsBuilder::new(),
            rejects: RejectsBuilder::new(policy),
            policy,
            window,
            recovered,
        }
    }

    /// The same for a topic whose offsets have no holes.
    #[must_use]
    pub fn contiguous(self, contiguous: bool) -> Self {
        Self { contiguous, ..self }
    }

    /// The next offset to read.
    pub fn next(&self) -> i64 {
        self.next
    }

    /// Whether there is anything that a commit would make durable.
    pub fn is_dirty(&self) -> bool {
        self.gap.is_some() || !self.closed.is_empty() || self.next > self.counts.from_offset
    }

    /// Rows that wait.
    pub fn rows(&self) -> usize {
        self.events.rows() + self.rejects.rows()
    }

    /// Bytes of the rows that wait, roughly.
    pub fn bytes(&self) -> usize {
        self.events.bytes() + self.rejects.bytes()
    }

    /// Events remembered.
    pub fn window_len(&self) -> usize {
        self.window.known_events()
    }

    /// Gives records their fate, in offset order.
    pub fn apply<'a>(
        &mut self,
        records: impl Iterator<Item = (Record<'a>, Vec<Header<'a>>)>,
        decoder: &Decoder,
        now: Instant,
    ) -> Applied {
        let mut applied = Applied::default();
        for (record, headers) in records {
            if record.offset < self.next {
                // librdkafka may deliver again what it delivered before a pause or a rebalance.
                applied.replayed += 1;
                continue;
            }
            self.skip_to(record.offset);
            self.next = record.offset + 1;
            applied.records += 1;
            self.apply_one(record, &headers, decoder, now);
        }
        applied
    }

    /// Offsets up to `offset` hold no record: markers and aborted records of transactions, or
    /// records that compaction removed. The broker refuses a fetch below its log start, so a jump
    /// inside a stream is never truncation. Where the topic can have no such offsets, they are a
    /// gap that nobody can explain.
    pub fn skip_to(&mut self, offset: i64) {
        if offset <= self.next {
            return;
        }
        if self.contiguous && self.recovered.range(self.next..offset).next().is_none() {
            self.leave_gap(offset);
            return;
        }
        self.counts.holes += offset - self.next;
        let later = self.recovered.split_off(&offset);
        for (_, entries) in std::mem::replace(&mut self.recovered, later) {
            // The record is gone by now, its row of `rejects` is not.
            self.counts.holes -= 1;
            self.counts.rejected += 1;
            self.counts.reject_rows += entries.len() as i64;
        }
        self.next = offset;
    }

    fn leave_gap(&mut self, to: i64) {
        let gap = Gap {
            from: self.next,
            to,
            reason: "unexplained_hole",
        };
        tracing::warn!(
            topic = self.key.topic,
            partition = self.key.partition,
            from = gap.from,
            to,
            "offsets without records in a topic that is said to have none"
        );
        let counts = std::mem::replace(&mut self.counts, counts(&self.key, to));
        if self.next > counts.from_offset {
            self.closed.push(LedgerEntry {
                to_offset: self.next,
                ..counts
            });
        }
        self.closed.push(gap_entry(&self.key, &gap));
        self.next = to;
    }

    /// Takes everything out; the buffer goes on at its position with empty counts.
    pub fn seal(&mut self, stamp: &Stamp<'_>) -> Contents {
        let mut ledger = Vec::new();
        if let Some(gap) = self.gap.take() {
            ledger.push(gap_entry(&self.key, &gap));
        }
        ledger.append(&mut self.closed);
        let counts = std::mem::replace(&mut self.counts, counts(&self.key, self.next));
        let has_rows = self.events.rows() > 0;
        if self.next > counts.from_offset {
            ledger.push(LedgerEntry {
                to_offset: self.next,
                ..counts
            });
        }
        let rejects = (self.rejects.rows() > 0).then(|| self.rejects.finish(stamp));
        let events = has_rows.then(|| self.events.finish(stamp));
        // Builders keep the capacity of their largest batch: start small again.
        self.events = EventsBuilder::new();
        self.rejects = RejectsBuilder::new(self.policy);
        Contents {
            ledger,
            to: self.next,
            events,
            rejects,
        }
    }

    fn apply_one(
        &mut self,
        record: Record<'_>,
        headers: &[Header<'_>],
        decoder: &Decoder,
        now: Instant,
    ) {
        let durable = self.recovered.remove(&record.offset).unwrap_or_default();
        let mut fate = Fate {
            rejects: durable.len(),
            ..Fate::default()
        };
        self.counts.reject_rows += durable.len() as i64;
        if let Some(ms) = record.timestamp_ms {
            raise(
                &mut self.counts.max_kafka_timestamp,
                ms.saturating_mul(1000),
            );
        }
        // The first durable verdict on a record holds, whatever the decoder says now.
        if durable.contains(&None) {
            self.counts.rejected += 1;
            return;
        }
        let key = Arc::clone(&self.key);
        let origin = RecordOrigin {
            topic: &key.topic,
            topic_uuid: &key.topic_uuid,
            partition: key.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key,
            headers,
            value: record.value,
        };
        match decode(decoder, record.value) {
            Decoded::Tombstone if durable.is_empty() => self.counts.tombstone += 1,
            Decoded::Empty if durable.is_empty() => self.counts.empty += 1,
            Decoded::Tombstone | Decoded::Empty => self.counts.rejected += 1,
            Decoded::Entries(entries) => {
                for entry in entries {
                    if !durable.contains(&index_of(&entry)) {
                        self.apply_entry(&entry, &origin, &mut fate, now);
                    }
                }
                self.count(fate);
            }
        }
    }

    fn apply_entry(
        &mut self,
        entry: &Entry,
        origin: &RecordOrigin<'_>,
        fate: &mut Fate,
        now: Instant,
    ) {
        let event = match entry {
            Entry::Reject(reject) => return self.reject(reject, origin, fate),
            Entry::Event(event) => event,
        };
        match self.window.check(event, now) {
            Verdict::New => {
                self.events.append(event, origin);
                self.counts.event_rows += 1;
                fate.events += 1;
                lower(&mut self.counts.min_event_time, event.event_time_us);
                raise(&mut self.counts.max_event_time, event.event_time_us);
            }
            Verdict::Duplicate { differs } => {
                fate.duplicates += 1;
                self.counts.duplicate_entries += 1;
                self.counts.dup_differs += i64::from(differs);
            }
            Verdict::Conflict => self.reject(&conflict(event), origin, fate),
        }
    }

    fn reject(&mut self, reject: &Reject, origin: &RecordOrigin<'_>, fate: &mut Fate) {
        self.rejects.append(reject, origin);
        self.counts.reject_rows += 1;
        fate.rejects += 1;
    }

    fn count(&mut self, fate: Fate) {
        let counter = if fate.events > 0 {
            &mut self.counts.accepted
        } else if fate.rejects > 0 {
            &mut self.counts.rejected
        } else if fate.duplicates > 0 {
            &mut self.counts.duplicate
        } else {
            &mut self.counts.empty
        };
        *counter += 1;
    }
}

/// Entries of one record by what became of them. The record's own fate follows the first that is
/// not zero.
#[derive(Debug, Default, Clone, Copy)]
struct Fate {
    events: usize,
    rejects: usize,
    duplicates: usize,
}

/// A decoder that panics must not take the stream down: the record is the evidence, keep it.
fn decode(decoder: &Decoder, value: Option<&[u8]>) -> Decoded {
    catch_unwind(AssertUnwindSafe(|| decoder.decode(value))).unwrap_or_else(|_| {
        let reject = Reject::new(RejectCode::Internal, "the decoder failed on this record");
        Decoded::Entries(vec![Entry::Reject(Box::new(reject))])
    })
}

fn index_of(entry: &Entry) -> Option<i32> {
    match entry {
        Entry::Event(event) => event.entry_index,
        Entry::Reject(reject) => reject.entry_index,
    }
}

fn conflict(event: &Event) -> Reject {
    let mut reject = Reject::new(
        RejectCode::DupConflict,
        "the producer's id was used before for another fact of the same source",
    );
    reject.entry_index = event.entry_index;
    reject.event_id = Some(event.event_id_hex());
    reject.event_type = Some(event.event_type.as_str().to_owned());
    reject.schema_version = Some(event.schema_version.clone());
    reject.account_id = Some(event.account_id.clone());
    reject.visitor_id.clone_from(&event.visitor_id);
    reject.consumer_key.clone_from(&event.consumer_key);
    reject.source_system = Some(event.source_system.clone());
    reject.event_time_raw.clone_from(&event.event_time_raw);
    reject.at("/eventId")
}

fn counts(key: &OffsetKey, from: i64) -> LedgerEntry {
    LedgerEntry::new(
        LedgerKind::Data,
        &key.topic,
        &key.topic_uuid,
        key.partition,
        from..from,
    )
}

fn gap_entry(key: &OffsetKey, gap: &Gap) -> LedgerEntry {
    let mut entry = LedgerEntry::new(
        LedgerKind::Gap,
        &key.topic,
        &key.topic_uuid,
        key.partition,
        gap.from..gap.to,
    );
    entry.gap_reason = Some(gap.reason.to_owned());
    entry
}

fn raise(slot: &mut Option<i64>, value: i64) {
    *slot = Some(slot.map_or(value, |old| old.max(value)));
}

fn lower(slot: &mut Option<i64>, value: i64) {
    *slot = Some(slot.map_or(value, |old| old.min(value)));
}
