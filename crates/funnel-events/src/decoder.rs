//! Bytes of one record to its facts.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::config::DecoderConfig;
use crate::draft::Record;
use crate::envelope::read_envelope;
use crate::event::Event;
use crate::finish::{Finished, finish};
use crate::json::{Document, Value, parse};
use crate::payload::read_payload;
use crate::reject::{Reject, RejectCode};
use crate::wire::{WireFormat, detect};

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

/// Decodes records. Beside its configuration it keeps only whether it has warned: the same bytes
/// give the same facts, on any thread.
#[derive(Debug)]
pub struct Decoder {
    config: DecoderConfig,
    /// 0 nothing to warn of, 1 to be warned, 2 warned.
    consumer_warning: AtomicU8,
}

impl Decoder {
    #[must_use]
    pub fn new(config: DecoderConfig) -> Self {
        Self {
            config,
            consumer_warning: AtomicU8::new(0),
        }
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &DecoderConfig {
        &self.config
    }

    /// The facts of one record's value. Total: every input has one of the three answers.
    #[must_use]
    pub fn decode(&self, value: Option<&[u8]>) -> Decoded {
        let Some(bytes) = value else {
            return Decoded::Tombstone;
        };
        match self.document(bytes) {
            Ok(document) => self.facts(&document),
            Err(reject) => Decoded::Entries(vec![Entry::Reject(reject)]),
        }
    }

    /// What the operator should hear, each warning once in the life of the decoder.
    pub fn take_warning(&self) -> Option<Warning> {
        self.consumer_warning
            .compare_exchange(1, 2, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
            .then_some(Warning::NoConsumerKey)
    }

    fn document<'a>(&self, bytes: &'a [u8]) -> Result<Document<'a>, Box<Reject>> {
        let limit = self.config.limits.max_record_bytes;
        if bytes.len() > limit {
            let detail = format!("the value has {} bytes; the limit is {limit}", bytes.len());
            return Err(Box::new(Reject::new(RejectCode::TooLarge, detail)));
        }
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Box::new(Reject::new(
                RejectCode::Empty,
                "the value holds no bytes but white space",
            )));
        }
        let WireFormat::Json = detect(bytes)?;
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let detail = format!("the value is not UTF-8 at byte {}", error.valid_up_to());
            Box::new(Reject::new(RejectCode::Utf8, detail))
        })?;
        parse(text, self.config.limits.max_depth).map_err(|error| {
            Box::new(Reject::new(
                error.code,
                format!("at byte {}: {}", error.byte, error.what),
            ))
        })
    }

    fn facts(&self, document: &Document<'_>) -> Decoded {
        let root = document.root();
        let (base, payload) = match read_envelope(root) {
            Ok(read) => read,
            Err(mut reject) => {
                describe(root, &self.config, &mut reject);
                return Decoded::Entries(vec![Entry::Reject(reject)]);
            }
        };
        let mut record = Record::new(root, payload, base, &self.config);
        read_payload(&mut record);
        if record.is_over_limit() {
            let limit = self.config.limits.max_entries;
            let detail = format!("the record holds more than {limit} entries");
            let mut reject = Reject::new(RejectCode::FieldRange, detail).at("/payload");
            describe(root, &self.config, &mut reject);
            return Decoded::Entries(vec![Entry::Reject(Box::new(reject))]);
        }
        let Finished {
            mut entries,
            consumer_without_key,
        } = finish(record);
        if consumer_without_key {
            // Only the first record that needs the warning changes anything.
            let _ =
                self.consumer_warning
                    .compare_exchange(0, 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        for entry in &mut entries {
            if let Entry::Reject(reject) = entry {
                describe(root, &self.config, reject);
            }
        }
        if entries.is_empty() {
            Decoded::Empty
        } else {
            Decoded::Entries(entries)
        }
    }
}

/// The longest text that a refusal repeats.
const DESCRIBED_BYTES_MAX: usize = 256;

/// Adds what the envelope of a refused record says, as far as it can be read.
fn describe(root: Value<'_, '_>, config: &DecoderConfig, reject: &mut Reject) {
    let text = |key: &str| {
        root.get(key)
            .and_then(|value| value.as_text(DESCRIBED_BYTES_MAX))
    };
    reject.event_type = text("eventType");
    reject.schema_version = text("schemaVersion");
    reject.account_id = text("accountId");
    reject.source_system = text("sourceSystem");
    reject.event_time_raw = text("eventTime");
    let payload = root.object("payload");
    reject.visitor_id = text("visitorId").or_else(|| payload.and_then(find_visitor));
    let consumer = payload.and_then(find_consumer);
    if let (Some(account), Some(consumer), Some(key)) =
        (&reject.account_id, consumer, &config.consumer_hash_key)
    {
        reject.consumer_key = Some(key.consumer_key(account, &consumer));
    }
}

fn find_visitor(payload: Value<'_, '_>) -> Option<String> {
    let inside = ["info", "request"]
        .iter()
        .filter_map(|key| payload.object(key));
    std::iter::once(payload).chain(inside).find_map(|object| {
        ["sharkVisitorId", "LETagVisitorId", "visitorId"]
            .iter()
            .find_map(|key| {
                // A visitor that is a number is the Chat API's own.
                object
                    .peek_text(key)
                    .filter(|id| id.len() <= DESCRIBED_BYTES_MAX)
                    .map(str::to_owned)
            })
    })
}

/// The consumer that a payload names, wherever it stands.
fn find_consumer(value: Value<'_, '_>) -> Option<String> {
    let named = ["customerId", "sub", "consumerId"]
        .iter()
        .find_map(|key| value.get(key)?.as_text(1024).filter(|id| !id.is_empty()));
    named.or_else(|| {
        value
            .members()
            .map(|(_, member)| member)
            .chain(value.items())
            .find_map(|member| {
                (member.is_object() || member.is_array()).then(|| find_consumer(member))?
            })
    })
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
