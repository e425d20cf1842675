//! Compaction: the rows of a closed day in the order in which funnels are computed.
//!
//! A day arrives in many files, each in the order of arrival. Compaction writes its rows again,
//! sorted by account, visitor and time, into few files that do not overlap, and puts them in the
//! place of the old ones in one entry of the log. The rows stay the same, so readers of changes
//! see none. The old files stay on disk for readers of older versions.

mod cuts;
mod sort;
mod totals;

use chrono::NaiveDate;
use funnel_events::EVENT_DATE;
use uuid::Uuid;

use crate::error::{ErrorKind, LakeError, Result};
use crate::lake::Lake;
use crate::swap::{Swap, Swapped};
use crate::table::{DeltaLog, FileEntry, Snapshot};
use crate::writer::{DataFile, discard_files};

/// So many late files are worth sorting their day again.
const LATE_FILES_MIN: usize = 8;
/// So many parts of a hundred of a day's bytes are.
const LATE_PERCENT_MIN: i64 = 5;
/// How often a day is sorted again because somebody else replaced its files meanwhile.
const ATTEMPTS_MAX: u32 = 3;
/// Sorted files begin with this.
const PREFIX: &str = "sorted-";

/// How a day is compacted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactOptions {
    /// Bytes that sorting may hold in memory; what is more goes to temporary files. The file that
    /// is being written comes on top, about 100 MB.
    pub memory: usize,
    /// Size to which files are cut, in bytes, estimated from the files that are replaced. No
    /// visitor is cut in two unless twice the size is reached.
    pub file_bytes: u64,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self {
            memory: 512 << 20,
            file_bytes: 128 << 20,
        }
    }
}

/// The files of one day of `events`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventDay {
    /// The UTC day.
    pub date: NaiveDate,
    /// Files.
    pub files: usize,
    /// Those that came after the day was sorted, or all if it never was.
    pub unsorted_files: usize,
    /// Bytes of all files.
    pub bytes: i64,
    /// Bytes of those that are not sorted.
    pub unsorted_bytes: i64,
    /// Rows, as far as the log says.
    pub rows: i64,
}

impl EventDay {
    /// Whether all its files are sorted.
    pub fn is_sorted(&self) -> bool {
        self.unsorted_files == 0
    }

    /// Whether sorting is worth its price: a day that never was sorted; a sorted one once 8 files
    /// or 5 % of its bytes came late.
    pub fn is_worth_sorting(&self) -> bool {
        let never = self.unsorted_files == self.files;
        let share = self.unsorted_bytes.saturating_mul(100);
        !self.is_sorted()
            && (never
                || self.unsorted_files >= LATE_FILES_MIN
                || share >= self.bytes.saturating_mul(LATE_PERCENT_MIN))
    }

    fn add(&mut self, file: &FileEntry) {
        self.files += 1;
        self.bytes += file.size;
        self.rows += file.num_records.unwrap_or(0);
        if !file.sorted {
            self.unsorted_files += 1;
            self.unsorted_bytes += file.size;
        }
    }
}

/// What compaction did to a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompactedDay {
    /// The UTC day.
    pub date: NaiveDate,
    /// Files that were replaced.
    pub files_before: usize,
    /// Files in their place.
    pub files_after: usize,
    /// Rows in them, before and after.
    pub rows: i64,
    /// Bytes of the files that were replaced.
    pub bytes_before: i64,
    /// Bytes of the files in their place.
    pub bytes_after: i64,
}

impl Lake {
    /// The days of `events` with their files, oldest first.
    pub async fn event_days(&self) -> Result<Vec<EventDay>> {
        let snapshot = self.events().load().await?;
        let mut days: Vec<EventDay> = Vec::new();
        let mut files: Vec<_> = snapshot.files().iter().collect();
        files.sort_by_key(|file| day_of(file));
        for (date, file) in files.iter().filter_map(|f| Some((day_of(f)?, f))) {
            if days.last().is_none_or(|day| day.date != date) {
                days.push(EventDay {
                    date,
                    files: 0,
                    unsorted_files: 0,
                    bytes: 0,
                    unsorted_bytes: 0,
                    rows: 0,
                });
            }
            if let Some(day) = days.last_mut() {
                day.add(file);
            }
        }
        Ok(days)
    }

    /// Sorts one day of `events`; `None` if all its files are sorted already. `progress` is told
    /// the number of rows that were written since it was told last. Safe beside writers: what they
    /// append meanwhile stays as it is.
    ///
    /// # Errors
    /// The table is as it was, unless the kind is `Unavailable`: then the day may be sorted, and
    /// calling again finds out. Files that were written for nothing may be left behind.
    pub async fn compact_day(
        &self,
        date: NaiveDate,
        options: &CompactOptions,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Option<CompactedDay>> {
        let table = self.events();
        for _ in 0..ATTEMPTS_MAX {
            let snapshot = table.load().await?;
            let files = snapshot.files().iter();
            let old: Vec<FileEntry> = files.filter(|f| day_of(f) == Some(date)).cloned().collect();
            if old.iter().all(|file| file.sorted) {
                return Ok(None);
            }
            let batch_id = format!("{PREFIX}{}", Uuid::now_v7());
            let day = sort::Day {
                date,
                files: &old,
                batch_id: &batch_id,
            };
            let new = sort::sort(table, &snapshot, &day, options, progress).await?;
            if replace(table, &batch_id, &old, &new).await? == Swapped::Done {
                return Ok(Some(CompactedDay {
                    date,
                    files_before: old.len(),
                    files_after: new.len(),
                    rows: new.iter().map(|file| file.rows).sum(),
                    bytes_before: old.iter().map(|file| file.size).sum(),
                    bytes_after: new.iter().map(|file| file.size).sum(),
                }));
            }
        }
        Err(LakeError::new(
            ErrorKind::Conflict,
            format!(
                "could not compact {EVENT_DATE}={date}: others replaced its files {ATTEMPTS_MAX} \
                 times meanwhile"
            ),
        ))
    }
}

async fn replace(
    table: &DeltaLog,
    batch_id: &str,
    old: &[FileEntry],
    new: &[DataFile],
) -> Result<Swapped> {
    let swap = Swap {
        batch_id,
        old,
        new,
        data_change: false,
    };
    let swapped = swap.commit(table).await;
    // After `Unavailable` the entry may be there all the same, and name the files.
    let unused = match &swapped {
        Ok(swapped) => *swapped == Swapped::Overtaken,
        Err(error) => error.kind() != ErrorKind::Unavailable,
    };
    if unused {
        discard_files(table, new);
    }
    swapped
}

fn day_of(file: &FileEntry) -> Option<NaiveDate> {
    let value = file.partition_values.get(EVENT_DATE)?.as_deref()?;
    value.parse().ok()
}

/// The columns inside the files.
fn file_schema(snapshot: &Snapshot) -> arrow::datatypes::SchemaRef {
    let outside = snapshot.partition_columns();
    let fields = snapshot.schema().fields().iter();
    let inside: Vec<_> = fields
        .filter(|f| !outside.contains(f.name()))
        .cloned()
        .collect();
    std::sync::Arc::new(arrow::datatypes::Schema::new(inside))
}

#[cfg(test)]
mod tests;
