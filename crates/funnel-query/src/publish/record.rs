//! What was published, from which version of `events`, and how to tell that it is still so.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use funnel_lake::Lake;
use serde::{Deserialize, Serialize};

use super::build::{BREAKDOWNS, OFFERS_SQL};
use crate::QueryOptions;
use crate::error::{QueryError, Result};
use crate::funnel::fingerprint;

const FILE: &str = "_state/publish.json";

/// Written at the end of a run; a run that dies leaves the one before, whose hashes then tell
/// which days to make anew.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Record {
    /// The version of `events` that the days were made from.
    pub(super) version: i64,
    /// The instant that decided what was in progress.
    pub(super) as_of: DateTime<Utc>,
    /// What decides the rows beside the events.
    pub(super) rules: String,
    pub(super) accounts: BTreeSet<String>,
    /// How many rows `funnel_keys` had.
    pub(super) keys: usize,
    pub(super) days: BTreeMap<NaiveDate, Day>,
}

/// One published day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Day {
    /// Hashes of the contents of `funnel_state` and `offers`.
    pub(super) state: String,
    pub(super) offers: String,
    /// Whether an offer was in progress: time alone will change it.
    pub(super) open: bool,
}

impl Record {
    /// The record of the last run; the empty one where there is none, or none that we can read.
    pub(super) async fn read(lake: &Lake) -> Result<Self> {
        let read = lake.read_file(FILE).await;
        let bytes = read.map_err(|source| QueryError::lake("could not read the record", source))?;
        let record = bytes.map(|bytes| serde_json::from_slice(&bytes));
        Ok(match record {
            None => Self::default(),
            Some(Ok(record)) => record,
            Some(Err(error)) => {
                tracing::warn!(%error, file = FILE, "not readable: days are published anew");
                Self::default()
            }
        })
    }

    pub(super) async fn write(&self, lake: &Lake) -> Result<()> {
        let text = serde_json::to_vec_pretty(self).map_err(|source| {
            QueryError::new(crate::ErrorKind::Internal, "could not write the record")
                .with_source(source)
        })?;
        let written = lake.replace_file(FILE, Bytes::from(text)).await;
        written.map_err(|source| QueryError::lake("could not write the record", source))
    }
}

/// Names everything but the events that decides the rows of the marts.
pub(super) fn rules(options: &QueryOptions) -> Result<String> {
    // Another release may enrich in another way.
    let mut text = format!(
        "{}\n{BREAKDOWNS:?}\n{OFFERS_SQL}",
        env!("CARGO_PKG_VERSION")
    );
    for funnel in options.funnels.all()? {
        text += &funnel.hash;
    }
    for (account, zone) in &options.accounts {
        text += &format!("\n{account} {zone}");
    }
    Ok(fingerprint(text.as_bytes()))
}
