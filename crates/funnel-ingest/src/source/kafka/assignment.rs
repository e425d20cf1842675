//! Which partitions are fetched, and from where: what the core says, told to librdkafka.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer, RebalanceProtocol};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, info, warn};

use super::context::{Active, Context};
use super::{ASK_AGAIN, RECHECK_AFTER, Reader};
use crate::error::IngestError;
use crate::record::{Epoch, Tp};
use crate::source::Command;

/// How long Kafka may take to take the last offsets when we leave.
const SETTLE_MAX: Duration = Duration::from_secs(3);

/// Waits until the partitions just taken from librdkafka have stopped.
///
/// A partition that is taken, given and taken again before its first stop is answered gets a
/// second stop, and librdkafka aborts the process on the second answer (its issue 5573). Removal,
/// stop and answer go through one queue in turn, and so does this question: the first answer
/// comes after the stop, the second after the stop's own answer.
pub(super) fn await_stops(consumer: &BaseConsumer<Context>) {
    for _ in 0..2 {
        if let Err(error) = consumer.assignment() {
            debug!(%error, "the assignment cannot be asked for");
        }
    }
}

impl Reader {
    /// Does what the core asked; `false`: leave.
    pub(super) fn serve_commands(&mut self) -> Result<bool, IngestError> {
        while let Some(command) = self.port().commands.pop(Duration::ZERO) {
            match command {
                Command::Start { tp, epoch, offset } => self.attach(&tp, epoch, offset),
                Command::Release(tp) => self.detach(&tp),
                Command::Recheck(tp) => {
                    let at = Instant::now() + RECHECK_AFTER;
                    let mut shared = self.consumer.context().shared();
                    if shared.owned.contains(&tp) {
                        shared.pending.insert(tp, (at, true));
                    }
                }
                Command::CommitKafka { offsets, version } => self.commit(&offsets, version),
                Command::Leave => return Ok(false),
            }
        }
        Ok(true)
    }

    fn attach(&mut self, tp: &Tp, epoch: Epoch, offset: i64) {
        let was_active = {
            let mut shared = self.consumer.context().shared();
            if !shared.owned.contains(tp) {
                return;
            }
            let was_active = shared.forget(tp);
            let active = Active {
                tp: tp.clone(),
                epoch,
                next: offset,
                last_record: Instant::now(),
            };
            let partitions = shared.active.entry(Arc::clone(&tp.topic)).or_default();
            partitions.insert(tp.partition, active);
            was_active
        };
        info!(
            topic = &*tp.topic,
            partition = tp.partition,
            offset,
            "partition started"
        );
        self.reassign(tp, was_active, Some(offset));
    }

    pub(super) fn detach(&mut self, tp: &Tp) {
        let was_active = self.consumer.context().shared().forget(tp);
        if was_active {
            self.reassign(tp, true, None);
        }
    }

    /// Tells librdkafka about one partition. The eager protocol takes the whole list, for which
    /// every position is known; the cooperative one, and no group at all, take changes.
    fn reassign(&mut self, tp: &Tp, was_active: bool, offset: Option<i64>) {
        let done = match self.consumer.rebalance_protocol() {
            RebalanceProtocol::Eager => {
                let list = self.consumer.context().shared().positions();
                list.and_then(|list| self.consumer.assign(&list))
                    .map(|()| await_stops(&self.consumer))
            }
            _ => self.reassign_one(tp, was_active, offset),
        };
        if let Err(error) = done {
            warn!(topic = &*tp.topic, partition = tp.partition, %error, "could not change the assignment, trying again");
            let mut shared = self.consumer.context().shared();
            shared.forget(tp);
            if offset.is_some() && shared.owned.contains(tp) {
                let again = Instant::now() + ASK_AGAIN;
                shared.pending.insert(tp.clone(), (again, false));
            }
        }
        if self.paused {
            self.pause();
        }
    }

    fn reassign_one(
        &self,
        tp: &Tp,
        was_active: bool,
        offset: Option<i64>,
    ) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&tp.topic, tp.partition);
        if was_active {
            self.consumer.incremental_unassign(&list)?;
            await_stops(&self.consumer);
        }
        if let Some(offset) = offset {
            list.set_all_offsets(Offset::Offset(offset))?;
            self.consumer.incremental_assign(&list)?;
        }
        Ok(())
    }

    /// For Kafka's lag tools only: never read by us. Positions in the lake only grow, so these do.
    fn commit(&mut self, offsets: &[(Tp, i64)], version: i64) {
        let mut list = TopicPartitionList::new();
        for (tp, offset) in offsets {
            if !self.consumer.context().shared().owned.contains(tp) {
                continue;
            }
            let mut element = list.add_partition(&tp.topic, tp.partition);
            element.set_metadata(format!("delta:{version}"));
            if let Err(error) = element.set_offset(Offset::Offset(*offset)) {
                debug!(%error, "offset not committed to kafka");
            }
        }
        if list.count() == 0 {
            return;
        }
        match self.consumer.commit(&list, CommitMode::Async) {
            Ok(()) => self.last_commit = Some(list),
            Err(error) => debug!(%error, "offsets not committed to kafka"),
        }
    }

    /// Waits for Kafka to have taken the last offsets: the question goes the same way as they did,
    /// so its answer comes after them.
    pub(super) fn settle_commits(&self) {
        let Some(list) = self.last_commit.clone() else {
            return;
        };
        if let Err(error) = self.consumer.committed_offsets(list, SETTLE_MAX) {
            debug!(%error, "kafka may not have taken the last offsets");
        }
    }
}
