//! Tables that are made anew, one partition at a time: the marts.
//!
//! Readers see a partition as it was or as it is, never half of it: one log entry removes the old
//! files and adds the new ones. The old files stay on disk for readers of the older version.

use std::collections::HashMap;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use chrono::Utc;
use deltalake::kernel::transaction::CommitData;
use deltalake::kernel::{Action, Remove};
use deltalake::protocol::{DeltaOperation, SaveMode};
use uuid::Uuid;

use crate::commit::add_action;
use crate::error::{ErrorKind, LakeError, Result};
use crate::lake::Lake;
use crate::log::entry_path;
use crate::storage::blocking;
use crate::table::{DeltaLog, FileEntry, TableDefinition};
use crate::writer::{DataFile, discard_files, encode_files};

/// How often another writer may be faster before we give up.
const ATTEMPTS_MAX: u32 = 20;

/// A table whose partitions are replaced as a whole.
#[derive(Debug, Clone)]
pub struct Mart {
    table: DeltaLog,
}

impl Lake {
    /// The mart `name`, made if there is none. The partition column is the last of `schema`.
    pub async fn mart(
        &self,
        name: &'static str,
        schema: SchemaRef,
        partition_column: &'static str,
    ) -> Result<Mart> {
        let location = self.location().child(name)?;
        let definition = TableDefinition {
            name,
            partition_column: Some(partition_column),
            stats_columns: match schema.field_with_name("account_id") {
                Ok(_) => &["account_id"],
                Err(_) => &[],
            },
            schema,
        };
        DeltaLog::create_if_missing(&location, &definition).await?;
        let table = DeltaLog::open(location, name).await?;
        Ok(Mart { table })
    }

    /// The mart `name`, if it was ever written.
    pub async fn published(&self, name: &str) -> Result<Option<DeltaLog>> {
        match DeltaLog::open(self.location().child(name)?, name).await {
            Ok(table) => Ok(Some(table)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The bytes of a plain file at a stable path below the lake, or `None`.
    pub async fn read_file(&self, path: &str) -> Result<Option<Bytes>> {
        self.location().read(path).await
    }

    /// Replaces a plain file at a stable path below the lake in one step: a reader sees the old
    /// bytes or the new ones.
    pub async fn replace_file(&self, path: &str, bytes: Bytes) -> Result<()> {
        self.location().replace(path, bytes).await
    }
}

impl Mart {
    /// The table.
    #[must_use]
    pub fn table(&self) -> &DeltaLog {
        &self.table
    }

    /// Replaces all rows of one partition by `rows`, which must belong to it; none empties it.
    /// Returns the version that holds them. Another writer's replacement of the same partition
    /// is replaced in turn: the last one stands, whole.
    pub async fn replace_partition(&self, value: &str, rows: Vec<RecordBatch>) -> Result<i64> {
        let table = self.table.clone();
        let batch_id = Uuid::new_v4().to_string();
        let files = blocking(move || encode_files(&rows, &table, &batch_id)).await?;
        let replaced = self.swap(value, &files).await;
        // After any other error the entry may be there all the same, and name the files.
        let refused = |e: &LakeError| matches!(e.kind(), ErrorKind::Config | ErrorKind::Conflict);
        if replaced.as_ref().err().is_some_and(refused) {
            discard_files(&self.table, &files);
        }
        replaced
    }

    async fn swap(&self, value: &str, files: &[DataFile]) -> Result<i64> {
        let column = self.table.partition_column().unwrap_or_default();
        let stray = files.iter().find(|file| {
            file.partition
                .as_ref()
                .is_none_or(|(_, found)| found != value)
        });
        if let Some(file) = stray {
            return Err(LakeError::config(format!(
                "could not replace {column}={value} of mart `{}`: there are rows of {:?}",
                self.table.name(),
                file.partition
            )));
        }
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = self.table.load().await?;
            let is_there = |new: &DataFile| snapshot.files().iter().any(|f| f.path == new.path);
            if !files.is_empty() && files.iter().all(is_there) {
                // Our entry, written by a request whose answer was lost.
                return Ok(snapshot.version());
            }
            let old = snapshot.files().iter().filter(|file| {
                file.partition_values.get(column).and_then(Option::as_deref) == Some(value)
            });
            let mut actions: Vec<Action> = old.map(remove_action).collect();
            actions.extend(files.iter().map(add_action));
            let version = snapshot.version() + 1;
            let number = u64::try_from(version).map_err(|e| {
                LakeError::corrupt(format!("version {version} is negative")).with_source(e)
            })?;
            let entry = self.entry(column, value, actions)?;
            if self
                .table
                .location()
                .create(&entry_path(number), entry)
                .await?
            {
                return Ok(version);
            }
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            format!(
                "could not replace {column}={value} of mart `{}`: other writers were faster \
                 {ATTEMPTS_MAX} times",
                self.table.name()
            ),
        ))
    }

    fn entry(&self, column: &str, value: &str, actions: Vec<Action>) -> Result<Bytes> {
        let operation = DeltaOperation::Write {
            mode: SaveMode::Overwrite,
            partition_by: Some(vec![column.to_owned()]),
            predicate: Some(format!("{column} = '{value}'")),
        };
        let info = HashMap::from([("code".to_owned(), env!("CARGO_PKG_VERSION").into())]);
        CommitData::new(actions, operation, info, Vec::new())
            .get_bytes()
            .map_err(|e| {
                LakeError::internal(format!(
                    "could not describe {column}={value} of mart `{}`",
                    self.table.name()
                ))
                .with_source(e)
            })
    }
}

pub(crate) fn remove_action(file: &FileEntry) -> Action {
    Action::Remove(Remove {
        path: file.path.clone(),
        data_change: true,
        deletion_timestamp: Some(Utc::now().timestamp_millis()),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition_values.clone().into_iter().collect()),
        size: Some(file.size),
        tags: None,
        deletion_vector: None,
        base_row_id: None,
        default_row_commit_version: None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering;

    use arrow::array::{Date32Array, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;
    use crate::testing::{Fault, Faults, TestLake};

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![
            Field::new("account_id", DataType::Utf8, false),
            Field::new("n", DataType::Int64, false),
            Field::new("date", DataType::Date32, false),
        ]))
    }

