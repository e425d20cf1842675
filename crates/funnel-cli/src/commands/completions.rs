//! `funnel completions`.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::args::Cli;
use crate::error::Result;
use crate::exit::Exit;
use crate::output;

pub(super) fn run(shell: Shell) -> Result<Exit> {
    let mut script = Vec::new();
    generate(shell, &mut Cli::command(), "funnel", &mut script);
    output::print_bytes(&script)?;
    Ok(Exit::Done)
}
