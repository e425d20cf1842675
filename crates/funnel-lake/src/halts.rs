//! Partitions that must not go on by themselves.
//!
//! A halt is a small JSON file in the lake, so that a restart finds it: a partition that lost
//! offsets does not become healthy because a process died.

use serde::{Deserialize, Serialize};

use crate::commit::OffsetKey;
use crate::error::Result;
use crate::lake::Lake;

/// Why a partition stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// Which partition.
    pub key: OffsetKey,
    /// The state, such as `halted_truncated`.
    pub reason: String,
    /// The next offset that the lake has stored.
    pub stored: Option<i64>,
    /// The first offset that the broker still has.
    pub log_start: Option<i64>,
    /// The broker's last stable offset.
    pub high: Option<i64>,
    /// What to do to go on, for the operator.
    pub flag_hint: String,
    /// When, in microseconds since 1970.
    pub at: i64,
}

impl Lake {
    /// All halts, ordered by application id.
    pub async fn halts(&self) -> Result<Vec<Halt>> {
        Err(crate::error::LakeError::internal("halts: not written yet"))
    }

    /// Records a halt; the newest one of a partition stands.
    pub async fn set_halt(&self, halt: &Halt) -> Result<()> {
        let _ = halt;
        Err(crate::error::LakeError::internal("halts: not written yet"))
    }

    /// Takes a halt back; says whether there was one.
    pub async fn clear_halt(&self, key: &OffsetKey) -> Result<bool> {
        let _ = key;
        Err(crate::error::LakeError::internal("halts: not written yet"))
    }
}
