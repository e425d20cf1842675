//! Retention of `rejects`: after a while a refused record keeps its place and its reason, and loses
//! its bytes.
//!
//! Rows are never taken out, because the accounting needs them: the audit compares every ledger
//! entry with the rows that are there. What can identify a person goes: payload, key, headers,
//! visitor and consumer. Hash and length stay.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Date32Array, RecordBatch, new_null_array};
use chrono::NaiveDate;
use uuid::Uuid;

use crate::error::{ErrorKind, LakeError, Result};
use crate::lake::Lake;
use crate::rows;
use crate::storage::blocking;
use crate::swap::{Swap, Swapped};
use crate::table::{DeltaLog, FileEntry, Snapshot};
use crate::writer::{DataFile, discard_files, encode_files};

/// Columns that lose their values.
const EMPTIED: [&str; 5] = ["payload", "key", "headers", "visitor_id", "consumer_key"];
/// Says that a payload is not whole; true for every row without bytes.
const TRUNCATED: &str = "payload_truncated";
/// The partition column, which is not inside the files.
const DAY: &str = "ingest_date";
/// Files that were emptied begin with this.
const PREFIX: &str = "emptied-";

impl Lake {
    /// Empties the bytes of the records that were refused before `day` (UTC day of ingest, not
    /// included) and deletes the files that held them. Gives the number of rows emptied now; rows
    /// emptied earlier are left alone.
    ///
    /// # Errors
    /// Nothing is lost on an error, and the next call goes on where this one ended.
    pub async fn empty_rejects_before(&self, day: NaiveDate) -> Result<u64> {
        let table = self.rejects();
        let snapshot = table.load().await?;
        let mut emptied = 0;
        for (date, old) in expired(&snapshot, day) {
            let batch_id = format!("{PREFIX}{}", Uuid::now_v7());
            let (at, files, to) = (snapshot.clone(), old.clone(), table.clone());
            let id = batch_id.clone();
            let new = blocking(move || rewrite(&at, &files, date, &to, &id)).await?;
            let swap = Swap {
                batch_id: &batch_id,
                old: &old,
                new: &new,
                data_change: true,
            };
            match swap.commit(table).await {
                Ok(Swapped::Done) => {
                    emptied += new.iter().map(|file| file.rows.unsigned_abs()).sum::<u64>();
                    for file in &old {
                        table.location().remove(&file.path).await?;
                    }
                }
                // Somebody else emptied the same files.
                Ok(Swapped::Overtaken) => discard_files(table, &new),
                Err(error) => {
                    if matches!(error.kind(), ErrorKind::Config | ErrorKind::Conflict) {
                        discard_files(table, &new);
                    }
                    return Err(error);
                }
            }
        }
        Ok(emptied)
    }
}

/// Files by day that still hold bytes and are older than `day`.
fn expired(snapshot: &Snapshot, day: NaiveDate) -> Vec<(NaiveDate, Vec<FileEntry>)> {
    let mut by_day: HashMap<NaiveDate, Vec<FileEntry>> = HashMap::new();
    for file in snapshot.files() {
        let value = file.partition_values.get(DAY).and_then(Option::as_deref);
        let date = value.and_then(|text| text.parse::<NaiveDate>().ok());
        let name = file.path.rsplit('/').next().unwrap_or_default();
        match date {
            Some(date) if date < day && !name.starts_with(PREFIX) => {
                by_day.entry(date).or_default().push(file.clone());
            }
            _ => {}
        }
    }
    let mut days: Vec<_> = by_day.into_iter().collect();
    days.sort_by_key(|(date, _)| *date);
    days
}

fn rewrite(
    snapshot: &Snapshot,
    files: &[FileEntry],
    date: NaiveDate,
    table: &DeltaLog,
    batch_id: &str,
) -> Result<Vec<DataFile>> {
    let mut batches = Vec::new();
    for file in files {
        for batch in rows::read(snapshot, file, None)? {
            batches.push(without_bytes(&batch, date, table)?);
        }
    }
    encode_files(&batches, table, batch_id)
}

