//! Settings: TOML sections in, one validated immutable [`IngestConfig`] out.
//!
//! Durations and sizes carry their unit (`"30s"`, `"128 MiB"`); a bare number is an error, and so
//! is a key that no setting has. What would break the delivery guarantee cannot be set at all:
//! see [`kafka::DENIED_OPTIONS`].

pub mod kafka;
mod section;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use funnel_events::{DecoderConfig, HashKey, Payload, PrivacyKeep, RejectsPolicy, TimeRules};
use toml::Table;

use crate::error::ConfigError;
pub use kafka::{Assignment, KafkaConfig};
use section::Section;

const MIB: u64 = 1 << 20;

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// When the open buffers become one commit: whatever comes first. All partitions are flushed
/// together, which makes one commit and the fewest files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlushPolicy {
    /// Rows of `events` and `rejects` together. Default 400 000.
    pub rows: u64,
    /// Estimated bytes of the rows in memory. Default 96 MiB, and never more than 40 % of
    /// the memory budget, so that a flush starts before the partitions are paused.
    pub bytes: u64,
    /// Age of the oldest record. Default 10 s.
    pub age: Duration,
}

/// Where a job without stored offsets starts.
///
/// What is skipped becomes a gap row of the ledger. A partition that appears later is always read
/// from its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartFrom {
    /// At the first offset that the broker has.
    Earliest,
    /// At the end.
    Latest,
    /// At the first record with this Kafka timestamp (milliseconds since 1970) or a later one.
    Timestamp(i64),
    /// At these offsets; partitions that are not named start at the first offset.
    Offsets(BTreeMap<(String, i32), i64>),
    /// Where the consumer group stands in Kafka; partitions without a committed offset start at
    /// the first offset. The group is asked only while the lake has no offset of its own.
    Group,
}

impl std::str::FromStr for StartFrom {
    type Err = String;

    /// Reads `earliest`, `latest`, `group`, `timestamp:RFC3339` or
    /// `offsets:TOPIC/PARTITION=OFFSET,…`; the error says what to write.
    fn from_str(text: &str) -> Result<Self, String> {
        const HINT: &str = "write \"earliest\", \"latest\", \"group\", \
            \"timestamp:2024-03-04T00:00:00Z\" or \"offsets:TOPIC/PARTITION=OFFSET,…\"";
        match text.split_once(':') {
            None => match text {
                "earliest" => Ok(Self::Earliest),
                "latest" => Ok(Self::Latest),
                "group" => Ok(Self::Group),
                _ => Err(HINT.to_owned()),
            },
            Some(("timestamp", time)) => chrono::DateTime::parse_from_rfc3339(time)
                .map(|time| Self::Timestamp(time.timestamp_millis()))
                .ok()
                .filter(|start| matches!(start, Self::Timestamp(0..)))
                .ok_or_else(|| {
                    "write a time from 1970 on with its zone: \"timestamp:2024-03-04T00:00:00Z\""
                        .to_owned()
                }),
            Some(("offsets", list)) => {
                let hint =
                    || "write each partition once: \"offsets:TOPIC/PARTITION=OFFSET,…\"".to_owned();
                let mut offsets = BTreeMap::new();
                for item in list.split(',') {
                    let (place, offset) = read_offset(item.trim()).ok_or_else(hint)?;
                    if offsets.insert(place, offset).is_some() {
                        return Err(hint());
                    }
                }
                Ok(Self::Offsets(offsets))
            }
            Some(_) => Err(HINT.to_owned()),
        }
    }
}

/// `TOPIC/PARTITION=OFFSET`.
fn read_offset(text: &str) -> Option<((String, i32), i64)> {
    let (place, offset) = text.rsplit_once('=')?;
    let (topic, partition) = place.rsplit_once('/')?;
    let partition = partition.parse().ok().filter(|number| *number >= 0)?;
    let offset = offset.parse().ok().filter(|number| *number >= 0)?;
    (!topic.is_empty()).then(|| ((topic.to_owned(), partition), offset))
}

/// What happens to a partition whose next offset the broker no longer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnTruncation {
    /// It stands still until a person decides. The others go on.
    Halt,
    /// The missing range becomes a gap row of the ledger, and it goes on.
    RecordGap,
}

/// How long an event id is remembered: at least half of the stated window, at most all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DedupWindow {
    /// By time of the records. Default 2 h.
    pub age: Duration,
    /// By number of ids per partition; about 80 bytes each. Default 500 000.
    pub max_ids: u64,
}

/// What is kept of people's data.
#[derive(Debug, Clone)]
pub struct PrivacyConfig {
    /// The key of the consumer hash. Without one the column `consumer_key` is null.
    pub consumer_hash_key: Option<Secret>,
    /// The name of the key, stored beside every hash made with it. Default `default`.
    pub consumer_key_id: String,
    /// What to store although it is personal. Default: nothing.
    pub keep: PrivacyKeep,
}