    fn rows(day: i32, numbers: &[i64]) -> Vec<RecordBatch> {
        let count = numbers.len();
        let columns: Vec<arrow::array::ArrayRef> = vec![
            Arc::new(StringArray::from(vec!["a"; count])),
            Arc::new(Int64Array::from(numbers.to_vec())),
            Arc::new(Date32Array::from(vec![day; count])),
        ];
        vec![RecordBatch::try_new(schema(), columns).unwrap()]
    }

    async fn mart(dir: &tempfile::TempDir) -> Mart {
        let lake = Lake::create_or_open(dir.path().to_str().unwrap())
            .await
            .unwrap();
        lake.mart("daily", schema(), "date").await.unwrap()
    }

    async fn counted(mart: &Mart) -> Vec<(String, i64)> {
        let snapshot = mart.table().load().await.unwrap();
        let mut found: Vec<_> = snapshot
            .files()
            .iter()
            .map(|f| {
                (
                    f.partition_values["date"].clone().unwrap(),
                    f.num_records.unwrap(),
                )
            })
            .collect();
        found.sort();
        found
    }

    #[tokio::test]
    async fn a_partition_is_replaced_and_the_others_stay() {
        let dir = tempfile::tempdir().unwrap();
        let mart = mart(&dir).await;
        mart.replace_partition("1970-01-02", rows(1, &[1, 2]))
            .await
            .unwrap();
        mart.replace_partition("1970-01-03", rows(2, &[3]))
            .await
            .unwrap();
        mart.replace_partition("1970-01-02", rows(1, &[4, 5, 6]))
            .await
            .unwrap();
        let expected = [("1970-01-02".to_owned(), 3), ("1970-01-03".to_owned(), 1)];
        assert_eq!(counted(&mart).await, expected);
        mart.replace_partition("1970-01-02", Vec::new())
            .await
            .unwrap();
        assert_eq!(counted(&mart).await, [("1970-01-03".to_owned(), 1)]);
    }

    #[tokio::test]
    async fn rows_of_another_partition_change_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mart = mart(&dir).await;
        let error = mart
            .replace_partition("1970-01-03", rows(1, &[1]))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        assert_eq!(counted(&mart).await, []);
    }

    #[tokio::test]
    async fn of_two_writers_at_once_one_stands_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (one, other) = (mart(&dir).await, mart(&dir).await);
        let (a, b) = tokio::join!(
            one.replace_partition("1970-01-02", rows(1, &[1, 2])),
            other.replace_partition("1970-01-02", rows(1, &[3, 4, 5])),
        );
        let last = if a.unwrap() > b.unwrap() { 2 } else { 3 };
        assert_eq!(counted(&one).await, [("1970-01-02".to_owned(), last)]);
    }

    #[tokio::test]
    async fn an_entry_whose_answer_was_lost_is_not_written_twice() {
        let lake = TestLake::new().await;
        let faults = Arc::new(Faults::default());
        let through = lake.with_faults(&faults).await;
        let mart = through.mart("daily", schema(), "date").await.unwrap();
        faults.plan(&[Fault::SendTwice]);
        let version = mart.replace_partition("1970-01-02", rows(1, &[1, 2])).await;
        assert_eq!(version.unwrap(), 1);
        assert_eq!(faults.happened.load(Ordering::SeqCst), 1);
        assert_eq!(mart.table().load().await.unwrap().version(), 1);
        assert_eq!(counted(&mart).await, [("1970-01-02".to_owned(), 2)]);
    }
}
