//! Refused records to Arrow.

use arrow::array::RecordBatch;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::builder::assemble;
use crate::column::table;
use crate::origin::{RecordOrigin, Stamp};
use crate::reject::Reject;
use crate::schema::rejects_schema;

table! {
    /// One row of `rejects`.
    pub(crate) struct RejectRow, RejectColumns;
    reject_id: String => "reject_id" Text,
    topic: String => "kafka_topic" Text,
    topic_uuid: String => "topic_uuid" Text,
    partition: i32 => "kafka_partition" Int32,
    offset: i64 => "kafka_offset" Int64,
    entry_index: Option<i32> => "entry_index" Int32,
    timestamp_us: Option<i64> => "kafka_timestamp" Time,
    reason_code: String => "reason_code" Text,
    reason_stage: String => "reason_stage" Text,
    detail: String => "detail" Text,
    error_path: Option<String> => "error_path" Text,
    event_id: Option<String> => "event_id" Text,
    event_type: Option<String> => "event_type" Text,
    schema_version: Option<String> => "schema_version" Text,
    account_id: Option<String> => "account_id" Text,
    visitor_id: Option<String> => "visitor_id" Text,
    consumer_key: Option<String> => "consumer_key" Text,
    source_system: Option<String> => "source_system" Text,
    event_time_raw: Option<String> => "event_time_raw" Text,
    key: Option<Vec<u8>> => "key" Bytes,
    headers: Option<String> => "headers" Text,
    payload: Option<Vec<u8>> => "payload" Bytes,
    payload_sha: String => "payload_sha" Text,
    payload_len: i64 => "payload_len" Int64,
    payload_truncated: bool => "payload_truncated" Bool,
    batch_id: String => "batch_id" Text,
    ingested_us: i64 => "ingested_time" Time,
    ingest_date: i32 => "ingest_date" Day,
}

/// What is kept of a refused record's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Payload {
    /// The bytes, for replay. They may hold personal data.
    #[default]
    Bytes,
    /// Their hash and length only; such a record can be replayed from Kafka alone.
    HashOnly,
}

/// How much a row of `rejects` may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RejectsPolicy {
    pub keep_payload: Payload,
    /// A payload above this is cut to [`RejectsPolicy::CUT_BYTES`].
    pub max_payload_bytes: usize,
}

impl RejectsPolicy {
    /// What remains of a payload that is too large.
    pub const CUT_BYTES: usize = 64 * 1024;
}

impl Default for RejectsPolicy {
    fn default() -> Self {
        Self {
            keep_payload: Payload::Bytes,
            max_payload_bytes: 1024 * 1024,
        }
    }
}

/// The longest text of `detail`, so that a hostile record cannot grow its reason.
const DETAIL_CHARS_MAX: usize = 2048;

/// Collects refusals into one batch of the `rejects` table.
pub struct RejectsBuilder {
    policy: RejectsPolicy,
    columns: RejectColumns,
    rows: usize,
}

impl std::fmt::Debug for RejectsBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RejectsBuilder")
            .field("policy", &self.policy)
            .field("rows", &self.rows)
            .finish_non_exhaustive()
    }
}

impl RejectsBuilder {
    #[must_use]
    pub fn new(policy: RejectsPolicy) -> Self {
        Self {
            policy,
            columns: RejectColumns::new(),
            rows: 0,
        }
    }

    /// Adds one refusal of the record at `origin`.
    pub fn append(&mut self, reject: &Reject, origin: &RecordOrigin<'_>) {
        self.append_place(reject, origin);
        let columns = &mut self.columns;
        columns.reason_code.append_value(reject.code.as_str());
        columns.reason_stage.append_value(reject.stage.as_str());
        columns
            .detail
            .append_value(cut(&reject.detail, DETAIL_CHARS_MAX));
        columns
            .error_path
            .append_option(reject.path.as_deref().map(|path| cut(path, 1024)));
        columns.event_id.append_option(reject.event_id.as_deref());
        columns
            .event_type
            .append_option(reject.event_type.as_deref());
        columns
            .schema_version
            .append_option(reject.schema_version.as_deref());
        columns
            .account_id
            .append_option(reject.account_id.as_deref());
        columns
            .visitor_id
            .append_option(reject.visitor_id.as_deref());
        columns
            .consumer_key
            .append_option(reject.consumer_key.as_deref());
        columns
            .source_system
            .append_option(reject.source_system.as_deref());
        columns
            .event_time_raw
            .append_option(reject.event_time_raw.as_deref());
        self.append_bytes(origin);
        self.rows += 1;
    }

