//! Records, clusters and lakes for the tests of this lane.

use std::collections::BTreeSet;
use std::time::Duration;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::{Int32Type, Int64Type};
use funnel_ingest::{Ingest, IngestConfig, IngestError, Options, Summary};
use funnel_lake::{DeltaLog, Lake, audit};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use rdkafka::{ClientConfig, TopicPartitionList};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A valid record that states one fact; the same number gives the same bytes.
pub(crate) fn page(number: u64) -> String {
    let time = 1_709_560_800_000 + number;
    format!(
        r#"{{"schemaVersion":"1.0","eventId":"00000000-0000-4000-8000-{number:012}","eventType":"page_viewed","sourceSystem":"data_access","sourceEvent":"WebSessionNavigationData","flow":"monitored","accountId":"58213347","visitorId":"v{number}","sessionId":"s{number}","eventTime":{time},"eventTimeSource":"server","producedAt":{time},"payload":{{"timestamp":{{"long":{time}}},"url":{{"string":"https://www.examplebank.test/loans/home"}}}}}}"#
    )
}

/// A cluster in this process, with one topic.
pub(crate) struct Cluster {
    mock: MockCluster<'static, DefaultProducerContext>,
    producer: BaseProducer,
}

pub(crate) const TOPIC: &str = "lp.engagement.v1";

impl Cluster {
    pub(crate) fn new(partitions: i32) -> Self {
        let mock = MockCluster::new(1).expect("mock cluster");
        mock.create_topic(TOPIC, partitions, 1).expect("topic");
        let producer = ClientConfig::new()
            .set("bootstrap.servers", mock.bootstrap_servers())
            .create()
            .expect("producer");
        Self { mock, producer }
    }

    pub(crate) fn brokers(&self) -> String {
        self.mock.bootstrap_servers()
    }

    /// Takes the only broker away, or gives it back.
    pub(crate) fn down(&self, down: bool) {
        let done = if down {
            self.mock.broker_down(1)
        } else {
            self.mock.broker_up(1)
        };
        done.expect("the broker follows");
    }

    pub(crate) fn send(&self, partition: i32, value: Option<&[u8]>) {
        let mut record = BaseRecord::<(), [u8]>::to(TOPIC).partition(partition);
        if let Some(value) = value {
            record = record.payload(value);
        }
        self.producer
            .send(record)
            .map_err(|(error, _)| error)
            .expect("queued");
    }

    pub(crate) fn send_pages(&self, partition: i32, numbers: std::ops::Range<u64>) {
        for number in numbers {
            self.send(partition, Some(page(number).as_bytes()));
        }
    }

    /// What the group has committed, per partition.
    pub(crate) fn committed(&self) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.brokers())
            .set("group.id", "funnel")
            .create()
            .expect("consumer");
        let mut list = TopicPartitionList::new();
        list.add_partition(TOPIC, 0);
        list.add_partition(TOPIC, 1);
        let committed = consumer
            .committed_offsets(list, Duration::from_secs(20))
            .expect("offsets");
        committed
            .elements()
            .iter()
            .map(|element| element.offset().to_raw().filter(|offset| *offset >= 0))
            .collect()
    }

    pub(crate) fn flush(&self) {
        self.producer
            .flush(Duration::from_secs(20))
            .expect("delivered");
    }
}

/// A lake in a folder of its own.
pub(crate) struct Place {
    _folder: TempDir,
    pub(crate) lake: Lake,
}

pub(crate) async fn place() -> Place {
    // Shown for failed tests only; `RUST_LOG` chooses.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let folder = TempDir::new().expect("folder");
    let url = folder.path().join("lake");
    let lake = Lake::create_or_open(url.to_str().expect("utf-8"))
        .await
        .expect("lake");
    Place {
        _folder: folder,
        lake,
    }
}

/// A configuration that commits soon.
pub(crate) fn config(brokers: &str, extra: &str) -> IngestConfig {
    let text = format!(
        "[kafka]\nbrokers = \"{brokers}\"\ntopics = [\"{TOPIC}\"]\nassignment = \"static\"\n\
         [ingest]\nflush_age = \"100ms\"\n{extra}"
    );
    IngestConfig::from_toml(&text.parse().expect("TOML")).expect("valid")
}

pub(crate) async fn drain(config: IngestConfig, lake: &Lake) -> Result<Summary, IngestError> {
    let options = Options {
        until_end: true,
        ..Options::default()
    };
    Ingest::start(config, lake.clone(), CancellationToken::new(), options)
        .await?
        .finished()
        .await
}

/// Topic, partition, offset and entry of a row.
pub(crate) type Coordinate = (String, i32, i64, Option<i32>);

/// The coordinates of every row of a table; fails when one is there twice.
pub(crate) async fn coordinates(table: &DeltaLog, lake: &Lake) -> BTreeSet<Coordinate> {
    let mut seen = BTreeSet::new();
    for batch in rows(table, lake).await {
        let column = |name: &str| batch.column_by_name(name).expect("column");
        let topics = column("kafka_topic").as_string::<i32>().clone();
        let partitions = column("kafka_partition")
            .as_primitive::<Int32Type>()
            .clone();
        let offsets = column("kafka_offset").as_primitive::<Int64Type>().clone();
        let entries = column("entry_index").as_primitive::<Int32Type>().clone();
        for row in 0..batch.num_rows() {
            let entry = entries.iter().nth(row).flatten();
            let topic = topics.value(row).to_owned();
            let place = (topic, partitions.value(row), offsets.value(row), entry);
            assert!(seen.insert(place.clone()), "{place:?} is there twice");
        }
    }
    seen
}

async fn rows(table: &DeltaLog, lake: &Lake) -> Vec<RecordBatch> {
    let root = lake.url().to_file_path().expect("local lake");
    let snapshot = table.load().await.expect("snapshot");
    let mut batches = Vec::new();
    for entry in snapshot.files() {
        let path = root.join(table.name()).join(&entry.path);
        let file = std::fs::File::open(path).expect("file");
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .expect("parquet")
            .build()
            .expect("reader");
        batches.extend(reader.map(|batch| batch.expect("batch")));
    }
    batches
}

/// The lake's own proof.
pub(crate) async fn audited(lake: &Lake) {
    let report = audit(lake).await.expect("audit");
    assert!(report.problems.is_empty(), "{:?}", report.problems);
}
