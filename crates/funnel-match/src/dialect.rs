//! The answers of other engines, bit for bit: for comparison, and for those who move their queries.

pub(crate) mod clickhouse;
