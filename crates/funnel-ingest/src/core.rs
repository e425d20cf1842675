//! The state machine: partitions come and go, records get their fate, commits are cut.
//!
//! No I/O, no threads, no clock of its own: the same inputs at the same times give the same
//! effects. At most one commit is under way; meanwhile records go into fresh buffers.

mod buffer;
mod dedup;
mod end;
mod flush;
pub mod start;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use funnel_events::{Decoder, RejectsPolicy};
use funnel_lake::{Halt, OffsetKey};

pub use buffer::{Buffer, Recovered};
pub use dedup::{Verdict, Window};
use start::{Gap, HaltReason, Known, Policy, Start};

use crate::api::{HaltAction, HaltOverride, HaltedPartition, Totals};
use crate::clock::Clock;
use crate::config::{DedupWindow, FlushPolicy, OnTruncation, StartFrom};
use crate::message::{Ack, Effect, Input, Loaded, Owned};
use crate::record::{Epoch, Records, Tp};

/// What the core has to know of the configuration.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// The name of the job.
    pub job: String,
    /// When to commit.
    pub flush: FlushPolicy,
    /// Where a new job starts.
    pub start_from: StartFrom,
    /// A jump of offsets is a gap and not holes.
    pub contiguous: bool,
    /// What to do about lost offsets.
    pub on_truncation: OnTruncation,
    /// The window of known events.
    pub dedup: DedupWindow,
    /// What is kept of refused records.
    pub rejects: RejectsPolicy,
    /// Decisions about halted partitions.
    pub overrides: Vec<HaltOverride>,
    /// Finish at the ends seen at start.
    pub until_end: bool,
}

#[derive(Debug)]
enum State {
    /// The lake was asked.
    Loading,
    /// Records are welcome.
    Active(Box<Buffer>),
    /// It stands still.
    Halted { reason: String, hint: String },
}

#[derive(Debug)]
struct Partition {
    owned: Owned,
    key: OffsetKey,
    epoch: Epoch,
    state: State,
    stored: Option<i64>,
    rejects_stored: Option<i64>,
    seen_ahead: u32,
    /// The newest end that the broker told.
    end: i64,
}

/// Where a partition stands, for `/status` and metrics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionStatus {
    /// The partition.
    pub tp: Tp,
    /// `loading`, `active` or the name of the halt.
    pub state: String,
    /// Committed next offset.
    pub stored: Option<i64>,
    /// Next offset to read.
    pub position: Option<i64>,
    /// The broker's newest known end.
    pub end: i64,
}

/// The state machine.
pub struct Core {
    config: CoreConfig,
    decoder: Decoder,
    clock: Arc<dyn Clock>,
    partitions: BTreeMap<Tp, Partition>,
    epoch: u64,
    /// The partitions of the commit under way, with their starts and bytes.
    in_flight: Option<flush::InFlight>,
    /// When the oldest buffered record came.
    oldest: Option<Instant>,
    revoking: Vec<(Vec<Tp>, Ack)>,
    stopping: bool,
    finished: bool,
    targets: Option<BTreeMap<Tp, i64>>,
    /// Positions of partitions that others read.
    elsewhere: HashMap<Tp, i64>,
    asked_stored: Option<Instant>,
    totals: Totals,
    consumed: u64,
    replayed: u64,
    effects: Vec<Effect>,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("partitions", &self.partitions)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// A core without partitions.
    pub fn new(config: CoreConfig, decoder: Decoder, clock: Arc<dyn Clock>) -> Self {
        Self {
            config,
            decoder,
            clock,
            partitions: BTreeMap::new(),
            epoch: 0,
            in_flight: None,
            oldest: None,
            revoking: Vec::new(),
            stopping: false,
            finished: false,
            targets: None,
            elsewhere: HashMap::new(),
            asked_stored: None,
            totals: Totals::default(),
            consumed: 0,
            replayed: 0,
            effects: Vec::new(),
        }
    }

    /// One thing happened.
    pub fn handle(&mut self, input: Input) -> Vec<Effect> {
        match input {
            Input::Owned(list) => list.into_iter().for_each(|owned| self.own(owned)),
            Input::Watermarks(owned) => self.watermarks(owned),
            Input::Records(records) => self.records(&records),
            Input::AtEnd { tp, epoch, next } => self.at_end(&tp, epoch, next),
            Input::Revoking { tps, done } => self.revoking.push((tps, done)),
            Input::Dropped(tps) => self.dropped(&tps),
            Input::Ends(ends) => self.ends(ends),
            Input::Targets(targets) => self.targets = Some(targets),
            Input::Loaded { tp, epoch, loaded } => self.loaded(&tp, epoch, *loaded),
            Input::Committed(report) => self.committed(report),
            Input::Stored(stored) => self.elsewhere.extend(stored),
            Input::Stop => self.stopping = true,
            Input::Failed(error) => {
                self.finished = true;
                self.effects.push(Effect::Fail(error));
            }
        }
        self.step()
    }

