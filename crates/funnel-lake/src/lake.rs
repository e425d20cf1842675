//! One lake: a directory with its tables and its format version.

use url::Url;

use crate::error::{LakeError, Result};
use crate::table::DeltaLog;

/// The newest lake format that this release reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The tables `events`, `rejects` and `ledger` below one URL. Clones share their state.
#[derive(Debug, Clone)]
pub struct Lake {
    url: Url,
    events: DeltaLog,
    rejects: DeltaLog,
    ledger: DeltaLog,
}

impl Lake {
    /// Opens the lake at a local path or `file://` URL.
    pub async fn open(url: &str) -> Result<Self> {
        let _ = url;
        Err(LakeError::internal("open: not written yet"))
    }

    /// Opens the lake at `url`, or makes it first.
    pub async fn create_or_open(url: &str) -> Result<Self> {
        let _ = url;
        Err(LakeError::internal("open: not written yet"))
    }

    /// Where the lake is; ends with a slash.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// One row per event.
    pub fn events(&self) -> &DeltaLog {
        &self.events
    }

    /// One row per record, or entry of one, that could not become an event.
    pub fn rejects(&self) -> &DeltaLog {
        &self.rejects
    }

    /// Entries of the ledger that were folded from the commits.
    pub fn ledger(&self) -> &DeltaLog {
        &self.ledger
    }
}
