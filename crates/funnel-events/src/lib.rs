//! What an event is: envelope and payload decoding, normalisation, Arrow schema, privacy policy.
//!
//! ```text
//! bytes ── json ──▶ document ── envelope, payload/* ──▶ facts ── identity, privacy ──▶ Event | Reject
//!                                                                                        │
//!                                                     builder, reject_builder ◀──────────┘
//! ```
//!
//! No I/O and no clock: what a record means depends on its bytes and on the [`DecoderConfig`] alone.

mod builder;
mod column;
mod config;
mod decoder;
mod draft;
mod envelope;
mod event;
mod event_type;
mod extra;
mod finish;
mod identity;
mod json;
mod origin;
mod payload;
mod privacy;
mod read;
mod reject;
mod reject_builder;
mod schema;
mod time;
mod wire;

pub use builder::EventsBuilder;
pub use config::{DecoderConfig, HashKey, Limits, PrivacyKeep, TimeRules};
pub use decoder::{Decoded, Decoder, Entry, Warning};
pub use event::Event;
pub use event_type::{EventType, Flow, TimeSource};
pub use origin::{RecordOrigin, Stamp};
pub use reject::{Reject, RejectCode, RejectStage};
pub use reject_builder::{Payload, RejectsBuilder, RejectsPolicy};
pub use schema::{
    EVENT_DATE, INGEST_DATE, events_schema, ledger_schema, rejects_schema, schema_text,
};
