//! Where a partition starts, or why it must not: a pure decision.
//!
//! `stored` is the next offset in the lake, `low` the broker's log start, `high` its last stable
//! offset.

use crate::config::{OnTruncation, StartFrom};

/// A range of offsets that no row will ever tell about, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// First missing offset.
    pub from: i64,
    /// First offset that is there.
    pub to: i64,
    /// The reason as written into the ledger.
    pub reason: &'static str,
}

/// Why a partition stands still.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HaltReason {
    /// The broker deleted offsets that were never read.
    Truncated,
    /// The lake is ahead of the broker: an unclean election, a restored or a wrong cluster.
    Ahead,
    /// The configured start lies beyond what the broker has.
    StartAhead,
}

impl HaltReason {
    /// The state's name in the lake and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Truncated => "halted_truncated",
            Self::Ahead => "halted_ahead",
            Self::StartAhead => "halted_start_ahead",
        }
    }
}

/// What is known of a partition when it is to start.
#[derive(Debug, Clone, Copy)]
pub struct Known {
    /// The next offset stored in the lake.
    pub stored: Option<i64>,
    /// The first offset that the broker has.
    pub low: i64,
    /// The broker's last stable offset.
    pub high: i64,
    /// The job has stored offsets for this topic before.
    pub topic_known: bool,
    /// How often the watermarks were read and the lake was ahead of them.
    pub seen_ahead: u32,
    /// Where `start_from` puts this partition, when that takes more than its watermarks.
    pub wanted: Option<i64>,
}

/// What the operator wants.
#[derive(Debug, Clone, Copy)]
pub struct Policy<'a> {
    /// For a new job.
    pub start_from: &'a StartFrom,
    /// For lost offsets.
    pub on_truncation: OnTruncation,
}

/// The decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// Read from here; the gap goes into the ledger with the first commit.
    At {
        /// The next offset to read.
        offset: i64,
        /// What is skipped.
        gap: Option<Gap>,
    },
    /// One reading of watermarks proves nothing: read them again, later.
    Recheck,
    /// Do not read.
    Halt(HaltReason),
}

/// Readings of the watermarks before a lake that is ahead of the broker halts a partition.
pub const READINGS_BEFORE_HALT: u32 = 3;

/// Applies the start rules.
pub fn decide(known: &Known, policy: Policy<'_>) -> Start {
    let Some(stored) = known.stored else {
        return first_start(known, policy);
    };
    if stored < known.low {
        return match policy.on_truncation {
            OnTruncation::Halt => Start::Halt(HaltReason::Truncated),
            OnTruncation::RecordGap => Start::At {
                offset: known.low,
                gap: gap(stored, known.low, "truncated"),
            },
        };
    }
    if stored > known.high {
        return if known.seen_ahead + 1 < READINGS_BEFORE_HALT {
            Start::Recheck
        } else {
            Start::Halt(HaltReason::Ahead)
        };
    }
    Start::At {
        offset: stored,
        gap: None,
    }
}

/// A partition that was added to a known topic is read from its beginning whatever `start_from`
/// says: its records were written after the job had started.
fn first_start(known: &Known, policy: Policy<'_>) -> Start {
    let wanted = known.wanted.unwrap_or(known.low);
    let (offset, reason) = match policy.start_from {
        _ if known.topic_known => (known.low, "added_partition_not_from_zero"),
        StartFrom::Earliest => (known.low, "origin"),
        StartFrom::Latest => (known.high, "start_from_latest"),
        _ if wanted > known.high => return Start::Halt(HaltReason::StartAhead),
        _ if wanted <= known.low => (known.low, "origin"),
        StartFrom::Timestamp(_) => (wanted, "start_from_timestamp"),
        StartFrom::Offsets(_) => (wanted, "start_from_offsets"),
        StartFrom::Group => (wanted, "start_from_group"),
    };
    Start::At {
        offset,
        gap: gap(0, offset, reason),
    }
}

