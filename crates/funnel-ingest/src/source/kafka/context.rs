//! What librdkafka calls back: rebalances, errors, statistics.
//!
//! All callbacks run on the polling thread, inside `poll`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, info, warn};

use super::assignment::await_stops;
use crate::message::Input;
use crate::record::{Epoch, Records, Tp};
use crate::source::Port;

/// A partition that is being fetched.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) tp: Tp,
    pub(super) epoch: Epoch,
    /// The next offset to expect.
    pub(super) next: i64,
    pub(super) last_record: Instant,
}

/// What the polling thread and its callbacks share.
#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Records not yet sent.
    pub(super) batch: Records,
    pub(super) active: HashMap<Arc<str>, BTreeMap<i32, Active>>,
    /// What the group, or the configuration, gave to this process.
    pub(super) owned: BTreeSet<Tp>,
    /// Partitions whose watermarks are to be read: when, and whether the core asked again.
    pub(super) pending: BTreeMap<Tp, (Instant, bool)>,
}

impl Shared {
    pub(super) fn active_mut(&mut self, tp: &Tp) -> Option<&mut Active> {
        self.active.get_mut(&tp.topic)?.get_mut(&tp.partition)
    }

    pub(super) fn all_active(&self) -> impl Iterator<Item = &Active> {
        self.active.values().flat_map(BTreeMap::values)
    }

    pub(super) fn forget(&mut self, tp: &Tp) -> bool {
        self.active
            .get_mut(&tp.topic)
            .and_then(|partitions| partitions.remove(&tp.partition))
            .is_some()
    }

    /// Everything that is fetched, each at its position.
    pub(super) fn positions(&self) -> KafkaResult<TopicPartitionList> {
        let mut list = TopicPartitionList::new();
        for active in self.all_active() {
            list.add_partition_offset(
                &active.tp.topic,
                active.tp.partition,
                Offset::Offset(active.next),
            )?;
        }
        Ok(list)
    }
}

pub(super) struct Context {
    pub(super) port: Port,
    shared: Mutex<Shared>,
    /// How long a revocation may wait for the last commit.
    revoke_patience: Duration,
    /// The consumer is being closed: nobody is left to wait for.
    pub(super) leaving: AtomicBool,
}

impl Context {
    pub(super) fn new(port: Port, session_timeout_ms: u64) -> Self {
        Self {
            port,
            shared: Mutex::default(),
            revoke_patience: Duration::from_millis(session_timeout_ms / 2)
                .min(Duration::from_secs(10)),
            leaving: AtomicBool::new(false),
        }
    }

    pub(super) fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The group hears at once that the partitions are ours; each is attached at its own offset
    /// when the lake has told it, so that no fetch ever starts elsewhere and is moved by a seek.
    fn assign(&self, consumer: &BaseConsumer<Self>, tps: Vec<Tp>) {
        info!(partitions = tps.len(), "partitions assigned");
        self.port.metrics.rebalanced("assign");
        self.port.health.assigned(true);
        let nothing = TopicPartitionList::new();
        let acknowledged = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_assign(&nothing),
            _ => consumer.assign(&nothing),
        };
        if let Err(error) = acknowledged {
            warn!(%error, "the assignment was not acknowledged");
        }
        let mut shared = self.shared();
        let now = Instant::now();
        for tp in tps {
            shared.pending.insert(tp.clone(), (now, false));
            shared.owned.insert(tp);
        }
    }

    fn revoke(&self, consumer: &BaseConsumer<Self>, tps: Vec<Tp>) {
        let lost = consumer.assignment_lost();
        info!(partitions = tps.len(), lost, "partitions revoked");
        self.port
            .metrics
            .rebalanced(if lost { "lost" } else { "revoke" });
        let leaving = self.leaving.load(Ordering::Relaxed);
        if !lost && !leaving {
            self.drain(&tps);
        }
        let mut detached = TopicPartitionList::new();
        {
            let mut shared = self.shared();
            for tp in &tps {
                shared.owned.remove(tp);
                shared.pending.remove(tp);
                if shared.forget(tp) {
                    detached.add_partition(&tp.topic, tp.partition);
                }
            }
        }
        self.port.inbox.push(Input::Dropped(tps));
        let acknowledged = match consumer.rebalance_protocol() {
            RebalanceProtocol::Cooperative => consumer.incremental_unassign(&detached),
            _ => consumer.unassign(),
        };
        match acknowledged {
            // A group that is being left answers no more questions, and gives nothing back.
            Ok(()) if leaving => {}
            Ok(()) => await_stops(consumer),
            Err(error) => warn!(%error, "the revocation was not acknowledged"),
        }
    }

    /// Lets the core commit what it has of these partitions. Too slow is not wrong: the next owner
    /// starts at what is stored, and our late commit is refused.
    pub(super) fn drain(&self, tps: &[Tp]) {
        let batch = std::mem::take(&mut self.shared().batch);
        if !batch.is_empty() && self.port.send(batch, Duration::from_secs(1)).is_err() {
            debug!("records left behind at a revocation, they will be read again");
        }
        let (done, wait) = sync_channel(1);
        let tps = tps.to_vec();
        self.port.inbox.push(Input::Revoking { tps, done });
        if wait.recv_timeout(self.revoke_patience).is_err() {
            warn!("the last commit of revoked partitions took too long");
        }
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<Tp> {
    list.elements()
        .iter()
        .map(|element| Tp::new(element.topic(), element.partition()))
        .collect()
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        match level {
            RDKafkaLogLevel::Emerg
            | RDKafkaLogLevel::Alert
            | RDKafkaLogLevel::Critical
            | RDKafkaLogLevel::Error
            | RDKafkaLogLevel::Warning => warn!(facility, message, "librdkafka"),
            _ => debug!(facility, message, "librdkafka"),
        }
    }

    fn stats(&self, statistics: Statistics) {
        let up = statistics
            .brokers
            .values()
            .any(|broker| broker.state == "UP");
        if up {
            self.port.health.kafka(None);
        }
        let ends = statistics.topics.iter().flat_map(|(name, topic)| {
            let topic_name: Arc<str> = Arc::from(name.as_str());
            topic
                .partitions
                .values()
                .filter(|partition| partition.partition >= 0 && partition.ls_offset >= 0)
                .map(move |partition| {
                    let tp = Tp::new(Arc::clone(&topic_name), partition.partition);
                    (tp, partition.ls_offset)
                })
        });
        self.port.inbox.push(Input::Ends(ends.collect()));
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "librdkafka error");
    }
}

impl ConsumerContext for Context {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        let tps = partitions(list);
        match event {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => self.assign(consumer, tps),
            _ => self.revoke(consumer, tps),
        }
    }
}
