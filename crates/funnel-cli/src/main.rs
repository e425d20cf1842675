//! The one binary: `funnel`.

mod args;
mod commands;
mod env_vars;
mod error;
mod exit;
mod output;
mod progress;
mod settings;
mod telemetry;

use std::process::ExitCode;

use crate::error::CliError;
use crate::exit::Exit;

/// Queries take and give back megabytes for each batch, on all cores (ADR 23).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Planning a long query in a debug build needs more than the default of 2 MiB.
const STACK_BYTES: usize = 8 << 20;

fn main() -> ExitCode {
    let (cli, overrides) = match args::parse(std::env::args_os()) {
        Ok(parsed) => parsed,
        Err(error) => {
            // Help and version are answers, on stdout; everything else is wrong usage, on stderr.
            let exit = if error.use_stderr() {
                Exit::Usage
            } else {
                Exit::Done
            };
            drop(error.print());
            return exit.into();
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .thread_name("funnel-main")
        .thread_stack_size(STACK_BYTES)
        .enable_all()
        .build();
    let answer = match runtime {
        Ok(runtime) => {
            let answer = runtime.block_on(commands::run(cli, overrides));
            // A blocking read of stdin or of a dead disk must not hold the exit back.
            runtime.shutdown_background();
            answer
        }
        Err(error) => Err(CliError::failed("could not start the runtime").because(error)),
    };
    match answer {
        Ok(exit) => exit.into(),
        Err(error) if error.is_closed_pipe() => Exit::Done.into(),
        Err(error) => {
            output::note(error.render().trim_end());
            error.exit().into()
        }
    }
}
