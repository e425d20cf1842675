//! The entries of each partition, one after the other.

use std::collections::{BTreeMap, BTreeSet};

use super::{PartitionTotals, Problem};
use crate::commit::OffsetKey;
use crate::ledger::{LedgerEntry, LedgerKind};
use crate::table::Snapshot;

/// Topic, its UUID, partition.
pub(super) type PartitionKey = (String, String, i32);

/// Checks each entry and their order; returns the sums per partition.
pub(super) fn check(
    entries: &[LedgerEntry],
    events: &Snapshot,
    problems: &mut Vec<Problem>,
) -> Vec<PartitionTotals> {
    let mut partitions: BTreeMap<PartitionKey, Vec<&LedgerEntry>> = BTreeMap::new();
    for entry in entries {
        check_identity(entry, problems);
        partitions.entry(key_of(entry)).or_default().push(entry);
    }
    let mut stored = stored_offsets(events);
    let mut totals = Vec::with_capacity(partitions.len());
    for (key, mut chain) in partitions {
        chain.sort_by_key(|entry| (entry.from_offset, entry.to_offset));
        check_chain(&key, &chain, problems);
        let mut total = sum(&key, &chain);
        let offsets = stored.remove(&key).unwrap_or_default();
        check_stored(&total, &offsets, problems);
        total.stored_offset = offsets.last().copied();
        totals.push(total);
    }
    for (key, offsets) in stored {
        if offsets.iter().any(|offset| *offset != 0) {
            problems.push(Problem::new(
                "stored_offset",
                format!(
                    "{}: stored offsets {offsets:?} without any entry",
                    name(&key)
                ),
            ));
        }
    }
    totals
}

pub(super) fn name((topic, uuid, partition): &PartitionKey) -> String {
    format!("{topic} ({uuid}) partition {partition}")
}

fn key_of(entry: &LedgerEntry) -> PartitionKey {
    (
        entry.kafka_topic.clone(),
        entry.topic_uuid.clone(),
        entry.kafka_partition,
    )
}

fn check_identity(entry: &LedgerEntry, problems: &mut Vec<Problem>) {
    let at = || {
        format!(
            "{} offsets {}..{} (version {})",
            name(&key_of(entry)),
            entry.from_offset,
            entry.to_offset,
            entry.version
        )
    };
    let length = entry.to_offset - entry.from_offset;
    let accounted = entry.accounted();
    let expected = match entry.kind {
        LedgerKind::Data => length,
        // A gap accounts for nothing: its offsets were never read.
        LedgerKind::Gap => 0,
    };
    if accounted != expected || length <= 0 {
        problems.push(Problem::new(
            "entry_identity",
            format!(
                "{}: {length} offsets, {accounted} accounted for (accepted {}, rejected {}, \
                 duplicate {}, empty {}, tombstone {}, holes {}), expected {expected}",
                at(),
                entry.accepted,
                entry.rejected,
                entry.duplicate,
                entry.empty,
                entry.tombstone,
                entry.holes
            ),
        ));
    }
    let counts = [
        entry.accepted,
        entry.rejected,
        entry.duplicate,
        entry.empty,
        entry.tombstone,
        entry.holes,
        entry.event_rows - entry.accepted,
        entry.reject_rows - entry.rejected,
        entry.duplicate_entries - entry.dup_differs,
        entry.dup_differs,
    ];
    if counts.iter().any(|count| *count < 0) {
        problems.push(Problem::new(
            "entry_counts",
            format!(
                "{}: a count is negative, or there are fewer rows than records: event_rows {} for \
                 accepted {}, reject_rows {} for rejected {}, duplicate_entries {} for \
                 dup_differs {}",
                at(),
                entry.event_rows,
                entry.accepted,
                entry.reject_rows,
                entry.rejected,
                entry.duplicate_entries,
                entry.dup_differs
            ),
        ));
    }
}

fn check_chain(key: &PartitionKey, chain: &[&LedgerEntry], problems: &mut Vec<Problem>) {
    let mut next = 0;
    for entry in chain {
        let (rule, what) = match entry.from_offset {
            from if from > next => ("chain_gap", "no entry for"),
            from if from < next => ("chain_overlap", "more than one entry for"),
            _ => {
                next = entry.to_offset;
                continue;
            }
        };
        let (low, high) = (next.min(entry.from_offset), next.max(entry.from_offset));
        problems.push(Problem::new(
            rule,
            format!(
                "{}: {what} offsets {low}..{high} (before version {})",
                name(key),
                entry.version
            ),
        ));
        next = next.max(entry.to_offset);
    }
}

fn check_stored(total: &PartitionTotals, stored: &BTreeSet<i64>, problems: &mut Vec<Problem>) {
    if stored.len() == 1 && stored.contains(&total.to_offset) {
        return;
    }
    problems.push(Problem::new(
        "stored_offset",
        format!(
            "{} ({}) partition {}: entries end at offset {}, stored {stored:?}",
            total.topic, total.topic_uuid, total.partition, total.to_offset
        ),
    ));
}

/// Stored offsets per partition: one each, unless two jobs read the same partition.
fn stored_offsets(events: &Snapshot) -> BTreeMap<PartitionKey, BTreeSet<i64>> {
    let mut stored: BTreeMap<PartitionKey, BTreeSet<i64>> = BTreeMap::new();
    for (app_id, offset) in events.offsets("") {
        if let Some(key) = OffsetKey::from_app_id(&app_id) {
            let partition = (key.topic, key.topic_uuid, key.partition);
            stored.entry(partition).or_default().insert(offset);
        }
    }
    stored
}

fn sum(key: &PartitionKey, chain: &[&LedgerEntry]) -> PartitionTotals {
    let mut total = PartitionTotals {
        topic: key.0.clone(),
        topic_uuid: key.1.clone(),
        partition: key.2,
        from_offset: chain.first().map_or(0, |entry| entry.from_offset),
        to_offset: chain.iter().map(|e| e.to_offset).max().unwrap_or(0),
        ..PartitionTotals::default()
    };
    for entry in chain {
        if entry.kind == LedgerKind::Gap {
            total.gap_offsets += entry.to_offset - entry.from_offset;
        }
        total.accepted += entry.accepted;
        total.rejected += entry.rejected;
        total.duplicate += entry.duplicate;
        total.empty += entry.empty;
        total.tombstone += entry.tombstone;
        total.holes += entry.holes;
        total.event_rows += entry.event_rows;
        total.reject_rows += entry.reject_rows;
        total.duplicate_entries += entry.duplicate_entries;
        total.dup_differs += entry.dup_differs;
    }
    total
}
