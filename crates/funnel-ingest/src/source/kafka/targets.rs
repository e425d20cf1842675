//! Topics and their ends: what there is to read, and how far.

use std::time::{Duration, Instant};

use rdkafka::client::ClientContext;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use tracing::{debug, info};

use super::{ASK_TIMEOUT, Outcome, Reader, TOPICS_EVERY, options};
use crate::config::Assignment;
use crate::error::IngestError;
use crate::message::Input;
use crate::record::Tp;

/// A partition that stays short of its end this long is looked at.
const QUIET: Duration = Duration::from_secs(1);

/// A consumer whose errors are answers: the end of a partition is one to librdkafka.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "while looking for the end");
    }
}

impl ConsumerContext for Quiet {}

impl Reader {
    /// The high watermarks that this run has to reach.
    pub(super) fn find_targets(&mut self) -> Outcome {
        let began = Instant::now();
        loop {
            match self.targets_now() {
                Ok(targets) => {
                    self.well();
                    self.port().inbox.push(Input::Targets(targets.clone()));
                    self.targets = targets;
                    return Ok(());
                }
                Err(reason) if began.elapsed() > self.first_answer_max => {
                    return Err(IngestError::unavailable(format!(
                        "kafka at `{}` did not tell what there is to read: {reason}",
                        self.config.brokers
                    )));
                }
                Err(reason) => self.complain(reason)?,
            }
            let port = self.port();
            if port.abort.is_cancelled() || port.shutdown.is_cancelled() {
                return Ok(());
            }
            port.health.tick("poll");
            let _ = self.consumer.poll(Duration::from_millis(200));
        }
    }

    fn targets_now(&self) -> Result<std::collections::BTreeMap<Tp, i64>, String> {
        let mut targets = std::collections::BTreeMap::new();
        for tp in self.partitions_now()? {
            let (_, high) = self
                .consumer
                .fetch_watermarks(&tp.topic, tp.partition, ASK_TIMEOUT)
                .map_err(|error| format!("no watermarks of {tp}: {error}"))?;
            targets.insert(tp, high);
        }
        Ok(targets)
    }

    /// Every partition of the topics; with a fixed assignment those of this process.
    fn partitions_now(&self) -> Result<Vec<Tp>, String> {
        let mut tps = Vec::new();
        for topic in &self.config.topics {
            let metadata = self
                .consumer
                .fetch_metadata(Some(topic), ASK_TIMEOUT)
                .map_err(|error| format!("no metadata of topic `{topic}`: {error}"))?;
            let found = metadata.topics().iter().find(|found| found.name() == topic);
            let Some(found) = found else {
                return Err(format!("topic `{topic}` does not exist"));
            };
            if let Some(code) = found.error() {
                let code = RDKafkaErrorCode::from(code);
                return Err(format!("topic `{topic}`: {code}"));
            }
            let partitions = found
                .partitions()
                .iter()
                .map(rdkafka::metadata::MetadataPartition::id);
            tps.extend(
                partitions
                    .filter(|partition| self.is_mine(*partition))
                    .map(|partition| Tp::new(topic.as_str(), partition)),
            );
        }
        Ok(tps)
    }

    fn is_mine(&self, partition: i32) -> bool {
        match self.config.assignment {
            Assignment::Group => true,
            Assignment::Static { instances, ordinal } => {
                u32::try_from(partition).is_ok_and(|partition| partition % instances == ordinal)
            }
        }
    }

    /// Looks from time to time whether topics are there; with a fixed assignment also for new
    /// partitions, which the group would bring otherwise.
    pub(super) fn serve_topics(&mut self) -> Outcome {
        let now = Instant::now();
        if now < self.topics_at {
            return Ok(());
        }
        let found = match self.partitions_now() {
            Ok(found) => found,
            Err(reason) => {
                self.topics_at = now + Duration::from_secs(2);
                return self.complain(reason);
            }
        };
        self.topics_at = now + TOPICS_EVERY;
        self.well();
        if self.config.assignment != Assignment::Group {
            self.port().health.assigned(true);
            let mut shared = self.consumer.context().shared();
            for tp in found {
                if shared.owned.insert(tp.clone()) {
                    shared.pending.insert(tp, (now, false));
                }
            }
        }
        Ok(())
    }

    /// The last offsets before an end may hold no record (markers of transactions), and then no
    /// record ever says that the end is reached.
    pub(super) fn serve_ends(&mut self) {
        let now = Instant::now();
        // Records that wait in the batch would come after the word that there is none.
        let waiting = !self.consumer.context().shared().batch.is_empty();
        if !self.until_end || now < self.probe_at || waiting {
            return;
        }
        self.probe_at = now + QUIET;
        let quiet: Vec<_> = {
            let shared = self.consumer.context().shared();
            shared
                .all_active()
                .filter(|active| now.duration_since(active.last_record) > QUIET)
                .filter_map(|active| {
                    let target = *self.targets.get(&active.tp)?;
                    (active.next < target)
                        .then(|| (active.tp.clone(), active.epoch, active.next, target))
                })
                .collect()
        };
        for (tp, epoch, next, target) in quiet {
            match self.has_ended(&tp, next) {
                Ok(true) => {
                    info!(
                        topic = &*tp.topic,
                        partition = tp.partition,
                        next,
                        target,
                        "no record before the end"
                    );
                    if let Some(active) = self.consumer.context().shared().active_mut(&tp) {
                        active.next = active.next.max(target);
                    }
                    let next = target;
                    self.port().inbox.push(Input::AtEnd { tp, epoch, next });
                }
                Ok(false) => {}
                Err(error) => debug!(%error, "could not look for the end"),
            }
        }
    }

    /// Whether there is no record from `next` on. A consumer of its own asks: with one partition
    /// there is no doubt whose end is told.
    fn has_ended(&self, tp: &Tp, next: i64) -> Result<bool, KafkaError> {
        let probe: BaseConsumer<Quiet> =
            BaseConsumer::from_config_and_context(&options::probe(&self.client), Quiet)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(next))?;
        probe.assign(&list)?;
        let deadline = Instant::now() + ASK_TIMEOUT;
        while Instant::now() < deadline {
            match probe.poll(Duration::from_millis(100)) {
                Some(Ok(_)) => return Ok(false),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(true),
                Some(Err(error)) => debug!(%error, "while looking for the end"),
                None => {}
            }
        }
        Ok(false)
    }
}
