//! Where one file of a sorted day ends and the next begins.
//!
//! A file holds whole accounts, or a range of visitors of one account. So the least and greatest
//! values of its columns, taken one by one, tell where it lies among the others: readers know from
//! the log alone that files follow each other, and skip by account and visitor.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::partition;

use crate::error::{LakeError, Result};
use crate::rows;

/// Cuts sorted rows, batch by batch.
#[derive(Debug)]
pub(super) struct Cuts {
    /// Rows that a file is meant to hold.
    rows_per_file: u64,
    /// Rows of each account in the whole day.
    accounts: HashMap<String, u64>,
    /// Rows of the file that is being written; none before the first.
    in_file: Option<u64>,
    last: Option<(String, Option<String>)>,
}

/// Rows of a batch that go into one file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) starts_file: bool,
    pub(super) rows: Range<usize>,
}

impl Cuts {
    pub(super) fn new(rows_per_file: u64, accounts: HashMap<String, u64>) -> Self {
        Self {
            rows_per_file: rows_per_file.max(1),
            accounts,
            in_file: None,
            last: None,
        }
    }

    pub(super) fn split(&mut self, batch: &RecordBatch) -> Result<Vec<Piece>> {
        let names = rows::texts(batch, "account_id")?;
        let visitors = rows::texts(batch, "visitor_id")?;
        let keys = [
            Arc::clone(rows::column(batch, "account_id")?),
            Arc::clone(rows::column(batch, "visitor_id")?),
        ];
        let runs = partition(&keys)
            .map_err(|e| LakeError::internal("sorted rows cannot be compared").with_source(e))?;
        let mut pieces: Vec<Piece> = Vec::new();
        for run in runs.ranges() {
            let account = names.value(run.start);
            let visitor = rows::text_at(visitors, run.start);
            let starts_file = self.starts_file(account, visitor);
            let length = run.len() as u64;
            self.in_file = Some(if starts_file {
                length
            } else {
                self.in_file.unwrap_or(0) + length
            });
            self.last = Some((account.to_owned(), visitor.map(str::to_owned)));
            match pieces.last_mut() {
                Some(piece) if !starts_file => piece.rows.end = run.end,
                _ => pieces.push(Piece {
                    starts_file,
                    rows: run,
                }),
            }
        }
        Ok(pieces)
    }

    fn starts_file(&self, account: &str, visitor: Option<&str>) -> bool {
        let (Some(in_file), Some((last_account, last_visitor))) = (self.in_file, &self.last) else {
            return true;
        };
        if last_account != account {
            return self.is_split(last_account)
                || self.is_split(account)
                || in_file + self.rows_of(account) > self.rows_per_file;
        }
        if last_visitor.as_deref() == visitor {
            return in_file >= self.rows_per_file.saturating_mul(2);
        }
        self.is_split(account) && in_file >= self.part_of(account)
    }

    fn rows_of(&self, account: &str) -> u64 {
        self.accounts.get(account).copied().unwrap_or(0)
    }

    /// Whether an account is too large for one file.
    fn is_split(&self, account: &str) -> bool {
        self.rows_of(account) > self.rows_per_file
    }

    /// Rows of each file of a large account: all about the same.
    fn part_of(&self, account: &str) -> u64 {
        let rows = self.rows_of(account);
        rows.div_ceil(rows.div_ceil(self.rows_per_file).max(1))
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, StringArray};

    use super::*;

    /// The visitors in each file, as `account/visitor` by row, from batches of `batch_rows`.
    fn files(rows: &[(&str, Option<&str>)], per_file: u64, batch_rows: usize) -> Vec<Vec<String>> {
        let mut accounts = HashMap::new();
        for (account, _) in rows {
            *accounts.entry((*account).to_owned()).or_default() += 1;
        }
        let mut cuts = Cuts::new(per_file, accounts);
        let mut files: Vec<Vec<String>> = Vec::new();
        for rows in rows.chunks(batch_rows) {
            let account: ArrayRef =
                Arc::new(rows.iter().map(|r| Some(r.0)).collect::<StringArray>());
            let visitor: ArrayRef = Arc::new(rows.iter().map(|r| r.1).collect::<StringArray>());
            let batch = RecordBatch::try_from_iter_with_nullable([
                ("account_id", account, false),
                ("visitor_id", visitor, true),
            ]);
            for piece in cuts.split(&batch.unwrap()).unwrap() {
                if piece.starts_file {
                    files.push(Vec::new());
                }
                let names = rows[piece.rows].iter();
                let names = names.map(|(a, v)| format!("{a}/{}", v.unwrap_or("-")));
                files.last_mut().unwrap().extend(names);
            }
        }
        files
    }

    #[test]
    fn files_hold_whole_small_accounts_or_visitors_of_one_large_account() {
        let v = Some;
        let rows = [
            ("a", v("1")),
            ("b", v("1")),
            ("c", v("1")),
            ("c", v("2")),
            ("c", v("2")),
            ("c", v("3")),
            ("c", None),
            ("d", v("1")),
            ("e", v("1")),
        ];
        let expected: [&[&str]; 4] = [
            &["a/1", "b/1"],
            &["c/1", "c/2", "c/2"],
            &["c/3", "c/-"],
            &["d/1", "e/1"],
        ];
        for batch_rows in [1, 2, 9] {
            assert_eq!(files(&rows, 3, batch_rows), expected, "{batch_rows}");
        }
    }

    #[test]
    fn one_endless_visitor_is_cut_in_the_end() {
        let rows = [("a", None); 10];
        let lengths: Vec<usize> = files(&rows, 2, 1).iter().map(Vec::len).collect();
        assert_eq!(lengths, [4, 4, 2]);
    }
}
