//! The names in a table's log, and the stored positions in its checkpoint.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use futures::TryStreamExt;
use object_store::ObjectStore;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::Deserialize;

use crate::error::{ErrorKind, LakeError, Result};
use crate::storage::Location;

/// The names in `_delta_log`.
pub(super) struct Listing {
    pub(super) newest: u64,
    pub(super) checkpoint: Option<u64>,
    checkpoint_parts: Vec<String>,
}

/// The version of the newest checkpoint, by the table's own note.
pub(crate) async fn last_checkpoint(location: &Location) -> Result<Option<u64>> {
    #[derive(Deserialize)]
    struct Note {
        version: u64,
    }
    let Some(text) = location.read("_delta_log/_last_checkpoint").await? else {
        return Ok(None);
    };
    serde_json::from_slice(&text)
        .map(|note: Note| Some(note.version))
        .map_err(|e| {
            LakeError::corrupt(format!(
                "`{}_delta_log/_last_checkpoint` does not name a version",
                location.url()
            ))
            .with_source(e)
        })
}

impl Listing {
    pub(super) async fn read(location: &Location) -> Result<Self> {
        let folder = location.full_path("_delta_log")?;
        let names: Vec<String> = location
            .root_store()
            .list(Some(&folder))
            .try_filter_map(async |meta| Ok(meta.location.filename().map(str::to_owned)))
            .try_collect()
            .await
            .map_err(|e| location.failed("list", "_delta_log", e))?;
        let entries = names.iter().filter_map(|n| version_of(n, ".json")).max();
        let checkpoint = complete_checkpoints(&names).max();
        let newest = entries.max(checkpoint).ok_or_else(|| {
            LakeError::new(
                ErrorKind::NotFound,
                format!("there is no Delta table at `{}`", location.url()),
            )
        })?;
        let prefix = checkpoint.map(|c| format!("{c:020}.checkpoint."));
        let checkpoint_parts = names
            .into_iter()
            .filter(|n| prefix.as_ref().is_some_and(|p| n.starts_with(p)))
            .collect();
        Ok(Self {
            newest,
            checkpoint,
            checkpoint_parts,
        })
    }

    pub(super) async fn checkpoint_offsets(
        &self,
        location: &Location,
    ) -> Result<BTreeMap<String, i64>> {
        let mut offsets = BTreeMap::new();
        for part in &self.checkpoint_parts {
            let path = format!("_delta_log/{part}");
            let unreadable = |source: parquet::errors::ParquetError| {
                LakeError::corrupt(format!(
                    "could not read the offsets in checkpoint `{}{path}`",
                    location.url()
                ))
                .with_source(source)
            };
            let bytes = location.read(&path).await?.unwrap_or_default();
            read_txn_column(bytes, &mut offsets).map_err(unreadable)?;
        }
        Ok(offsets)
    }
}

fn version_of(name: &str, ending: &str) -> Option<u64> {
    let digits = name.strip_suffix(ending)?;
    (digits.len() == 20).then(|| digits.parse().ok())?
}

/// Versions of the checkpoints all of whose parts are there.
fn complete_checkpoints(names: &[String]) -> impl Iterator<Item = u64> {
    let mut parts: BTreeMap<(u64, usize), usize> = BTreeMap::new();
    for name in names {
        if let Some(version) = version_of(name, ".checkpoint.parquet") {
            parts.insert((version, 1), 1);
        } else if let Some((version, of)) = part_of_checkpoint(name) {
            *parts.entry((version, of)).or_default() += 1;
        }
    }
    parts
        .into_iter()
        .filter(|((_, of), there)| there == of)
        .map(|((version, _), _)| version)
}

/// Version and number of parts of `<version>.checkpoint.<part>.<parts>.parquet`.
fn part_of_checkpoint(name: &str) -> Option<(u64, usize)> {
    let (version, rest) = name.split_once(".checkpoint.")?;
    let (_part, of) = rest.strip_suffix(".parquet")?.split_once('.')?;
    Some((version.parse().ok()?, of.parse().ok()?))
}

fn read_txn_column(
    bytes: Bytes,
    offsets: &mut BTreeMap<String, i64>,
) -> Result<(), parquet::errors::ParquetError> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes)?;
    let mask = ProjectionMask::columns(builder.parquet_schema(), ["txn.appId", "txn.version"]);
    for batch in builder.with_projection(mask).build()? {
        let batch = batch?;
        let Some(txn) = batch.column_by_name("txn").and_then(|c| c.as_struct_opt()) else {
            continue;
        };
        let ids = txn
            .column_by_name("appId")
            .and_then(|c| c.as_string_opt::<i32>());
        let versions = txn
            .column_by_name("version")
            .and_then(|c| c.as_primitive_opt::<Int64Type>());
        let (Some(ids), Some(versions)) = (ids, versions) else {
            return Err(parquet::errors::ParquetError::General(
                "the column `txn` has another shape".to_owned(),
            ));
        };
        for row in (0..batch.num_rows()).filter(|row| txn.is_valid(*row) && ids.is_valid(*row)) {
            offsets.insert(ids.value(row).to_owned(), versions.value(row));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_checkpoints_with_all_their_parts_count() {
        let names = [
            "00000000000000000007.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000005.checkpoint.parquet",
            "00000000000000000006.checkpoint.0000000001.0000000002.parquet",
            "00000000000000000006.checkpoint.0000000002.0000000002.parquet",
            "00000000000000000009.json",
            "_last_checkpoint",
        ];
        let names: Vec<String> = names.map(str::to_owned).to_vec();
        assert_eq!(complete_checkpoints(&names).max(), Some(6));
        assert_eq!(version_of(&names[4], ".json"), Some(9));
        assert_eq!(version_of("00000000000000000009.json#1", ".json"), None);
    }
}
