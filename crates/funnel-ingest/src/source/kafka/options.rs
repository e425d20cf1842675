//! librdkafka's settings: ours, then the user's. What may not be set was refused with the
//! configuration.

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use crate::config::KafkaConfig;

/// After a crash the group waits this long before it gives the partitions to anybody else. It may
/// be short: heartbeats come from a thread of librdkafka's own, whatever the core is doing.
const SESSION_TIMEOUT_MS: &str = "10000";

/// The consumer's settings. `memory` is the ingestor's budget; librdkafka's own queue comes on top
/// of it and gets an eighth as much, at most 64 MiB.
pub(super) fn consumer(config: &KafkaConfig, memory: u64, until_end: bool) -> ClientConfig {
    let queue_kib = (memory / 8).min(64 << 20) >> 10;
    let mut client = ClientConfig::new();
    client
        .set("bootstrap.servers", &config.brokers)
        .set("group.id", &config.group)
        .set("client.id", "funnel-ingest")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "false")
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("queued.max.messages.kbytes", queue_kib.to_string())
        .set("queued.min.messages", "100000")
        .set("fetch.queue.backoff.ms", "50")
        .set("fetch.wait.max.ms", "100")
        .set("max.partition.fetch.bytes", "4194304")
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        .set("max.poll.interval.ms", "300000")
        .set("topic.metadata.refresh.interval.ms", "30000")
        .set(
            "statistics.interval.ms",
            if until_end { "1000" } else { "5000" },
        );
    for (name, value) in &config.options {
        client.set(name, value);
    }
    if config.options.contains_key("debug") {
        // The binding cuts what librdkafka logs below its own level.
        client.set_log_level(RDKafkaLogLevel::Debug);
    }
    client
}

/// Settings of a consumer that only looks whether a partition has ended.
pub(super) fn probe(base: &ClientConfig) -> ClientConfig {
    let mut client = base.clone();
    client
        .set("enable.partition.eof", "true")
        .set("client.id", "funnel-ingest-probe")
        .set("statistics.interval.ms", "0")
        .remove("group.instance.id");
    client
}

/// The time after which the group takes partitions away from a silent member.
pub(super) fn session_timeout_ms(client: &ClientConfig) -> u64 {
    client
        .get("session.timeout.ms")
        .and_then(|text| text.parse().ok())
        .unwrap_or(10_000)
}
