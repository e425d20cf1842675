//! When and how buffers become a commit, and what follows from its outcome.

use std::time::Instant;

use funnel_events::Stamp;
use funnel_lake::{LedgerEntry, LedgerKind};
use uuid::Uuid;

use super::{Core, Partition, State};
use crate::message::{CommitReport, Effect, Part, PartOutcome, Sealed, Trigger};
use crate::record::{Epoch, Tp};

/// The commit under way.
#[derive(Debug)]
pub(super) struct InFlight {
    pub(super) parts: Vec<(Tp, Epoch)>,
    pub(super) bytes: usize,
}

impl Core {
    /// Bytes of rows in memory: open ones, and those under way twice, because they stand beside
    /// their encoded form until they are durable.
    pub fn held_bytes(&self) -> usize {
        let open: usize = self.buffers().map(|buffer| buffer.bytes()).sum();
        open + self.in_flight.as_ref().map_or(0, |flight| 2 * flight.bytes)
    }

    /// When [`Core::tick`] is wanted at the latest.
    pub fn deadline(&self) -> Option<Instant> {
        let age = self.config.flush.age;
        self.oldest
            .filter(|_| self.in_flight.is_none())
            .map(|oldest| oldest + age)
    }

    /// Starts what can start now and gives the effects away.
    pub(super) fn step(&mut self) -> Vec<Effect> {
        if !self.finished {
            if !self.buffers().any(|buffer| buffer.is_dirty()) {
                // What was dirty went away with its partition.
                self.oldest = None;
            }
            if self.in_flight.is_none()
                && let Some(trigger) = self.due()
            {
                self.flush(trigger);
            }
            self.answer_revocations();
            self.look_for_the_end();
        }
        std::mem::take(&mut self.effects)
    }

    fn due(&self) -> Option<Trigger> {
        self.oldest?;
        if self.stopping {
            return Some(Trigger::Shutdown);
        }
        if self.revoking.iter().any(|(tps, _)| self.any_dirty(tps)) {
            return Some(Trigger::Revoke);
        }
        let rows: usize = self.buffers().map(|buffer| buffer.rows()).sum();
        if rows as u64 >= self.config.flush.rows {
            return Some(Trigger::Rows);
        }
        let bytes: usize = self.buffers().map(|buffer| buffer.bytes()).sum();
        if bytes as u64 >= self.config.flush.bytes {
            return Some(Trigger::Bytes);
        }
        if self.reached_all_targets() {
            return Some(Trigger::End);
        }
        let now = self.clock.monotonic();
        self.deadline()
            .filter(|deadline| *deadline <= now)
            .map(|_| Trigger::Age)
    }

    fn any_dirty(&self, tps: &[Tp]) -> bool {
        tps.iter().any(|tp| {
            self.partitions
                .get(tp)
                .and_then(Partition::buffer)
                .is_some_and(|buffer| buffer.is_dirty())
        })
    }

    /// Seals every buffer that has something.
    fn flush(&mut self, trigger: Trigger) {
        let batch_id = Uuid::now_v7().to_string();
        let stamp = Stamp {
            batch_id: &batch_id,
            ingested_us: self.clock.wall_us(),
        };
        let mut bytes = 0;
        let mut parts = Vec::new();
        for (tp, partition) in &mut self.partitions {
            let State::Active(buffer) = &mut partition.state else {
                continue;
            };
            if !buffer.is_dirty() {
                continue;
            }
            bytes += buffer.bytes();
            let contents = buffer.seal(&stamp);
            parts.push(Part {
                tp: tp.clone(),
                epoch: partition.epoch,
                key: partition.key.clone(),
                from: partition.stored,
                to: contents.to,
                rejects_from: partition.rejects_stored,
                ledger: contents.ledger,
                events: contents.events,
                rejects: contents.rejects,
            });
        }
        self.oldest = None;
        self.in_flight = Some(InFlight {
            parts: parts
                .iter()
                .map(|part| (part.tp.clone(), part.epoch))
                .collect(),
            bytes,
        });
        self.effects.push(Effect::Commit(Sealed {
            batch_id,
            trigger,
            parts,
        }));
    }

    /// Moves positions, restarts what lost its race.
    pub(super) fn committed(&mut self, report: CommitReport) {
        self.in_flight = None;
        self.totals.commits += report.commits;
        let mut offsets = Vec::new();
        let mut newest = 0;
        for (part, outcome) in report.parts {
            match outcome {
                PartOutcome::Done {
                    version,
                    rejects_stored,
                } => {
                    newest = newest.max(version);
                    part.ledger.iter().for_each(|entry| self.add(entry));
                    if let Some(partition) = self.current(&part.tp, part.epoch) {
                        partition.stored = Some(part.to);
                        partition.rejects_stored = rejects_stored;
                        offsets.push((part.tp, part.to));
                    }
                }
                PartOutcome::Fenced => {
                    self.totals.fenced += 1;
                    if let Some(partition) = self.current(&part.tp, part.epoch) {
                        let mut owned = partition.owned.clone();
                        owned.high = owned.high.max(partition.end);
                        self.effects.push(Effect::Release(part.tp));
                        self.own(owned);
                    }
                }
            }
        }
        if !offsets.is_empty() {
            self.effects.push(Effect::CommitKafka {
                offsets,
                version: newest,
            });
        }
    }

    /// The partition, if it is still in the start that a commit was cut from.
    fn current(&mut self, tp: &Tp, epoch: Epoch) -> Option<&mut Partition> {
        self.partitions
            .get_mut(tp)
            .filter(|partition| partition.epoch == epoch)
    }

    fn add(&mut self, entry: &LedgerEntry) {
        if entry.kind != LedgerKind::Data {
            return;
        }
        let plus = |total: &mut u64, count: i64| *total += u64::try_from(count).unwrap_or_default();
        let totals = &mut self.totals;
        plus(&mut totals.accepted, entry.accepted);
        plus(&mut totals.rejected, entry.rejected);
        plus(&mut totals.duplicate, entry.duplicate);
        plus(&mut totals.empty, entry.empty);
        plus(&mut totals.tombstone, entry.tombstone);
        plus(&mut totals.holes, entry.holes);
        plus(&mut totals.event_rows, entry.event_rows);
        plus(&mut totals.reject_rows, entry.reject_rows);
        plus(&mut totals.duplicate_entries, entry.duplicate_entries);
    }

    /// Lets those partitions go that have nothing left to commit.
    fn answer_revocations(&mut self) {
        let mut waiting = Vec::new();
        for (tps, done) in std::mem::take(&mut self.revoking) {
            if self.any_dirty(&tps) || self.any_in_flight(&tps) {
                waiting.push((tps, done));
            } else {
                self.dropped(&tps);
                // A source that no longer waits has gone on without us.
                let _ = done.try_send(());
            }
        }
        self.revoking = waiting;
    }

    fn any_in_flight(&self, tps: &[Tp]) -> bool {
        self.in_flight
            .as_ref()
            .is_some_and(|flight| flight.parts.iter().any(|(tp, _)| tps.contains(tp)))
    }
}
