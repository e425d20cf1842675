//! Several writers with stale views of one table, a store that fails, restarts, checkpoints,
//! folds and a log that is cleaned, in random order. Whatever happens: each offset is in the
//! table once, and the audit closes.

use std::sync::Arc;

use super::*;
use crate::testing::{Fault, Faults, TestLake, key, plain_commit};
use crate::{Lake, audit};

const PARTITIONS: usize = 3;
const STEPS: u64 = 50;

/// A small generator, so that a seed means the same for ever.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// An ingestor: its handle, and where it believes the partitions to be.
struct Writer {
    lake: Lake,
    faults: Arc<Faults>,
    next: [i64; PARTITIONS],
}

impl Writer {
    async fn start(table: &TestLake) -> Self {
        let faults = Arc::new(Faults::default());
        let mut writer = Self {
            lake: table.with_faults(&faults).await,
            faults,
            next: [0; PARTITIONS],
        };
        let snapshot = writer.lake.events().load().await.unwrap();
        for (partition, next) in (0..).zip(&mut writer.next) {
            *next = snapshot.offset(&key(partition).app_id()).unwrap_or(0);
        }
        writer
    }

    /// Commits the next few offsets of a partition, as this writer sees it.
    async fn commit(&mut self, dice: &mut Dice, step: u64, truth: &mut [i64; PARTITIONS]) {
        let at = dice.roll(PARTITIONS as u64) as usize;
        let partition = i32::try_from(at).unwrap();
        let (from, to) = (self.next[at], self.next[at] + 1 + dice.roll(4) as i64);
        let id = format!("step-{step}-{from}-{to}");
        let commit = plain_commit(&self.lake, partition, from..to, &id);
        for _ in 0..dice.roll(3) {
            let faults = [Fault::Refuse, Fault::LoseReply, Fault::Panic];
            self.faults.plan(&[faults[dice.roll(3) as usize]]);
        }
        let outcome = self.lake.events().commit(commit).await.unwrap();
        self.faults.forget();
        match outcome {
            Outcome::Committed { .. } => {
                assert_eq!(
                    truth[at], from,
                    "step {step}: committed over another's offsets"
                );
                truth[at] = to;
            }
            // Ours, or another's commit of the very same range.
            Outcome::AlreadyThere { .. } => {
                assert!(truth[at] == from || truth[at] == to, "step {step}");
                truth[at] = to;
            }
            Outcome::Fenced { partitions } => {
                let stored = (truth[at] > 0).then_some(truth[at]);
                assert_eq!(
                    partitions,
                    [(key(partition).app_id(), stored)],
                    "step {step}"
                );
                assert_ne!(
                    truth[at], from,
                    "step {step}: fenced although it was in place"
                );
            }
        }
        self.next[at] = truth[at];
    }
}

/// Everything that allows the log to be cleaned, and then the cleaning.
async fn clean(table: &TestLake, lake: &Lake) {
    lake.fold_ledger().await.unwrap();
    lake.events().checkpoint_if_due(1).await.unwrap();
    let newest = lake.events().state().lock().await.checkpoint.unwrap();
    for version in 0..newest {
        let entry = table.path(&format!("events/{}", entry_path(version)));
        let _ = std::fs::remove_file(entry);
    }
}

async fn run(seed: u64) {
    let table = TestLake::new().await;
    let mut dice = Dice(seed);
    let mut truth = [0; PARTITIONS];
    let mut writers = Vec::new();
    for _ in 0..3 {
        writers.push(Writer::start(&table).await);
    }
    for step in 0..STEPS {
        let who = dice.roll(3) as usize;
        match dice.roll(12) {
            0 => writers[who] = Writer::start(&table).await,
            1 => drop(
                writers[who]
                    .lake
                    .events()
                    .checkpoint_if_due(3)
                    .await
                    .unwrap(),
            ),
            2 => drop(writers[who].lake.fold_ledger().await.unwrap()),
            3 => clean(&table, &writers[who].lake).await,
            _ => writers[who].commit(&mut dice, step, &mut truth).await,
        }
    }
    let fresh = table.reopen().await;
    let report = audit(&fresh).await.unwrap();
    assert_eq!(report.problems, [], "seed {seed}");
    assert_eq!(report.event_rows, truth.iter().sum::<i64>(), "seed {seed}");
    let snapshot = fresh.events().load().await.unwrap();
    for (partition, next) in (0..).zip(truth) {
        let stored = snapshot.offset(&key(partition).app_id()).unwrap_or(0);
        assert_eq!(stored, next, "seed {seed} partition {partition}");
    }
}

#[tokio::test]
async fn whatever_happens_each_offset_is_there_once() {
    for seed in 1..=4 {
        run(seed).await;
    }
}
