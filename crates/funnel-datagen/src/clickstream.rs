//! Bare random histories, by the hundred million: visitors who come for some pages and get into a
//! funnel more or less far. For measuring; they have no truth but what a slow reference says of them.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Most steps of a funnel over these events.
pub const STEPS_MAX: u8 = 12;
/// Window of the funnels, in seconds.
pub const WINDOW: u64 = 86_400;

const DAY_SECONDS: i64 = 86_400;
const BEGIN: i64 = 1_767_225_600; // 2026-01-01
const GAP_SECONDS_MAX: i64 = 3_000;

/// One event of a visitor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Numbered from 0.
    pub visitor: u32,
    /// Seconds since 1970.
    pub ts: i64,
    /// 1 to [`STEPS_MAX`]: the step that the event is; 0: none.
    pub code: u8,
}

/// What histories are like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// Events in all.
    pub events: usize,
    /// About as many visitors.
    pub visitors: usize,
    /// Can events of a visitor have the same time? One in sixteen then has that of the one before.
    pub ties: bool,
    /// Days over which visitors come.
    pub days: u16,
}

/// One visitor after the other, each in the order of time; the same for the same seed.
pub fn events(shape: Shape, seed: u64) -> Vec<Event> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let per_visitor = (shape.events / shape.visitors.max(1)).max(1);
    let span = i64::from(shape.days.max(1)) * DAY_SECONDS;
    let mut made = Vec::with_capacity(shape.events);
    let mut visitor = 0;
    while made.len() < shape.events {
        let rows = rng
            .random_range(1..=2 * per_visitor - 1)
            .min(shape.events - made.len());
        let mut ts = BEGIN + rng.random_range(0..span);
        for _ in 0..rows {
            made.push(Event {
                visitor,
                ts,
                code: code(&mut rng),
            });
            let together = shape.ties && rng.random_ratio(1, 16);
            ts += if together {
                0
            } else {
                rng.random_range(1..GAP_SECONDS_MAX)
            };
        }
        visitor += 1;
    }
    made
}

/// Half of the events are no step; of the others, early steps are more frequent.
fn code(rng: &mut ChaCha8Rng) -> u8 {
    if rng.random_ratio(1, 2) {
        return 0;
    }
    rng.random_range(0..STEPS_MAX)
        .min(rng.random_range(0..STEPS_MAX))
        + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn histories_are_sorted_and_repeatable() {
        let shape = Shape {
            events: 5_000,
            visitors: 250,
            ties: true,
            days: 3,
        };
        let made = events(shape, 7);
        assert_eq!(made.len(), shape.events);
        assert!(made.is_sorted_by_key(|event| (event.visitor, event.ts)));
        assert_eq!(made, events(shape, 7));
        assert_ne!(made, events(shape, 8));
        let visitors = made.last().unwrap().visitor;
        assert!((200..300).contains(&visitors), "{visitors}");
        assert!((0..=STEPS_MAX).all(|code| made.iter().any(|event| event.code == code)));
        assert!(made.windows(2).any(|pair| pair[0].ts == pair[1].ts));
    }
}
