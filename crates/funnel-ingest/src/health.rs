//! What is well and what is not, for `/readyz` and for whoever waits.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;

/// A thread that has not come round for this long hangs.
const TICK_MAX: Duration = Duration::from_secs(60);

/// The state of the process as seen by its parts.
#[derive(Debug)]
pub(crate) struct Health {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    kafka: Option<String>,
    storage: Option<String>,
    assigned: bool,
    halted: Vec<String>,
    ticks: BTreeMap<&'static str, Instant>,
}

/// One check of `/readyz`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                kafka: Some("no answer yet".to_owned()),
                storage: None,
                assigned: false,
                halted: Vec::new(),
                ticks: BTreeMap::new(),
            }),
        }
    }
}

impl Health {
    /// Kafka answers, or why not.
    pub(crate) fn kafka(&self, trouble: Option<String>) {
        self.lock().kafka = trouble;
    }

    /// Why Kafka is not well.
    pub(crate) fn kafka_trouble(&self) -> Option<String> {
        self.lock().kafka.clone()
    }

    /// The lake answers, or why not.
    pub(crate) fn storage(&self, trouble: Option<String>) {
        self.lock().storage = trouble;
    }

    /// The group, or the configuration, has said what this process reads.
    pub(crate) fn assigned(&self, assigned: bool) {
        self.lock().assigned = assigned;
    }

    /// Partitions that stand still, in words.
    pub(crate) fn halted(&self, halted: Vec<String>) {
        self.lock().halted = halted;
    }

    /// A thread came round.
    pub(crate) fn tick(&self, thread: &'static str) {
        self.lock().ticks.insert(thread, Instant::now());
    }

    /// Names of threads that hang.
    pub(crate) fn hanging(&self) -> Vec<&'static str> {
        let state = self.lock();
        let hangs =
            |(name, at): (&&'static str, &Instant)| (at.elapsed() > TICK_MAX).then_some(*name);
        state.ticks.iter().filter_map(hangs).collect()
    }

    /// Every check, in a fixed order.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let state = self.lock();
        let check = |name, reason: Option<String>| Check {
            name,
            ok: reason.is_none(),
            reason,
        };
        let unassigned = (!state.assigned).then(|| "the group has not answered yet".to_owned());
        let halted = (!state.halted.is_empty()).then(|| state.halted.join("; "));
        vec![
            check("kafka_connected", state.kafka.clone()),
            check("table_writable", state.storage.clone()),
            check("partitions_assigned", unassigned),
            check("no_halted_partition", halted),
        ]
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
