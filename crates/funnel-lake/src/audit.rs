//! Proof of the accounting from the tables alone.

mod chain;
mod coordinates;
mod replaced;

use std::collections::{BTreeMap, HashSet};

use serde::Serialize;

use self::chain::PartitionKey;
use self::coordinates::{Found, Side};
use self::replaced::Replacements;
use crate::error::{LakeError, Result};
use crate::lake::Lake;
use crate::ledger::{LedgerEntry, entries_of};
use crate::log::{LogEntry, last_checkpoint};
use crate::storage::blocking;
use crate::table::{DeltaLog, Snapshot};

/// What the audit found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct AuditReport {
    /// Version of `events` that was looked at.
    pub events_version: i64,
    /// Version of `rejects` that was looked at.
    pub rejects_version: i64,
    /// Entries of the ledger.
    pub entries: u64,
    /// Rows of `events`.
    pub event_rows: i64,
    /// Rows of `rejects`.
    pub reject_rows: i64,
    /// Per topic and partition.
    pub partitions: Vec<PartitionTotals>,
    /// What does not add up.
    pub problems: Vec<Problem>,
}

/// Sums of one topic-partition's entries.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct PartitionTotals {
    /// The topic's name.
    pub topic: String,
    /// The topic's UUID.
    pub topic_uuid: String,
    /// The partition's number.
    pub partition: i32,
    /// First offset accounted for.
    pub from_offset: i64,
    /// First offset not accounted for.
    pub to_offset: i64,
    /// The stored next offset, if there is one.
    pub stored_offset: Option<i64>,
    /// Sum over the entries; see [`crate::LedgerEntry`].
    pub accepted: i64,
    /// See [`crate::LedgerEntry`].
    pub rejected: i64,
    /// See [`crate::LedgerEntry`].
    pub duplicate: i64,
    /// See [`crate::LedgerEntry`].
    pub empty: i64,
    /// See [`crate::LedgerEntry`].
    pub tombstone: i64,
    /// See [`crate::LedgerEntry`].
    pub holes: i64,
    /// Offsets inside gap entries.
    pub gap_offsets: i64,
    /// See [`crate::LedgerEntry`].
    pub event_rows: i64,
    /// See [`crate::LedgerEntry`].
    pub reject_rows: i64,
    /// See [`crate::LedgerEntry`].
    pub duplicate_entries: i64,
    /// See [`crate::LedgerEntry`].
    pub dup_differs: i64,
}

/// One thing that does not add up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Which rule was broken, for scripts.
    pub rule: &'static str,
    /// Where and by how much, for people.
    pub detail: String,
}

