//! Random histories: visitors who come for some pages and get into a funnel more or less far.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Most steps of a funnel over these events.
pub(crate) const STEPS_MAX: u8 = 12;
/// Window of the funnels, in seconds.
pub(crate) const WINDOW: u64 = 86_400;

const MONTH_SECONDS: i64 = 30 * 86_400;
const BEGIN: i64 = 1_767_225_600; // 2026-01-01
const GAP_SECONDS_MAX: i64 = 3_000;

pub(crate) struct Event {
    pub(crate) visitor: u32,
    /// Seconds since 1970.
    pub(crate) ts: i64,
    /// 1 to [`STEPS_MAX`]: the step that the event is; 0: none.
    pub(crate) code: u8,
}

/// `events` events of about `visitors` visitors, one visitor after the other, each in time order.
/// Events of a visitor can have the same time if `ties`.
pub(crate) fn events(events: usize, visitors: usize, ties: bool, seed: u64) -> Vec<Event> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let per_visitor = (events / visitors.max(1)).max(1);
    let mut made = Vec::with_capacity(events);
    let mut visitor = 0;
    while made.len() < events {
        let rows = rng
            .random_range(1..=2 * per_visitor - 1)
            .min(events - made.len());
        let mut ts = BEGIN + rng.random_range(0..MONTH_SECONDS);
        for _ in 0..rows {
            made.push(Event {
                visitor,
                ts,
                code: code(&mut rng),
            });
            // One event in sixteen comes with the one before it.
            let together = ties && rng.random_ratio(1, 16);
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
