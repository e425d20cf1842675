//! Where records come from: a seam with two sides.
//!
//! A source runs on a thread of its own. It tells the core what it may read, is told where to
//! start, and sends records from there in order, each start under its own epoch.

pub(crate) mod files;
pub(crate) mod kafka;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::health::Health;
use crate::inbox::Inbox;
use crate::message::Input;
use crate::metrics::Metrics;
use crate::record::{Epoch, Records, Tp};

/// What the core wants from a source.
#[derive(Debug)]
pub(crate) enum Command {
    /// Send records from `offset` on; replaces an earlier start.
    Start { tp: Tp, epoch: Epoch, offset: i64 },
    /// Send no more of this partition.
    Release(Tp),
    /// Read the watermarks again, later.
    Recheck(Tp),
    /// Tell Kafka how far the lake is.
    CommitKafka {
        offsets: Vec<(Tp, i64)>,
        version: i64,
    },
    /// Everything is committed: leave.
    Leave,
}

/// The bytes that may be in memory, and how many are.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: u64,
    held: AtomicU64,
}

impl Budget {
    pub(crate) fn new(limit: u64) -> Self {
        Self {
            limit,
            held: AtomicU64::new(0),
        }
    }

    /// Bytes of rows, as the core counts them.
    pub(crate) fn hold(&self, bytes: usize) {
        self.held.store(bytes as u64, Ordering::Relaxed);
    }

    /// Whether a source has to pause, given what it does now: at 80 % it stops, and it goes on
    /// below 60 %, so that it does not flutter.
    pub(crate) fn must_pause(&self, queued: usize, paused: bool) -> bool {
        let used = self.held.load(Ordering::Relaxed) + queued as u64;
        let mark = if paused { 6 } else { 8 };
        used > self.limit / 10 * mark
    }
}

/// A source's end of the line.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) inbox: Arc<Inbox<Input>>,
    pub(crate) commands: Arc<Inbox<Command>>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) health: Arc<Health>,
    pub(crate) metrics: Arc<Metrics>,
    /// Stop reading, but stay until told to leave.
    pub(crate) shutdown: CancellationToken,
    /// Leave at once.
    pub(crate) abort: CancellationToken,
}

impl Port {
    /// Sends records; gives them back if the core does not keep up.
    pub(crate) fn send(&self, records: Records, patience: Duration) -> Result<(), Records> {
        let (count, bytes) = (records.len() as u64, records.bytes());
        match self.inbox.offer(Input::Records(records), bytes, patience) {
            Ok(()) => {
                self.metrics.consumed(count, bytes as u64);
                Ok(())
            }
            Err(Input::Records(records)) => Err(records),
            Err(_) => Ok(()),
        }
    }
}

/// Something that sends records until it is told to leave.
pub(crate) trait Source: Send + 'static {
    /// The name of its thread.
    fn name(&self) -> &'static str;

    /// Does all the work; returns when it is done or told to leave.
    fn run(self: Box<Self>, port: Port);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_pauses_above_80_percent_and_resumes_below_60() {
        let budget = Budget::new(1000);
        budget.hold(700);
        assert!(!budget.must_pause(100, false));
        assert!(budget.must_pause(101, false));
        assert!(budget.must_pause(0, true));
        budget.hold(600);
        assert!(!budget.must_pause(0, true));
    }
}
