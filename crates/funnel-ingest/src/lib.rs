//! Kafka to batches to the lake, exactly once.
//!
//! ```text
//! Kafka ──poll──▶ records ──decode──▶ fates ──▶ buffers per partition ──▶ rejects, then events
//!  source (thread)          core (thread)                                 committer (async)
//! ```
//!
//! Offsets live in the lake: a commit holds rows and, per partition, the next offset to read, and it is
//! compared with what is stored. Who works on a partition is Kafka's matter; correctness never
//! depends on it. Rows of `rejects` are committed before those of `events`; what a crash leaves
//! between the two is recovered by coordinate.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`config`] | the configuration, checked |
//! | [`core`] | the state machine: fates, ledger, duplicates, start rules, flushes. No I/O |
//! | [`message`] | what goes into the core and what comes out |
//! | [`store`] | the tables as a seam |
//! | `source` | Kafka and files |
//! | `committer`, `run` | the parts around the core |
//! | `health`, `http`, `metrics` | what an operator sees |

mod api;
pub mod clock;
mod committer;
pub mod config;
pub mod core;
mod error;
mod health;
mod http;
mod inbox;
mod maintenance;
pub mod message;
mod metrics;
pub mod record;
mod run;
#[cfg(test)]
mod simulation;
mod source;
pub mod store;

pub use api::{
    HaltAction, HaltOverride, HaltedPartition, Ingest, Options, Progress, Summary, Totals, run,
};
pub use config::IngestConfig;
pub use error::{ConfigError, ErrorKind, IngestError, Result};
