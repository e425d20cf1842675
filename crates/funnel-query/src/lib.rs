//! A session over the lake: tables, views, named queries, funnel definitions, marts.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`session`] | one SQL session: tables of a lake, views, functions |
//! | [`enrich`] | `events_enriched`: what a row can only know from other rows |
//! | [`views`] | `sessions`, `offers`, `chats`, `conversions` |
//! | [`funnel`] | funnel definitions and how they become counts |
//! | [`explain`] | why one unit went as far as it did |
//! | [`reconcile`] | one class for each row read |
//! | [`report`] | one funnel over a range of days |
//! | [`days`] | where the days of a time zone begin |
//! | [`format`](mod@format) | rows as CSV, JSON, Parquet, Arrow |
//! | [`named`] | `queries/*.sql` with bound parameters |
//! | `table_function` | a report as a table of SQL |
//! | [`publish`] | the marts of closed days |

pub mod days;
pub mod enrich;
pub mod error;
pub mod explain;
#[cfg(test)]
mod fixture;
pub mod format;
pub mod funnel;
pub mod named;
pub mod publish;
pub mod reconcile;
pub mod report;
pub mod session;
mod table_function;
#[cfg(test)]
mod testing;
pub mod views;

pub use error::{ErrorKind, QueryError, Result};
pub use session::{QueryOptions, QuerySession};
