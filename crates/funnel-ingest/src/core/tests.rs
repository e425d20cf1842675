use std::time::Duration;

use funnel_events::DecoderConfig;

use super::*;
use crate::clock::ManualClock;
use crate::message::{CommitReport, Part, PartOutcome, Sealed, Trigger};
use crate::record::Record;

struct Rig {
    core: Core,
    clock: Arc<ManualClock>,
}

const AGE: Duration = Duration::from_secs(10);

fn rig(change: impl FnOnce(&mut CoreConfig)) -> Rig {
    let mut config = CoreConfig {
        job: "job".to_owned(),
        flush: FlushPolicy {
            rows: 3,
            bytes: 1 << 30,
            age: AGE,
        },
        start_from: StartFrom::Earliest,
        contiguous: false,
        on_truncation: OnTruncation::Halt,
        dedup: DedupWindow {
            age: AGE * 1000,
            max_ids: 1000,
        },
        rejects: RejectsPolicy::default(),
        overrides: Vec::new(),
        until_end: false,
    };
    change(&mut config);
    let clock = Arc::new(ManualClock::default());
    let decoder = Decoder::new(DecoderConfig::default());
    Rig {
        core: Core::new(config, decoder, Arc::clone(&clock) as _),
        clock,
    }
}

fn tp() -> Tp {
    Tp::new("t", 0)
}

fn owned(low: i64, high: i64) -> Owned {
    Owned {
        tp: tp(),
        topic_uuid: "u".to_owned(),
        low,
        high,
        wanted: None,
    }
}

impl Rig {
    fn own(&mut self, owned: Owned) -> Epoch {
        let effects = self.core.handle(Input::Owned(vec![owned]));
        let [Effect::Load { epoch, .. }] = effects[..] else {
            panic!("{effects:?}");
        };
        epoch
    }

    fn loaded(&mut self, epoch: Epoch, loaded: Loaded) -> Vec<Effect> {
        let loaded = Box::new(loaded);
        self.core.handle(Input::Loaded {
            tp: tp(),
            epoch,
            loaded,
        })
    }

    fn started(&mut self, stored: Option<i64>) -> Epoch {
        let epoch = self.own(owned(0, 100));
        let loaded = Loaded {
            stored,
            ..Loaded::default()
        };
        let effects = self.loaded(epoch, loaded);
        assert!(matches!(effects[..], [Effect::Start { .. }]), "{effects:?}");
        epoch
    }

    /// Records that are all refused: fate and offsets are what matters here.
    fn records(&mut self, epoch: Epoch, offsets: std::ops::Range<i64>) -> Vec<Effect> {
        let mut records = Records::default();
        for offset in offsets {
            let record = Record {
                offset,
                timestamp_ms: None,
                key: None,
                value: Some(b"not json"),
            };
            records.push(&tp(), epoch, record, std::iter::empty());
        }
        self.core.handle(Input::Records(records))
    }

    fn done(&mut self, sealed: Sealed) -> Vec<Effect> {
        let outcome = |part: Part| {
            let done = PartOutcome::Done {
                version: 1,
                rejects_stored: Some(part.to),
            };
            (part, done)
        };
        self.core.handle(Input::Committed(CommitReport {
            parts: sealed.parts.into_iter().map(outcome).collect(),
            commits: 1,
        }))
    }
}

fn sealed(effects: Vec<Effect>) -> Sealed {
    effects
        .into_iter()
        .find_map(|effect| match effect {
            Effect::Commit(sealed) => Some(sealed),
            _ => None,
        })
        .expect("a commit")
}

fn truncated() -> Loaded {
    Loaded {
        stored: Some(5),
        ..Loaded::default()
    }
}

