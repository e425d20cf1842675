//! Bytes of one record to its facts.

use crate::config::DecoderConfig;
use crate::event::Event;
use crate::reject::{Reject, RejectCode};

/// What one record says.
#[derive(Debug, Clone, PartialEq)]
pub enum Decoded {
    /// No value: a deletion marker.
    Tombstone,
    /// Valid, but it states no fact, such as a poll without news.
    Empty,
    /// At least one fact or refusal.
    Entries(Vec<Entry>),
}

/// One fact of a record, or why it is none.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Event(Box<Event>),
    Reject(Box<Reject>),
}

/// Decodes records. It keeps no state between them: the same bytes give the same facts.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
}

impl Decoder {
    #[must_use]
    pub fn new(config: DecoderConfig) -> Self {
        Self { config }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The facts of one record's value.
    #[must_use]
    pub fn decode(&self, value: Option<&[u8]>) -> Decoded {
        let Some(_bytes) = value else {
            return Decoded::Tombstone;
        };
        let reject = Reject::new(RejectCode::Internal, "not decoded");
        Decoded::Entries(vec![Entry::Reject(Box::new(reject))])
    }

    /// What the operator should hear, each warning once in the life of the decoder.
    pub fn take_warning(&self) -> Option<Warning> {
        None
    }
}

/// Something that is not an error but that the operator should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Warning {
    /// Records name their consumer, but no key is configured: `consumer_key` stays null.
    NoConsumerKey,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoConsumerKey => f.write_str(
                "records name their consumers but no hash key is configured, so `consumer_key` stays \
                 null; set `[privacy] consumer_hash_key` to link a consumer's visits",
            ),
        }
    }
}
