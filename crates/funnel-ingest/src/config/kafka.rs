//! The section `[kafka]`.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::section::{Section, found};
use crate::error::ConfigError;

/// librdkafka options that the delivery guarantee, or our own settings, depend on.
pub const DENIED_OPTIONS: [(&str, &str); 14] = [
    (
        "allow.auto.create.topics",
        "topics are never made by reading",
    ),
    (
        "auto.offset.reset",
        "a lost position must stop the partition, not move it",
    ),
    ("bootstrap.servers", "write `brokers` in [kafka]"),
    ("check.crcs", "checksums are always checked"),
    ("client.rack", "reading from followers is not supported"),
    (
        "enable.auto.commit",
        "offsets are committed after the lake's commit",
    ),
    (
        "enable.auto.offset.store",
        "offsets are committed after the lake's commit",
    ),
    (
        "enable.partition.eof",
        "the end of a partition is found otherwise",
    ),
    ("group.id", "write `group` in [kafka]"),
    (
        "group.protocol",
        "the classic group protocol is the one supported",
    ),
    (
        "isolation.level",
        "records of aborted transactions must not be read",
    ),
    ("metadata.broker.list", "write `brokers` in [kafka]"),
    ("plugin.library.paths", "plug-ins see every record"),
    (
        "statistics.interval.ms",
        "the ingestor needs its own interval",
    ),
];

/// Who works on which partition. Correctness never depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignment {
    /// Kafka's group protocol shares the partitions out. Default.
    Group,
    /// This process reads the partitions `p` with `p % instances == ordinal`.
    Static {
        /// Processes in all.
        instances: u32,
        /// The number of this one, from 0.
        ordinal: u32,
    },
}

/// Where the records come from.
#[derive(Debug, Clone)]
pub struct KafkaConfig {
    /// Comma-separated `host:port`.
    pub brokers: String,
    /// The consumer group: shares the work, and shows the lag to Kafka's own tools.
    pub group: String,
    /// The topics to read.
    pub topics: Vec<String>,
    /// How partitions are shared.
    pub assignment: Assignment,
    /// Options passed to librdkafka as they are (TLS, SASL, tuning).
    pub options: BTreeMap<String, String>,
}

/// The four topics of the event contract.
pub const DEFAULT_TOPICS: [&str; 4] = [
    "lp.engagement.v1",
    "lp.click.v1",
    "lp.chat.v1",
    "lp.conversion.v1",
];

impl KafkaConfig {
    pub(super) fn unused() -> Self {
        Self {
            brokers: String::new(),
            group: "funnel".to_owned(),
            topics: DEFAULT_TOPICS.map(str::to_owned).to_vec(),
            assignment: Assignment::Group,
            options: BTreeMap::new(),
        }
    }

    pub(super) fn from_toml(file: &Table) -> Result<Self, ConfigError> {
        let mut section = Section::of(file, "kafka")?;
        let brokers = section.text("brokers")?.unwrap_or_default();
        if brokers.trim().is_empty() {
            return Err(section.error(
                "brokers",
                "nothing",
                "write where Kafka is: brokers = \"localhost:9092\"",
            ));
        }
        let group = section
            .text("group")?
            .unwrap_or_else(|| "funnel".to_owned());
        if group.is_empty() {
            return Err(section.error("group", "an empty text", "write the group's name"));
        }
        let config = Self {
            brokers,
            group,
            topics: read_topics(&mut section)?,
            assignment: read_assignment(&mut section)?,
            options: read_options(&mut section)?,
        };
        section.finish()?;
        Ok(config)
    }
}

fn read_topics(section: &mut Section<'_>) -> Result<Vec<String>, ConfigError> {
    let mut topics = section
        .texts("topics")?
        .unwrap_or_else(|| DEFAULT_TOPICS.map(str::to_owned).to_vec());
    let legal = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    if topics.is_empty() {
        return Err(section.error("topics", "an empty list", "name at least one topic"));
    }
    if let Some(bad) = topics
        .iter()
        .find(|topic| topic.is_empty() || topic.len() > 249 || !topic.chars().all(legal))
    {
        return Err(section.error(
            "topics",
            format!("\"{bad}\""),
            "write whole topic names (letters, digits, `.`, `_`, `-`); patterns are not supported",
        ));
    }
    topics.sort();
    topics.dedup();
    Ok(topics)
}

fn read_assignment(section: &mut Section<'_>) -> Result<Assignment, ConfigError> {
    let is_static = section.word("assignment", &[("group", false), ("static", true)], false)?;
    let instances = section.count("instances", 1, 1..=10_000)?;
    let ordinal = section.count("ordinal", 0, 0..=9_999)?;
    if ordinal >= instances {
        return Err(section.error(
            "ordinal",
            ordinal.to_string(),
            format!("write a number below `instances` ({instances}); the first is 0"),
        ));
    }
    Ok(if is_static {
        Assignment::Static {
            instances: u32::try_from(instances).unwrap_or(u32::MAX),
            ordinal: u32::try_from(ordinal).unwrap_or(u32::MAX),
        }
    } else {
        Assignment::Group
    })
}

fn read_options(section: &mut Section<'_>) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut options = BTreeMap::new();
    let Some(table) = section.table("options")? else {
        return Ok(options);
    };
    for (name, value) in flatten(table) {
        let key = format!("options.\"{name}\"");
        if let Some((_, why)) = DENIED_OPTIONS.iter().find(|(denied, _)| *denied == name) {
            return Err(section.error(
                &key,
                "an option that cannot be set",
                format!("take it out: {why}"),
            ));
        }
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(number) => number.to_string(),
            Value::Boolean(flag) => flag.to_string(),
            other => {
                return Err(section.error(
                    &key,
                    found(other),
                    "write a text, a number or true/false",
                ));
            }
        };
        options.insert(name, text);
    }
    Ok(options)
}

/// `security.protocol = "ssl"` without quotes around the key is a nested table in TOML; both
/// spellings mean the same option.
fn flatten(table: &Table) -> Vec<(String, &Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(inner) => flat.extend(
                flatten(inner)
                    .into_iter()
                    .map(|(rest, value)| (format!("{key}.{rest}"), value)),
            ),
            _ => flat.push((key.clone(), value)),
        }
    }
    flat
}
