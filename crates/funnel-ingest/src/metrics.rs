//! Every metric of this crate, declared once. Prefix `funnel_ingest_`; base units; counts are taken
//! per batch, never per record.

use std::fmt;
use std::sync::Mutex;
use std::time::Duration;

use funnel_lake::{DataFile, Outcome};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::api::Totals;
use crate::core::PartitionStatus;
use crate::message::Trigger;
use crate::store::Table;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TableLabel {
    table: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommitLabel {
    table: &'static str,
    outcome: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FateLabel {
    fate: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TriggerLabel {
    trigger: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabel {
    kind: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartitionLabel {
    topic: String,
    partition: i32,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    topic: String,
    partition: i32,
    state: String,
}

/// A histogram of seconds from 1 ms to about a minute.
type SecondsBy<L> = Family<L, Histogram, fn() -> Histogram>;

fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(0.001, 2.0, 16))
}

fn seconds_by<L: Clone + std::hash::Hash + Eq>() -> SecondsBy<L> {
    Family::new_with_constructor(seconds as fn() -> Histogram)
}

/// The instruments of one run.
pub(crate) struct Metrics {
    registry: Registry,
    consumed: Counter,
    consumed_bytes: Counter,
    replayed: Counter,
    records: Family<FateLabel, Counter>,
    rows: Family<TableLabel, Counter>,
    duplicate_entries: Counter,
    commits: Family<CommitLabel, Counter>,
    commit_seconds: SecondsBy<TableLabel>,
    encode_seconds: SecondsBy<TableLabel>,
    flush_seconds: SecondsBy<TriggerLabel>,
    file_bytes: Family<TableLabel, Counter>,
    files: Family<TableLabel, Counter>,
    storage_errors: Counter,
    rebalances: Family<KindLabel, Counter>,
    buffered_bytes: Gauge,
    queued_bytes: Gauge,
    memory_budget: Gauge,
    paused: Gauge,
    known_events: Gauge,
    lag: Gauge,
    stored: Family<PartitionLabel, Gauge>,
    position: Family<PartitionLabel, Gauge>,
    end: Family<PartitionLabel, Gauge>,
    state: Family<StateLabel, Gauge>,
    /// What the counters already hold of the run's totals.
    counted: Mutex<Totals>,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    pub(crate) fn new(memory_budget: u64) -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("funnel_ingest"),
            consumed: Counter::default(),
            consumed_bytes: Counter::default(),
            replayed: Counter::default(),
            records: Family::default(),
            rows: Family::default(),
            duplicate_entries: Counter::default(),
            commits: Family::default(),
            commit_seconds: seconds_by(),
            encode_seconds: seconds_by(),
            flush_seconds: seconds_by(),
            file_bytes: Family::default(),
            files: Family::default(),
            storage_errors: Counter::default(),
            rebalances: Family::default(),
            buffered_bytes: Gauge::default(),
            queued_bytes: Gauge::default(),
            memory_budget: Gauge::default(),
            paused: Gauge::default(),
            known_events: Gauge::default(),
            lag: Gauge::default(),
            stored: Family::default(),
            position: Family::default(),
            end: Family::default(),
            state: Family::default(),
            counted: Mutex::new(Totals::default()),
        };
        metrics.memory_budget.set(signed(memory_budget));
        metrics.register_counters();
        metrics.register_gauges();
        metrics
    }

    fn register_counters(&mut self) {
        let r = &mut self.registry;
        r.register(
            "records_consumed",
            "Records read from the source",
            self.consumed.clone(),
        );
        r.register(
            "bytes_consumed",
            "Bytes of records read",
            self.consumed_bytes.clone(),
        );
        r.register(
            "records_replayed",
            "Records read twice and dropped",
            self.replayed.clone(),
        );
        r.register(
            "records",
            "Records committed, by fate",
            self.records.clone(),
        );
        r.register("rows_written", "Rows committed", self.rows.clone());
        r.register(
            "duplicate_entries",
            "Entries left out because their event was there already",
            self.duplicate_entries.clone(),
        );
        r.register("commits", "Commits, by outcome", self.commits.clone());
        r.register(
            "commit_seconds",
            "Time of a commit",
            self.commit_seconds.clone(),
        );
        r.register(
            "encode_seconds",
            "Time to write files",
            self.encode_seconds.clone(),
        );
        r.register(
            "flush_seconds",
            "Time of a whole flush",
            self.flush_seconds.clone(),
        );
        r.register(
            "file_bytes",
            "Bytes of files written",
            self.file_bytes.clone(),
        );
        r.register("files_written", "Files written", self.files.clone());
        r.register(
            "storage_errors",
            "Failed calls to the lake",
            self.storage_errors.clone(),
        );
        r.register(
            "rebalances",
            "Changes of the assignment",
            self.rebalances.clone(),
        );
    }

    fn register_gauges(&mut self) {
        let r = &mut self.registry;
        r.register(
            "buffered_bytes",
            "Bytes of open rows",
            self.buffered_bytes.clone(),
        );
        r.register(
            "queued_bytes",
            "Bytes of records not yet decoded",
            self.queued_bytes.clone(),
        );
        r.register(
            "memory_budget_bytes",
            "The budget",
            self.memory_budget.clone(),
        );
        r.register(
            "paused_partitions",
            "Partitions held back for memory",
            self.paused.clone(),
        );
        r.register(
            "dedup_window_ids",
            "Events remembered",
            self.known_events.clone(),
        );
        r.register(
            "lag_records",
            "Records behind the newest known ends",
            self.lag.clone(),
        );
        r.register(
            "stored_offset",
            "Next offset in the lake",
            self.stored.clone(),
        );
        r.register(
            "position_offset",
            "Next offset to read",
            self.position.clone(),
        );
        r.register(
            "high_watermark",
            "The broker's newest known end",
            self.end.clone(),
        );
        r.register(
            "partition_state",
            "1 for the state it is in",
            self.state.clone(),
        );
    }

    /// All metrics as text.
    pub(crate) fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }

    pub(crate) fn consumed(&self, records: u64, bytes: u64) {
        self.consumed.inc_by(records);
        self.consumed_bytes.inc_by(bytes);
    }

    pub(crate) fn replayed(&self, records: u64) {
        self.replayed.inc_by(records);
    }

    /// Brings the counters to the run's totals.
    pub(crate) fn totals(&self, now: &Totals) {
        let mut before = self
            .counted
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        for (fate, total, counted) in [
            ("accepted", now.accepted, before.accepted),
            ("rejected", now.rejected, before.rejected),
            ("duplicate", now.duplicate, before.duplicate),
            ("empty", now.empty, before.empty),
            ("tombstone", now.tombstone, before.tombstone),
            ("hole", now.holes, before.holes),
        ] {
            self.records
                .get_or_create(&FateLabel { fate })
                .inc_by(total - counted);
        }
        for (table, total, counted) in [
            ("events", now.event_rows, before.event_rows),
            ("rejects", now.reject_rows, before.reject_rows),
        ] {
            self.rows
                .get_or_create(&TableLabel { table })
                .inc_by(total - counted);
        }
        self.duplicate_entries
            .inc_by(now.duplicate_entries - before.duplicate_entries);
        *before = *now;
    }

    pub(crate) fn encoded(&self, table: Table, files: &[DataFile], took: Duration) {
        let label = TableLabel {
            table: table.as_str(),
        };
        let bytes: i64 = files.iter().map(|file| file.size).sum();
        self.encode_seconds
            .get_or_create(&label)
            .observe(took.as_secs_f64());
        self.file_bytes
            .get_or_create(&label)
            .inc_by(u64::try_from(bytes).unwrap_or_default());
        self.files.get_or_create(&label).inc_by(files.len() as u64);
    }

    pub(crate) fn committed(&self, table: Table, outcome: &Outcome, took: Duration) {
        let outcome = match outcome {
            Outcome::Committed { .. } => "ok",
            Outcome::AlreadyThere { .. } => "already_there",
            Outcome::Fenced { .. } => "fenced",
        };
        let table = table.as_str();
        self.commits
            .get_or_create(&CommitLabel { table, outcome })
            .inc();
        self.commit_seconds
            .get_or_create(&TableLabel { table })
            .observe(took.as_secs_f64());
    }

    pub(crate) fn flushed(&self, trigger: Trigger, took: Duration) {
        let label = TriggerLabel {
            trigger: trigger.as_str(),
        };
        self.flush_seconds
            .get_or_create(&label)
            .observe(took.as_secs_f64());
    }

    pub(crate) fn storage_error(&self) {
        self.storage_errors.inc();
    }

    pub(crate) fn rebalanced(&self, kind: &'static str) {
        self.rebalances.get_or_create(&KindLabel { kind }).inc();
    }

    pub(crate) fn paused(&self, partitions: usize) {
        self.paused.set(signed(partitions as u64));
    }

    pub(crate) fn memory(&self, buffered: u64, queued: u64, known_events: u64) {
        self.buffered_bytes.set(signed(buffered));
        self.queued_bytes.set(signed(queued));
        self.known_events.set(signed(known_events));
    }

    pub(crate) fn partitions(&self, lag: u64, all: &[PartitionStatus]) {
        self.lag.set(signed(lag));
        self.state.clear();
        for status in all {
            let (topic, partition) = (status.tp.topic.to_string(), status.tp.partition);
            let state = status.state.clone();
            let label = PartitionLabel { topic, partition };
            if let Some(stored) = status.stored {
                self.stored.get_or_create(&label).set(stored);
            }
            if let Some(position) = status.position {
                self.position.get_or_create(&label).set(position);
            }
            self.end.get_or_create(&label).set(status.end);
            let PartitionLabel { topic, partition } = label;
            self.state
                .get_or_create(&StateLabel {
                    topic,
                    partition,
                    state,
                })
                .set(1);
        }
    }
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_follow_the_totals_and_carry_the_documented_names() {
        let metrics = Metrics::new(1);
        let mut totals = Totals {
            accepted: 3,
            event_rows: 5,
            ..Totals::default()
        };
        metrics.totals(&totals);
        totals.accepted = 4;
        metrics.totals(&totals);
        metrics.consumed(7, 70);
        let text = metrics.text().expect("text");
        for line in [
            "funnel_ingest_records_total{fate=\"accepted\"} 4",
            "funnel_ingest_rows_written_total{table=\"events\"} 5",
            "funnel_ingest_records_consumed_total 7",
            "funnel_ingest_memory_budget_bytes 1",
        ] {
            assert!(
                text.lines().any(|found| found == line),
                "{line} is not in:\n{text}"
            );
        }
    }

    #[test]
    fn dashboards_and_alerts_ask_for_what_there_is() {
        let metrics = Metrics::new(1);
        metrics.totals(&Totals::default());
        let table = "events";
        let outcome = "ok";
        let commit = CommitLabel { table, outcome };
        metrics.commits.get_or_create(&commit).inc();
        let commits = metrics.commit_seconds.get_or_create(&TableLabel { table });
        commits.observe(1.0);
        let state = StateLabel {
            topic: "t".to_owned(),
            partition: 0,
            state: "halted_truncated".to_owned(),
        };
        metrics.state.get_or_create(&state).set(1);
        let text = metrics.text().expect("text");
        let deploy = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy");
        let mut names = std::collections::BTreeSet::new();
        for file in ["alerts.yml", "grafana/dashboards/operations.json"] {
            let asked = std::fs::read_to_string(format!("{deploy}/{file}")).expect(file);
            for (at, _) in asked.match_indices("funnel_ingest_") {
                let is_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
                let name: String = asked[at..].chars().take_while(|c| is_name(*c)).collect();
                names.insert(name);
            }
        }
        assert!(names.len() > 8, "{names:?}");
        for name in names {
            let begins = |line: &str| line.starts_with([' ', '{']);
            let is_there = text.lines().filter_map(|line| line.strip_prefix(&name));
            assert!(
                is_there.into_iter().any(begins),
                "{name} is not in:\n{text}"
            );
        }
    }
}
