//! Partitions that must not go on by themselves.
//!
//! A halt is a small JSON file in the lake, so that a restart finds it: a partition that lost
//! offsets does not become healthy because a process died.

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};

use crate::commit::OffsetKey;
use crate::error::{LakeError, Result};
use crate::lake::Lake;

/// The folder of the halts below the lake.
const FOLDER: &str = "_state/halts";

/// Why a partition stands still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Halt {
    /// Which partition.
    pub key: OffsetKey,
    /// The state, such as `halted_truncated`.
    pub reason: String,
    /// The next offset that the lake has stored.
    pub stored: Option<i64>,
    /// The first offset that the broker still has.
    pub log_start: Option<i64>,
    /// The broker's last stable offset.
    pub high: Option<i64>,
    /// What to do to go on, for the operator.
    pub flag_hint: String,
    /// When, in microseconds since 1970.
    pub at: i64,
}

impl Lake {
    /// All halts, ordered by application id.
    pub async fn halts(&self) -> Result<Vec<Halt>> {
        let folder = self.location().full_path(FOLDER)?;
        let names: Vec<String> = self
            .location()
            .root_store()
            .list(Some(&folder))
            .try_filter_map(async |meta| Ok(meta.location.filename().map(str::to_owned)))
            .try_collect()
            .await
            .map_err(|e| self.location().failed("list", FOLDER, e))?;
        let mut halts = Vec::with_capacity(names.len());
        for name in names.iter().filter(|name| name.ends_with(".json")) {
            let path = format!("{FOLDER}/{name}");
            let Some(text) = self.location().read(&path).await? else {
                continue; // Taken back a moment ago.
            };
            // One that cannot be read still halts something: never skip it.
            let halt: Halt = serde_json::from_slice(&text).map_err(|e| {
                LakeError::corrupt(format!(
                    "halt `{}{path}` cannot be read; remove it once the partition is understood",
                    self.url()
                ))
                .with_source(e)
            })?;
            halts.push(halt);
        }
        halts.sort_by_key(|halt| halt.key.app_id());
        Ok(halts)
    }

    /// Records a halt; the newest one of a partition stands.
    pub async fn set_halt(&self, halt: &Halt) -> Result<()> {
        let text = serde_json::to_vec_pretty(halt)
            .map_err(|e| LakeError::internal("could not describe a halt").with_source(e))?;
        self.location()
            .replace(&path_of(&halt.key), Bytes::from(text))
            .await
    }

    /// Takes a halt back; says whether there was one.
    pub async fn clear_halt(&self, key: &OffsetKey) -> Result<bool> {
        self.location().remove(&path_of(key)).await
    }
}

/// One file per partition. Job names are free text, so everything unusual is escaped.
fn path_of(key: &OffsetKey) -> String {
    let mut name = String::new();
    for byte in key.app_id().bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => name.push(byte.into()),
            other => name.push_str(&format!("_{other:02x}")),
        }
    }
    format!("{FOLDER}/{name}.json")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn halt(job: &str, partition: i32, stored: i64) -> Halt {
        Halt {
            key: OffsetKey {
                job: job.to_owned(),
                topic: "lp.chat.v1".to_owned(),
                topic_uuid: "u_1".to_owned(),
                partition,
            },
            reason: "halted_truncated".to_owned(),
            stored: Some(stored),
            log_start: Some(stored + 10),
            high: None,
            flag_hint: "--on-truncation record-gap".to_owned(),
            at: 1,
        }
    }

    #[tokio::test]
    async fn halts_survive_a_reopen_and_the_newest_of_a_partition_stands() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().to_str().unwrap();
        let lake = Lake::create_or_open(place).await.unwrap();
        assert_eq!(lake.halts().await.unwrap(), []);
        lake.set_halt(&halt("a job/with+odd_name", 1, 5))
            .await
            .unwrap();
        lake.set_halt(&halt("funnel", 0, 6)).await.unwrap();
        lake.set_halt(&halt("funnel", 0, 7)).await.unwrap();

        let again = Lake::open(place).await.unwrap();
        let (first, second) = (halt("a job/with+odd_name", 1, 5), halt("funnel", 0, 7));
        assert_eq!(again.halts().await.unwrap(), [first, second.clone()]);
        assert!(again.clear_halt(&second.key).await.unwrap());
        assert!(!again.clear_halt(&second.key).await.unwrap());
        assert_eq!(lake.halts().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_halt_that_cannot_be_read_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::create_or_open(dir.path().to_str().unwrap())
            .await
            .unwrap();
        lake.set_halt(&halt("funnel", 0, 6)).await.unwrap();
        let file = dir.path().join(path_of(&halt("funnel", 0, 6).key));
        std::fs::write(file, "{").unwrap();
        let error = lake.halts().await.unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Corrupt);
    }
}
