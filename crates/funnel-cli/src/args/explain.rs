//! `funnel explain`.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::Args;
use funnel_query::funnel::{Attribution, DateBasis, Mode, Unit, Window};

use super::{OutputArgs, date, with_exit_codes};

#[derive(Debug, Args)]
#[command(after_help = with_exit_codes("\
Examples:
  funnel explain monitored D8pGm0aXTyK7rNcQ4jEw1g --lake ./lake            a session, by its id
  funnel explain impression_to_chat '58213347|Qm7xT2dL|D8pGm0aX|3' --lake ./lake
                                                       an offer, by the key the views show
  funnel explain monitored Qm7xT2dLS1eWc0vN9pKa_w --unit visitor --lake ./lake --format json
  funnel explain --file my_funnel.toml D8pGm0aXTyK7rNcQ4jEw1g --lake ./lake
  funnel explain monitored D8pGm0aXTyK7rNcQ4jEw1g --mode ordered --window 30m --lake ./lake
                                                       and if the rules were others?

KEY is the key of one unit as `sessions`, `offers`, `chats` and the report show it, or its last part.
Every row has one class: used, superseded_entry, repeat, before_entry, out_of_order, not_later,
out_of_window, after_completion, filtered, duplicate_id, not_a_step. The verdict names the step that
is missing, the reason, and what would have had to happen. An unknown key is wrong usage; the nearest
keys are listed."))]
pub(crate) struct ExplainArgs {
    /// Name of a shipped funnel; left out with --file
    #[arg(value_name = "FUNNEL", required = true)]
    first: String,
    /// Key of the session, offer, conversation or visitor, or the last part of it
    #[arg(value_name = "KEY", required_unless_present = "file")]
    second: Option<String>,
    /// Definition of a funnel of your own (TOML)
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// First day; by default the first of the unit
    #[arg(long, value_name = "DAY", value_parser = date)]
    pub(crate) from: Option<NaiveDate>,
    /// Last day, inclusive; by default the last of the unit
    #[arg(long, value_name = "DAY", value_parser = date)]
    pub(crate) to: Option<NaiveDate>,
    /// Account; needed when the lake holds several
    #[arg(long, value_name = "ID")]
    pub(crate) account: Option<String>,
    /// Only rows that meet this SQL condition count
    #[arg(long = "where", value_name = "SQL")]
    pub(crate) condition: Option<String>,
    /// What KEY is: session, offer, conversation or visitor; by default what the funnel counts
    #[arg(long)]
    pub(crate) unit: Option<Unit>,
    /// loose or ordered; by default what the funnel says
    #[arg(long)]
    pub(crate) mode: Option<Mode>,
    /// The way must be walked within this time, such as 30m, or `unbounded`; by default what the
    /// funnel says
    #[arg(long, value_name = "TIME")]
    pub(crate) window: Option<Window>,
    /// Time zone of the local times, such as Europe/Berlin; by default the account's
    #[arg(long, value_name = "ZONE")]
    pub(crate) timezone: Option<chrono_tz::Tz>,
    /// Which date an event belongs to: session-start, session-start-and-event-time or event-time
    #[arg(long, value_name = "BASIS", default_value = "session-start")]
    pub(crate) date_basis: DateBasis,
    /// Which of several chats gets a conversion, and how many days after it: last, first, or with
    /// days, such as last,7d
    #[arg(long, value_name = "MODEL", default_value = "last")]
    pub(crate) attribution: Attribution,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ExplainArgs {
    /// The name of a shipped funnel and the key; with --file there is no name.
    pub(crate) fn funnel_and_key(&self) -> (Option<&str>, Option<&str>) {
        match (&self.file, &self.second) {
            (Some(_), None) => (None, Some(&self.first)),
            (_, second) => (Some(&self.first), second.as_deref()),
        }
    }
}
