//! `events_enriched`: every event with what it can only know from other events.
//!
//! | Module | What it holds |
//! | --- | --- |
//! | [`schema`] | the columns of the view |
//! | [`provider`] | the view as a DataFusion table |

pub mod provider;
pub mod schema;

use std::collections::BTreeMap;

use chrono_tz::Tz;

pub use provider::EnrichedProvider;

/// What the rules have to know beside the events.
#[derive(Debug, Clone, Default)]
pub struct EnrichRules {
    /// Time zone of each account; UTC for the others.
    pub zones: BTreeMap<String, Tz>,
}
