//! The way from the source to the topic: delays, disorder, copies, junk; and who counts it all.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::dice::Dice;
use super::malformed;
use super::options::Disorder;
use crate::message::{Message, topics};
use crate::scribe::{Draft, PRODUCER_DELAY_MS, Route};
use crate::truth::{RecordFates, Truth};

/// Out of order by at most this much.
const SHUFFLE_MS: i64 = 30_000;
/// A copy follows within this time.
const COPY_MS: i64 = 600_000;
const HOUR_MS: i64 = 3_600_000;

/// A message with its time of delivery.
#[derive(Debug)]
struct Parcel {
    due: i64,
    /// Order of sending, so that equal times keep it.
    nth: u64,
    message: Message,
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        (self.due, self.nth) == (other.due, other.nth)
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.nth).cmp(&(other.due, other.nth))
    }
}

#[derive(Debug)]
pub(super) struct Transport {
    waiting: BinaryHeap<Reverse<Parcel>>,
    sent: u64,
    dice: Dice,
    disorder: Disorder,
}

impl Transport {
    pub(super) fn new(dice: Dice, disorder: Disorder) -> Self {
        Self {
            waiting: BinaryHeap::new(),
            sent: 0,
            dice,
            disorder,
        }
    }

    /// Takes over a message of `account`, and now and then adds junk of its own.
    pub(super) fn send(&mut self, draft: Draft, account: &str, truth: &mut Truth) {
        let due = draft.time + self.delay(draft.route);
        if self.dice.chance(self.disorder.duplicates) {
            let due = due + self.dice.between(1, COPY_MS);
            count(
                truth,
                draft.message.topic,
                draft.events,
                &draft.rejects,
                true,
            );
            self.post(due, draft.message.clone());
        }
        if self.dice.chance(self.disorder.malformed) {
            let (value, code) = malformed::record(account, draft.time, &mut self.dice);
            let topic = topics::ALL[self.dice.below(topics::ALL.len())];
            count(truth, topic, 0, &[code], false);
            self.post(
                due,
                Message {
                    topic,
                    value: Some(value),
                    ..draft.message.clone()
                },
            );
        }
        if self.dice.chance(self.disorder.tombstones) {
            count_tombstone(truth, draft.message.topic);
            self.post(
                due,
                Message {
                    value: None,
                    ..draft.message.clone()
                },
            );
        }
        count(
            truth,
            draft.message.topic,
            draft.events,
            &draft.rejects,
            false,
        );
        self.post(due, draft.message);
    }

    fn delay(&mut self, route: Route) -> i64 {
        let d = &self.disorder;
        let base = match route {
            Route::Live => PRODUCER_DELAY_MS + 40,
            Route::History => HOUR_MS,
            Route::Files => 3 * HOUR_MS,
        };
        if route == Route::Live {
            if self.dice.chance(d.late) {
                return base + self.dice.between(HOUR_MS, 5 * HOUR_MS);
            }
            if self.dice.chance(d.shuffled) {
                return base + self.dice.between(0, SHUFFLE_MS);
            }
            return base;
        }
        if d.shuffled > 0.0 {
            base + self.dice.between(0, base)
        } else {
            base
        }
    }

    fn post(&mut self, due: i64, message: Message) {
        self.sent += 1;
        let message = Message {
            timestamp_ms: due,
            ..message
        };
        self.waiting.push(Reverse(Parcel {
            due,
            nth: self.sent,
            message,
        }));
    }

    /// The next message, if it arrives before anything that is still to happen.
    pub(super) fn deliver(&mut self, before: i64) -> Option<Message> {
        if self.waiting.peek().is_some_and(|Reverse(p)| p.due < before) {
            self.waiting.pop().map(|Reverse(p)| p.message)
        } else {
            None
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

/// Writes down the fate of one record: accepted before rejected before duplicate before empty.
fn count(truth: &mut Truth, topic: &str, events: u32, rejects: &[&'static str], copy: bool) {
    let new_events = if copy { 0 } else { events };
    let add = |fates: &mut RecordFates| {
        fates.produced += 1;
        if new_events > 0 {
            fates.accepted += 1;
        } else if !rejects.is_empty() {
            fates.rejected += 1;
        } else if events > 0 {
            fates.duplicate += 1;
        } else {
            fates.empty += 1;
        }
    };
    both(truth, topic, add);
    truth.entries.events += u64::from(new_events);
    truth.entries.duplicate_entries += u64::from(events - new_events);
    truth.entries.rejects += rejects.len() as u64;
    for code in rejects {
        *truth.rejects.entry((*code).to_owned()).or_default() += 1;
    }
}

fn count_tombstone(truth: &mut Truth, topic: &str) {
    both(truth, topic, |fates| {
        fates.produced += 1;
        fates.tombstone += 1;
    });
}

fn both(truth: &mut Truth, topic: &str, mut add: impl FnMut(&mut RecordFates)) {
    add(&mut truth.records);
    match truth.topics.get_mut(topic) {
        Some(fates) => add(fates),
        None => add(truth.topics.entry(topic.to_owned()).or_default()),
    }
}
