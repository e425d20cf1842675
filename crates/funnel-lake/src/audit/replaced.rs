//! Files that took the place of others hold as many rows as those.

use std::collections::HashMap;

use super::Problem;
use crate::log::LogEntry;

/// What the entries of the log say about replaced files.
#[derive(Debug, Default)]
pub(super) struct Replacements {
    /// Rows of every file that an entry added.
    rows: HashMap<String, i64>,
    /// Version, replaced files, and rows of those in their place.
    made: Vec<(i64, Vec<String>, i64)>,
}

impl Replacements {
    pub(super) fn take(&mut self, version: i64, entry: &LogEntry) {
        let mut rows = 0;
        for add in &entry.adds {
            let count = add.num_records().unwrap_or(0);
            self.rows.insert(add.path.clone(), count);
            if !add.data_change {
                rows += count;
            }
        }
        if rows > 0 || !entry.replaced.is_empty() {
            self.made.push((version, entry.replaced.clone(), rows));
        }
    }

    /// Compares where the entries of all replaced files are still there; the comparison of the
    /// rows with the ledger covers the others.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        for (version, replaced, rows) in &self.made {
            let before: Option<i64> = replaced.iter().map(|path| self.rows.get(path)).sum();
            if before.is_some_and(|before| before != *rows) {
                problems.push(Problem::new(
                    "replaced_rows",
                    format!(
                        "version {version}: the files that it replaced held {} rows, those in \
                         their place {rows}",
                        before.unwrap_or(0)
                    ),
                ));
            }
        }
    }
}
