//! Knowing when there is nothing left to do.

use std::time::Duration;

use super::{Core, Partition, State};
use crate::message::Effect;
use crate::record::Tp;

/// How often the lake is asked about partitions that others read.
const ASK_EVERY: Duration = Duration::from_millis(500);

impl Core {
    /// Whether everything that this process has to read before the end is in its buffers.
    pub(super) fn reached_all_targets(&self) -> bool {
        let Some(targets) = &self.targets else {
            return false;
        };
        self.config.until_end
            && targets.iter().all(|(tp, target)| {
                match self.partitions.get(tp).map(|partition| &partition.state) {
                    Some(State::Active(buffer)) => buffer.next() >= *target,
                    Some(State::Loading) => false,
                    Some(State::Halted { .. }) | None => true,
                }
            })
    }

    /// Records between the start of this run and its targets, read or not.
    pub fn target_records(&self) -> Option<u64> {
        let targets = self.targets.as_ref()?;
        let left: i64 = targets
            .iter()
            .filter_map(|(tp, target)| {
                let next = self.partitions.get(tp)?.buffer()?.next();
                Some((target - next).max(0))
            })
            .sum();
        Some(self.consumed + u64::try_from(left).unwrap_or_default())
    }

    /// Records between our positions and the newest known ends.
    pub fn lag(&self) -> u64 {
        let lag = |partition: &Partition| {
            let next = partition
                .buffer()
                .map(|buffer| buffer.next())
                .or(partition.stored);
            (partition.end - next.unwrap_or(partition.owned.low)).max(0)
        };
        let sum: i64 = self.partitions.values().map(lag).sum();
        u64::try_from(sum).unwrap_or_default()
    }

    pub(super) fn look_for_the_end(&mut self) {
        if self.in_flight.is_some() || self.finished {
            return;
        }
        let ended = if self.stopping {
            true
        } else {
            self.config.until_end && self.all_targets_committed()
        };
        if ended && !self.buffers().any(|buffer| buffer.is_dirty()) {
            self.finished = true;
            self.effects.push(Effect::Finished);
        }
    }

    /// Every target is in the lake, whoever put it there; what stands still does not count.
    fn all_targets_committed(&mut self) -> bool {
        let Some(targets) = &self.targets else {
            return false;
        };
        let mut elsewhere_missing = false;
        for (tp, target) in targets {
            match self.partitions.get(tp) {
                Some(partition) => {
                    let halted = matches!(partition.state, State::Halted { .. });
                    // A partition without a stored offset and without records never gets one.
                    let stored = partition.stored.unwrap_or_default();
                    let loading = matches!(partition.state, State::Loading);
                    if loading || (!halted && stored < *target) {
                        return false;
                    }
                }
                None => elsewhere_missing |= !self.committed_elsewhere(tp, *target),
            }
        }
        if elsewhere_missing {
            self.ask_stored();
        }
        !elsewhere_missing
    }

    fn committed_elsewhere(&self, tp: &Tp, target: i64) -> bool {
        self.elsewhere.get(tp).copied().unwrap_or_default() >= target
    }

    fn ask_stored(&mut self) {
        let now = self.clock.monotonic();
        let due = self
            .asked_stored
            .is_none_or(|asked| now >= asked + ASK_EVERY);
        if due {
            self.asked_stored = Some(now);
            self.effects.push(Effect::AskStored);
        }
    }
}
