//! What the broker still holds, beside what the lake says was read.

use std::collections::BTreeMap;
use std::time::Duration;

use funnel_lake::{AuditReport, PartitionTotals};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;

use crate::args::AuditArgs;
use crate::commands::config::kafka_options;
use crate::error::{CliError, Result};
use crate::settings::Settings;

const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// First and next offset of each partition at the broker.
type Watermarks = BTreeMap<(String, i32), (i64, i64)>;

/// What the comparison found; empty when Kafka was not asked.
#[derive(Debug, Default)]
pub(super) struct Comparison {
    watermarks: Watermarks,
    pub(super) problems: Vec<String>,
    /// Why Kafka was not asked, where it might have been.
    pub(super) note: Option<String>,
}

impl Comparison {
    /// Records that wait to be read; `None` where the broker does not know the partition.
    pub(super) fn lag(&self, row: &PartitionTotals) -> Option<i64> {
        let (_, high) = self.watermarks.get(&(row.topic.clone(), row.partition))?;
        Some(high - row.to_offset)
    }
}

/// Asks Kafka when it is named: on the command line it must answer, in the configuration it may.
pub(super) async fn compare(
    settings: &Settings,
    args: &AuditArgs,
    report: &AuditReport,
) -> Result<Comparison> {
    let brokers = match (&args.brokers, settings.text("kafka.brokers")) {
        (Some(brokers), _) => brokers.clone(),
        (None, Some(brokers)) if !args.offline => brokers.to_owned(),
        _ => return Ok(Comparison::default()),
    };
    let options = kafka_options(settings);
    let partitions: Vec<_> = report
        .partitions
        .iter()
        .map(|row| (row.topic.clone(), row.partition))
        .collect();
    let asked = brokers.clone();
    let answer = tokio::task::spawn_blocking(move || watermarks(&asked, &options, &partitions))
        .await
        .map_err(|error| CliError::failed("could not ask Kafka").because(error))?;
    match answer {
        Ok(watermarks) => Ok(Comparison {
            problems: problems(report, &watermarks),
            watermarks,
            note: None,
        }),
        Err(error) if args.brokers.is_some() => {
            Err(CliError::unavailable(format!("could not ask Kafka at `{brokers}`")).because(error))
        }
        Err(error) => Ok(Comparison {
            note: Some(format!("Kafka at `{brokers}` was not compared: {error}")),
            ..Comparison::default()
        }),
    }
}

fn watermarks(
    brokers: &str,
    options: &BTreeMap<String, String>,
    partitions: &[(String, i32)],
) -> Result<Watermarks, KafkaError> {
    let mut config = ClientConfig::new();
    for (name, value) in options {
        config.set(name, value);
    }
    config
        .set("bootstrap.servers", brokers)
        .set("allow.auto.create.topics", "false");
    let consumer: BaseConsumer = config.create()?;
    let metadata = consumer.fetch_metadata(None, ANSWER_TIME_MAX)?;
    let exists = |topic: &str, partition: i32| {
        metadata.topics().iter().any(|known| {
            known.name() == topic && known.partitions().iter().any(|each| each.id() == partition)
        })
    };
    let mut found = Watermarks::new();
    for (topic, partition) in partitions {
        // A topic that was deleted since has nothing to compare with; the rows stay proven.
        if exists(topic, *partition) {
            let range = consumer.fetch_watermarks(topic, *partition, ANSWER_TIME_MAX)?;
            found.insert((topic.clone(), *partition), range);
        }
    }
    Ok(found)
}

fn problems(report: &AuditReport, watermarks: &Watermarks) -> Vec<String> {
    let mut problems = Vec::new();
    for row in &report.partitions {
        let Some((low, high)) = watermarks.get(&(row.topic.clone(), row.partition)) else {
            continue;
        };
        let place = format!("{}/{}", row.topic, row.partition);
        if row.to_offset < *low {
            problems.push(format!(
                "broker_truncated: {place}: offsets {} to {} were deleted before they were read",
                row.to_offset, low
            ));
        }
        if row.to_offset > *high {
            problems.push(format!(
                "broker_behind: {place}: read up to {}, but the broker ends at {high}",
                row.to_offset
            ));
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(to_offset: i64) -> AuditReport {
        let row = PartitionTotals {
            topic: "t".to_owned(),
            to_offset,
            ..PartitionTotals::default()
        };
        AuditReport {
            partitions: vec![row],
            ..AuditReport::default()
        }
    }

    #[test]
    fn unread_offsets_that_are_gone_are_a_problem_and_lag_is_none() {
        let watermarks = Watermarks::from([(("t".to_owned(), 0), (10, 20))]);
        assert!(problems(&report(9), &watermarks)[0].starts_with("broker_truncated"));
        assert!(problems(&report(21), &watermarks)[0].starts_with("broker_behind"));
        for fine in [10, 15, 20] {
            assert_eq!(problems(&report(fine), &watermarks), Vec::<String>::new());
        }
    }
}