    fn append_place(&mut self, reject: &Reject, origin: &RecordOrigin<'_>) {
        let mut id = format!(
            "{}/{}/{}",
            origin.topic_uuid, origin.partition, origin.offset
        );
        if let Some(index) = reject.entry_index {
            id.push_str(&format!("/{index}"));
        }
        let columns = &mut self.columns;
        columns.reject_id.append_value(id);
        columns.topic.append_value(origin.topic);
        columns.topic_uuid.append_value(origin.topic_uuid);
        columns.partition.append_value(origin.partition);
        columns.offset.append_value(origin.offset);
        columns.entry_index.append_option(reject.entry_index);
        columns.timestamp_us.append_option(origin.timestamp_us());
    }

    fn append_bytes(&mut self, origin: &RecordOrigin<'_>) {
        let columns = &mut self.columns;
        let value = origin.value.unwrap_or_default();
        let too_large = value.len() > self.policy.max_payload_bytes;
        let kept = if too_large {
            RejectsPolicy::CUT_BYTES.min(value.len())
        } else {
            value.len()
        };
        let keep = self.policy.keep_payload == Payload::Bytes;
        // Keys hold the visitor id and headers may hold anything: they go the way of the payload.
        columns.key.append_option(origin.key.filter(|_| keep));
        columns
            .headers
            .append_option(headers_json(origin.headers).filter(|_| keep));
        columns
            .payload
            .append_option(origin.value.filter(|_| keep).and(value.get(..kept)));
        columns
            .payload_sha
            .append_value(blake3::hash(value).to_hex().as_str());
        columns
            .payload_len
            .append_value(i64::try_from(value.len()).unwrap_or(i64::MAX));
        columns.payload_truncated.append_value(!keep || too_large);
    }

    /// Rows collected so far.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bytes held by the collected rows, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.columns.bytes()
    }

    /// The batch of all collected rows; the builder is empty afterwards.
    pub fn finish(&mut self, stamp: &Stamp<'_>) -> RecordBatch {
        let day = i32::try_from(stamp.ingested_us.div_euclid(86_400_000_000)).unwrap_or(i32::MAX);
        for _ in 0..self.rows {
            self.columns.batch_id.append_value(stamp.batch_id);
            self.columns.ingested_us.append_value(stamp.ingested_us);
            self.columns.ingest_date.append_value(day);
        }
        self.rows = 0;
        let columns = self
            .columns
            .finish()
            .into_iter()
            .map(|(_, array)| array)
            .collect();
        assemble(&rejects_schema(), columns)
    }
}

/// The first `chars` characters.
fn cut(text: &str, chars: usize) -> &str {
    text.char_indices()
        .nth(chars)
        .map_or(text, |(end, _)| text.get(..end).unwrap_or(text))
}

/// Headers as a JSON object of base64 texts; a name that repeats becomes an array in order.
fn headers_json(headers: &[(&str, &[u8])]) -> Option<String> {
    if headers.is_empty() {
        return None;
    }
    let mut object = serde_json::Map::new();
    for (name, value) in headers {
        let encoded = serde_json::Value::String(STANDARD.encode(value));
        match object.get_mut(*name) {
            None => {
                object.insert((*name).to_owned(), encoded);
            }
            Some(serde_json::Value::Array(all)) => all.push(encoded),
            Some(first) => *first = serde_json::Value::Array(vec![first.take(), encoded]),
        }
    }
    Some(serde_json::Value::Object(object).to_string())
}
