//! What we add to DataFusion. Knows no lake, no Kafka and no event: only arrays and SQL.
//!
//! | SQL | Result | What it answers |
//! | --- | --- | --- |
//! | `window_funnel(window, [mode,] [options,] time, step1, …)` | `INT` | how far the rows of a group got |
//! | `funnel_match(window, [mode,] [options,] time, step1, …)` | `STRUCT<level INT, times LIST, …>` | and when each step was reached, by which rows, and how it ended |
//! | `funnel_steps(window, [mode,] [options,] time, step1, …)` | `LIST<BOOLEAN>` | which steps were reached |
//! | `funnel_state(window, [mode,] time, step1, …)` | `BINARY` | what to keep of a stretch of time |
//! | `funnel_merge(state)` | `BINARY` | the same of stretches that follow each other |
//! | `funnel_level(state[, window])` | `INT` | how far the rows of a state got |
//! | `sequence_match(pattern, time, c1, …)` | `BOOLEAN` | whether a pattern of rows is found |
//! | `sequence_count(pattern, time, c1, …)` | `BIGINT` | how often |
//! | `retention(c1, …)` | `LIST<BOOLEAN>` | which conditions are met together with the first |
//! | `local_date(time, zone)` | `DATE` | the calendar day of an instant in a time zone |
//! | `local_hour(time, zone)` | `INT` | the hour of the day there |
//!
//! - `window` is an `INTERVAL` without months; `NULL` means unbounded; a bare number is taken only
//!   where `time` is an integer. `mode` is the text of a `funnel_match::Mode`;
//!   the default is `'ordered'`. `options` is a constant `named_struct(…)` of
//!   `funnel_match::Options`. In the modes of ClickHouse a row with a `NULL` argument is skipped.
//! - Where an answer depends on the order of rows of the same time, that is the order in which they
//!   lie in their files: such a query is aggregated in one partition.
//! - `GROUP BY` over input sorted by the keys and time is streamed, without a hash table: EXPLAIN
//!   shows `SortedFunnelExec`. Over other input it shows `HashedFunnelExec`.
//! - What a funnel is, exactly, stands in the documentation of `funnel_match::Mode`.

mod exec;
mod local_time;
mod plan;
mod register;
mod session;
mod udaf;

pub use local_time::{local_date, local_hour};
pub use register::{aggregate_functions, register_all, scalar_functions};
pub use session::SessionBuilder;
pub use udaf::{
    funnel_level, funnel_match, funnel_merge, funnel_state, funnel_steps, retention,
    sequence_count, sequence_match, window_funnel,
};
