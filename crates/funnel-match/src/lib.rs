//! The funnel algorithm as a pure state machine over plain slices: no clock, no I/O, no arrays of
//! any engine.
//!
//! A funnel is a list of steps. The history of one key (a visitor, a session, …) is a list of
//! [`Row`]s: a time, and one bit for each step whose condition the row satisfies. [`Matcher`] says
//! how far the history got; [`Mode`] says what "far" means, exactly.
//!
//! ```
//! use funnel_match::{Matcher, Mode, Row, Spec};
//!
//! // exposed → clicked → requested, all within 60 seconds of the exposure that counts.
//! const EXPOSED: u64 = 0b001;
//! const CLICKED: u64 = 0b010;
//! const REQUESTED: u64 = 0b100;
//! let history = [
//!     Row { time: 0, mask: EXPOSED },
//!     Row { time: 50, mask: EXPOSED },
//!     Row { time: 55, mask: CLICKED },
//!     Row { time: 55, mask: CLICKED }, // delivered twice: changes nothing
//!     Row { time: 90, mask: REQUESTED },
//! ];
//! let mut matcher = Matcher::new(Spec::new(Mode::Ordered, 3, Some(60))?);
//!
//! // The exposure at 50 is the last one before the click: from it, 90 is inside the window.
//! assert_eq!(matcher.level(&history), 3);
//! let mut times = Vec::new();
//! matcher.trace(&history, &mut times);
//! assert_eq!(times, [Some(50), Some(55), Some(90)]);
//!
//! // Thirty seconds are too few for the request, whichever exposure is taken.
//! let mut narrow = Matcher::new(Spec::new(Mode::Ordered, 3, Some(30))?);
//! assert_eq!(narrow.level(&history), 2);
//!
//! // Without the exposures the chain cannot begin; the loose mode still sees the later steps.
//! let mut loose = Matcher::new(Spec::new(Mode::Loose, 3, None)?);
//! assert_eq!(narrow.level(&history[2..]), 0);
//! assert_eq!(loose.reached(&history[2..]), CLICKED | REQUESTED);
//! # Ok::<(), funnel_match::SpecError>(())
//! ```

mod attempts;
mod chains;
pub mod classify;
mod dialect;
mod limits;
mod loose;
mod matcher;
mod mode;
mod next;
mod open;
mod options;
mod ordered;
mod parts;
mod pattern;
#[cfg(any(test, feature = "testing"))]
pub mod reference;
mod retention;
mod runs;
mod set;
mod spec;
mod state;
mod ties;
mod unordered;

pub use dialect::clickhouse::ClickHouse;
pub use dialect::doris::Doris;
pub use dialect::pinot::Pinot;
pub use dialect::posthog::PostHog;
pub use dialect::starrocks::StarRocks;
pub use matcher::{Hit, Matcher, Outcome, Row, State};
pub use mode::{Mode, ModeError};
pub use options::{Action, Bound, Count, Entry, Exclusion, Options, Reuse};
pub use pattern::{PATTERN_CONDITIONS_MAX, Pattern, PatternError};
pub use retention::{RETENTION_CONDITIONS_MAX, retention};
pub use runs::Runs;
pub use spec::{STEPS_MAX, Spec, SpecError};
pub use state::{SegmentState, StateBuilder, StateError, StateShape};
