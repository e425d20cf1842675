//! One entry of a table's log: the parts that we look at.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use serde::Deserialize;

use super::BATCH_ID;
use crate::error::{LakeError, Result};
use crate::storage::Location;
use crate::table::FileEntry;

/// One entry of the log: the parts that we look at.
#[derive(Debug, Default)]
pub(crate) struct LogEntry {
    pub(crate) info: HashMap<String, serde_json::Value>,
    pub(crate) txns: Vec<(String, i64)>,
    pub(crate) adds: Vec<AddLine>,
    /// Paths of files that were taken away because others hold their rows now.
    pub(crate) replaced: Vec<String>,
    removes_data: bool,
    pub(super) metadata: Option<MetadataLine>,
    pub(super) protocol: Option<ProtocolLine>,
}

#[derive(Debug, Deserialize)]
struct Line {
    txn: Option<TxnLine>,
    add: Option<AddLine>,
    remove: Option<RemoveLine>,
    #[serde(rename = "metaData")]
    metadata: Option<MetadataLine>,
    protocol: Option<ProtocolLine>,
    #[serde(rename = "commitInfo")]
    commit_info: Option<HashMap<String, serde_json::Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TxnLine {
    app_id: String,
    version: i64,
}

/// A file that an entry added.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AddLine {
    pub(crate) path: String,
    /// Whether its rows are new to the table.
    pub(crate) data_change: bool,
    #[serde(default)]
    size: i64,
    #[serde(default)]
    modification_time: i64,
    #[serde(default)]
    partition_values: BTreeMap<String, Option<String>>,
    stats: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveLine {
    path: String,
    data_change: bool,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct MetadataLine {
    pub(super) schema_string: String,
    pub(super) partition_columns: Vec<String>,
    #[serde(default)]
    pub(super) configuration: HashMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ProtocolLine {
    min_reader_version: i32,
    min_writer_version: i32,
}

impl ProtocolLine {
    /// Reader and writer version.
    pub(super) fn versions(&self) -> (i32, i32) {
        (self.min_reader_version, self.min_writer_version)
    }
}

/// The path of an entry below the table's root.
pub(crate) fn entry_path(version: u64) -> String {
    format!("_delta_log/{version:020}.json")
}

impl AddLine {
    /// The file as a snapshot has it.
    pub(crate) fn to_file(&self) -> FileEntry {
        FileEntry {
            path: self.path.clone(),
            size: self.size,
            modification_time: self.modification_time,
            partition_values: self.partition_values.clone(),
            num_records: self.num_records(),
            stats: self.stats.clone(),
            sorted: false,
        }
    }

    /// The number of rows, if the writer said so.
    pub(crate) fn num_records(&self) -> Option<i64> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Stats {
            num_records: Option<i64>,
        }
        let stats: Stats = serde_json::from_str(self.stats.as_deref()?).ok()?;
        stats.num_records
    }
}

impl LogEntry {
    /// Reads entry `version`; `None` if there is no such entry.
    pub(crate) async fn read(location: &Location, version: u64) -> Result<Option<Self>> {
        let path = entry_path(version);
        match location.read(&path).await? {
            None => Ok(None),
            Some(bytes) => Self::parse(&bytes).map(Some).map_err(|e| {
                LakeError::corrupt(format!(
                    "entry `{}{path}` of the table's log is torn",
                    location.url()
                ))
                .with_source(e)
            }),
        }
    }

    fn parse(bytes: &Bytes) -> Result<Self, serde_json::Error> {
        let mut entry = Self::default();
        let mut lines = 0_usize;
        for line in serde_json::Deserializer::from_slice(bytes).into_iter::<Line>() {
            entry.take(line?);
            lines += 1;
        }
        if lines == 0 {
            return Err(serde::de::Error::custom("the entry is empty"));
        }
        Ok(entry)
    }

    fn take(&mut self, line: Line) {
        if let Some(txn) = line.txn {
            self.txns.push((txn.app_id, txn.version));
        }
        self.adds.extend(line.add);
        match line.remove {
            Some(remove) if remove.data_change => self.removes_data = true,
            Some(remove) => self.replaced.push(remove.path),
            None => {}
        }
        if line.metadata.is_some() {
            self.metadata = line.metadata;
        }
        if line.protocol.is_some() {
            self.protocol = line.protocol;
        }
        self.info.extend(line.commit_info.unwrap_or_default());
    }

    /// The batch, if the entry is ours.
    pub(crate) fn batch_id(&self) -> Option<&str> {
        self.info.get(BATCH_ID)?.as_str()
    }

    /// When it was made, in microseconds.
    pub(crate) fn committed_time(&self) -> i64 {
        self.info
            .get("timestamp")
            .and_then(serde_json::Value::as_i64)
            .unwrap_or_default()
            .saturating_mul(1000)
    }

    pub(super) fn operation(&self) -> &str {
        self.info
            .get("operation")
            .and_then(serde_json::Value::as_str)
            .unwrap_or("an operation without a name")
    }

    /// Whether it leaves every file and the table's definition as they are.
    pub(crate) fn only_appends(&self) -> bool {
        self.replaced.is_empty()
            && !self.removes_data
            && !self.rewrites()
            && self.metadata.is_none()
            && self.protocol.is_none()
    }

    /// Whether rows that were in the table are not any more.
    pub(crate) fn removes_rows(&self) -> bool {
        self.removes_data || self.rewrites()
    }

    /// Whether a foreign entry took rows away (or put the table back to an older state).
    pub(super) fn rewrites(&self) -> bool {
        let restored = self.operation().eq_ignore_ascii_case("RESTORE");
        self.batch_id().is_none() && (self.removes_data || restored)
    }
}
