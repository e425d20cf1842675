//! The rows of a call by group, in the order in which they came: what is kept where the input is not
//! sorted.

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::common::{Result, exec_datafusion_err, exec_err};
use funnel_match::{Matcher, Row, Runs};

use super::answer::Answer;
use super::masks::Masks;
use super::rows::Batch;
use super::stream::{StreamCall, answers};

/// Rows per block: blocks do not move when there are more rows, so no memory is held twice.
const BLOCK_ROWS: usize = 4096;

/// Rows that a call looks at, of many groups.
#[derive(Debug)]
pub(crate) struct Gathered {
    rows: Blocks,
    /// Rows that satisfy no step matter too.
    all_rows: bool,
}

/// Blocks with masks as wide as the steps ask for.
#[derive(Debug)]
enum Blocks {
    Bytes(Vec<Block<u8>>),
    Shorts(Vec<Block<u16>>),
    Words(Vec<Block<u64>>),
}

#[derive(Debug)]
struct Block<M> {
    groups: Vec<u32>,
    times: Vec<i64>,
    masks: Vec<M>,
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
            rows: match Masks::zeros(call.steps(), 0) {
                Masks::Bytes(_) => Blocks::Bytes(Vec::new()),
                Masks::Shorts(_) => Blocks::Shorts(Vec::new()),
                Masks::Words(_) => Blocks::Words(Vec::new()),
            },
            all_rows: call.needs_all_rows(),
        }
    }

    /// Takes the rows of `batch` at the positions `rows`; their groups are `groups`.
    pub(crate) fn push(&mut self, batch: &Batch, rows: &[u32], groups: &[u32]) {
        let (times, masks, seen) = batch.parts();
        let (all_rows, given) = (self.all_rows, rows.iter().zip(groups));
        match (&mut self.rows, masks) {
            (Blocks::Bytes(blocks), Masks::Bytes(masks)) => {
                push(blocks, all_rows, (times, masks, seen), given);
            }
            (Blocks::Shorts(blocks), Masks::Shorts(masks)) => {
                push(blocks, all_rows, (times, masks, seen), given);
            }
            (Blocks::Words(blocks), Masks::Words(masks)) => {
                push(blocks, all_rows, (times, masks, seen), given);
            }
            // The width is that of the call's steps, here as there.
            _ => debug_assert!(false, "masks of another call"),
        }
    }

    /// Takes all rows of `other`, of the same call; `groups` are the groups here by those there.
    pub(crate) fn append(&mut self, other: &mut Self, groups: &[u32]) {
        match (&mut self.rows, &mut other.rows) {
            (Blocks::Bytes(blocks), Blocks::Bytes(others)) => append(blocks, others, groups),
            (Blocks::Shorts(blocks), Blocks::Shorts(others)) => append(blocks, others, groups),
            (Blocks::Words(blocks), Blocks::Words(others)) => append(blocks, others, groups),
            // The width is that of the call's steps, here as there.
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
            let sizes = blocks.iter().map(|block| block.masks.capacity() * block_row(block));
            sizes.sum()
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
                    block(blocks).push(group, time, u8::try_from(mask).map_err(wide)?);
                }
                Blocks::Shorts(blocks) => {
                    block(blocks).push(group, time, u16::try_from(mask).map_err(wide)?);
                }
                Blocks::Words(blocks) => block(blocks).push(group, time, mask),
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

impl<M> Block<M> {
    fn push(&mut self, group: u32, time: i64, mask: M) {
        self.groups.push(group);
        self.times.push(time);
        self.masks.push(mask);
    }
}

fn block_row<M>(_: &Block<M>) -> usize {
    size_of::<u32>() + size_of::<i64>() + size_of::<M>()
}

/// The block that takes the next row.
fn block<M>(blocks: &mut Vec<Block<M>>) -> &mut Block<M> {
    let last = blocks.len().wrapping_sub(1);
    let full = blocks
        .last()
        .is_none_or(|block| block.masks.len() == BLOCK_ROWS);
    let at = if full {
        blocks.push(Block {
            groups: Vec::new(),
            times: Vec::new(),
            masks: Vec::new(),
        });
        blocks.len() - 1
    } else {
        last
    };
    &mut blocks[at]
}

fn push<'a, M: Copy + Default + PartialEq>(
    blocks: &mut Vec<Block<M>>,
    all_rows: bool,
    (times, masks, seen): (&[i64], &[M], Option<&BooleanBuffer>),
    given: impl Iterator<Item = (&'a u32, &'a u32)>,
) {
    let mut to = block(blocks);
    for (row, group) in given {
        let row = *row as usize;
        let (Some(time), Some(mask)) = (times.get(row), masks.get(row)) else {
            continue;
        };
        let looked_at = *mask != M::default() || all_rows;
        if looked_at && seen.is_none_or(|seen| seen.value(row)) {
            if to.masks.len() == BLOCK_ROWS {
                to = block(blocks);
            }
            to.push(*group, *time, *mask);
        }
    }
}

