//! Kafka, read on a thread of its own.
//!
//! librdkafka serves rebalances inside `poll`, so the thread never stops polling: while the core
//! does not keep up the partitions are paused instead.

mod assignment;
mod context;
mod options;
mod targets;
mod topic_ids;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tracing::{debug, info, warn};

use self::context::Context;
use super::{Port, Source};
use crate::config::{Assignment, KafkaConfig, StartFrom};
use crate::error::{ErrorKind, IngestError};
use crate::message::{Input, Owned};
use crate::record::{Header, Record, Tp};

/// One batch for the core: large enough that queues cost nothing, small enough to move on.
const BATCH_BYTES: usize = 1 << 20;
const BATCH_RECORDS: usize = 4096;
/// How long an unfinished batch waits for more records.
const BATCH_WAIT: Duration = Duration::from_millis(5);
const IDLE_WAIT: Duration = Duration::from_millis(100);
/// How long a full core is waited for before partitions are paused.
const SEND_WAIT: Duration = Duration::from_secs(1);
const ASK_TIMEOUT: Duration = Duration::from_secs(5);
const ASK_AGAIN: Duration = Duration::from_secs(1);
const TOPICS_EVERY: Duration = Duration::from_secs(30);
/// Between two readings of watermarks that put the lake ahead of the broker: together with the
/// number of readings they span half a minute.
const RECHECK_AFTER: Duration = Duration::from_secs(15);
/// With an end in sight, an unreachable Kafka is a failure after this long.
const UNREACHABLE_MAX: Duration = Duration::from_secs(60);

/// Reads topics of a Kafka cluster.
#[derive(Debug)]
pub(crate) struct KafkaSource {
    pub(crate) config: KafkaConfig,
    pub(crate) start_from: StartFrom,
    pub(crate) memory: u64,
    pub(crate) until_end: bool,
    pub(crate) first_answer_max: Duration,
}

impl Source for KafkaSource {
    fn name(&self) -> &'static str {
        "funnel-poll"
    }

    fn run(self: Box<Self>, port: Port) {
        let inbox = Arc::clone(&port.inbox);
        match Reader::new(*self, port) {
            Ok(mut reader) => {
                if let Err(error) = reader.run() {
                    inbox.push(Input::Failed(error));
                }
                reader.leave();
            }
            Err(error) => inbox.push(Input::Failed(error)),
        }
    }
}

struct Reader {
    config: KafkaConfig,
    start_from: StartFrom,
    client: ClientConfig,
    until_end: bool,
    first_answer_max: Duration,
    consumer: BaseConsumer<Context>,
    targets: BTreeMap<Tp, i64>,
    last_commit: Option<TopicPartitionList>,
    identities: HashMap<Arc<str>, String>,
    paused: bool,
    stopping: bool,
    look_at: Instant,
    topics_at: Instant,
    probe_at: Instant,
    trouble_since: Option<Instant>,
}

type Outcome = Result<(), IngestError>;

impl Reader {
    fn new(source: KafkaSource, port: Port) -> Result<Self, IngestError> {
        let client = options::consumer(&source.config, source.memory, source.until_end);
        let context = Context::new(port, options::session_timeout_ms(&client));
        let consumer =
            BaseConsumer::from_config_and_context(&client, context).map_err(|error| {
                IngestError::config("librdkafka does not take the options of [kafka]")
                    .with_source(error)
            })?;
        let now = Instant::now();
        Ok(Self {
            config: source.config,
            start_from: source.start_from,
            client,
            until_end: source.until_end,
            first_answer_max: source.first_answer_max,
            consumer,
            targets: BTreeMap::new(),
            last_commit: None,
            identities: HashMap::new(),
            paused: false,
            stopping: false,
            look_at: now,
            topics_at: now,
            probe_at: now,
            trouble_since: None,
        })
    }

    fn port(&self) -> &Port {
        &self.consumer.context().port
    }

    fn run(&mut self) -> Outcome {
        if self.until_end {
            self.find_targets()?;
        }
        if self.config.assignment == Assignment::Group {
            let topics: Vec<&str> = self.config.topics.iter().map(String::as_str).collect();
            self.consumer.subscribe(&topics).map_err(|error| {
                IngestError::config("could not subscribe to the topics").with_source(error)
            })?;
        }
        loop {
            self.port().health.tick("poll");
            if self.port().abort.is_cancelled() || !self.serve_commands()? {
                return Ok(());
            }
            if self.port().shutdown.is_cancelled() && !self.stopping {
                self.stop_reading();
            }
            if !self.stopping {
                self.serve_topics()?;
                self.serve_pending()?;
                self.serve_ends();
            }
            self.serve_pressure();
            self.poll_some()?;
        }
    }

