//! Commands that answer questions.

use std::path::PathBuf;
use std::time::Duration;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};

use super::{NameValue, QuestionArgs, date, duration, with_exit_codes};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// Comma-separated values with a header line
    Csv,
    /// One array of objects
    Json,
    /// One object a line
    #[value(alias = "nd-json", alias = "jsonl")]
    Ndjson,
    /// A Parquet file
    Parquet,
}

/// What a period is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Compare {
    /// As many days just before
    Previous,
}

/// Where the answer goes, and in which form.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// Form of the answer; a table on a terminal, csv in a pipe, by the file's ending with -o
    #[arg(long, value_name = "FORMAT")]
    pub(crate) format: Option<Format>,
    /// Write the answer to this file; `-` is stdout
    #[arg(long, short = 'o', value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel sql --lake ./lake                                    interactive prompt
  funnel sql --lake ./lake -c 'SELECT event_type, count(*) FROM events GROUP BY 1 ORDER BY 2 DESC'
  funnel sql --table t=file.parquet -c 'SELECT count(*) FROM t'
  funnel sql --table a=dir/ --table b=delta_table/ -f query.sql --format parquet -o answer.parquet
  echo 'SELECT 1;' | funnel sql --format json

Tables of a lake: events, rejects, ledger; views: events_enriched, sessions, offers, chats.
At the prompt: \\d lists tables, \\d NAME describes one, \\timing, \\q, \\? for help."))]
pub(crate) struct SqlArgs {
    /// Run this SQL and exit; several statements are separated by `;`
    #[arg(long, short, value_name = "SQL", conflicts_with = "file")]
    pub(crate) command: Vec<String>,
    /// Run the SQL of this file and exit; `-` is stdin
    #[arg(long, short, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// A table: a Parquet file, a directory of Parquet files, or a Delta table; needs no lake
    #[arg(long, short, value_name = "NAME=PATH")]
    pub(crate) table: Vec<NameValue>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel run                                    list the named queries with their questions
  funnel run metrics --lake ./lake --param from=2024-03-04 --param to=2024-03-10
  funnel run outcomes --lake ./lake --param from=2024-03-04 --param to=2024-03-04 --format json"))]
pub(crate) struct RunArgs {
    /// Name of the query; without one, the queries are listed
    pub(crate) name: Option<String>,
    /// A parameter of the query; bound as a value, never pasted into the text
    #[arg(long, short, value_name = "NAME=VALUE")]
    pub(crate) param: Vec<NameValue>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel report monitored --lake ./lake --from 2024-03-04 --to 2024-03-10
  funnel report impression_to_chat --lake ./lake --from 2024-03-04 --to 2024-03-04 --by flow
  funnel report unmonitored --account 12345678 --from 2024-03-04 --to 2024-03-04 --mode ordered
  funnel report --file my_funnel.toml --from 2024-03-04 --to 2024-03-04 --format json -o funnel.json
  funnel report --file signup.toml --table t=events.parquet --by browser --window '7 days'
  funnel report monitored --from 2024-03-04 --to 2024-03-04 --reconcile --format json
  funnel report monitored --from 2024-03-04 --to 2024-03-04 --per-key -o sessions.parquet
  funnel report monitored --from 2024-03-11 --to 2024-03-17 --compare previous

A definition with a [source] runs over any table, with --table, or over one of the lake; docs/funnels.md
explains both kinds.
Shipped funnels: monitored, unmonitored, impression_to_chat, chat_lifecycle.
Days are those of the account's time zone. --to is inclusive.
--availability and --reconcile stand beside a table; in the other formats they are the answer, one at
a time."))]
pub(crate) struct ReportArgs {
    /// Name of a shipped funnel
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) funnel: Option<String>,
    #[command(flatten)]
    pub(crate) question: QuestionArgs,
    /// Break down by this column; may be repeated
    #[arg(long, value_name = "COLUMN")]
    pub(crate) by: Vec<String>,
    /// Keep apart so many values of each --by, those with the most units; all others are one group, (other)
    #[arg(
        long, value_name = "N", requires = "by", conflicts_with = "table",
        value_parser = clap::value_parser!(u16).range(1..=1000)
    )]
    pub(crate) top: Option<u16>,
    /// Put beside the funnel what it was in the period of as many days before, and what has changed since
    #[arg(
        long, value_name = "PERIOD",
        conflicts_with_all = ["table", "by", "per_key", "availability", "reconcile"]
    )]
    pub(crate) compare: Option<Compare>,
    /// One row per unit or key with its level, state, reason, step times and event ids
    #[arg(long, conflicts_with_all = ["availability", "reconcile"])]
    pub(crate) per_key: bool,
    /// Put beside the funnel what the agents were when lost offers were shown and clicked
    #[arg(long, conflicts_with = "table")]
    pub(crate) availability: bool,
    /// What a visitor saw this long before the click is stale
    #[arg(
        long, value_name = "TIME", value_parser = duration, default_value = "2m",
        requires = "availability"
    )]
    pub(crate) stale_after: Duration,
    /// Put LivePerson's metrics for the same days beside the funnel, and the class of every row read,
    /// added up partition by partition to the ledger of Kafka's offsets; exit 3 if it does not add up
    #[arg(long, conflicts_with = "table")]
    pub(crate) reconcile: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel publish --lake ./lake --date 2024-03-04
  funnel publish --lake ./lake --from 2024-03-01 --to 2024-03-07 --wait 2h

A day can be published once it is closed: 12 h after its midnight in the account's time zone, and
when the events of every partition have passed that time. Publishing a day again replaces it.
The run report (JSON) is written to stdout."))]
pub(crate) struct PublishArgs {
    /// The day
    #[arg(
        long, value_name = "DAY", value_parser = date,
        required_unless_present_all = ["from", "to"], conflicts_with_all = ["from", "to"]
    )]
    pub(crate) date: Option<NaiveDate>,
    /// First day
    #[arg(long, value_name = "DAY", value_parser = date, requires = "to")]
    pub(crate) from: Option<NaiveDate>,
    /// Last day, inclusive
    #[arg(long, value_name = "DAY", value_parser = date, requires = "from")]
    pub(crate) to: Option<NaiveDate>,
    /// Wait this long for the days to be closed, such as 2h; without it, an open day is exit 3
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) wait: Option<Duration>,
}
