//! The core and the committer against a store in memory, with crashes, lost replies, zombies and
//! rebalances at random moments: whatever happens, every coordinate is in the tables once.

mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use funnel_events::{Decoder, DecoderConfig, RejectsPolicy};
use proptest::prelude::*;
use tokio_util::sync::CancellationToken;

use crate::clock::ManualClock;
use crate::committer::{Committer, Job};
use crate::config::{DedupWindow, FlushPolicy, OnTruncation, StartFrom};
use crate::core::{Core, CoreConfig};
use crate::health::Health;
use crate::message::{Effect, Input, Owned};
use crate::metrics::Metrics;
use crate::record::{Epoch, Record, Records, Tp};
use store::{Fault, MemoryStore};

/// What stands at one offset.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// One fact; the same number is the same fact.
    Page(u8),
    /// Two facts, and one entry between them that cannot be one.
    Mixed(u8),
    Bad,
    Tombstone,
    Hole,
}

#[derive(Debug, Clone, Copy)]
enum Op {
    /// An instance reads some records of a partition it fetches.
    Feed(usize, usize, usize),
    /// The flush age passes.
    Tick(usize),
    /// An instance's store does its next job.
    Work(usize, Fault),
    Crash(usize),
    /// A partition is given to an instance; others that have it become zombies.
    Own(usize, usize),
    Drop(usize, usize),
}

const INSTANCES: usize = 2;
const PARTITIONS: usize = 2;
const TOPIC: &str = "t";

fn page(number: u8) -> String {
    let time = 1_709_560_800_000_u64 + u64::from(number);
    format!(
        r#"{{"schemaVersion":"1.0","eventId":"p{number}","eventType":"page_viewed","sourceSystem":"data_access","sourceEvent":"WebSessionNavigationData","flow":"monitored","accountId":"58213347","visitorId":"v{number}","sessionId":"s{number}","eventTime":{time},"eventTimeSource":"server","producedAt":{time},"payload":{{"timestamp":{{"long":{time}}}}}}}"#
    )
}

/// A Chat API answer of three entries, the middle one without a usable time.
fn mixed(number: u8) -> String {
    let line = |id: u8, time: &str| {
        format!(
            r#"{{"@id":"{id}","@type":"line","time":"{time}","textType":"plain","text":"x","source":"visitor","subType":"REGULAR"}}"#
        )
    };
    let good = "2024-03-04T09:00:44.012-05:00";
    format!(
        r#"{{"schemaVersion":"1.0","eventId":"m{number}","eventType":"chat_line","sourceSystem":"server_chat","sourceEvent":"line","flow":"monitored","accountId":"58213347","visitorId":"w{number}","sessionId":"s{number}","contextId":"1","eventTime":"{good}","eventTimeSource":"server","producedAt":1709560844192,"payload":{{"events":{{"event":[{},{},{}]}},"chatSessionKey":"K{number}","rtSessionId":{number}}}}}"#,
        line(1, good),
        line(2, "yesterday"),
        line(3, good),
    )
}

/// One process.
struct Instance {
    core: Core,
    clock: Arc<ManualClock>,
    fetching: BTreeMap<Tp, (Epoch, i64)>,
    jobs: VecDeque<Job>,
}

impl Instance {
    fn new() -> Self {
        let config = CoreConfig {
            job: "job".to_owned(),
            flush: FlushPolicy {
                rows: 1_000_000,
                bytes: 1 << 40,
                age: Duration::from_secs(10),
            },
            start_from: StartFrom::Earliest,
            contiguous: false,
            on_truncation: OnTruncation::Halt,
            dedup: DedupWindow {
                age: Duration::from_secs(1 << 30),
                max_ids: 1_000_000,
            },
            rejects: RejectsPolicy::default(),
            overrides: Vec::new(),
            until_end: false,
        };
        let clock = Arc::new(ManualClock::default());
        let decoder = Decoder::new(DecoderConfig::default());
        Self {
            core: Core::new(config, decoder, Arc::clone(&clock) as _),
            clock,
            fetching: BTreeMap::new(),
            jobs: VecDeque::new(),
        }
    }

    fn handle(&mut self, input: Input) {
        let effects = self.core.handle(input);
        self.carry_out(effects);
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Load { tp, epoch, key } => {
                    self.jobs.push_back(Job::Load { tp, epoch, key })
                }
                Effect::Commit(sealed) => self.jobs.push_back(Job::Commit(sealed)),
                Effect::Start { tp, epoch, offset } => {
                    self.fetching.insert(tp, (epoch, offset));
                }
                Effect::Release(tp) => {
                    self.fetching.remove(&tp);
                }
                Effect::CommitKafka { .. } => {}
                other => panic!("not expected here: {other:?}"),
            }
        }
    }
}

