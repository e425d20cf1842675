//! What we add to DataFusion. Knows no lake, no Kafka and no event: only arrays and SQL.
//!
//! | SQL | Result | What it answers |
//! | --- | --- | --- |
//! | `window_funnel(window, [mode,] time, step1, …)` | `INT` | how far the rows of a group got |
//! | `funnel_match(window, [mode,] time, step1, …)` | `STRUCT<level INT, times LIST>` | and when each step was reached |
//! | `funnel_steps(window, [mode,] time, step1, …)` | `LIST<BOOLEAN>` | which steps were reached |
//! | `local_date(time, zone)` | `DATE` | the calendar day of an instant in a time zone |
//! | `local_hour(time, zone)` | `INT` | the hour of the day there |
//!
//! - `window` is an `INTERVAL` without months; `NULL` means unbounded; a bare number is taken only
//!   where `time` is an integer. `mode` is `'ordered'` (the default) or `'loose'`.
//! - What a funnel is, exactly, stands in the documentation of `funnel_match::Mode`.

mod local_time;
mod register;
mod session;
mod udaf;

pub use local_time::{local_date, local_hour};
pub use register::{aggregate_functions, register_all, scalar_functions};
pub use session::SessionBuilder;
pub use udaf::{funnel_match, funnel_steps, window_funnel};
