//! Records on their way from a source to the core: many per batch, bytes in one arena.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// One topic-partition, as this process names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tp {
    /// The topic.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
}

impl Tp {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for Tp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}

/// Which start of a partition a record belongs to. Every start has a new number, so that records
/// from before a rewind or a rebalance are told from those after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Epoch(pub u64);

/// A header of a record, as given by a source.
pub type Header<'a> = (&'a str, &'a [u8]);

/// One record, borrowed.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its offset.
    pub offset: i64,
    /// The timestamp in milliseconds, if there is one.
    pub timestamp_ms: Option<i64>,
    /// The key's bytes.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
}

#[derive(Debug)]
struct Slot {
    stream: usize,
    offset: i64,
    timestamp_ms: Option<i64>,
    key: Option<Range<usize>>,
    value: Option<Range<usize>>,
    headers: Range<usize>,
}

/// Records of one or more partitions, in the order in which they were read.
#[derive(Debug, Default)]
pub struct Records {
    arena: Vec<u8>,
    slots: Vec<Slot>,
    headers: Vec<(Range<usize>, Range<usize>)>,
    streams: Vec<(Tp, Epoch)>,
}

impl Records {
    /// Makes room for a batch of about this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            arena: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Copies one record.
    pub fn push<'h>(
        &mut self,
        tp: &Tp,
        epoch: Epoch,
        record: Record<'_>,
        headers: impl Iterator<Item = Header<'h>>,
    ) {
        let stream = self.stream(tp, epoch);
        let first = self.headers.len();
        for (name, value) in headers {
            let pair = (self.copy(name.as_bytes()), self.copy(value));
            self.headers.push(pair);
        }
        let slot = Slot {
            stream,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(|key| self.copy(key)),
            value: record.value.map(|value| self.copy(value)),
            headers: first..self.headers.len(),
        };
        self.slots.push(slot);
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Bytes held, roughly.
    pub fn bytes(&self) -> usize {
        self.arena.len() + self.slots.len() * size_of::<Slot>()
    }

    /// The partitions that have records here.
    pub fn streams(&self) -> &[(Tp, Epoch)] {
        &self.streams
    }

    /// The records of one of [`Records::streams`], in order, with their headers.
    pub fn of(&self, stream: usize) -> impl Iterator<Item = (Record<'_>, Vec<Header<'_>>)> {
        self.slots
            .iter()
            .filter(move |slot| slot.stream == stream)
            .map(|slot| {
                let record = Record {
                    offset: slot.offset,
                    timestamp_ms: slot.timestamp_ms,
                    key: slot.key.clone().map(|range| &self.arena[range]),
                    value: slot.value.clone().map(|range| &self.arena[range]),
                };
                (record, self.headers_of(slot))
            })
    }

    fn headers_of(&self, slot: &Slot) -> Vec<Header<'_>> {
        self.headers[slot.headers.clone()]
            .iter()
            .map(|(name, value)| {
                // The name was copied from a `&str`.
                let name = std::str::from_utf8(&self.arena[name.clone()]).unwrap_or_default();
                (name, &self.arena[value.clone()])
            })
            .collect()
    }

    fn stream(&mut self, tp: &Tp, epoch: Epoch) -> usize {
        let found = self
            .streams
            .iter()
            .rposition(|(known, at)| *at == epoch && known == tp);
        found.unwrap_or_else(|| {
            self.streams.push((tp.clone(), epoch));
            self.streams.len() - 1
        })
    }

    fn copy(&mut self, bytes: &[u8]) -> Range<usize> {
        let start = self.arena.len();
        self.arena.extend_from_slice(bytes);
        start..self.arena.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_come_back_per_partition_byte_for_byte_and_in_order() {
        let (a, b) = (Tp::new("a", 0), Tp::new("b", 1));
        let mut records = Records::default();
        let record = |offset, key, value| Record {
            offset,
            timestamp_ms: Some(5),
            key,
            value,
        };
        let headers: [Header<'_>; 1] = [("h", b"\xff")];
        records.push(
            &a,
            Epoch(1),
            record(7, Some(b"k".as_slice()), None),
            headers.into_iter(),
        );
        records.push(
            &b,
            Epoch(2),
            record(1, None, Some(b"".as_slice())),
            std::iter::empty(),
        );
        records.push(
            &a,
            Epoch(1),
            record(9, None, Some(b"v".as_slice())),
            std::iter::empty(),
        );

        assert_eq!(records.streams(), [(a, Epoch(1)), (b, Epoch(2))]);
        let of_a: Vec<_> = records.of(0).collect();
        assert_eq!(of_a.len(), 2);
        assert_eq!(
            (of_a[0].0.offset, of_a[0].0.key, of_a[0].0.value),
            (7, Some(&b"k"[..]), None)
        );
        assert_eq!(of_a[0].1, headers);
        assert_eq!((of_a[1].0.offset, of_a[1].0.value), (9, Some(&b"v"[..])));
        let of_b: Vec<_> = records.of(1).collect();
        assert_eq!(of_b[0].0.value, Some(&b""[..]), "empty is not null");
    }
}