struct World {
    log: Vec<Vec<Kind>>,
    store: Arc<MemoryStore>,
    committer: Committer,
    instances: Vec<Instance>,
    runtime: tokio::runtime::Runtime,
}

impl World {
    fn new(log: Vec<Vec<Kind>>) -> Self {
        let store = Arc::new(MemoryStore::default());
        let committer = Committer {
            store: Arc::clone(&store) as _,
            job: "job".to_owned(),
            window: 1_000_000,
            retry_first: Duration::from_micros(1),
            patience: None,
            abort: CancellationToken::new(),
            health: Arc::new(Health::default()),
            metrics: Arc::new(Metrics::new(1)),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("runtime");
        Self {
            log,
            store,
            committer,
            instances: (0..INSTANCES).map(|_| Instance::new()).collect(),
            runtime,
        }
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Feed(instance, partition, count) => self.feed(instance, partition, count),
            Op::Tick(instance) => {
                let instance = &mut self.instances[instance];
                instance.clock.advance(Duration::from_secs(11));
                let effects = instance.core.tick();
                instance.carry_out(effects);
            }
            Op::Work(instance, fault) => self.work(instance, fault),
            Op::Crash(instance) => self.instances[instance] = Instance::new(),
            Op::Own(instance, partition) => self.own(instance, partition),
            Op::Drop(instance, partition) => {
                let tp = tp(partition);
                let instance = &mut self.instances[instance];
                instance.fetching.remove(&tp);
                instance.handle(Input::Dropped(vec![tp]));
            }
        }
    }

    fn own(&mut self, instance: usize, partition: usize) {
        let owned = Owned {
            tp: tp(partition),
            topic_uuid: "u".to_owned(),
            low: 0,
            high: self.log[partition].len() as i64,
            wanted: None,
        };
        self.instances[instance].handle(Input::Owned(vec![owned]));
    }

    fn feed(&mut self, instance: usize, partition: usize, count: usize) {
        let tp = tp(partition);
        let instance = &mut self.instances[instance];
        let Some((epoch, next)) = instance.fetching.get_mut(&tp) else {
            return;
        };
        let mut records = Records::default();
        let end = self.log[partition].len().min(*next as usize + count);
        for offset in *next as usize..end {
            let text = match self.log[partition][offset] {
                Kind::Page(number) => Some(page(number)),
                Kind::Mixed(number) => Some(mixed(number)),
                Kind::Bad => Some("not json".to_owned()),
                Kind::Tombstone => None,
                Kind::Hole => continue,
            };
            let record = Record {
                offset: offset as i64,
                timestamp_ms: Some(1),
                key: None,
                value: text.as_deref().map(str::as_bytes),
            };
            records.push(&tp, *epoch, record, std::iter::empty());
        }
        *next = end as i64;
        instance.handle(Input::Records(records));
    }

    fn work(&mut self, instance: usize, fault: Fault) {
        let Some(job) = self.instances[instance].jobs.pop_front() else {
            return;
        };
        self.store.arm(fault);
        match self.runtime.block_on(self.committer.work(job)) {
            Ok(Some(answer)) => self.instances[instance].handle(answer),
            Ok(None) => {}
            Err(_) => self.instances[instance] = Instance::new(),
        }
        self.store.arm(Fault::None);
    }

    /// A healthy process reads what is left.
    fn finish(&mut self) {
        self.instances.truncate(1);
        self.instances[0] = Instance::new();
        for partition in 0..PARTITIONS {
            self.own(0, partition);
        }
        for _ in 0..6 {
            while !self.instances[0].jobs.is_empty() {
                self.work(0, Fault::None);
            }
            for partition in 0..PARTITIONS {
                self.feed(0, partition, usize::MAX / 2);
            }
            self.apply(Op::Tick(0));
        }
    }

    /// What must be in the tables: the first of every fact per partition, every bad entry.
    fn check(&self) {
        for partition in 0..PARTITIONS {
            let mut events = BTreeSet::new();
            let mut rejects = BTreeSet::new();
            let mut seen = BTreeSet::new();
            for (offset, kind) in self.log[partition].iter().enumerate() {
                let offset = offset as i64;
                match kind {
                    Kind::Page(number) => {
                        if seen.insert((false, *number)) {
                            events.insert((offset, None));
                        }
                    }
                    Kind::Mixed(number) => {
                        if seen.insert((true, *number)) {
                            events.extend([(offset, Some(0)), (offset, Some(2))]);
                        }
                        rejects.insert((offset, Some(1)));
                    }
                    Kind::Bad => {
                        rejects.insert((offset, None));
                    }
                    Kind::Tombstone | Kind::Hole => {}
                }
            }
            self.store.check(partition as i32, &events, &rejects);
        }
    }
}

