//! Seeded traffic simulator with its ground truth, and the golden scenario.
//!
//! The crate knows LivePerson's payload shapes from the writing side only. It shares no code with
//! the decoder or the query side, so that the numbers it promises cannot inherit their mistakes.
//!
//! - [`golden`]: a small hand-written scenario with hand-written results, in many disguises.
//! - [`Simulation`]: endless-looking but bounded traffic, an iterator of [`Message`]s; when it is
//!   exhausted, [`Simulation::into_truth`] gives the exact numbers that must come out.
//! - [`output`]: the files that hold both.
//! - [`clickstream`]: bare histories, by the hundred million, for measuring.

pub mod clickstream;
pub mod golden;
pub mod json;
pub mod message;
pub mod output;
pub mod payload;
mod scribe;
mod sim;
pub mod truth;

pub use message::{Message, topics};
pub use output::{OutputError, write_dir};
pub use sim::{Disorder, Options, OptionsError, Simulation};
pub use truth::Truth;
