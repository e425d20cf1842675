//! The command line: names, flags and help texts, nothing that acts.

mod explain;
mod kinds;
mod ops;
mod query;
mod question;
mod serve;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::parser::ValueSource;
use clap::{ArgAction, Args, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use explain::ExplainArgs;
pub(crate) use kinds::{LogFormat, NameValue, date, duration, size};
#[cfg(test)]
pub(crate) use ops::EXAMPLE_CONFIG;
pub(crate) use ops::{
    AuditArgs, CompactArgs, ConfigArgs, ConfigCommand, DemoArgs, GenerateArgs, IngestArgs,
    MaintainArgs, MaintainCommand, RejectsArgs, RejectsCommand, RejectsListArgs, RejectsShowArgs,
};
pub(crate) use query::{Format, OutputArgs, PublishArgs, ReportArgs, RunArgs, SqlArgs};

pub(crate) use question::QuestionArgs;
pub(crate) use serve::ServeArgs;

use crate::env_vars;
use crate::exit::EXIT_CODES_HELP;
use crate::settings::{Origin, Overrides};

/// The engagement funnel: from Kafka to a lake of Parquet files, and from there to answers.
///
/// Events of both engagement flows (monitored pages and unmonitored windows) are read from Kafka
/// exactly once into a Delta Lake, and the funnel from the impression to the chat is computed there.
/// Start with `funnel demo`: it needs nothing but this program.
#[derive(Debug, Parser)]
#[command(
    name = "funnel",
    version,
    arg_required_else_help = true,
    propagate_version = true,
    after_help = "\
Examples:
  funnel demo                                   see it work, in a few seconds
  funnel ingest --config funnel.toml            read Kafka until stopped
  funnel report monitored --lake ./lake --from 2024-03-04 --to 2024-03-10
  funnel sql --lake ./lake -c 'SELECT count(*) FROM events'
  funnel sql --table t=file.parquet -c 'SELECT * FROM t LIMIT 5'

`funnel help COMMAND` tells more about each, with examples and exit codes.",
    after_long_help = long_help()
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: GlobalArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Clone, Args)]
pub(crate) struct GlobalArgs {
    /// The lake: a directory or an object store URL such as s3://bucket/lake
    #[arg(long, short = 'L', global = true, value_name = "DIR", env = env_vars::LAKE)]
    pub(crate) lake: Option<String>,
    /// The configuration file (TOML); by default ./funnel.toml, then ~/.config/funnel/config.toml
    #[arg(long, global = true, value_name = "FILE", env = env_vars::CONFIG)]
    pub(crate) config: Option<PathBuf>,
    /// Log more; -vv logs everything
    #[arg(long, short, global = true, action = ArgAction::Count, conflicts_with = "quiet")]
    pub(crate) verbose: u8,
    /// Log errors only, and show no progress
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// How log lines are written to stderr
    #[arg(long, global = true, value_name = "FORMAT", default_value = "text")]
    pub(crate) log_format: LogFormat,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See it work: a broker in this process, simulated traffic, ingest, and the funnel as a picture
    Demo(DemoArgs),
    /// Read Kafka (or files) into the lake, exactly once
    Ingest(IngestArgs),
    /// Ask the lake, or any Parquet file, in SQL; without a query, an interactive prompt
    Sql(SqlArgs),
    /// Run a named query
    Run(RunArgs),
    /// Print a funnel: how many reached each step, and where the others were lost
    Report(ReportArgs),
    /// Show what happened to one session, offer, chat or visitor, and why it went no further
    Explain(ExplainArgs),
    /// Write the marts of closed days, once and atomically
    Publish(PublishArgs),
    /// Serve the lake: an HTTP API, and a page to look at funnels
    Serve(ServeArgs),
    /// Prove that every offset of Kafka is accounted for
    Audit(AuditArgs),
    /// Look at the records that were refused
    Rejects(RejectsArgs),
    /// Keep the tables in shape: sort closed days
    Maintain(MaintainArgs),
    /// Simulate traffic, to Kafka or to files, with the numbers that must come out
    Generate(GenerateArgs),
    /// Show or check the configuration
    Config(ConfigArgs),
    /// Print the completion script of a shell
    #[command(after_help = "\
Examples:
  funnel completions bash > ~/.local/share/bash-completion/completions/funnel
  funnel completions zsh  > ~/.zfunc/_funnel
  funnel completions fish > ~/.config/fish/completions/funnel.fish")]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Reads the command line; what it says about settings comes with its origin.
pub(crate) fn parse(
    words: impl IntoIterator<Item = OsString>,
) -> Result<(Cli, Overrides), clap::Error> {
    let matches = Cli::command().try_get_matches_from(words)?;
    let cli = Cli::from_arg_matches(&matches)?;
    let origin = |id: &str, flag: &'static str, variable: &str| match matches.value_source(id) {
        Some(ValueSource::EnvVariable) => Origin::Environment(variable.to_owned()),
        _ => Origin::Flag(flag),
    };
    let mut overrides = Overrides {
        config: cli.global.config.clone(),
        values: Vec::new(),
    };
    if let Some(lake) = &cli.global.lake {
        overrides.values.push((
            "lake.url",
            lake.clone(),
            origin("lake", "--lake", env_vars::LAKE),
        ));
    }
    Ok((cli, overrides))
}

fn long_help() -> String {
    format!(
        "\
Examples:
  funnel demo                                   see it work, in a few seconds
  funnel ingest --config funnel.toml            read Kafka until stopped
  funnel ingest --config funnel.toml --until-end
                                                read what is there now, then exit
  funnel report monitored --lake ./lake --from 2024-03-04 --to 2024-03-10
  funnel report impression_to_chat --lake ./lake --from 2024-03-04 --to 2024-03-04 --by flow
  funnel explain monitored SESSION --lake ./lake
                                                why did this one drop?
  funnel sql --lake ./lake                      an interactive prompt
  funnel sql --lake ./lake -c 'SELECT count(*) FROM events'
  funnel sql --table t=file.parquet -c 'SELECT * FROM t LIMIT 5'
  funnel audit --lake ./lake || echo 'something is missing'

Output:
  Data goes to stdout, everything else to stderr. --format is a table on a terminal and csv in a
  pipe; json is one array of objects, ndjson an object a line; timestamps are RFC 3339 in UTC.

Settings:
  A flag wins over the environment, that over the file, that over the default; `funnel config show`
  prints every value with its origin. {lake} and {config} stand for --lake and
  --config; {prefix}KAFKA__BROKERS stands for `brokers` in [kafka], and so on.
  {log} filters log lines ({log}=info,funnel_ingest=debug); NO_COLOR is honoured.

{EXIT_CODES_HELP}",
        lake = env_vars::LAKE,
        config = env_vars::CONFIG,
        prefix = env_vars::KEY_PREFIX,
        log = env_vars::LOG,
    )
}

/// Exit codes below the examples of one command.
fn with_exit_codes(examples: &str) -> String {
    format!("{examples}\n\n{EXIT_CODES_HELP}")
}
