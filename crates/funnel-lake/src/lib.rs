//! The lake: Delta tables with Kafka offsets inside their commits.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`lake`] | one directory with its tables and its format version |
//! | [`table`] | one Delta table: its log state, its snapshots, its maintenance |
//! | [`commit`] | appending rows and offsets in one step, compared with what is stored |
//! | `changes` | what a table has gained since one of its versions |
//! | [`compact`] | closed days in the order in which funnels are computed |
//! | [`writer`], [`stats`] | Parquet files and their statistics |
//! | [`ledger`] | what became of every offset |
//! | [`recovery`] | what a restarted ingestor has to know |
//! | [`halts`] | partitions that must not go on by themselves |
//! | [`lock`] | one run of a kind at a time |
//! | [`marts`] | tables whose partitions are replaced as a whole |
//! | [`mod@audit`] | proof of the accounting from the tables alone |
//! | [`provider`] | DataFusion's view of a Delta table |

pub mod audit;
mod changes;
pub mod commit;
pub mod compact;
pub mod error;
pub mod halts;
pub mod lake;
pub mod ledger;
pub mod lock;
mod log;
pub mod marts;
mod order;
pub mod provider;
pub mod recovery;
pub mod retention;
mod rows;
pub mod stats;
mod storage;
mod swap;
pub mod table;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod upstream_tests;
pub mod writer;

pub use audit::{AuditReport, PartitionTotals, Problem, audit};
pub use commit::{Commit, OffsetAdvance, OffsetKey, Outcome};
pub use compact::{CompactOptions, CompactedDay, EventDay};
pub use error::{ErrorKind, LakeError, Result};
pub use halts::Halt;
pub use lake::{FORMAT_VERSION, Lake};
pub use ledger::{FoldSummary, LedgerEntry, LedgerKind};
pub use lock::RunLock;
pub use marts::Mart;
pub use provider::{DeltaTableProvider, LakeProviders, open_table, table_provider};
pub use recovery::{Coordinate, RecentEvent};
pub use storage::{StorageOptions, is_remote, is_store_failure, open_store};
pub use table::{DeltaLog, FileEntry, Snapshot};
pub use writer::{DataFile, discard_files, encode_files};
