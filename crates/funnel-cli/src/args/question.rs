//! What `report` and `explain` are asked in the same words.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;
use funnel_query::funnel::{Attribution, DateBasis, Instant, Span, Unit};

use super::{NameValue, date};

/// A funnel, the rows it is asked of, and the rules.
#[derive(Debug, Clone, Args)]
pub(crate) struct QuestionArgs {
    /// Definition of a funnel of your own (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The table of a definition with its own source: a Parquet file, a directory of Parquet files, or a
    /// Delta table; needs no lake
    #[arg(
        long, short, value_name = "NAME=PATH", requires = "file",
        conflicts_with_all = ["from", "to", "account", "unit", "date_basis", "attribution"]
    )]
    pub(crate) table: Vec<NameValue>,
    /// First day
    #[arg(long, value_name = "DAY", value_parser = date)]
    pub(crate) from: Option<NaiveDate>,
    /// Last day, inclusive
    #[arg(long, value_name = "DAY", value_parser = date)]
    pub(crate) to: Option<NaiveDate>,
    /// Account; needed when the lake holds several
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
    /// Only units whose rows meet this SQL condition
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) condition: Option<String>,
    /// What is counted: session, offer, conversation or visitor; by default what the funnel says
    #[arg(long)]
    pub(crate) unit: Option<Unit>,
    /// loose: a step counts when it happened at all; ordered: when it happened after those before
    /// it; by default what the funnel says. Over a table every mode of docs/funnels.md
    #[arg(long)]
    pub(crate) mode: Option<String>,
    /// The way must be walked within this time, such as 30m, or `unbounded`; a bare number where a
    /// table's time is an integer; by default what the funnel says
    #[arg(long, value_name = "TIME")]
    pub(crate) window: Option<Span>,
    /// Time zone of the days, such as Europe/Berlin; by default the account's, or the definition's
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<chrono_tz::Tz>,
    /// Which date an event belongs to: session-start, session-start-and-event-time or event-time
    #[arg(long, value_name = "BASIS", default_value = "session-start")]
    pub(crate) date_basis: DateBasis,
    /// Which of several chats gets a conversion, and how many days after it: last, first, or with
    /// days, such as last,7d
    #[arg(long, value_name = "MODEL", default_value = "last")]
    pub(crate) attribution: Attribution,
    /// Up to when the rows are complete, such as 2024-03-05T12:00:00Z: what can still go on then is
    /// open, not dropped; by default what every partition has been read up to
    #[arg(long, value_name = "TIME")]
    pub(crate) as_of: Option<Instant>,
}