    /// Time passed.
    pub fn tick(&mut self) -> Vec<Effect> {
        self.step()
    }

    /// Sums over what this run committed.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Records read, and records that were read twice.
    pub fn consumed(&self) -> (u64, u64) {
        (self.consumed, self.replayed)
    }

    /// The decoder, for its warnings.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Partitions that stand still.
    pub fn halted(&self) -> Vec<HaltedPartition> {
        let halted = self.partitions.values().filter_map(|partition| {
            let State::Halted { reason, hint } = &partition.state else {
                return None;
            };
            Some(HaltedPartition {
                topic: partition.key.topic.clone(),
                partition: partition.key.partition,
                reason: reason.clone(),
                hint: hint.clone(),
            })
        });
        halted.collect()
    }

    /// Where every partition stands.
    pub fn status(&self) -> Vec<PartitionStatus> {
        let of = |(tp, partition): (&Tp, &Partition)| PartitionStatus {
            tp: tp.clone(),
            state: match &partition.state {
                State::Loading => "loading".to_owned(),
                State::Active(_) => "active".to_owned(),
                State::Halted { reason, .. } => reason.clone(),
            },
            stored: partition.stored,
            position: partition.buffer().map(Buffer::next),
            end: partition.end,
        };
        self.partitions.iter().map(of).collect()
    }

    /// Events in the windows of all partitions.
    pub fn window_len(&self) -> usize {
        self.buffers().map(Buffer::window_len).sum()
    }

    fn buffers(&self) -> impl Iterator<Item = &Buffer> {
        self.partitions.values().filter_map(Partition::buffer)
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epoch += 1;
        Epoch(self.epoch)
    }

    /// Asks the lake about a partition. What an earlier start of it had buffered is dropped: it
    /// will be read again.
    fn own(&mut self, owned: Owned) {
        let epoch = self.next_epoch();
        let tp = owned.tp.clone();
        let key = OffsetKey {
            job: self.config.job.clone(),
            topic: tp.topic.to_string(),
            topic_uuid: owned.topic_uuid.clone(),
            partition: tp.partition,
        };
        let seen_ahead = self.partitions.get(&tp).map_or(0, |known| known.seen_ahead);
        let partition = Partition {
            end: owned.high,
            owned,
            key: key.clone(),
            epoch,
            state: State::Loading,
            stored: None,
            rejects_stored: None,
            seen_ahead,
        };
        self.partitions.insert(tp.clone(), partition);
        self.effects.push(Effect::Load { tp, epoch, key });
    }

    fn watermarks(&mut self, owned: Owned) {
        let waits = self
            .partitions
            .get(&owned.tp)
            .is_some_and(|partition| matches!(partition.state, State::Loading));
        if waits {
            self.own(owned);
        }
    }

    fn dropped(&mut self, tps: &[Tp]) {
        for tp in tps {
            self.partitions.remove(tp);
        }
    }

    fn ends(&mut self, ends: Vec<(Tp, i64)>) {
        for (tp, end) in ends {
            if let Some(partition) = self.partitions.get_mut(&tp) {
                partition.end = partition.end.max(end);
            }
        }
    }

    fn loaded(&mut self, tp: &Tp, epoch: Epoch, loaded: Loaded) {
        let now = self.clock.monotonic();
        let Some(partition) = self.partitions.get_mut(tp) else {
            return;
        };
        if partition.epoch != epoch {
            return;
        }
        partition.stored = loaded.stored;
        partition.rejects_stored = loaded.rejects_stored;
        let decided = self
            .config
            .overrides
            .iter()
            .find(|decision| decision.covers(&tp.topic, tp.partition))
            .map(|decision| decision.action);
        if let Some(halt) = &loaded.halt {
            if decided.is_none() {
                partition.halt(halt.reason.clone(), halt.flag_hint.clone());
                self.effects.push(Effect::Release(tp.clone()));
                return;
            }
            self.effects.push(Effect::ClearHalt(partition.key.clone()));
        }
        let known = partition.known(&loaded, &self.config.start_from);
        let policy = Policy {
            start_from: &self.config.start_from,
            on_truncation: match decided {
                Some(HaltAction::RecordGap) => OnTruncation::RecordGap,
                _ => self.config.on_truncation,
            },
        };
        match start::decide(&known, policy) {
            Start::At { offset, gap } => {
                partition.seen_ahead = 0;
                if gap.is_some() {
                    self.oldest.get_or_insert(now);
                }
                let mut window = Window::new(self.config.dedup, now);
                window.rebuild(loaded.recent, now);
                partition.activate(&self.config, offset, gap, window, loaded.recovered);
                let tp = tp.clone();
                self.effects.push(Effect::Start { tp, epoch, offset });
            }
            Start::Recheck => {
                partition.seen_ahead += 1;
                self.effects.push(Effect::Recheck(tp.clone()));
            }
            Start::Halt(reason) => {
                let halt = partition.durable_halt(reason, self.clock.wall_us());
                partition.halt(halt.reason.clone(), halt.flag_hint.clone());
                self.effects.push(Effect::SetHalt(halt));
                self.effects.push(Effect::Release(tp.clone()));
            }
        }
    }

