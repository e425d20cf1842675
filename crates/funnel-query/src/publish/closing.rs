//! When a local day is closed: its time is over, and every partition has been read past it.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use funnel_lake::LedgerEntry;

use crate::days::ends_at;

/// How long after its midnight a day closes unless the configuration says otherwise: 6 h for
/// sessions that began before, 6 h for events that come late.
pub const CLOSE_AFTER: Duration = Duration::from_secs(12 * 3_600);

/// Backfilled files have no watermark to wait for: what was read of them is all of them.
const FILE_TOPIC: &str = "file:";

/// The instant at which `day` of an account in `zone` closes.
pub fn closes_at(day: NaiveDate, zone: Tz, close_after: Duration) -> Option<DateTime<Utc>> {
    ends_at(day, zone)?.checked_add_signed(chrono::TimeDelta::from_std(close_after).ok()?)
}

/// The latest time seen in each partition that is read from Kafka. Of a topic that was made anew
/// the newest incarnation counts.
pub fn watermarks(entries: &[LedgerEntry]) -> BTreeMap<(String, i32), DateTime<Utc>> {
    let mut latest: BTreeMap<(String, i32), DateTime<Utc>> = BTreeMap::new();
    for entry in entries
        .iter()
        .filter(|entry| !entry.kafka_topic.starts_with(FILE_TOPIC))
    {
        let seen = entry.max_kafka_timestamp.or(entry.max_event_time);
        let seen = seen
            .and_then(DateTime::from_timestamp_micros)
            .unwrap_or(DateTime::UNIX_EPOCH);
        let key = (entry.kafka_topic.clone(), entry.kafka_partition);
        let known = latest.entry(key).or_insert(seen);
        *known = (*known).max(seen);
    }
    latest
}

/// What still keeps the days from being closed, in words; empty when nothing does.
pub fn obstacles(
    closes_at: DateTime<Utc>,
    now: DateTime<Utc>,
    watermarks: &BTreeMap<(String, i32), DateTime<Utc>>,
) -> Vec<String> {
    let stamp = |time: DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let mut found = Vec::new();
    if now < closes_at {
        found.push(format!("the last day closes at {}", stamp(closes_at)));
    }
    for ((topic, partition), seen) in watermarks {
        if *seen < closes_at {
            found.push(format!(
                "partition {partition} of topic `{topic}` has been read up to {}, not yet to {}",
                stamp(*seen),
                stamp(closes_at)
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use funnel_lake::LedgerKind;

    use super::*;

    const HALF_DAY: Duration = Duration::from_secs(12 * 3_600);

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn entry(topic: &str, partition: i32, seen: &str) -> LedgerEntry {
        let mut entry = LedgerEntry::new(LedgerKind::Data, topic, "u", partition, 0..1);
        entry.max_kafka_timestamp = Some(at(seen).timestamp_micros());
        entry
    }

    #[test]
    fn a_day_closes_half_a_day_after_its_local_midnight_across_clock_changes() {
        let day = |text: &str| text.parse().unwrap();
        let close = |date: &str, zone: Tz| closes_at(day(date), zone, HALF_DAY).unwrap();
        assert_eq!(close("2024-03-04", Tz::UTC), at("2024-03-05T12:00:00Z"));
        assert_eq!(
            close("2024-03-30", Tz::Europe__Berlin),
            at("2024-03-31T11:00:00Z")
        );
        assert_eq!(
            close("2024-03-31", Tz::Europe__Berlin),
            at("2024-04-01T10:00:00Z")
        );
        // Midnight of 2024-04-26 does not exist in Cairo.
        assert_eq!(
            close("2024-04-25", Tz::Africa__Cairo),
            at("2024-04-26T10:00:00Z")
        );
    }

    #[test]
    fn a_partition_behind_the_closing_time_is_named_and_files_are_not_waited_for() {
        let entries = [
            entry("lp.click.v1", 0, "2024-03-05T12:00:00Z"),
            entry("lp.click.v1", 1, "2024-03-05T11:59:59Z"),
            entry("file:old.ndjson", 0, "2024-03-04T00:00:00Z"),
        ];
        let closes = at("2024-03-05T12:00:00Z");
        let found = obstacles(closes, closes, &watermarks(&entries));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(
            found[0].contains("partition 1 of topic `lp.click.v1`"),
            "{found:?}"
        );
        let early = obstacles(closes, at("2024-03-05T11:00:00Z"), &BTreeMap::new());
        assert_eq!(early, ["the last day closes at 2024-03-05 12:00:00 UTC"]);
    }
}