#[test]
fn a_truncated_partition_halts_durably_with_both_numbers_and_the_flag() {
    let mut rig = rig(|_| {});
    let epoch = rig.own(owned(9, 20));
    let effects = rig.loaded(epoch, truncated());
    let [Effect::SetHalt(halt), Effect::Release(_)] = &effects[..] else {
        panic!("{effects:?}");
    };
    assert_eq!(halt.reason, "halted_truncated");
    assert!(
        halt.flag_hint.contains("offsets 5 to 9"),
        "{}",
        halt.flag_hint
    );
    assert!(
        halt.flag_hint.contains("--resume t/0=record_gap"),
        "{}",
        halt.flag_hint
    );
    assert_eq!(rig.core.halted().len(), 1);
}

#[test]
fn a_halt_that_stands_in_the_lake_holds_after_a_restart_though_the_numbers_are_fine() {
    let mut rig = rig(|_| {});
    let epoch = rig.own(owned(9, 20));
    let halt = rig
        .loaded(epoch, truncated())
        .into_iter()
        .find_map(|effect| match effect {
            Effect::SetHalt(halt) => Some(halt),
            _ => None,
        });
    let epoch = rig.own(owned(0, 20));
    let again = Loaded {
        halt,
        ..truncated()
    };
    let effects = rig.loaded(epoch, again);
    assert!(matches!(effects[..], [Effect::Release(_)]), "{effects:?}");
}

#[test]
fn a_decision_of_the_operator_clears_the_halt_and_writes_the_gap() {
    let mut rig = rig(|config| config.overrides = vec!["t/0=record_gap".parse().expect("valid")]);
    let epoch = rig.own(owned(9, 20));
    let halt = funnel_lake::Halt {
        key: OffsetKey {
            job: "job".to_owned(),
            topic: "t".to_owned(),
            topic_uuid: "u".to_owned(),
            partition: 0,
        },
        reason: "halted_truncated".to_owned(),
        stored: Some(5),
        log_start: Some(9),
        high: Some(20),
        flag_hint: String::new(),
        at: 0,
    };
    let loaded = Loaded {
        halt: Some(halt),
        ..truncated()
    };
    let effects = rig.loaded(epoch, loaded);
    let [Effect::ClearHalt(_), Effect::Start { offset: 9, .. }] = effects[..] else {
        panic!("{effects:?}");
    };
    rig.clock.advance(AGE);
    let batch = sealed(rig.core.tick());
    let part = &batch.parts[0];
    assert_eq!((part.from, part.to), (Some(5), 9));
    assert_eq!(part.ledger[0].gap_reason.as_deref(), Some("truncated"));
    assert_eq!(
        (part.ledger[0].from_offset, part.ledger[0].to_offset),
        (5, 9)
    );
}

#[test]
fn rows_age_and_the_end_each_make_a_commit_and_one_is_under_way_at_a_time() {
    let mut rig = rig(|config| config.until_end = true);
    let epoch = rig.started(None);
    assert!(rig.records(epoch, 0..2).is_empty());
    let first = sealed(rig.records(epoch, 2..3));
    assert_eq!((first.trigger, first.parts[0].to), (Trigger::Rows, 3));
    assert!(
        rig.records(epoch, 3..9).is_empty(),
        "the first is under way"
    );
    let second = sealed(rig.done(first));
    assert_eq!((second.parts[0].from, second.parts[0].to), (Some(3), 9));
    rig.done(second);
    assert!(rig.records(epoch, 9..10).is_empty());
    rig.clock.advance(AGE);
    let third = sealed(rig.core.tick());
    assert_eq!(third.trigger, Trigger::Age);
    rig.done(third);
    rig.core
        .handle(Input::Targets(BTreeMap::from([(tp(), 11)])));
    let last = sealed(rig.records(epoch, 10..11));
    assert_eq!(last.trigger, Trigger::End);
    let effects = rig.done(last);
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::Finished)),
        "{effects:?}"
    );
}

#[test]
fn a_revocation_is_answered_after_the_commit_of_what_was_read() {
    let mut rig = rig(|_| {});
    let epoch = rig.started(None);
    rig.records(epoch, 0..2);
    let (done, wait) = std::sync::mpsc::sync_channel(1);
    let batch = sealed(rig.core.handle(Input::Revoking {
        tps: vec![tp()],
        done,
    }));
    assert_eq!(batch.trigger, Trigger::Revoke);
    assert!(wait.try_recv().is_err(), "not committed yet");
    rig.done(batch);
    assert!(wait.try_recv().is_ok());
    assert!(rig.core.status().is_empty());
}

