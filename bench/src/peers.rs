//! The other engines, which are Python packages.

use std::process::Command;

use funnel_datagen::clickstream::WINDOW;

use crate::{AnyError, Arguments};

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers.py");
const SERVE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/serve.py");

/// Hands over to the script, with all that it must know of the events.
pub(crate) fn run(command: &str, arguments: Arguments) -> Result<(), AnyError> {
    let window = WINDOW.to_string();
    script(&[PEERS, command, "--window", &window], arguments)
}

/// A lake through the server.
pub(crate) fn serve(arguments: Arguments) -> Result<(), AnyError> {
    script(&[SERVE], arguments)
}

fn script(words: &[&str], mut arguments: Arguments) -> Result<(), AnyError> {
    let python = arguments
        .text("--python")?
        .unwrap_or_else(|| "python3".to_owned());
    let status = Command::new(&python)
        .args(words)
        .args(arguments.0)
        .status()
        .map_err(|error| format!("could not start '{python}': {error}"))?;
    if status.success() {
        return Ok(());
    }
    Err(format!("the comparison ended with {status}").into())
}
