//! How a session is made: memory limit, batch size and our functions in one place.

use std::num::NonZeroUsize;
use std::sync::Arc;

use datafusion::common::{Result, plan_err};
use datafusion::execution::memory_pool::{FairSpillPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};

use crate::register::register_all;

/// Consumers named in the message of a query that asks for more memory than there is.
const TOP_CONSUMERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(4);

/// A sort may set aside one part in so many of the memory for merging.
const MERGE_SHARE: usize = 32;

/// Builds a [`SessionContext`] that knows every function of this crate.
///
/// ```
/// # fn main() -> datafusion::common::Result<()> {
/// let session = funnel_engine::SessionBuilder::new()
///     .memory_limit(512 * 1024 * 1024)
///     .batch_size(8192)
///     .build()?;
/// # let _ = session;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct SessionBuilder {
    config: SessionConfig,
    memory_bytes: Option<usize>,
    batch_rows: Option<usize>,
}

impl SessionBuilder {
    /// Starts from DataFusion's defaults, with `information_schema` on.
    pub fn new() -> Self {
        Self::with_config(SessionConfig::new().with_information_schema(true))
    }

    /// Starts from a configuration of the caller's.
    pub fn with_config(config: SessionConfig) -> Self {
        Self {
            config,
            memory_bytes: None,
            batch_rows: None,
        }
    }

    /// Limits what all queries of the session may hold in memory together, in bytes. Operators that
    /// can spill do so; the others fail with a message that names the largest consumers. Without a
    /// limit the session takes what the machine gives.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.memory_bytes = Some(bytes);
        self
    }

    /// Rows per batch between operators (DataFusion's default: 8192).
    #[must_use]
    pub fn batch_size(mut self, rows: usize) -> Self {
        self.batch_rows = Some(rows);
        self
    }

    /// How many partitions a plan is spread over (default: one per core).
    #[must_use]
    pub fn target_partitions(mut self, partitions: usize) -> Self {
        self.config = self.config.with_target_partitions(partitions);
        self
    }

    /// The session, with the functions of this crate registered.
    ///
    /// # Errors
    /// A memory limit or batch size of zero, or a spill folder that cannot be prepared.
    pub fn build(self) -> Result<SessionContext> {
        let mut config = self.config;
        if let Some(rows) = self.batch_rows {
            if rows == 0 {
                return plan_err!("batch size must be at least one row, found 0");
            }
            config = config.with_batch_size(rows);
        }
        let mut runtime = RuntimeEnvBuilder::new();
        if let Some(bytes) = self.memory_bytes {
            if bytes == 0 {
                return plan_err!("memory limit must be at least one byte, found 0");
            }
            // What each sort sets aside for merging its spilled runs: DataFusion's 10 MiB would be
            // more than a small limit has.
            let merge_bytes = bytes / MERGE_SHARE;
            if merge_bytes < config.options().execution.sort_spill_reservation_bytes {
                config = config.with_sort_spill_reservation_bytes(merge_bytes);
            }
            let pool = TrackConsumersPool::new(FairSpillPool::new(bytes), TOP_CONSUMERS);
            runtime = runtime.with_memory_pool(Arc::new(pool));
        }
        let session = SessionContext::new_with_config_rt(config, runtime.build_arc()?);
        register_all(&session);
        Ok(session)
    }
}
