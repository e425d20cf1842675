//! The numbers that must come out of a simulation, and the file that carries them.

pub(crate) mod fold;
pub(crate) mod funnel;
pub(crate) mod record;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything the simulator knows about its own traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    pub seed: u64,
    /// First local date that can hold a session start, `YYYY-MM-DD`.
    pub from: String,
    /// Last one, inclusive.
    pub to: String,
    /// Outcomes are told as of this instant, RFC 3339; long after the last event.
    pub as_of: String,
    pub records: RecordFates,
    pub entries: EntryFates,
    /// Rows of the reject table by reason code.
    pub rejects: BTreeMap<String, u64>,
    pub topics: BTreeMap<String, RecordFates>,
    pub accounts: BTreeMap<String, AccountTruth>,
}

/// What became of the records: each has exactly one fate, so `produced` is the sum of the others.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordFates {
    pub produced: u64,
    pub accepted: u64,
    pub duplicate: u64,
    pub rejected: u64,
    pub empty: u64,
    pub tombstone: u64,
}

/// What became of the entries inside the records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryFates {
    /// Rows of the event table.
    pub events: u64,
    pub duplicate_entries: u64,
    /// Rows of the reject table.
    pub rejects: u64,
}

/// The funnel of one account.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountTruth {
    pub time_zone: String,
    /// Counts by metric name, both flows together.
    pub metrics: BTreeMap<String, u64>,
    /// The same, by flow.
    pub metrics_by_flow: BTreeMap<String, BTreeMap<String, u64>>,
    /// Money by metric name, as decimal text with two places.
    pub revenue: BTreeMap<String, String>,
    /// Offers by stored outcome (no `converted_engaged`).
    pub outcomes: BTreeMap<String, u64>,
    /// Chats that belong to no offer, by step of the chat's life. No metric and no funnel above
    /// holds them, except `unattributed_chats`.
    pub unattributed: BTreeMap<String, u64>,
    /// Sessions by local date of their start.
    pub sessions_by_date: BTreeMap<String, u64>,
    /// funnel → unit → mode → steps.
    pub funnels: BTreeMap<String, BTreeMap<String, FunnelTruth>>,
    /// device family → funnel → unit → mode → steps.
    pub by_device: BTreeMap<String, BTreeMap<String, BTreeMap<String, FunnelTruth>>>,
}

/// One funnel at one unit, in both modes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FunnelTruth {
    pub loose: Vec<StepTruth>,
    pub ordered: Vec<StepTruth>,
}

/// How many units reached a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepTruth {
    pub step: String,
    pub reached: u64,
}
