//! What ends a command that runs until it is stopped.

use std::future;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{CliError, Result};
use crate::exit::Exit;

/// SIGTERM and SIGINT, as the exit code they stand for.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let failed = |error| CliError::failed("could not listen for signals").because(error);
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(failed)?,
            interrupt: signal(SignalKind::interrupt()).map_err(failed)?,
        })
    }

    pub(super) async fn next(&mut self) -> Exit {
        tokio::select! {
            Some(()) = self.terminate.recv() => Exit::Terminated,
            Some(()) = self.interrupt.recv() => Exit::Interrupted,
            else => future::pending().await,
        }
    }
}
