//! DataFusion's view of a Delta table.

use std::sync::Arc;

use datafusion::catalog::TableProvider;

use crate::error::{LakeError, Result};
use crate::lake::Lake;

/// One version of a Delta table for DataFusion.
#[derive(Debug)]
pub struct DeltaTableProvider {}

/// The newest version of the Delta table at a local path or `file://` URL.
pub async fn table_provider(url: &str) -> Result<Arc<dyn TableProvider>> {
    let _ = url;
    Err(LakeError::internal("provider: not written yet"))
}

impl Lake {
    /// The newest version of `events`.
    pub async fn events_provider(&self) -> Result<Arc<dyn TableProvider>> {
        Err(LakeError::internal("provider: not written yet"))
    }

    /// The newest version of `rejects`.
    pub async fn rejects_provider(&self) -> Result<Arc<dyn TableProvider>> {
        Err(LakeError::internal("provider: not written yet"))
    }

    /// The newest version of `ledger`.
    pub async fn ledger_provider(&self) -> Result<Arc<dyn TableProvider>> {
        Err(LakeError::internal("provider: not written yet"))
    }
}