    fn records(&mut self, records: &Records) {
        if self.stopping {
            return;
        }
        let now = self.clock.monotonic();
        for (stream, (tp, epoch)) in records.streams().iter().enumerate() {
            let Some(partition) = self.partitions.get_mut(tp) else {
                continue;
            };
            if partition.epoch != *epoch {
                continue;
            }
            let State::Active(buffer) = &mut partition.state else {
                continue;
            };
            let applied = buffer.apply(records.of(stream), &self.decoder, now);
            partition.end = partition.end.max(buffer.next());
            self.consumed += applied.records;
            self.replayed += applied.replayed;
            if buffer.is_dirty() {
                self.oldest.get_or_insert(now);
            }
        }
    }

    fn at_end(&mut self, tp: &Tp, epoch: Epoch, next: i64) {
        let now = self.clock.monotonic();
        if let Some(partition) = self.partitions.get_mut(tp)
            && partition.epoch == epoch
            && !self.stopping
            && let State::Active(buffer) = &mut partition.state
        {
            buffer.skip_to(next);
            if buffer.is_dirty() {
                self.oldest.get_or_insert(now);
            }
        }
    }
}

impl Partition {
    fn buffer(&self) -> Option<&Buffer> {
        match &self.state {
            State::Active(buffer) => Some(buffer),
            _ => None,
        }
    }

    fn known(&self, loaded: &Loaded, start_from: &StartFrom) -> Known {
        let wanted = match start_from {
            StartFrom::Offsets(offsets) => offsets
                .get(&(self.key.topic.clone(), self.key.partition))
                .copied(),
            _ => self.owned.wanted,
        };
        // One that never started is not one that appeared later, though its siblings have started.
        let never_started = loaded
            .halt
            .as_ref()
            .is_some_and(|halt| halt.reason == HaltReason::StartAhead.as_str());
        Known {
            stored: loaded.stored,
            low: self.owned.low,
            high: self.owned.high,
            topic_known: loaded.topic_known && !never_started,
            seen_ahead: self.seen_ahead,
            wanted,
        }
    }

    fn activate(
        &mut self,
        config: &CoreConfig,
        offset: i64,
        gap: Option<Gap>,
        window: Window,
        recovered: Recovered,
    ) {
        let buffer = Buffer::new(
            self.key.clone(),
            offset,
            gap,
            window,
            recovered,
            config.rejects,
        );
        self.state = State::Active(Box::new(buffer.contiguous(config.contiguous)));
    }

    fn halt(&mut self, reason: String, hint: String) {
        self.state = State::Halted { reason, hint };
    }

    fn durable_halt(&self, reason: HaltReason, at: i64) -> Halt {
        let place = format!("{}/{}", self.key.topic, self.key.partition);
        let flag_hint = match reason {
            HaltReason::Truncated => format!(
                "offsets {} to {} are gone from the broker; to record them as a gap and go on, \
                 start once with --resume {place}=record_gap",
                self.stored.unwrap_or_default(),
                self.owned.low
            ),
            HaltReason::StartAhead => format!(
                "`ingest.start_from` puts the start beyond the broker's end, which is {}; correct \
                 it, then start once with --resume {place}=recheck",
                self.owned.high
            ),
            HaltReason::Ahead => format!(
                "the lake holds offsets up to {}, the broker only up to {}; repair the cluster or \
                 use another job name, then start once with --resume {place}=recheck",
                self.stored.unwrap_or_default(),
                self.owned.high
            ),
        };
        Halt {
            key: self.key.clone(),
            reason: reason.as_str().to_owned(),
            stored: self.stored,
            log_start: Some(self.owned.low),
            high: Some(self.owned.high),
            flag_hint,
            at,
        }
    }
}

#[cfg(test)]
mod tests;
