//! `funnel generate`: simulated traffic, to Kafka or to files.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use funnel_datagen::output::{OutputError, write_dir, write_truth};
use funnel_datagen::{Disorder, Message, Options, OptionsError, Simulation, Truth};
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer, ProducerContext};

use super::config::kafka_options;
use super::context::{Context, wrap};
use crate::args::GenerateArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output;
use crate::progress::Progress;

const REACH_TIME_MAX: Duration = Duration::from_secs(10);
const FLUSH_TIME_MAX: Duration = Duration::from_secs(120);

pub(super) async fn run(context: &Context, args: &GenerateArgs) -> Result<Exit> {
    let mut options = Options {
        disorder: Disorder::default(),
        ..Options::calm()
    };
    options.seed = args.seed;
    options.sessions = u64::from(args.sessions);
    if args.clean {
        options.disorder = Disorder::none();
    }
    let simulation = Simulation::new(options)?;
    let progress = context.progress();
    let truth = match (&args.kafka, &args.output) {
        (Some(brokers), _) => {
            let settings = context.settings()?;
            let mut producer = TrafficProducer::connect(brokers, &kafka_options(&settings))?;
            let work = move || producer.produce_all(simulation, progress);
            tokio::task::spawn_blocking(work)
                .await
                .map_err(|error| CliError::failed("could not generate traffic").because(error))??
        }
        (None, Some(dir)) => {
            let bar = progress.counter("writing records");
            let truth = write_dir(simulation, dir)?;
            bar.finish_and_clear();
            truth
        }
        (None, None) => return Err(CliError::usage("name a target: --kafka or -o")),
    };
    if let Some(path) = &args.truth {
        write_truth(&truth, path)?;
    }
    if !context.is_quiet() {
        output::note(&format!(
            "{} records of {} sessions, {} to {}",
            truth.records.produced, args.sessions, truth.from, truth.to
        ));
    }
    Ok(Exit::Done)
}

/// Sends simulated records as they are: key, headers and time included.
pub(super) struct TrafficProducer {
    producer: BaseProducer<Deliveries>,
    failed: Arc<AtomicU64>,
}

/// Counts what the broker did not take.
struct Deliveries {
    failed: Arc<AtomicU64>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if result.is_err() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl TrafficProducer {
    /// Connects; a broker that does not answer is found out here.
    pub(super) fn connect(
        brokers: &str,
        options: &std::collections::BTreeMap<String, String>,
    ) -> Result<Self> {
        let unreachable = |error: KafkaError| {
            CliError::unavailable(format!("could not reach Kafka at `{brokers}`")).because(error)
        };
        let mut config = ClientConfig::new();
        for (name, value) in options {
            config.set(name, value);
        }
        config
            .set("bootstrap.servers", brokers)
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("compression.type", "lz4")
            .set("message.max.bytes", "20000000")
            .set("message.timeout.ms", "60000");
        let failed = Arc::new(AtomicU64::new(0));
        let context = Deliveries {
            failed: Arc::clone(&failed),
        };
        let producer: BaseProducer<Deliveries> =
            config.create_with_context(context).map_err(unreachable)?;
        producer
            .client()
            .fetch_metadata(None, REACH_TIME_MAX)
            .map_err(unreachable)?;
        Ok(Self { producer, failed })
    }

    fn produce_all(&mut self, mut simulation: Simulation, progress: Progress) -> Result<Truth> {
        let bar = progress.counter("producing records");
        for message in simulation.by_ref() {
            self.send(&message)?;
            bar.inc(1);
        }
        self.flush()?;
        bar.finish_and_clear();
        Ok(simulation.into_truth())
    }

    /// Queues one record; waits while the queue is full.
    pub(super) fn send(&self, message: &Message) -> Result<()> {
        let headers = message.headers.iter().fold(
            OwnedHeaders::new_with_capacity(message.headers.len()),
            |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: Some(value),
                })
            },
        );
        let mut record = BaseRecord::to(message.topic)
            .key(&message.key)
            .timestamp(message.timestamp_ms)
            .headers(headers);
        if let Some(value) = &message.value {
            record = record.payload(value);
        }
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    self.producer.poll(Duration::from_millis(50));
                }
                Err((error, _)) => {
                    return Err(CliError::failed(format!(
                        "could not produce to topic `{}`",
                        message.topic
                    ))
                    .because(error));
                }
            }
        }
    }

    /// Waits until everything is delivered.
    pub(super) fn flush(&self) -> Result<()> {
        self.producer
            .flush(FLUSH_TIME_MAX)
            .map_err(|error| CliError::unavailable("could not deliver to Kafka").because(error))?;
        match self.failed.load(Ordering::Relaxed) {
            0 => Ok(()),
            count => Err(
                CliError::unavailable(format!("Kafka did not take {count} records"))
                    .hint("do the topics exist, and may they be written?"),
            ),
        }
    }
}

impl From<OptionsError> for CliError {
    fn from(error: OptionsError) -> Self {
        wrap(Exit::Usage, error)
    }
}

impl From<OutputError> for CliError {
    fn from(error: OutputError) -> Self {
        wrap(Exit::Failed, error)
    }
}
