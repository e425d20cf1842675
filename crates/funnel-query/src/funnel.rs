//! Funnels: what they are ([`FunnelDefinition`]), and how a definition becomes counts.
//!
//! Over the lake:
//!
//! 1. `projection`: the enriched rows of the range, each repeated for the units it belongs to.
//! 2. `execution`: one row per unit with the steps it reached, then counts per step.
//!
//! Over any other table: `tabular`.

pub(crate) mod attribution;
mod catalog;
mod chain;
pub(crate) mod counts;
mod definition;
pub(crate) mod execution;
pub(crate) mod open;
mod options;
mod passage;
pub(crate) mod projection;
pub(crate) mod tabular;
pub(crate) mod times;
pub(crate) mod top;

pub use catalog::Funnels;
pub use definition::{DefinitionError, FunnelDefinition, Step, Windows};
pub use options::{Attribution, DateBasis, Mode, Model, OptionError, Unit, Window};
pub use tabular::{
    Breakdown, Every, Instant, Period, Source, Span, TableExclusion, TableFunnel, TableStep, Touch,
};

/// 16 hex digits that name a text.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    let hash = blake3::hash(bytes).to_hex();
    hash.chars().take(16).collect()
}