    /// Polls until the batch is full or nothing comes.
    fn poll_some(&mut self) -> Outcome {
        for _ in 0..BATCH_RECORDS {
            let empty = self.consumer.context().shared().batch.is_empty();
            let wait = if empty { IDLE_WAIT } else { BATCH_WAIT };
            match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => {
                    if self.take(&message) {
                        break;
                    }
                }
                Some(Err(error)) => {
                    self.trouble(&error)?;
                    break;
                }
            }
        }
        self.flush_batch(SEND_WAIT);
        Ok(())
    }

    /// Copies a record into the batch; says whether the batch is full.
    fn take(&self, message: &BorrowedMessage<'_>) -> bool {
        let mut shared = self.consumer.context().shared();
        let shared = &mut *shared;
        let active = shared
            .active
            .get_mut(message.topic())
            .and_then(|partitions| partitions.get_mut(&message.partition()));
        let Some(active) = active.filter(|_| !self.stopping) else {
            // Released while this record was on its way; whoever starts it again will see it.
            return false;
        };
        active.next = message.offset() + 1;
        active.last_record = Instant::now();
        let record = Record {
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().filter(|ms| *ms >= 0),
            key: message.key(),
            value: message.payload(),
        };
        let headers = headers_of(message);
        shared
            .batch
            .push(&active.tp, active.epoch, record, headers.into_iter());
        shared.batch.bytes() >= BATCH_BYTES || shared.batch.len() >= BATCH_RECORDS
    }

    /// Sends the batch; one that the core has no room for waits here, with everything paused.
    fn flush_batch(&mut self, patience: Duration) {
        let batch = std::mem::take(&mut self.consumer.context().shared().batch);
        if batch.is_empty() {
            return;
        }
        if let Err(batch) = self.port().send(batch, patience) {
            self.consumer.context().shared().batch = batch;
            self.pause();
        }
    }

    fn serve_pressure(&mut self) {
        let port = self.port();
        let must = port.budget.must_pause(port.inbox.weight(), self.paused);
        if must && !self.paused {
            debug!("memory budget used up, pausing");
            self.pause();
        } else if !must && self.paused && !self.stopping {
            let waiting = !self.consumer.context().shared().batch.is_empty();
            if !waiting {
                self.resume();
            }
        }
    }

    fn pause(&mut self) {
        self.paused = true;
        self.each_active("pause", |consumer, list| consumer.pause(list));
    }

    fn resume(&mut self) {
        self.paused = false;
        self.port().metrics.paused(0);
        self.each_active("resume", |consumer, list| consumer.resume(list));
    }

    fn each_active(
        &self,
        what: &'static str,
        act: impl Fn(&BaseConsumer<Context>, &TopicPartitionList) -> Result<(), KafkaError>,
    ) {
        let list = self.consumer.context().shared().positions();
        let result = list.and_then(|list| {
            if self.paused {
                self.port().metrics.paused(list.count());
            }
            act(&self.consumer, &list)
        });
        if let Err(error) = result {
            debug!(%error, what, "not all partitions followed");
        }
    }

    /// Reads identity and watermarks of partitions that wait to be started.
    fn serve_pending(&mut self) -> Outcome {
        let now = Instant::now();
        if now < self.look_at {
            return Ok(());
        }
        self.look_at = now + IDLE_WAIT;
        let due: Vec<(Tp, bool)> = {
            let shared = self.consumer.context().shared();
            let is_due = |(tp, (at, again)): (&Tp, &(Instant, bool))| {
                (*at <= now).then(|| (tp.clone(), *again))
            };
            shared.pending.iter().filter_map(is_due).collect()
        };
        let mut fresh = Vec::new();
        for (tp, again) in due {
            match self.look(&tp) {
                Ok(owned) => {
                    self.well();
                    self.consumer.context().shared().pending.remove(&tp);
                    if again {
                        self.port().inbox.push(Input::Watermarks(owned));
                    } else {
                        fresh.push(owned);
                    }
                }
                Err(reason) => {
                    self.look_at = Instant::now() + ASK_AGAIN;
                    self.complain(reason)?;
                    break;
                }
            }
        }
        if !fresh.is_empty() {
            self.port().inbox.push(Input::Owned(fresh));
        }
        Ok(())
    }

    fn look(&mut self, tp: &Tp) -> Result<Owned, String> {
        let topic_uuid = match self.identities.get(&tp.topic) {
            Some(known) => known.clone(),
            None => {
                let found = topic_ids::topic_identity(&self.consumer, &tp.topic, ASK_TIMEOUT)
                    .map_err(|error| error.to_string())?;
                self.identities.insert(Arc::clone(&tp.topic), found.clone());
                found
            }
        };
        let (low, high) = self
            .consumer
            .fetch_watermarks(&tp.topic, tp.partition, ASK_TIMEOUT)
            .map_err(|error| format!("no watermarks of {tp}: {error}"))?;
        let wanted = self
            .wanted(tp, high)
            .map_err(|error| format!("no start of {tp}: {error}"))?;
        Ok(Owned {
            tp: tp.clone(),
            topic_uuid,
            low,
            high,
            wanted,
        })
    }

    /// Where a timestamp or the group puts the start of a partition. A timestamp after the last
    /// record is the end.
    fn wanted(&self, tp: &Tp, high: i64) -> Result<Option<i64>, KafkaError> {
        let mut list = TopicPartitionList::new();
        let found = match self.start_from {
            StartFrom::Timestamp(ms) => {
                list.add_partition_offset(&tp.topic, tp.partition, Offset::Offset(ms))?;
                self.consumer.offsets_for_times(list, ASK_TIMEOUT)?
            }
            StartFrom::Group => {
                list.add_partition(&tp.topic, tp.partition);
                self.consumer.committed_offsets(list, ASK_TIMEOUT)?
            }
            _ => return Ok(None),
        };
        let element = found.find_partition(&tp.topic, tp.partition);
        let Some(element) = element else {
            return Ok(None);
        };
        element.error()?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some(offset),
            Offset::End => Some(high),
            _ => None,
        })
    }

    /// Sorts an error of `poll`: the end of a position, trouble that passes, or the end of us.
    fn trouble(&mut self, error: &KafkaError) -> Outcome {
        use RDKafkaErrorCode as Code;
        match error {
            KafkaError::MessageConsumptionFatal(code) => Err(IngestError::new(
                ErrorKind::Internal,
                format!("librdkafka cannot go on: {code}"),
            )),
            KafkaError::MessageConsumption(
                Code::AutoOffsetReset | Code::OffsetOutOfRange | Code::LogTruncation,
            ) => {
                self.restart_all();
                Ok(())
            }
            KafkaError::MessageConsumption(
                code @ (Code::AllBrokersDown
                | Code::Resolve
                | Code::Authentication
                | Code::TopicAuthorizationFailed
                | Code::GroupAuthorizationFailed
                | Code::UnknownTopicOrPartition
                | Code::UnknownTopic),
            ) => self.complain(code.to_string()),
            other => {
                debug!(error = %other, "kafka reported");
                Ok(())
            }
        }
    }

    /// A position was refused. The error does not say whose, so every partition is looked at again,
    /// after what was read of them is committed: the broker may not have it any more.
    fn restart_all(&mut self) {
        warn!("the broker refused a position, looking at all partitions again");
        let tps: Vec<Tp> = {
            let shared = self.consumer.context().shared();
            shared
                .all_active()
                .map(|active| active.tp.clone())
                .collect()
        };
        self.consumer.context().drain(&tps);
        self.identities.clear();
        for tp in tps {
            self.detach(&tp);
            let mut shared = self.consumer.context().shared();
            shared.pending.insert(tp, (Instant::now(), false));
        }
    }

    fn well(&mut self) {
        self.trouble_since = None;
        self.port().health.kafka(None);
    }

    fn complain(&mut self, reason: String) -> Outcome {
        let since = *self.trouble_since.get_or_insert_with(Instant::now);
        if self.port().health.kafka_trouble().as_ref() != Some(&reason) {
            warn!(reason, "kafka is not well");
        }
        if self.until_end && since.elapsed() > UNREACHABLE_MAX {
            return Err(IngestError::unavailable(format!(
                "kafka is not well: {reason}"
            )));
        }
        self.port().health.kafka(Some(reason));
        Ok(())
    }

    /// No more records: what was read is sent, the rest is left to the next run.
    fn stop_reading(&mut self) {
        self.stopping = true;
        self.pause();
        self.flush_batch(SEND_WAIT);
        self.port().inbox.push(Input::Stop);
    }

    /// Leaves the group, once Kafka has heard how far the lake is.
    fn leave(self) {
        let context = self.consumer.context();
        context.leaving.store(true, Ordering::Relaxed);
        if !context.port.abort.is_cancelled() {
            self.settle_commits();
        }
        info!("leaving kafka");
    }
}

/// The headers of a record. The binding panics on a name that is not UTF-8; such headers are lost,
/// the record is not.
fn headers_of<'m>(message: &'m BorrowedMessage<'_>) -> Vec<Header<'m>> {
    let Some(headers) = message.headers() else {
        return Vec::new();
    };
    let read = || {
        headers
            .iter()
            .map(|header| (header.key, header.value.unwrap_or_default()))
            .collect()
    };
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| vec![("funnel-unreadable-headers", b"".as_slice())])
}
