//! Funnels: what they are ([`FunnelDefinition`]), and how a definition becomes counts.
//!
//! 1. `projection`: the enriched rows of the range, each repeated for the units it belongs to.
//! 2. `execution`: one row per unit with the steps it reached, then counts per step.

pub(crate) mod attribution;
mod chain;
mod counts;
mod definition;
pub(crate) mod execution;
mod options;
pub(crate) mod projection;

pub use definition::{DefinitionError, FunnelDefinition, Step, Windows};
pub use options::{Attribution, DateBasis, Mode, Model, OptionError, Unit, Window};

/// 16 hex digits of FNV-1a: names a text; two texts with the same name are not an attack here.
pub(crate) fn fingerprint(bytes: &[u8]) -> String {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{hash:016x}")
}