/// The rows in the table's schema, with the partition column and without the bytes.
fn without_bytes(batch: &RecordBatch, date: NaiveDate, table: &DeltaLog) -> Result<RecordBatch> {
    let rows = batch.num_rows();
    let days = date.signed_duration_since(NaiveDate::default()).num_days();
    let days = i32::try_from(days)
        .map_err(|e| LakeError::corrupt(format!("{date} is no day")).with_source(e))?;
    let column = |name: &str, field: &arrow::datatypes::Field| -> Result<ArrayRef> {
        Ok(match name {
            DAY => Arc::new(Date32Array::from(vec![days; rows])),
            TRUNCATED => Arc::new(BooleanArray::from(vec![true; rows])),
            name if EMPTIED.contains(&name) => new_null_array(field.data_type(), rows),
            name => Arc::clone(rows::column(batch, name)?),
        })
    };
    let schema = table.schema();
    let columns: Vec<ArrayRef> = schema
        .fields()
        .iter()
        .map(|field| column(field.name(), field))
        .collect::<Result<_>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
        .map_err(|e| LakeError::corrupt("rows of `rejects` do not fit their table").with_source(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Row, TestLake, accepted, advance, batch, row};
    use crate::{Commit, Outcome, audit};

    /// The day of `Row::day == 0`.
    fn day(number: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 5, 1 + number).unwrap()
    }

    /// One refused record at `offset`, ingested on day `number`.
    async fn refuse(lake: &Lake, offset: i64, number: i64, batch_id: &str) {
        let rows = [Row {
            day: number,
            ..row(0, offset)
        }];
        let table = lake.rejects();
        let offsets = offset..offset + 1;
        let rejects = Commit {
            files: encode_files(&[batch(table.schema(), &rows, batch_id)], table, batch_id)
                .unwrap(),
            advances: vec![advance(0, offsets.clone())],
            batch_id: batch_id.to_owned(),
            ledger: Vec::new(),
        };
        table.commit(rejects).await.unwrap();
        let mut fates = accepted(0, offsets.clone());
        (fates.accepted, fates.event_rows) = (0, 0);
        (fates.rejected, fates.reject_rows) = (1, 1);
        let events = Commit {
            files: Vec::new(),
            advances: vec![advance(0, offsets)],
            batch_id: batch_id.to_owned(),
            ledger: vec![fates],
        };
        let outcome = lake.events().commit(events).await.unwrap();
        assert!(matches!(outcome, Outcome::Committed { .. }), "{outcome:?}");
    }

    /// Visitor by offset, of the rows that are there.
    async fn visitors(lake: &Lake) -> Vec<(i64, Option<String>)> {
        let snapshot = lake.rejects().load().await.unwrap();
        let mut found = Vec::new();
        for file in snapshot.files() {
            for batch in rows::read(&snapshot, file, None).unwrap() {
                let offsets = rows::column(&batch, "kafka_offset").unwrap();
                let offsets: &arrow::array::Int64Array =
                    arrow::array::AsArray::as_primitive(offsets.as_ref());
                let names = rows::texts(&batch, "visitor_id").unwrap();
                found.extend((0..batch.num_rows()).map(|row| {
                    let name = rows::text_at(names, row).map(str::to_owned);
                    (offsets.value(row), name)
                }));
            }
        }
        found.sort();
        found
    }

    #[tokio::test]
    async fn old_rows_lose_what_names_people_and_keep_their_place() {
        let lake = TestLake::new().await;
        refuse(&lake.lake, 0, 0, "b1").await;
        refuse(&lake.lake, 1, 0, "b2").await;
        refuse(&lake.lake, 2, 1, "b3").await;
        let before = lake.lake.rejects().load().await.unwrap();
        assert_eq!(lake.lake.empty_rejects_before(day(1)).await.unwrap(), 2);
        let kept = Some("visitor-2".to_owned());
        assert_eq!(
            visitors(&lake.lake).await,
            [(0, None), (1, None), (2, kept)]
        );
        for file in before.files() {
            let there = lake.path(&format!("rejects/{}", file.path)).exists();
            assert_eq!(there, file.path.contains("2026-05-02"), "{}", file.path);
        }
        assert_eq!(audit(&lake.reopen().await).await.unwrap().problems, []);
    }

    #[tokio::test]
    async fn what_is_emptied_is_not_rewritten_and_appends_go_on() {
        let lake = TestLake::new().await;
        refuse(&lake.lake, 0, 0, "b1").await;
        assert_eq!(lake.lake.empty_rejects_before(day(1)).await.unwrap(), 1);
        assert_eq!(lake.lake.empty_rejects_before(day(1)).await.unwrap(), 0);
        refuse(&lake.lake, 1, 3, "b2").await;
        refuse(&lake.reopen().await, 2, 3, "b3").await;
        assert_eq!(audit(&lake.lake).await.unwrap().problems, []);
    }
}