fn tp(partition: usize) -> Tp {
    Tp::new(TOPIC, partition as i32)
}

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => (0..12_u8).prop_map(Kind::Page),
        2 => (0..6_u8).prop_map(Kind::Mixed),
        2 => Just(Kind::Bad),
        1 => Just(Kind::Tombstone),
        1 => Just(Kind::Hole),
    ]
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        4 => Just(Fault::None),
        1 => Just(Fault::LostReply),
        1 => Just(Fault::Refused),
        1 => (0..4_u32).prop_map(Fault::DieBeforeCall),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let instance = 0..INSTANCES;
    let partition = 0..PARTITIONS;
    prop_oneof![
        6 => (instance.clone(), partition.clone(), 1..6_usize)
            .prop_map(|(instance, partition, count)| Op::Feed(instance, partition, count)),
        3 => instance.clone().prop_map(Op::Tick),
        6 => (instance.clone(), fault()).prop_map(|(instance, fault)| Op::Work(instance, fault)),
        1 => instance.clone().prop_map(Op::Crash),
        2 => (instance.clone(), partition.clone()).prop_map(|(i, p)| Op::Own(i, p)),
        1 => (instance, partition).prop_map(|(i, p)| Op::Drop(i, p)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_every_coordinate_is_stored_once_and_the_ledger_closes(
        log in prop::collection::vec(prop::collection::vec(kind(), 0..25), PARTITIONS),
        ops in prop::collection::vec(op(), 0..60),
    ) {
        let mut world = World::new(log);
        for instance in 0..INSTANCES {
            world.own(instance, instance);
        }
        for op in ops {
            world.apply(op);
        }
        world.finish();
        world.check();
    }
}

/// Reads everything into one buffer, commits with a fault, then recovers.
fn one_commit_with(fault: Fault) -> World {
    let log = vec![
        vec![
            Kind::Page(1),
            Kind::Bad,
            Kind::Mixed(1),
            Kind::Page(2),
            Kind::Page(1),
        ],
        vec![Kind::Tombstone, Kind::Hole, Kind::Mixed(2)],
    ];
    let mut world = World::new(log);
    for partition in 0..PARTITIONS {
        world.own(0, partition);
        world.work(0, Fault::None);
        world.feed(0, partition, 10);
    }
    world.apply(Op::Tick(0));
    world.work(0, fault);
    world
}

#[test]
fn rejects_of_a_commit_whose_events_never_came_are_recovered_by_coordinate() {
    // Calls of a commit: encode and commit rejects, encode and commit events.
    let mut world = one_commit_with(Fault::DieBeforeCall(3));
    assert_eq!(
        world.store.rows(),
        (0, 3),
        "the crash was to fall between the two commits"
    );
    world.finish();
    world.check();
}

#[test]
fn a_lost_reply_does_not_double_a_row() {
    let mut world = one_commit_with(Fault::LostReply);
    assert_eq!(world.store.rows(), (6, 3));
    world.finish();
    world.check();
}

#[test]
fn a_zombie_that_wakes_with_a_sealed_batch_stores_nothing_twice() {
    let mut world = World::new(vec![vec![Kind::Page(1), Kind::Bad], vec![]]);
    for instance in 0..INSTANCES {
        world.own(instance, 0);
        world.work(instance, Fault::None);
        world.feed(instance, 0, 10);
        world.apply(Op::Tick(instance));
    }
    for instance in 0..INSTANCES {
        world.work(instance, Fault::None);
    }
    assert_eq!(world.store.rows(), (1, 1));
    assert_eq!(world.store.orphans(), 0, "files of the lost commit");
    world.finish();
    world.check();
}

#[test]
fn a_fenced_partition_does_not_cost_the_others_their_rows() {
    let mut world = World::new(vec![vec![Kind::Page(1); 3], vec![Kind::Page(2); 3]]);
    for partition in 0..PARTITIONS {
        world.own(0, partition);
        world.work(0, Fault::None);
        world.feed(0, partition, 10);
    }
    // Another process takes partition 0 and commits only the first record of it.
    world.own(1, 0);
    world.work(1, Fault::None);
    world.feed(1, 0, 1);
    world.apply(Op::Tick(1));
    world.work(1, Fault::None);
    world.apply(Op::Tick(0));
    world.work(0, Fault::None);
    assert_eq!(world.instances[0].core.totals().fenced, 1);
    assert_eq!(world.store.rows(), (2, 0), "partition 1 went through");
    assert_eq!(world.store.orphans(), 0, "files of the lost commit");
    world.finish();
    world.check();
}
