//! Creating topics and sending records, with every delivery checked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const TIMEOUT: Duration = Duration::from_secs(60);

/// Creates `topics` with `partitions` each; the broker's default replication holds.
///
/// # Errors
/// The broker's answer for the first topic that could not be created.
pub async fn create_topics(bootstrap: &str, topics: &[&str], partitions: i32) -> KafkaResult<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let new: Vec<_> = topics
        .iter()
        .map(|name| NewTopic::new(name, partitions, TopicReplication::Fixed(-1)))
        .collect();
    let options = AdminOptions::new()
        .operation_timeout(Some(TIMEOUT))
        .request_timeout(Some(TIMEOUT));
    for result in admin.create_topics(&new, &options).await? {
        result.map_err(|(_, code)| KafkaError::AdminOp(code))?;
    }
    Ok(())
}

/// The offset after the last record of one partition.
///
/// # Errors
/// The broker does not tell it.
pub fn end_of(bootstrap: &str, topic: &str, partition: i32) -> KafkaResult<i64> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let (_, end) = consumer.fetch_watermarks(topic, partition, TIMEOUT)?;
    Ok(end)
}

/// Deletes the records of one partition below offset `before`, as retention would.
///
/// # Errors
/// The broker's answer.
pub async fn truncate(
    bootstrap: &str,
    topic: &str,
    partition: i32,
    before: i64,
) -> KafkaResult<()> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
        .set("bootstrap.servers", bootstrap)
        .create()?;
    let mut ends = TopicPartitionList::new();
    ends.add_partition_offset(topic, partition, Offset::Offset(before))?;
    let options = AdminOptions::new()
        .operation_timeout(Some(TIMEOUT))
        .request_timeout(Some(TIMEOUT));
    let done = admin.delete_records(&ends, &options).await?;
    done.elements()
        .iter()
        .try_for_each(|element| element.error())
}

#[derive(Default)]
struct Deliveries {
    failed: AtomicU64,
}

/// Shared with librdkafka's delivery callbacks.
#[derive(Clone, Default)]
struct Context(Arc<Deliveries>);

impl rdkafka::ClientContext for Context {}

impl ProducerContext for Context {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.0.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An idempotent (or transactional) producer that waits for every delivery.
pub struct Producer {
    inner: BaseProducer<Context>,
    deliveries: Context,
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

impl Producer {
    /// Connects to `bootstrap`; nothing is sent yet.
    ///
    /// # Errors
    /// When librdkafka refuses the configuration.
    pub fn new(bootstrap: &str) -> KafkaResult<Self> {
        Self::with(ClientConfig::new().set("bootstrap.servers", bootstrap))
    }

    /// As [`Producer::new`], for records inside transactions; call [`Producer::begin`] first.
    ///
    /// # Errors
    /// When the transaction coordinator does not answer.
    pub fn transactional(bootstrap: &str, id: &str) -> KafkaResult<Self> {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", bootstrap)
            .set("transactional.id", id);
        let producer = Self::with(&config)?;
        producer.inner.init_transactions(TIMEOUT)?;
        Ok(producer)
    }

    fn with(config: &ClientConfig) -> KafkaResult<Self> {
        let deliveries = Context::default();
        let inner = config
            .clone()
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("message.max.bytes", "16000000")
            .set("compression.type", "lz4")
            .create_with_context(deliveries.clone())?;
        Ok(Self { inner, deliveries })
    }

    /// Queues one record; waits while the local queue is full.
    ///
    /// # Errors
    /// librdkafka's answer when the record cannot be queued.
    pub fn send(&self, topic: &str, key: Option<&[u8]>, value: Option<&[u8]>) -> KafkaResult<()> {
        let mut record = BaseRecord::<[u8], [u8]>::to(topic);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(value) = value {
            record = record.payload(value);
        }
        loop {
            match self.inner.send(record) {
                Ok(()) => break,
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    self.inner.poll(Duration::from_millis(20));
                    record = back;
                }
                Err((error, _)) => return Err(error),
            }
        }
        self.inner.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until every queued record is on the brokers.
    ///
    /// # Errors
    /// When one of them is not after a minute.
    pub fn flush(&self) -> KafkaResult<()> {
        self.inner.flush(TIMEOUT)?;
        match self.deliveries.0.failed.load(Ordering::Relaxed) {
            0 => Ok(()),
            _ => Err(KafkaError::MessageProduction(
                RDKafkaErrorCode::MessageTimedOut,
            )),
        }
    }

    /// Opens a transaction.
    ///
    /// # Errors
    /// When one is open already, or the producer is not transactional.
    pub fn begin(&self) -> KafkaResult<()> {
        self.inner.begin_transaction()
    }

    /// Ends the open transaction: its records become readable, or (`commit == false`) never do.
    ///
    /// # Errors
    /// When the coordinator does not answer in time.
    pub fn end(&self, commit: bool) -> KafkaResult<()> {
        if commit {
            self.inner.flush(TIMEOUT)?;
            self.inner.commit_transaction(TIMEOUT)
        } else {
            self.inner.abort_transaction(TIMEOUT)
        }
    }
}
