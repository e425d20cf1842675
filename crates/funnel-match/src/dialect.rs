//! The answers of other engines, bit for bit: for comparison, and for those who move their queries.

pub(crate) mod clickhouse;
pub(crate) mod doris;
pub(crate) mod pinot;
pub(crate) mod posthog;
pub(crate) mod starrocks;
