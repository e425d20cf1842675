//! One module per command.

mod audit;
mod completions;
mod config;
mod context;
mod demo;
mod explain;
mod generate;
mod ingest;
mod maintain;
mod publish;
mod question;
mod rejects;
mod report;
mod run;
mod serve;
mod signals;
mod sql;

use crate::args::{Cli, Command};
use crate::error::Result;
use crate::exit::Exit;
use crate::settings::Overrides;
use crate::telemetry::{self, Chatter};
use context::Context;

/// Runs the command that was asked for.
pub(crate) async fn run(cli: Cli, overrides: Overrides) -> Result<Exit> {
    let service = match &cli.command {
        Command::Ingest(args) => args.is_service(),
        Command::Serve(_) => true,
        _ => false,
    };
    telemetry::init(
        &cli.global,
        if service {
            Chatter::Service
        } else {
            Chatter::Warnings
        },
    );
    let context = Context::new(cli.global, overrides);
    match cli.command {
        Command::Demo(args) => demo::run(&context, &args).await,
        Command::Ingest(args) => ingest::run(&context, args).await,
        Command::Sql(args) => sql::run(&context, &args).await,
        Command::Run(args) => run::run(&context, args).await,
        Command::Report(args) => report::run(&context, &args).await,
        Command::Explain(args) => explain::run(&context, &args).await,
        Command::Publish(args) => publish::run(&context, &args).await,
        Command::Serve(args) => serve::run(&context, &args).await,
        Command::Audit(args) => audit::run(&context, &args).await,
        Command::Rejects(args) => rejects::run(&context, &args.command).await,
        Command::Maintain(args) => maintain::run(&context, &args.command).await,
        Command::Generate(args) => generate::run(&context, &args).await,
        Command::Config(args) => config::run(&context, args.command),
        Command::Completions { shell } => completions::run(shell),
    }
}