impl AuditReport {
    /// Whether everything adds up.
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

impl Problem {
    fn new(rule: &'static str, detail: impl Into<String>) -> Self {
        Self {
            rule,
            detail: detail.into(),
        }
    }
}

/// Checks the accounting of `lake`, from its tables alone:
///
/// - each entry of the ledger accounts for every offset of its range;
/// - the entries of a partition follow each other from offset 0 to the stored offset;
/// - the rows that an entry claims are the rows that are there, in the files of its commit, with
///   its batch id, and in its range of offsets;
/// - files that took the place of others hold as many rows as those;
/// - no coordinate is there twice, in one table or in both.
///
/// It may run while an ingestor is at work. It reads the coordinates of every row, and keeps 24
/// bytes of each.
pub async fn audit(lake: &Lake) -> Result<AuditReport> {
    // `rejects` commits first, so it is read last: what `events` claims is there by then.
    let events = lake.events().load().await?;
    let rejects = lake.rejects().load().await?;
    let folded = lake.ledger().load().await?;
    let entries = lake.ledger_entries_until(&folded, events.version()).await?;
    let mut problems = Vec::new();
    for table in [lake.events(), lake.rejects()] {
        problems.extend(rewritten(table).await);
    }
    let partitions = chain::check(&entries, &events, &mut problems);
    check_commits(lake.events(), &events, &entries, &mut problems).await?;
    let (event_rows, reject_rows) =
        check_rows(&events, &rejects, entries.clone(), &mut problems).await?;
    Ok(AuditReport {
        events_version: events.version(),
        rejects_version: rejects.version(),
        entries: entries.len() as u64,
        event_rows,
        reject_rows,
        partitions,
        problems,
    })
}

async fn rewritten(table: &DeltaLog) -> Option<Problem> {
    let state = table.state().lock().await;
    let rewrite = state.rewrite.as_ref()?;
    Some(Problem::new(
        "table_rewritten",
        format!(
            "{} at version {} of `{}` removed rows; the stored offsets stayed",
            rewrite.operation,
            rewrite.version,
            table.name()
        ),
    ))
}

/// Compares what the commits say with the files that they added. Commits whose log entries were
/// cleaned are covered by the comparison with the rows.
async fn check_commits(
    table: &DeltaLog,
    snapshot: &Snapshot,
    entries: &[LedgerEntry],
    problems: &mut Vec<Problem>,
) -> Result<()> {
    // Rows of `events` and entries, per version; and which batch each version holds.
    let mut claimed: BTreeMap<i64, (i64, usize)> = BTreeMap::new();
    let mut batches: HashSet<(i64, &str)> = HashSet::new();
    for entry in entries {
        let (rows, count) = claimed.entry(entry.version).or_default();
        *rows += entry.event_rows;
        *count += 1;
        batches.insert((entry.version, &entry.batch_id));
    }
    let mut replacements = Replacements::default();
    let checkpoint = last_checkpoint(table.location()).await?.unwrap_or(0);
    for version in (0..=snapshot.version()).rev() {
        let at = u64::try_from(version)
            .map_err(|e| LakeError::corrupt("a version is negative").with_source(e))?;
        let Some(commit) = LogEntry::read(table.location(), at).await? else {
            break;
        };
        let batch_id = commit.batch_id().unwrap_or_default();
        if at < checkpoint && !batches.contains(&(version, batch_id)) {
            // Not part of the table any more, and perhaps never was: somebody may have written
            // it where the log had been cleaned.
            continue;
        }
        replacements.take(version, &commit);
        let added = commit.adds.iter().filter(|add| add.data_change);
        let added: i64 = added.filter_map(|add| add.num_records()).sum();
        let unsaid = commit.adds.iter().filter(|add| add.num_records().is_none());
        let unsaid = unsaid.count();
        let (says, known) = claimed.get(&version).copied().unwrap_or_default();
        if commit.batch_id().is_none() && !commit.adds.is_empty() {
            problems.push(Problem::new(
                "foreign_rows",
                format!("version {version}: somebody else added {added} rows"),
            ));
        } else if added != says || unsaid > 0 {
            problems.push(Problem::new(
                "commit_rows",
                format!(
                    "version {version}: its ledger claims {says} rows of `events`, its files hold \
                     {added} ({unsaid} files do not say)"
                ),
            ));
        }
        let carried = entries_of(&commit, version)?.len();
        if carried != known {
            problems.push(Problem::new(
                "ledger_entries",
                format!("version {version}: carries {carried} entries, the ledger has {known}"),
            ));
        }
    }
    replacements.check(problems);
    Ok(())
}

async fn check_rows(
    events: &Snapshot,
    rejects: &Snapshot,
    entries: Vec<LedgerEntry>,
    problems: &mut Vec<Problem>,
) -> Result<(i64, i64)> {
    let (events, rejects) = (events.clone(), rejects.clone());
    let (rows, more) = blocking(move || {
        let mut problems = Vec::new();
        let mut found = Found::default();
        found.read(&events, Side::Events, &mut problems)?;
        found.read(&rejects, Side::Rejects, &mut problems)?;
        found.sort();
        found.check_unique(&mut problems);
        found.check_batches(&entries, &mut problems);
        found.check_entries(&entries, &mut problems);
        Ok((found.counts(), problems))
    })
    .await?;
    problems.extend(more);
    Ok(rows)
}

#[cfg(test)]
mod tests;