/// What is kept of records that were refused.
#[derive(Debug, Clone)]
pub struct RejectsConfig {
    /// How long rows of `rejects` stay. Default 14 days. Applied by maintenance.
    pub retention: Duration,
    /// The bytes (default; replay needs them) or only their hash.
    pub payload: Payload,
}

/// The service's own HTTP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpConfig {
    /// Where `/livez`, `/readyz` and `/metrics` answer; `None`: nowhere. Loopback by default.
    pub listen: Option<SocketAddr>,
}

/// Everything the ingestor needs to know, checked.
#[derive(Debug, Clone)]
pub struct IngestConfig {
    /// Brokers, topics, group, librdkafka options.
    pub kafka: KafkaConfig,
    /// The name under which offsets are stored: unique per lake and environment.
    pub job: String,
    /// When to commit.
    pub flush: FlushPolicy,
    /// The byte budget: queued record bytes + open rows + rows being committed, counted twice
    /// while they are encoded. Partitions pause at 80 % and resume at 60 %. librdkafka's own queue
    /// (an eighth of this, at most 64 MiB) and the window of known ids come on top.
    pub memory: u64,
    /// Where a new job starts.
    pub start_from: StartFrom,
    /// Offsets are without holes: no transactions, no compaction. A jump becomes a gap row of the
    /// ledger and a warning instead of holes. Default off.
    pub contiguous: bool,
    /// What to do when the broker deleted offsets that were never read.
    pub on_truncation: OnTruncation,
    /// Checkpoints of the Delta logs, in versions. Default 50.
    pub checkpoint_every: u64,
    /// The window of known events.
    pub dedup: DedupWindow,
    /// What is kept of people's data.
    pub privacy: PrivacyConfig,
    /// What is kept of refused records.
    pub rejects: RejectsConfig,
    /// Bounds on event times.
    pub time: TimeRules,
    /// The HTTP port.
    pub http: HttpConfig,
}

impl IngestConfig {
    /// The sections of the configuration file that belong to the ingestor.
    pub const SECTIONS: [&'static str; 7] = [
        "kafka", "ingest", "privacy", "rejects", "time", "dedup", "http",
    ];

    /// Reads and checks the ingestor's sections of a configuration file; other sections are
    /// somebody else's.
    pub fn from_toml(file: &Table) -> Result<Self, ConfigError> {
        let kafka = KafkaConfig::from_toml(file)?;
        Self::with_kafka(file, kafka)
    }

    /// As [`IngestConfig::from_toml`] for input that is not Kafka: `[kafka]` may be absent.
    pub fn for_files(file: &Table) -> Result<Self, ConfigError> {
        let kafka = match file.get("kafka") {
            Some(_) => KafkaConfig::from_toml(file)?,
            None => KafkaConfig::unused(),
        };
        Self::with_kafka(file, kafka)
    }

    fn with_kafka(file: &Table, kafka: KafkaConfig) -> Result<Self, ConfigError> {
        let ingest = IngestSection::read(file)?;
        Ok(Self {
            kafka,
            job: ingest.job,
            flush: ingest.flush,
            memory: ingest.memory,
            start_from: ingest.start_from,
            contiguous: ingest.contiguous,
            on_truncation: ingest.on_truncation,
            checkpoint_every: ingest.checkpoint_every,
            dedup: read_dedup(file)?,
            privacy: read_privacy(file)?,
            rejects: read_rejects(file)?,
            time: read_time(file)?,
            http: read_http(file)?,
        })
    }

    /// The decoder's part of the settings.
    pub fn decoder(&self) -> DecoderConfig {
        DecoderConfig {
            consumer_hash_key: self.privacy.consumer_hash_key.as_ref().map(|secret| {
                HashKey::new(
                    secret.expose().as_bytes(),
                    self.privacy.consumer_key_id.clone(),
                )
            }),
            keep: self.privacy.keep,
            time: self.time,
            ..DecoderConfig::default()
        }
    }

    /// The policy for rows of `rejects`.
    pub fn rejects_policy(&self) -> RejectsPolicy {
        RejectsPolicy {
            keep_payload: self.rejects.payload,
            ..RejectsPolicy::default()
        }
    }
}

struct IngestSection {
    job: String,
    flush: FlushPolicy,
    memory: u64,
    start_from: StartFrom,
    contiguous: bool,
    on_truncation: OnTruncation,
    checkpoint_every: u64,
}