fn write<M: Copy + Into<u64>>(
    blocks: &[Block<M>],
    to: &mut impl std::io::Write,
) -> std::io::Result<()> {
    let rows: usize = blocks.iter().map(|block| block.masks.len()).sum();
    to.write_all(&(rows as u64).to_le_bytes())?;
    for block in blocks {
        for ((group, time), mask) in block.groups.iter().zip(&block.times).zip(&block.masks) {
            let mask: u64 = (*mask).into();
            to.write_all(&group.to_le_bytes())?;
            to.write_all(&time.to_le_bytes())?;
            to.write_all(&mask.to_le_bytes())?;
        }
    }
    Ok(())
}

fn append<M: Copy>(blocks: &mut Vec<Block<M>>, others: &mut Vec<Block<M>>, groups: &[u32]) {
    let mut to = block(blocks);
    for other in others.iter() {
        for ((group, time), mask) in other.groups.iter().zip(&other.times).zip(&other.masks) {
            if to.masks.len() == BLOCK_ROWS {
                to = block(blocks);
            }
            to.push(groups[*group as usize], *time, *mask);
        }
    }
    // Room for the next rows: asking for it again would cost more than taking them.
    others.truncate(1);
    if let Some(first) = others.first_mut() {
        first.groups.clear();
        first.times.clear();
        first.masks.clear();
    }
}

/// Deals the rows out to their groups, each in the order of time.
fn dealt<M: Copy + Default>(blocks: Vec<Block<M>>, groups: usize) -> (Vec<(i64, M)>, Vec<usize>) {
    let mut offsets = vec![0_usize; groups + 1];
    for group in blocks.iter().flat_map(|block| &block.groups) {
        offsets[*group as usize + 1] += 1;
    }
    for group in 0..groups {
        offsets[group + 1] += offsets[group];
    }
    let mut next = offsets.clone();
    let mut rows = vec![(0, M::default()); offsets[groups]];
    for block in blocks {
        for ((group, time), mask) in block.groups.iter().zip(&block.times).zip(&block.masks) {
            let at = &mut next[*group as usize];
            rows[*at] = (*time, *mask);
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
    match Runs::new(call.spec()) {
        Some(mut runs) if call.answer() == Answer::Level => {
            let (times, masks): (Vec<i64>, Vec<M>) = rows.into_iter().unzip();
            let mut levels = Vec::new();
            runs.levels(&times, &masks, &offsets, &mut levels);
            let levels = levels.into_iter().map(i32::from);
            Ok(Arc::new(
                levels.collect::<datafusion::arrow::array::Int32Array>(),
            ))
        }
        _ => {
            let rows = rows.into_iter();
            let mut rows: Vec<Row> = rows
                .map(|(time, mask)| Row {
                    time,
                    mask: mask.into(),
                })
                .collect();
            let mut matcher = Matcher::new(call.spec().clone());
            answers(call, &mut matcher, &mut rows, &offsets)
        }
    }
}
