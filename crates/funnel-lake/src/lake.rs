//! One lake: a directory with its tables and its format version.

use std::sync::Arc;

use bytes::Bytes;
use funnel_events::{events_schema, ledger_schema, rejects_schema};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{ErrorKind, LakeError, Result};
use crate::storage::{Location, StorageOptions};
use crate::table::{DeltaLog, TableDefinition};

/// The newest lake format that this release reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The file that says which format a lake has.
const FORMAT_FILE: &str = "_lake.json";

/// The tables `events`, `rejects` and `ledger` below one URL. Clones share their state.
#[derive(Debug, Clone)]
pub struct Lake {
    location: Location,
    events: DeltaLog,
    rejects: DeltaLog,
    ledger: DeltaLog,
}

#[derive(Debug, Serialize, Deserialize)]
struct Format {
    format_version: u32,
    created_by: String,
}

impl Lake {
    /// Opens the lake at a local path or `file://` URL.
    pub async fn open(place: &str) -> Result<Self> {
        Self::open_with(place, &StorageOptions::default()).await
    }

    /// Opens the lake at a local path, a `file://` or an `s3://` URL.
    pub async fn open_with(place: &str, options: &StorageOptions) -> Result<Self> {
        Self::open_at(Location::parse(place, options)?).await
    }

    /// [`Lake::open`], or makes the lake first.
    pub async fn create_or_open(place: &str) -> Result<Self> {
        Self::create_or_open_with(place, &StorageOptions::default()).await
    }

    /// [`Lake::open_with`], or makes the lake first. To be called by who is going to write: a store
    /// that cannot keep two writers apart is found out here.
    pub async fn create_or_open_with(place: &str, options: &StorageOptions) -> Result<Self> {
        Self::create_or_open_at(Location::parse(place, options)?).await
    }

    /// [`Lake::create_or_open`] through `store`: one over the local disk, or in place of the one
    /// of an `s3://` URL. For faults on purpose, counters, and the like.
    pub async fn create_or_open_in(place: &str, store: Arc<dyn ObjectStore>) -> Result<Self> {
        Self::create_or_open_at(Location::with_store(place, store)?).await
    }

    async fn open_at(location: Location) -> Result<Self> {
        match read_format(&location).await? {
            Some(format) => format.check(&location)?,
            None => {
                return Err(LakeError::new(
                    ErrorKind::NotFound,
                    format!(
                        "there is no lake at `{}`: `{FORMAT_FILE}` is missing",
                        location.url()
                    ),
                ));
            }
        }
        let table = async |name| {
            let opened = DeltaLog::open(location.child(name)?, name).await;
            opened.map_err(|e| match e.kind() {
                ErrorKind::NotFound => LakeError::corrupt(format!(
                    "the lake at `{}` lacks its table `{name}`",
                    location.url()
                ))
                .with_source(e),
                _ => e,
            })
        };
        Ok(Self {
            events: table("events").await?,
            rejects: table("rejects").await?,
            ledger: table("ledger").await?,
            location,
        })
    }

    async fn create_or_open_at(location: Location) -> Result<Self> {
        location.check_conditional_writes().await?;
        // A lake that was made whole and lacks a table has lost it: an empty one in its place
        // would hide that.
        if location.exists(FORMAT_FILE).await? {
            return Self::open_at(location).await;
        }
        for definition in definitions() {
            DeltaLog::create_if_missing(&location.child(definition.name)?, &definition).await?;
        }
        // Last, so that a lake with this file has its tables.
        let format = Format {
            format_version: FORMAT_VERSION,
            created_by: format!("funnel {}", env!("CARGO_PKG_VERSION")),
        };
        let text = serde_json::to_vec_pretty(&format)
            .map_err(|e| LakeError::internal("could not write the lake's format").with_source(e))?;
        location.create(FORMAT_FILE, Bytes::from(text)).await?;
        Self::open_at(location).await
    }

    /// Where the lake is; ends with a slash.
    pub fn url(&self) -> &Url {
        self.location.url()
    }

    /// One row per event.
    pub fn events(&self) -> &DeltaLog {
        &self.events
    }

    /// One row per record, or entry of one, that could not become an event.
    pub fn rejects(&self) -> &DeltaLog {
        &self.rejects
    }

    /// Entries of the ledger that were folded from the commits.
    pub fn ledger(&self) -> &DeltaLog {
        &self.ledger
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }
}

impl Format {
    fn check(&self, location: &Location) -> Result<()> {
        if self.format_version <= FORMAT_VERSION {
            return Ok(());
        }
        Err(LakeError::new(
            ErrorKind::TooNew,
            format!(
                "the lake at `{}` has format {}, this release knows formats up to \
                 {FORMAT_VERSION}; it was made by {}: use that release or a newer one",
                location.url(),
                self.format_version,
                self.created_by,
            ),
        ))
    }
}

async fn read_format(location: &Location) -> Result<Option<Format>> {
    let Some(text) = location.read(FORMAT_FILE).await? else {
        return Ok(None);
    };
    serde_json::from_slice(&text).map(Some).map_err(|e| {
        LakeError::corrupt(format!(
            "`{}{FORMAT_FILE}` does not say which format the lake has",
            location.url()
        ))
        .with_source(e)
    })
}

fn definitions() -> [TableDefinition; 3] {
    [
        TableDefinition {
            name: "events",
            schema: events_schema(),
            partition_column: Some("event_date"),
            stats_columns: &[
                "event_type",
                "account_id",
                "visitor_id",
                "session_id",
                "campaign_id",
                "event_time",
                "received_time",
                "ingested_time",
                "topic_uuid",
                "kafka_partition",
                "kafka_offset",
                "batch_id",
            ],
        },
        TableDefinition {
            name: "rejects",
            schema: rejects_schema(),
            partition_column: Some("ingest_date"),
            stats_columns: &[
                "reason_code",
                "ingested_time",
                "topic_uuid",
                "kafka_partition",
                "kafka_offset",
                "batch_id",
            ],
        },
        TableDefinition {
            name: "ledger",
            schema: ledger_schema(),
            partition_column: None,
            stats_columns: &[
                "version",
                "kafka_topic",
                "kafka_partition",
                "from_offset",
                "to_offset",
            ],
        },
    ]
}

#[cfg(test)]
mod tests;
