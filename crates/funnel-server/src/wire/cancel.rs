//! Cancel requests: who knows number and key of a connection may end the statement that runs there.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use pgwire::api::cancel::CancelHandler;
use pgwire::messages::cancel::CancelRequest;
use pgwire::messages::startup::SecretKey;
use tokio_util::sync::CancellationToken;

type Key = (i32, Bytes);
type Statement = Arc<Mutex<CancellationToken>>;

/// The statements that run, by connection.
#[derive(Debug, Default)]
pub(super) struct Running {
    by_key: Mutex<HashMap<Key, Statement>>,
}

/// The place of one connection, which is given up with it.
#[derive(Debug)]
pub(super) struct Slot {
    running: Arc<Running>,
    key: OnceLock<Key>,
    statement: Statement,
}

impl Running {
    pub(super) fn slot(self: &Arc<Self>) -> Slot {
        Slot {
            running: Arc::clone(self),
            key: OnceLock::new(),
            statement: Arc::default(),
        }
    }
}

#[async_trait]
impl CancelHandler for Running {
    async fn on_cancel_request(&self, request: CancelRequest) {
        let key = (request.pid, request.secret_key.to_bytes());
        let known = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(statement) = known.get(&key) {
            let statement = statement.lock().unwrap_or_else(PoisonError::into_inner);
            statement.cancel();
        }
    }
}

impl Slot {
    pub(super) fn register(&self, pid: i32, key: &SecretKey) {
        let key = (pid, key.to_bytes());
        if self.key.set(key.clone()).is_ok() {
            let mut known = self
                .running
                .by_key
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known.insert(key, Arc::clone(&self.statement));
        }
    }

    pub(super) fn pid(&self) -> i32 {
        self.key.get().map_or(0, |(pid, _)| *pid)
    }

    /// A new statement: a request that comes too late ends none.
    pub(super) fn next(&self) -> CancellationToken {
        let next = CancellationToken::new();
        let mut statement = self
            .statement
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *statement = next.clone();
        next
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if let Some(key) = self.key.get() {
            let mut known = self
                .running
                .by_key
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            known.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_request_ends_the_statement_of_its_connection_and_not_the_next_one() {
        let running = Arc::new(Running::default());
        let (one, other) = (running.slot(), running.slot());
        one.register(1, &SecretKey::I32(11));
        other.register(2, &SecretKey::I32(22));
        let (first, beside) = (one.next(), other.next());
        let ask =
            |pid, key| running.on_cancel_request(CancelRequest::new(pid, SecretKey::I32(key)));
        ask(1, 22).await;
        ask(3, 11).await;
        assert!(!first.is_cancelled());
        ask(1, 11).await;
        assert!(first.is_cancelled() && !beside.is_cancelled());
        assert!(!one.next().is_cancelled());
        drop(one);
        assert_eq!(running.by_key.lock().unwrap().len(), 1);
    }
}