impl IngestSection {
    fn read(file: &Table) -> Result<Self, ConfigError> {
        let mut section = Section::of(file, "ingest")?;
        let job = section.text("job")?.unwrap_or_else(|| "funnel".to_owned());
        if job.is_empty() || job.len() > 100 || job.contains('/') {
            return Err(section.error(
                "job",
                format!("\"{job}\""),
                "write a name of 1 to 100 characters without `/`",
            ));
        }
        let memory = section.size("memory", 512 * MIB)?;
        if memory < 32 * MIB {
            return Err(section.error(
                "memory",
                format!("{memory} bytes"),
                "write at least \"32 MiB\"",
            ));
        }
        let bytes = section.size("flush_bytes", 96 * MIB)?;
        let age = section
            .duration("flush_age")?
            .unwrap_or(Duration::from_secs(10));
        if age < Duration::from_millis(10) || age > Duration::from_secs(3600) {
            return Err(section.error(
                "flush_age",
                humantime::format_duration(age).to_string(),
                "write a duration from \"10ms\" to \"1h\"",
            ));
        }
        let read = Self {
            job,
            flush: FlushPolicy {
                rows: section.count("flush_rows", 400_000, 1..=10_000_000)?,
                bytes: bytes.clamp(MIB, memory * 2 / 5),
                age,
            },
            memory,
            start_from: match section.text("start_from")? {
                None => StartFrom::Earliest,
                Some(text) => text.parse().map_err(|hint: String| {
                    section.error("start_from", format!("\"{text}\""), hint)
                })?,
            },
            contiguous: section.flag("contiguous", false)?,
            on_truncation: section.word(
                "on_truncation",
                &[
                    ("halt", OnTruncation::Halt),
                    ("record_gap", OnTruncation::RecordGap),
                ],
                OnTruncation::Halt,
            )?,
            checkpoint_every: section.count("checkpoint_every", 50, 1..=10_000)?,
        };
        section.finish()?;
        Ok(read)
    }
}

fn read_dedup(file: &Table) -> Result<DedupWindow, ConfigError> {
    let mut section = Section::of(file, "dedup")?;
    let window = DedupWindow {
        age: section
            .duration("age")?
            .unwrap_or(Duration::from_secs(2 * 3600)),
        max_ids: section.count("max_ids", 500_000, 2..=200_000_000)?,
    };
    section.finish()?;
    Ok(window)
}

fn read_privacy(file: &Table) -> Result<PrivacyConfig, ConfigError> {
    let mut section = Section::of(file, "privacy")?;
    let inline = section.text("consumer_hash_key")?;
    let path = section.text("consumer_hash_key_file")?;
    let key = match (inline, path) {
        (Some(_), Some(_)) => {
            return Err(section.error(
                "consumer_hash_key_file",
                "a file beside `consumer_hash_key`",
                "write one of the two",
            ));
        }
        (Some(text), None) => Some(("consumer_hash_key", text)),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(Path::new(&path)).map_err(|error| {
                section.error(
                    "consumer_hash_key_file",
                    format!("\"{path}\" ({error})"),
                    "write the path of a readable file that holds the key",
                )
            })?;
            Some(("consumer_hash_key_file", text.trim().to_owned()))
        }
        (None, None) => None,
    };
    if let Some((name, text)) = &key
        && text.len() < 16
    {
        return Err(section.error(
            name,
            format!("a key of {} bytes", text.len()),
            "write at least 16 bytes, for example the output of `openssl rand -hex 32`",
        ));
    }
    let names = section.texts("keep")?.unwrap_or_default();
    let keep = PrivacyKeep::from_names(names.iter().map(String::as_str)).map_err(|name| {
        section.error(
            "keep",
            format!("\"{name}\""),
            format!("write names out of {}", PrivacyKeep::NAMES.join(", ")),
        )
    })?;
    let config = PrivacyConfig {
        consumer_hash_key: key.map(|(_, text)| Secret::new(text)),
        consumer_key_id: section
            .text("consumer_key_id")?
            .unwrap_or_else(|| "default".to_owned()),
        keep,
    };
    section.finish()?;
    Ok(config)
}

fn read_rejects(file: &Table) -> Result<RejectsConfig, ConfigError> {
    let mut section = Section::of(file, "rejects")?;
    let config = RejectsConfig {
        retention: section
            .duration("retention")?
            .unwrap_or(Duration::from_secs(14 * 86_400)),
        payload: section.word(
            "payload",
            &[("bytes", Payload::Bytes), ("hash", Payload::HashOnly)],
            Payload::Bytes,
        )?,
    };
    section.finish()?;
    Ok(config)
}

fn read_time(file: &Table) -> Result<TimeRules, ConfigError> {
    let mut section = Section::of(file, "time")?;
    let rules = TimeRules {
        max_age: section.duration("max_age")?,
        future_tolerance: section.duration("future_tolerance")?,
    };
    section.finish()?;
    Ok(rules)
}

fn read_http(file: &Table) -> Result<HttpConfig, ConfigError> {
    let mut section = Section::of(file, "http")?;
    let listen = match section.text("listen")? {
        None => None,
        Some(text) if text == "off" => None,
        Some(text) => Some(text.parse().map_err(|_| {
            section.error(
                "listen",
                format!("\"{text}\""),
                "write an address and a port, such as \"127.0.0.1:9464\", or \"off\"",
            )
        })?),
    };
    section.finish()?;
    Ok(HttpConfig { listen })
}

#[cfg(test)]
mod tests;
