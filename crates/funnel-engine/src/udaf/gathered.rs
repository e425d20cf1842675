//! The rows of a call by group, in the order in which they came: what is kept where the input is not
//! sorted.

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, exec_datafusion_err, exec_err};

use super::histories::of_columns;
use super::masks::{Masks, each_width};
use super::rows::Batch;
use super::stream::StreamCall;

/// Rows per block: blocks do not move when there are more rows, so no memory is held twice.
const BLOCK_ROWS: usize = 4096;

/// Rows that a call looks at, of many groups.
#[derive(Debug)]
pub(crate) struct Gathered {
    rows: Blocks,
    /// Rows of the batch at hand that are kept, with their groups.
    kept: Vec<(u32, u32)>,
    /// Rows that satisfy no step matter too.
    all_rows: bool,
}

/// Blocks with masks as wide as the conditions ask for.
#[derive(Debug)]
enum Blocks {
    Bytes(Vec<Block<u8>>),
    Shorts(Vec<Block<u16>>),
    Words(Vec<Block<u64>>),
}

type Block<M> = Vec<Kept<M>>;

/// What is known of a row: in one piece, since its neighbours in time are rows of other groups.
#[derive(Debug, Clone, Copy)]
struct Kept<M> {
    time: i64,
    group: u32,
    mask: M,
}

macro_rules! each_block {
    ($rows:expr, $blocks:ident => $body:expr) => {
        match $rows {
            Blocks::Bytes($blocks) => $body,
            Blocks::Shorts($blocks) => $body,
            Blocks::Words($blocks) => $body,
        }
    };
}

impl Gathered {
    pub(crate) fn new(call: &StreamCall) -> Self {
        Self {
            rows: match Masks::zeros(call.conditions(), 0) {
                Masks::Bytes(_) => Blocks::Bytes(Vec::new()),
                Masks::Shorts(_) => Blocks::Shorts(Vec::new()),
                Masks::Words(_) => Blocks::Words(Vec::new()),
            },
            kept: Vec::new(),
            all_rows: call.needs_all_rows(),
        }
    }

    /// Takes the rows of `batch` at the positions `rows`; their groups are `groups`.
    pub(crate) fn push(&mut self, batch: &Batch, rows: &[u32], groups: &[u32]) {
        let (times, masks, seen) = batch.parts();
        let given = rows.iter().copied().zip(groups.iter().copied());
        let (kept, all_rows) = (&mut self.kept, self.all_rows);
        each_width!(masks, masks => keep(kept, given, |row| {
            let looked_at = all_rows || masks.get(row).is_some_and(has_step);
            looked_at && seen.is_none_or(|seen| seen.value(row))
        }));
        match (&mut self.rows, masks) {
            (Blocks::Bytes(blocks), Masks::Bytes(masks)) => push(blocks, times, masks, kept),
            (Blocks::Shorts(blocks), Masks::Shorts(masks)) => push(blocks, times, masks, kept),
            (Blocks::Words(blocks), Masks::Words(masks)) => push(blocks, times, masks, kept),
            // The width is that of the call's conditions, here as there.
            _ => debug_assert!(false, "masks of another call"),
        }
    }

    /// Takes all rows of `other`, of the same call; `groups` are the groups here by those there.
    pub(crate) fn append(&mut self, other: &mut Self, groups: &[u32]) {
        match (&mut self.rows, &mut other.rows) {
            (Blocks::Bytes(blocks), Blocks::Bytes(others)) => append(blocks, others, groups),
            (Blocks::Shorts(blocks), Blocks::Shorts(others)) => append(blocks, others, groups),
            (Blocks::Words(blocks), Blocks::Words(others)) => append(blocks, others, groups),
            // The width is that of the call's conditions, here as there.
            _ => debug_assert!(false, "rows of another call"),
        }
    }

    /// One answer for each of `groups` groups.
    pub(crate) fn answers(self, call: &StreamCall, groups: usize) -> Result<ArrayRef> {
        each_block!(self.rows, blocks => answered(blocks, call, groups))
    }

    /// Bytes in memory.
    pub(crate) fn size(&self) -> usize {
        each_block!(&self.rows, blocks => {
            blocks.iter().map(size).sum()
        })
    }

    /// Appends all rows as bytes; `read` takes them back.
    pub(crate) fn write(&self, to: &mut impl std::io::Write) -> std::io::Result<()> {
        each_block!(&self.rows, blocks => write(blocks, to))
    }

    /// Takes rows from the front of `from`; `group` gives the number that a group has here.
    pub(crate) fn read(
        &mut self,
        from: &mut &[u8],
        group: impl Fn(u32) -> Option<u32>,
    ) -> Result<()> {
        let rows = number(from)?;
        for _ in 0..rows {
            let (before, time, mask) = (number32(from)?, number(from)?, number(from)?);
            let Some(group) = group(before) else {
                return exec_err!("a spilled row of a funnel belongs to no group");
            };
            let time = time.cast_signed();
            let wide = |_| exec_datafusion_err!("a spilled row of a funnel has too many steps");
            match &mut self.rows {
                Blocks::Bytes(blocks) => {
                    let mask = u8::try_from(mask).map_err(wide)?;
                    block(blocks).push(Kept { time, group, mask });
                }
                Blocks::Shorts(blocks) => {
                    let mask = u16::try_from(mask).map_err(wide)?;
                    block(blocks).push(Kept { time, group, mask });
                }
                Blocks::Words(blocks) => block(blocks).push(Kept { time, group, mask }),
            }
        }
        Ok(())
    }
}