#[test]
fn a_stop_commits_what_was_read_and_takes_no_more() {
    let mut rig = rig(|_| {});
    let epoch = rig.started(None);
    rig.records(epoch, 0..2);
    let batch = sealed(rig.core.handle(Input::Stop));
    assert_eq!(batch.trigger, Trigger::Shutdown);
    assert!(rig.records(epoch, 2..4).is_empty());
    let effects = rig.done(batch);
    assert!(
        matches!(effects[..], [Effect::CommitKafka { .. }, Effect::Finished]),
        "{effects:?}"
    );
    assert_eq!(rig.core.totals().rejected, 2);
}

#[test]
fn records_of_an_earlier_start_are_not_taken_for_those_of_this_one() {
    let mut rig = rig(|_| {});
    let old = rig.started(None);
    let new = rig.started(Some(5));
    rig.records(old, 5..6);
    assert_eq!(rig.core.consumed(), (0, 0));
    rig.records(new, 4..6);
    assert_eq!(rig.core.consumed(), (1, 1), "offset 4 is below the start");
}

#[test]
fn a_run_with_an_end_waits_for_partitions_that_others_read() {
    let mut rig = rig(|config| config.until_end = true);
    let effects = rig.core.handle(Input::Targets(BTreeMap::from([(tp(), 3)])));
    assert!(matches!(effects[..], [Effect::AskStored]), "{effects:?}");
    let effects = rig.core.handle(Input::Stored(BTreeMap::from([(tp(), 2)])));
    assert!(effects.is_empty(), "{effects:?}");
    let effects = rig.core.handle(Input::Stored(BTreeMap::from([(tp(), 3)])));
    assert!(matches!(effects[..], [Effect::Finished]), "{effects:?}");
}

#[test]
fn a_jump_where_offsets_have_no_holes_is_a_gap_between_two_entries() {
    let mut rig = rig(|config| config.contiguous = true);
    let epoch = rig.started(None);
    rig.records(epoch, 0..1);
    let batch = sealed(rig.records(epoch, 4..6));
    let ledger: Vec<_> = batch.parts[0]
        .ledger
        .iter()
        .map(|entry| {
            (
                entry.from_offset,
                entry.to_offset,
                entry.rejected,
                entry.gap_reason.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        ledger,
        [
            (0, 1, 1, None),
            (1, 4, 0, Some("unexplained_hole")),
            (4, 6, 2, None)
        ]
    );
    assert_eq!(batch.parts[0].to, 6);
}

#[test]
fn a_position_that_the_broker_refuses_is_looked_at_again_and_halts_what_was_truncated() {
    let mut rig = rig(|_| {});
    let epoch = rig.started(None);
    rig.records(epoch, 0..2);
    // The source lets go of the partition and owns it anew with what the broker has now.
    let epoch = rig.own(owned(9, 20));
    let effects = rig.loaded(epoch, truncated());
    assert!(
        matches!(effects[..], [Effect::SetHalt(_), Effect::Release(_)]),
        "{effects:?}"
    );
    assert!(
        rig.records(epoch, 9..12).is_empty(),
        "nothing is read past it"
    );
}

#[test]
fn holes_before_the_end_are_counted_and_close_the_ledger() {
    let mut rig = rig(|config| config.until_end = true);
    let epoch = rig.started(None);
    rig.core.handle(Input::Targets(BTreeMap::from([(tp(), 6)])));
    rig.records(epoch, 1..2);
    let effects = rig.core.handle(Input::AtEnd {
        tp: tp(),
        epoch,
        next: 6,
    });
    let batch = sealed(effects);
    let entry = &batch.parts[0].ledger[0];
    assert_eq!((entry.rejected, entry.holes, entry.accounted()), (1, 5, 6));
}
