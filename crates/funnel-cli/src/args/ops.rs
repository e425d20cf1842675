//! Commands that move, check and simulate data.

use std::net::SocketAddr;
use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, Subcommand};
use funnel_ingest::HaltOverride;

use super::{OutputArgs, date, size, with_exit_codes};

/// Every setting with its default; shown by `funnel help config`.
pub(crate) const EXAMPLE_CONFIG: &str = include_str!("../../funnel.example.toml");

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel demo
  funnel demo --dir /tmp/funnel --sessions 10000 --seed 7

The lake stays in the directory, so that you can go on with `funnel sql` and `funnel report`.
A directory of an earlier demo is replaced; any other directory that is not empty is refused."))]
pub(crate) struct DemoArgs {
    /// Where the lake goes
    #[arg(long, value_name = "DIR", default_value = "funnel-demo")]
    pub(crate) dir: PathBuf,
    /// How many consumer sessions to simulate
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) sessions: u32,
    /// Same seed, same traffic
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel ingest --config funnel.toml               until a signal; several may run side by side
  funnel ingest --config funnel.toml --until-end   up to the ends seen at start, then exit 0
  funnel ingest --lake ./lake --files old/*.ndjson.gz
                                                   the same path from files, for backfills

SIGTERM or SIGINT: what was read is committed, then exit 0. A second signal stops at once; nothing
is lost either way, because the next start goes on from the offsets in the lake."))]
pub(crate) struct IngestArgs {
    /// Stop after the offsets that are the ends of the partitions now
    #[arg(long)]
    pub(crate) until_end: bool,
    /// Read envelopes from files (NDJSON, gzip by their ending) instead of Kafka
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with = "until_end")]
    pub(crate) files: Vec<PathBuf>,
    /// Kafka's bootstrap servers, instead of `kafka.brokers` of the file
    #[arg(long, value_name = "HOST:PORT,…")]
    pub(crate) brokers: Option<String>,
    /// Let a halted partition go on: TOPIC[/PARTITION]=recheck after the cause was repaired, or
    /// =record_gap to write the lost offsets into the ledger and go on; may be repeated
    #[arg(long, value_name = "DECISION")]
    pub(crate) resume: Vec<HaltOverride>,
    /// Where /livez, /readyz and /metrics are served, instead of `http.listen` of the file
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) http: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel audit --lake ./lake
  funnel audit --lake ./lake --format json
  funnel audit --lake ./lake --brokers localhost:9092     also compare with what Kafka still holds

Each row is one topic partition: which offsets were taken and what became of them. Problems go to
stderr and end in exit 3."))]
pub(crate) struct AuditArgs {
    /// Compare with this Kafka too; unreachable is exit 75
    #[arg(long, value_name = "HOST:PORT,…")]
    pub(crate) brokers: Option<String>,
    /// Do not ask Kafka, even where the configuration names it
    #[arg(long, conflicts_with = "brokers")]
    pub(crate) offline: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct MaintainArgs {
    #[command(subcommand)]
    pub(crate) command: MaintainCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum MaintainCommand {
    /// Sort the events of closed days into few large files
    Compact(CompactArgs),
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel maintain compact --lake ./lake                      every closed day that has work
  funnel maintain compact --lake ./lake --date 2024-03-04    this day; exit 3 if it is not closed
  funnel maintain compact --lake ./lake --from 2024-03-01 --to 2024-03-07 --format json

The events of a day arrive in many files. Compaction writes them again, sorted by account, visitor
and time, into files that do not overlap; queries that need that order then do not sort. The rows
stay the same: their number and a checksum are compared before the one commit that puts the new
files in the place of the old ones. It may run beside `funnel ingest`. The old files stay on disk.

A day (UTC) is closed 12 h after its midnight (publish.close_after) and when every partition has
been read past that time. A sorted day is left alone until 8 files or 5 % of its bytes came late;
until it is sorted again, queries that touch it sort by themselves.

One row per day with work, action: sorted | late (too little came late) | open (not closed)."))]
pub(crate) struct CompactArgs {
    /// Only this day (UTC)
    #[arg(long, value_name = "DAY", value_parser = date, conflicts_with_all = ["from", "to"])]
    pub(crate) date: Option<NaiveDate>,
    /// Only this day (UTC) and later ones
    #[arg(long, value_name = "DAY", value_parser = date)]
    pub(crate) from: Option<NaiveDate>,
    /// Only this day (UTC) and earlier ones
    #[arg(long, value_name = "DAY", value_parser = date)]
    pub(crate) to: Option<NaiveDate>,
    /// Also days that are not closed
    #[arg(long)]
    pub(crate) open: bool,
    /// Also days to which too little came late to be worth it
    #[arg(long)]
    pub(crate) late: bool,
    /// Memory for sorting; what is more goes to temporary files
    #[arg(long, value_name = "SIZE", default_value = "512 MiB", value_parser = size)]
    pub(crate) memory: u64,
    /// Size of the new files, about
    #[arg(long, value_name = "SIZE", default_value = "128 MiB", value_parser = size)]
    pub(crate) file_size: u64,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct RejectsArgs {
    #[command(subcommand)]
    pub(crate) command: RejectsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RejectsCommand {
    /// List refused records, newest first, without their bytes
    List(RejectsListArgs),
    /// Show one refused record
    Show(RejectsShowArgs),
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel rejects list --lake ./lake
  funnel rejects list --lake ./lake --reason E_JSON_SYNTAX --limit 10
  funnel rejects list --lake ./lake --by-reason             how many for each reason"))]
pub(crate) struct RejectsListArgs {
    /// Only this reason, such as E_JSON_SYNTAX
    #[arg(long, value_name = "CODE")]
    pub(crate) reason: Option<String>,
    /// Only this topic
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Only records ingested on this day (UTC) or later
    #[arg(long, value_name = "DAY", value_parser = date)]
    pub(crate) since: Option<NaiveDate>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// Count by reason instead
    #[arg(long)]
    pub(crate) by_reason: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel rejects show 'AAAAAAAAAAAAAAAAAAAAAA/0/17' --lake ./lake
  funnel rejects show 'AAAAAAAAAAAAAAAAAAAAAA/0/17' --lake ./lake --payload > record.json

The id is the column reject_id of `funnel rejects list`. The bytes may hold personal data: they are
printed only with --payload, exactly as they came from Kafka (up to 64 KiB of oversized ones)."))]
pub(crate) struct RejectsShowArgs {
    /// The reject_id
    pub(crate) id: String,
    /// Write the record's bytes to stdout, and nothing else
    #[arg(long, conflicts_with_all = ["format", "output"])]
    pub(crate) payload: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel generate --sessions 10000 --seed 7 -o traffic --truth truth.json
  funnel ingest --lake ./lake --files traffic/*.ndjson
  funnel generate --sessions 10000 --seed 7 --kafka localhost:9092 --truth truth.json

The same seed gives the same bytes. The truth holds every number that must come out: records and
rejects, metrics, outcomes, and the funnels for each unit and mode."))]
pub(crate) struct GenerateArgs {
    /// How many consumer sessions to simulate
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) sessions: u32,
    /// Same seed, same traffic
    #[arg(long, value_name = "S", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Produce to this Kafka
    #[arg(
        long,
        value_name = "HOST:PORT,…",
        required_unless_present = "output",
        conflicts_with = "output"
    )]
    pub(crate) kafka: Option<String>,
    /// Write one NDJSON file per topic into this directory
    #[arg(long, short = 'o', value_name = "DIR")]
    pub(crate) output: Option<PathBuf>,
    /// Write the numbers that must come out to this file (JSON)
    #[arg(long, value_name = "FILE")]
    pub(crate) truth: Option<PathBuf>,
    /// Traffic without malformed records, double deliveries and disorder
    #[arg(long)]
    pub(crate) clean: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = config_help())]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print every value in effect with its origin; secrets are masked
    #[command(after_help = with_exit_codes("\
Examples:
  funnel config show --config funnel.toml
  FUNNEL__KAFKA__BROKERS=kafka:9092 funnel config show --format json"))]
    Show {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Check the configuration and say what is wrong; exit 78 when something is
    #[command(after_help = with_exit_codes("\
Examples:
  funnel config check --config funnel.toml && systemctl restart funnel"))]
    Check,
}

fn config_help() -> String {
    let file: String = EXAMPLE_CONFIG
        .lines()
        .flat_map(|line| ["  ", line, "\n"])
        .collect();
    with_exit_codes(&format!(
        "Examples:\n  funnel config check --config funnel.toml\n  funnel config show\n\n\
         The file:\n{file}"
    ))
}

impl IngestArgs {
    /// Whether it runs until it is told to stop.
    pub(crate) fn is_service(&self) -> bool {
        !self.until_end && self.files.is_empty()
    }
}