pub(crate) fn number(from: &mut &[u8]) -> Result<u64> {
    match from.split_first_chunk() {
        Some((bytes, rest)) => {
            *from = rest;
            Ok(u64::from_le_bytes(*bytes))
        }
        None => exec_err!("a spilled file of a funnel is cut off"),
    }
}

pub(crate) fn number32(from: &mut &[u8]) -> Result<u32> {
    match from.split_first_chunk() {
        Some((bytes, rest)) => {
            *from = rest;
            Ok(u32::from_le_bytes(*bytes))
        }
        None => exec_err!("a spilled file of a funnel is cut off"),
    }
}

/// Bytes in memory.
fn size<M>(block: &Block<M>) -> usize {
    block.capacity() * size_of::<Kept<M>>()
}

/// The block that takes the next row.
fn block<M>(blocks: &mut Vec<Block<M>>) -> &mut Block<M> {
    if blocks.last().is_none_or(|block| block.len() == BLOCK_ROWS) {
        // The first grows as it must: there may be few rows.
        let rows = if blocks.is_empty() { 0 } else { BLOCK_ROWS };
        blocks.push(Vec::with_capacity(rows));
    }
    let last = blocks.len() - 1;
    &mut blocks[last]
}

/// Appends as many rows as there are of `given`, made by `row`, block by block.
fn fill<M, T>(blocks: &mut Vec<Block<M>>, mut given: &[T], row: impl Fn(&T) -> Kept<M>) {
    while !given.is_empty() {
        let block = block(blocks);
        let (now, later) = given.split_at(given.len().min(BLOCK_ROWS - block.len()));
        block.extend(now.iter().map(&row));
        given = later;
    }
}

fn has_step<M: Default + PartialEq>(mask: &M) -> bool {
    *mask != M::default()
}

/// The rows that are looked at. Which they are cannot be foreseen, so each is written, and passed over
/// or not by where the next one goes.
fn keep(
    kept: &mut Vec<(u32, u32)>,
    given: impl ExactSizeIterator<Item = (u32, u32)>,
    looked_at: impl Fn(usize) -> bool,
) {
    kept.clear();
    kept.resize(given.len() + 1, (0, 0));
    let mut end = 0;
    for (row, group) in given {
        kept[end] = (row, group);
        end += usize::from(looked_at(row as usize));
    }
    kept.truncate(end);
}

fn push<M: Copy>(blocks: &mut Vec<Block<M>>, times: &[i64], masks: &[M], kept: &[(u32, u32)]) {
    fill(blocks, kept, |&(row, group)| Kept {
        time: times[row as usize],
        group,
        mask: masks[row as usize],
    });
}

fn write<M: Copy + Into<u64>>(
    blocks: &[Block<M>],
    to: &mut impl std::io::Write,
) -> std::io::Result<()> {
    let rows: usize = blocks.iter().map(Vec::len).sum();
    to.write_all(&(rows as u64).to_le_bytes())?;
    for Kept { time, group, mask } in blocks.iter().flatten() {
        let mask: u64 = (*mask).into();
        to.write_all(&group.to_le_bytes())?;
        to.write_all(&time.to_le_bytes())?;
        to.write_all(&mask.to_le_bytes())?;
    }
    Ok(())
}

fn append<M: Copy>(blocks: &mut Vec<Block<M>>, others: &mut Vec<Block<M>>, groups: &[u32]) {
    for other in others.iter() {
        fill(blocks, other, |kept| Kept {
            group: groups[kept.group as usize],
            ..*kept
        });
    }
    // Room for the next rows: asking for it again would cost more than taking them.
    others.truncate(1);
    others.iter_mut().for_each(Vec::clear);
}

/// Deals the rows out to their groups, each in the order of time.
fn dealt<M: Copy + Default>(blocks: Vec<Block<M>>, groups: usize) -> (Vec<(i64, M)>, Vec<usize>) {
    let mut offsets = vec![0_usize; groups + 1];
    for kept in blocks.iter().flatten() {
        offsets[kept.group as usize + 1] += 1;
    }
    for group in 0..groups {
        offsets[group + 1] += offsets[group];
    }
    let mut next = offsets.clone();
    let mut rows = vec![(0, M::default()); offsets[groups]];
    for block in blocks {
        for Kept { time, group, mask } in block {
            let at = &mut next[group as usize];
            rows[*at] = (time, mask);
            *at += 1;
        }
    }
    for run in offsets.windows(2) {
        rows[run[0]..run[1]].sort_by_key(|(time, _)| *time);
    }
    (rows, offsets)
}

fn answered<M: Copy + Default + Into<u64>>(
    blocks: Vec<Block<M>>,
    call: &StreamCall,
    groups: usize,
) -> Result<ArrayRef> {
    let (rows, offsets) = dealt(blocks, groups);
    let (times, masks): (Vec<i64>, Vec<M>) = rows.into_iter().unzip();
    of_columns(call, &times, &masks, &offsets)
}
