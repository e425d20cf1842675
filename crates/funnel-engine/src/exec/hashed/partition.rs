//! One part of the keys, chosen by their hash, with all their rows.

use std::io::Write;
use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, exec_datafusion_err};
use datafusion::execution::TaskContext;
use datafusion::execution::spill_file::SpillFile;
use futures::StreamExt;

use super::keys::{Codec, Encoded};
use super::spill::{Bytes, read_keys, write_keys};
use super::table::Table;
use crate::udaf::{Batch, Gathered, StreamCall};

#[derive(Default)]
pub(super) struct Partition {
    table: Table,
    /// By call; none before the first row.
    rows: Vec<Gathered>,
    /// What was written to disk, keys and rows, oldest first.
    spilled: Vec<Arc<dyn SpillFile>>,
    /// Numbers of the keys of the rows at hand.
    numbers: Vec<u32>,
}

impl std::fmt::Debug for Partition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partition")
            .field("keys", &self.table.len())
            .field("spilled", &self.spilled.len())
            .finish_non_exhaustive()
    }
}

/// Rows of one reader that wait to be taken by a partition: many at a time, so that its table stays
/// in the caches while they are looked up.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The lower half of each hash; the partition is of the upper.
    hashes: Vec<u32>,
    keys: Bytes,
    /// The rows without a key, in their order.
    nulls: Vec<u32>,
    /// By call; the group of a row is its position here.
    rows: Vec<Gathered>,
    /// The positions of the rows that are being taken.
    positions: Vec<u32>,
}

/// A batch that is dealt out to partitions.
pub(super) struct Input<'a> {
    pub(super) keys: &'a Encoded,
    pub(super) hashes: &'a [u64],
    /// By call.
    pub(super) batches: &'a [Batch],
}

impl Waiting {
    /// Takes the rows at these positions.
    pub(super) fn push(
        &mut self,
        input: &Input<'_>,
        rows: &[u32],
        calls: &[StreamCall],
    ) -> Result<()> {
        if self.rows.is_empty() {
            self.rows = calls.iter().map(Gathered::new).collect();
        }
        self.positions.clear();
        let hashes = rows.iter().map(|row| input.hashes[*row as usize] as u32);
        self.hashes.extend(hashes);
        let first = self.keys.len() as u32; // Counted in 32 bits.
        input.keys.append(rows, &mut self.keys, &mut self.nulls)?;
        self.positions.extend(first..self.keys.len() as u32);
        for (kept, batch) in self.rows.iter_mut().zip(input.batches) {
            kept.push(batch, rows, &self.positions);
        }
        Ok(())
    }

    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        let rows = self.rows.iter().map(Gathered::size).sum::<usize>();
        self.hashes.capacity() * size_of::<u32>() + self.keys.size() + rows
    }
}

impl Partition {
    /// Takes the rows that wait. Gives by how many bytes it grew.
    pub(super) fn take(&mut self, waiting: &mut Waiting, calls: &[StreamCall]) -> Result<usize> {
        let before = self.size();
        if self.rows.is_empty() {
            self.rows = calls.iter().map(Gathered::new).collect();
        }
        self.numbers.clear();
        let (keys, nulls) = (&waiting.keys, &waiting.nulls);
        let key = |at: usize| {
            let at = at as u32; // Counted in 32 bits.
            let is_null = !nulls.is_empty() && nulls.binary_search(&at).is_ok();
            (!is_null).then(|| keys.get(at))
        };
        self.table
            .numbers(&waiting.hashes, key, &mut self.numbers)?;
        for (kept, rows) in self.rows.iter_mut().zip(&mut waiting.rows) {
            kept.append(rows, &self.numbers);
        }
        waiting.hashes.clear();
        waiting.keys.clear();
        waiting.nulls.clear();
        Ok(self.size().saturating_sub(before))
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        self.table.size() + self.rows.iter().map(Gathered::size).sum::<usize>()
    }

    /// Moves all keys and rows to disk.
    pub(super) fn spill(&mut self, context: &TaskContext) -> Result<()> {
        if self.table.len() == 0 {
            return Ok(());
        }
        let disk = &context.runtime_env().disk_manager;
        let file = disk.create_tmp_file("keys and rows of a funnel")?;
        let mut to = std::io::BufWriter::new(file.open_writer()?);
        let table = std::mem::take(&mut self.table);
        write_keys(table.keys(), &table.hashes(), table.null(), &mut to)?;
        for rows in std::mem::take(&mut self.rows) {
            rows.write(&mut to)?;
        }
        to.flush()?;
        to.into_inner()
            .map_err(|error| exec_datafusion_err!("could not spill a funnel: {error}"))?
            .finish()?;
        self.spilled.push(file);
        Ok(())
    }

    /// Brings back what was moved to disk.
    pub(super) async fn restore(&mut self, calls: &[StreamCall]) -> Result<()> {
        for file in std::mem::take(&mut self.spilled) {
            let mut bytes = Vec::new();
            let mut chunks = file.read_stream()?;
            while let Some(chunk) = chunks.next().await {
                bytes.extend_from_slice(&chunk?);
            }
            let mut from = bytes.as_slice();
            let mut numbers = Vec::new();
            read_keys(&mut from, |hash, key| {
                numbers.push(self.table.number(hash, key)?);
                Ok(())
            })?;
            if self.rows.is_empty() {
                self.rows = calls.iter().map(Gathered::new).collect();
            }
            for rows in &mut self.rows {
                rows.read(&mut from, |number| numbers.get(number as usize).copied())?;
            }
        }
        Ok(())
    }

    /// Key columns, and a column of answers for each call; one row for each key. None without keys.
    pub(super) fn answers(
        self,
        codec: Option<&Codec>,
        calls: &[StreamCall],
    ) -> Result<Option<Vec<ArrayRef>>> {
        if self.table.len() == 0 {
            return Ok(None);
        }
        let mut columns = match codec {
            Some(codec) => codec.decode(&self.table)?,
            None => Vec::new(),
        };
        for (call, rows) in calls.iter().zip(self.rows) {
            columns.push(rows.answers(call, self.table.len())?);
        }
        Ok(Some(columns))
    }
}
