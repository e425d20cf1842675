//! Where a record came from and which commit stores it.

/// One Kafka record's place and raw parts.
#[derive(Debug, Clone, Copy)]
pub struct RecordOrigin<'a> {
    pub topic: &'a str,
    pub topic_uuid: &'a str,
    pub partition: i32,
    pub offset: i64,
    /// The record's timestamp in milliseconds, if the broker gave one.
    pub timestamp_ms: Option<i64>,
    pub key: Option<&'a [u8]>,
    pub headers: &'a [(&'a str, &'a [u8])],
    pub value: Option<&'a [u8]>,
}

impl RecordOrigin<'_> {
    /// The record's timestamp in microseconds.
    #[must_use]
    pub fn timestamp_us(&self) -> Option<i64> {
        self.timestamp_ms.and_then(|ms| ms.checked_mul(1000))
    }
}

/// What all rows of one batch share.
#[derive(Debug, Clone, Copy)]
pub struct Stamp<'a> {
    pub batch_id: &'a str,
    pub ingested_us: i64,
}
