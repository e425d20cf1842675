//! The window of known events of one partition: exact, in two generations.
//!
//! A filter with false positives would lose events. When the younger generation holds half of the
//! ids, or is half of the age old, the older one is forgotten: what is remembered is at least half
//! of the window and at most all of it.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use funnel_events::Event;
use funnel_lake::RecentEvent;
use hashbrown::HashMap;

use crate::config::DedupWindow;

/// What the window says of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Not seen before; it is remembered now.
    New,
    /// The same fact was seen before.
    Duplicate {
        /// Its content was another one.
        differs: bool,
    },
    /// The producer used the id of another fact.
    Conflict,
}

/// An id given by a producer, together with what makes it unique: source and entry.
type ProducerKey = (u64, u64);

#[derive(Debug, Default)]
struct Generation {
    events: HashMap<[u8; 16], i64>,
    producers: HashMap<ProducerKey, i64>,
}

/// The window. About 80 bytes per event.
#[derive(Debug)]
pub struct Window {
    limits: DedupWindow,
    young: Generation,
    old: Generation,
    young_since: Instant,
}

impl Window {
    /// An empty window.
    pub fn new(limits: DedupWindow, now: Instant) -> Self {
        Self {
            limits,
            young: Generation::default(),
            old: Generation::default(),
            young_since: now,
        }
    }

    /// Fills the window with rows of the table, oldest first.
    pub fn rebuild(&mut self, rows: impl IntoIterator<Item = RecentEvent>, now: Instant) {
        for row in rows {
            let producer = row
                .producer_event_id
                .as_deref()
                .map(|id| producer_key(&row.source_system, id, row.entry_index));
            self.remember(row.event_id, producer, row.content_hash, now);
        }
    }

    /// Number of events remembered.
    pub fn known_events(&self) -> usize {
        self.young.events.len() + self.old.events.len()
    }

    /// Judges an event, and remembers it when it is new.
    pub fn check(&mut self, event: &Event, now: Instant) -> Verdict {
        if let Some(known) = self.known_event(&event.event_id) {
            return Verdict::Duplicate {
                differs: known != event.content_hash,
            };
        }
        let producer = event
            .producer_event_id
            .as_deref()
            .map(|id| producer_key(&event.source_system, id, event.entry_index));
        if let Some(key) = producer
            && let Some(known) = self.known_producer(&key)
            && known != event.content_hash
        {
            return Verdict::Conflict;
        }
        self.remember(event.event_id, producer, event.content_hash, now);
        Verdict::New
    }

    fn known_event(&self, id: &[u8; 16]) -> Option<i64> {
        self.young
            .events
            .get(id)
            .or_else(|| self.old.events.get(id))
            .copied()
    }

    fn known_producer(&self, key: &ProducerKey) -> Option<i64> {
        self.young
            .producers
            .get(key)
            .or_else(|| self.old.producers.get(key))
            .copied()
    }

    fn remember(
        &mut self,
        id: [u8; 16],
        producer: Option<ProducerKey>,
        content_hash: i64,
        now: Instant,
    ) {
        self.young.events.insert(id, content_hash);
        if let Some(key) = producer {
            self.young.producers.insert(key, content_hash);
        }
        let half_full = self.young.events.len() as u64 >= self.limits.max_ids.div_ceil(2);
        let half_aged = now.saturating_duration_since(self.young_since) >= half(self.limits.age);
        if half_full || half_aged {
            self.old = std::mem::take(&mut self.young);
            self.young_since = now;
        }
    }
}

fn half(age: Duration) -> Duration {
    age / 2
}

/// 128 bits of two differently salted hashes: a collision would refuse a good event.
fn producer_key(source: &str, id: &str, entry_index: Option<i32>) -> ProducerKey {
    let salted = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, source, id, entry_index).hash(&mut hasher);
        hasher.finish()
    };
    (salted(0), salted(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: DedupWindow = DedupWindow {
        age: Duration::from_secs(60),
        max_ids: 4,
    };

    fn event(id: u8, hash: i64, producer: Option<&str>) -> Event {
        Event {
            event_id: [id; 16],
            content_hash: hash,
            producer_event_id: producer.map(str::to_owned),
            source_system: "web_tag".to_owned(),
            ..Event::default()
        }
    }

    #[test]
    fn the_same_event_again_is_a_duplicate_and_a_changed_one_says_so() {
        let now = Instant::now();
        let mut window = Window::new(WINDOW, now);
        assert_eq!(window.check(&event(1, 7, None), now), Verdict::New);
        assert_eq!(
            window.check(&event(1, 7, None), now),
            Verdict::Duplicate { differs: false }
        );
        assert_eq!(
            window.check(&event(1, 8, None), now),
            Verdict::Duplicate { differs: true }
        );
    }

    #[test]
    fn a_producer_id_with_another_fact_is_a_conflict_only_from_the_same_source_and_entry() {
        let now = Instant::now();
        let mut window = Window::new(WINDOW, now);
        assert_eq!(window.check(&event(1, 7, Some("p")), now), Verdict::New);
        assert_eq!(
            window.check(&event(2, 9, Some("p")), now),
            Verdict::Conflict
        );
        let mut other_source = event(3, 9, Some("p"));
        other_source.source_system = "chat_sdk".to_owned();
        assert_eq!(window.check(&other_source, now), Verdict::New);
        let mut other_entry = event(4, 9, Some("p"));
        other_entry.entry_index = Some(1);
        assert_eq!(window.check(&other_entry, now), Verdict::New);
    }

    #[test]
    fn at_least_half_of_the_window_is_remembered_and_never_more_than_all_of_it() {
        let now = Instant::now();
        let mut window = Window::new(WINDOW, now);
        for id in 0..20 {
            assert_eq!(window.check(&event(id, 0, None), now), Verdict::New);
            assert!(window.known_events() <= 4);
            for near in id.saturating_sub(1)..=id {
                assert_eq!(
                    window.check(&event(near, 0, None), now),
                    Verdict::Duplicate { differs: false }
                );
            }
        }
        assert_eq!(window.check(&event(0, 0, None), now), Verdict::New);
    }

    #[test]
    fn age_forgets_after_the_window_and_not_before_half_of_it() {
        let now = Instant::now();
        let limits = DedupWindow {
            max_ids: 1000,
            ..WINDOW
        };
        let mut window = Window::new(limits, now);
        window.check(&event(1, 0, None), now);
        let later = |seconds| now + Duration::from_secs(seconds);
        window.check(&event(2, 0, None), later(29));
        assert_eq!(
            window.check(&event(1, 0, None), later(29)),
            Verdict::Duplicate { differs: false }
        );
        window.check(&event(3, 0, None), later(31));
        window.check(&event(4, 0, None), later(62));
        assert_eq!(window.check(&event(1, 0, None), later(62)), Verdict::New);
    }
}
