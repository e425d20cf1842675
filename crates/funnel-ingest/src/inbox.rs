//! The queue in front of the core: first in, first out, bounded by bytes.
//!
//! Records carry their weight and are refused while the queue is full; everything else (rebalance,
//! results of commits) is small, rare and always let in, in order with the records.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A bounded queue between threads.
#[derive(Debug)]
pub(crate) struct Inbox<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
    emptied: Condvar,
    weight_max: usize,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<(T, usize)>,
    weight: usize,
    closed: bool,
}

impl<T> Inbox<T> {
    pub(crate) fn new(weight_max: usize) -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                weight: 0,
                closed: false,
            }),
            filled: Condvar::new(),
            emptied: Condvar::new(),
            weight_max,
        }
    }

    /// Adds something that must not wait. Ignored once the reader is gone.
    pub(crate) fn push(&self, item: T) {
        let mut state = self.lock();
        if !state.closed {
            state.items.push_back((item, 0));
            self.filled.notify_one();
        }
    }

    /// Adds something heavy, waiting up to `patience` for room; gives it back when there is none.
    /// An item heavier than the whole queue is let in when the queue is empty of weight.
    pub(crate) fn offer(&self, item: T, weight: usize, patience: Duration) -> Result<(), T> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        while !state.closed && state.weight > 0 && state.weight + weight > self.weight_max {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(item);
            }
            state = self
                .emptied
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        if !state.closed {
            state.weight += weight;
            state.items.push_back((item, weight));
            self.filled.notify_one();
        }
        Ok(())
    }

    /// Takes the oldest, waiting for it up to `patience`.
    pub(crate) fn pop(&self, patience: Duration) -> Option<T> {
        let deadline = Instant::now() + patience;
        let mut state = self.lock();
        loop {
            if let Some((item, weight)) = state.items.pop_front() {
                state.weight -= weight;
                self.emptied.notify_all();
                return Some(item);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if state.closed || left.is_zero() {
                return None;
            }
            state = self
                .filled
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Bytes waiting.
    pub(crate) fn weight(&self) -> usize {
        self.lock().weight
    }

    /// The reader is gone: drops what waits, and everything that still comes.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.items.clear();
        state.weight = 0;
        self.filled.notify_all();
        self.emptied.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;

    #[test]
    fn a_full_queue_refuses_weight_and_lets_control_in_in_order() {
        let inbox = Inbox::new(10);
        assert_eq!(inbox.offer("a", 6, NOW), Ok(()));
        assert_eq!(inbox.offer("b", 6, NOW), Err("b"));
        inbox.push("control");
        assert_eq!(inbox.pop(NOW), Some("a"));
        assert_eq!(inbox.offer("b", 6, NOW), Ok(()));
        assert_eq!(inbox.pop(NOW), Some("control"));
        assert_eq!(inbox.pop(NOW), Some("b"));
        assert_eq!(inbox.pop(NOW), None);
    }

    #[test]
    fn an_item_heavier_than_the_queue_passes_alone() {
        let inbox = Inbox::new(10);
        assert_eq!(inbox.offer(1, 50, NOW), Ok(()));
        assert_eq!(inbox.offer(2, 1, NOW), Err(2));
        assert_eq!(inbox.pop(NOW), Some(1));
        assert_eq!(inbox.weight(), 0);
    }

    #[test]
    fn a_closed_queue_swallows_and_wakes() {
        let inbox = Inbox::new(10);
        inbox.push(1);
        inbox.close();
        assert_eq!(inbox.pop(Duration::from_secs(60)), None);
        assert_eq!(inbox.offer(2, 100, Duration::from_secs(60)), Ok(()));
        assert_eq!(inbox.weight(), 0);
    }
}