fn gap(from: i64, to: i64, reason: &'static str) -> Option<Gap> {
    (from < to).then_some(Gap { from, to, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALTING: Policy<'static> = Policy {
        start_from: &StartFrom::Earliest,
        on_truncation: OnTruncation::Halt,
    };

    fn known(stored: Option<i64>, low: i64, high: i64) -> Known {
        Known {
            stored,
            low,
            high,
            topic_known: false,
            seen_ahead: 0,
            wanted: None,
        }
    }

    fn at(offset: i64, gap: Option<(i64, i64, &'static str)>) -> Start {
        Start::At {
            offset,
            gap: gap.map(|(from, to, reason)| Gap { from, to, reason }),
        }
    }

    #[test]
    fn a_new_job_starts_at_the_log_start_and_records_what_was_gone_before() {
        assert_eq!(decide(&known(None, 0, 9), HALTING), at(0, None));
        assert_eq!(
            decide(&known(None, 4, 9), HALTING),
            at(4, Some((0, 4, "origin")))
        );
    }

    #[test]
    fn a_new_job_from_latest_records_what_it_skips() {
        let policy = Policy {
            start_from: &StartFrom::Latest,
            ..HALTING
        };
        assert_eq!(
            decide(&known(None, 4, 9), policy),
            at(9, Some((0, 9, "start_from_latest")))
        );
    }

    #[test]
    fn a_named_start_is_taken_within_the_log_and_halts_beyond_its_end() {
        let offsets = StartFrom::Offsets(std::collections::BTreeMap::new());
        for (start_from, reason) in [
            (&StartFrom::Timestamp(7), "start_from_timestamp"),
            (&offsets, "start_from_offsets"),
            (&StartFrom::Group, "start_from_group"),
        ] {
            let policy = Policy {
                start_from,
                ..HALTING
            };
            let start = |wanted| {
                let mut new = known(None, 4, 9);
                new.wanted = wanted;
                decide(&new, policy)
            };
            assert_eq!(start(Some(6)), at(6, Some((0, 6, reason))));
            assert_eq!(start(Some(9)), at(9, Some((0, 9, reason))));
            assert_eq!(start(Some(2)), at(4, Some((0, 4, "origin"))));
            assert_eq!(start(None), at(4, Some((0, 4, "origin"))));
            assert_eq!(start(Some(10)), Start::Halt(HaltReason::StartAhead));
            let mut added = known(None, 0, 9);
            (added.wanted, added.topic_known) = (Some(6), true);
            assert_eq!(decide(&added, policy), at(0, None));
            let mut stored = known(Some(5), 4, 9);
            stored.wanted = Some(7);
            assert_eq!(decide(&stored, policy), at(5, None));
        }
    }

    #[test]
    fn an_added_partition_is_read_from_its_beginning_even_with_latest() {
        let policy = Policy {
            start_from: &StartFrom::Latest,
            ..HALTING
        };
        let mut added = known(None, 0, 9);
        added.topic_known = true;
        assert_eq!(decide(&added, policy), at(0, None));
        added.low = 3;
        assert_eq!(
            decide(&added, policy),
            at(3, Some((0, 3, "added_partition_not_from_zero")))
        );
    }

    #[test]
    fn a_stored_offset_inside_the_log_is_where_it_goes_on_edges_included() {
        for stored in [4, 7, 9] {
            assert_eq!(
                decide(&known(Some(stored), 4, 9), HALTING),
                at(stored, None)
            );
        }
    }

    #[test]
    fn deleted_offsets_halt_or_become_a_gap_as_configured() {
        let truncated = known(Some(3), 4, 9);
        assert_eq!(
            decide(&truncated, HALTING),
            Start::Halt(HaltReason::Truncated)
        );
        let policy = Policy {
            on_truncation: OnTruncation::RecordGap,
            ..HALTING
        };
        assert_eq!(decide(&truncated, policy), at(4, Some((3, 4, "truncated"))));
    }

    #[test]
    fn a_lake_ahead_of_the_broker_halts_only_after_three_readings() {
        let mut ahead = known(Some(10), 4, 9);
        assert_eq!(decide(&ahead, HALTING), Start::Recheck);
        ahead.seen_ahead = 1;
        assert_eq!(decide(&ahead, HALTING), Start::Recheck);
        ahead.seen_ahead = 2;
        assert_eq!(decide(&ahead, HALTING), Start::Halt(HaltReason::Ahead));
    }
}
