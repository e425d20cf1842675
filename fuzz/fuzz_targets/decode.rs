//! Every input has an answer, and the batches take every event.
//!
//! `cargo +nightly fuzz run decode -- -max_len=65536`, best with `schemas/examples/valid` as the corpus. The same
//! property runs on stable in `crates/funnel-events/tests/contract/robustness.rs`.

#![no_main]

use funnel_events::{
    Decoded, Decoder, DecoderConfig, Entry, EventsBuilder, RecordOrigin, RejectsBuilder, RejectsPolicy, Stamp,
};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let decoder = Decoder::new(DecoderConfig::default());
    let Decoded::Entries(entries) = decoder.decode(Some(bytes)) else { return };
    assert!(!entries.is_empty());
    let origin = RecordOrigin {
        topic: "t",
        topic_uuid: "u",
        partition: 0,
        offset: 0,
        timestamp_ms: None,
        key: None,
        headers: &[],
        value: Some(bytes),
    };
    let (mut events, mut rejects) =
        (EventsBuilder::new(), RejectsBuilder::new(RejectsPolicy::default()));
    for entry in &entries {
        match entry {
            Entry::Event(event) => events.append(event, &origin),
            Entry::Reject(reject) => rejects.append(reject, &origin),
        }
    }
    let stamp = Stamp { batch_id: "b", ingested_us: 0 };
    let rows = events.finish(&stamp).num_rows() + rejects.finish(&stamp).num_rows();
    assert_eq!(rows, entries.len());
});
