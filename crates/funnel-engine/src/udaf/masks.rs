//! The steps that each row satisfies, as bits: no wider than the number of steps asks for, since
//! every row is written and read once more.

use std::ops::{BitOrAssign, Range};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use datafusion::arrow::buffer::BooleanBuffer;

/// One mask for each row; bit `i` is step `i + 1`.
#[derive(Debug)]
pub(super) enum Masks {
    Bytes(Vec<u8>),
    Shorts(Vec<u16>),
    Words(Vec<u64>),
}

/// Runs the same code over whichever width there is.
macro_rules! each_width {
    ($masks:expr, $column:ident => $body:expr) => {
        match $masks {
            $crate::udaf::masks::Masks::Bytes($column) => $body,
            $crate::udaf::masks::Masks::Shorts($column) => $body,
            $crate::udaf::masks::Masks::Words($column) => $body,
        }
    };
}
pub(super) use each_width;

/// Conditions of a batch, read.
#[derive(Debug)]
pub(super) struct Steps {
    pub(super) masks: Masks,
    /// Rows that the funnel may look at; none: all.
    pub(super) seen: Option<BooleanBuffer>,
}

impl Steps {
    /// One column of `conditions` for each step. A condition that is null is false; if `null_hides`
    /// its row is not looked at.
    pub(super) fn of(conditions: &[ArrayRef], rows: usize, null_hides: bool) -> Self {
        let mut masks = Masks::zeros(conditions.len(), rows);
        let mut seen = None;
        for (step, condition) in conditions.iter().enumerate() {
            if null_hides && let Some(nulls) = condition.nulls() {
                seen = Some(both(seen.take(), nulls.inner()));
            }
            masks.set(step, &is_true(condition.as_boolean()));
        }
        Self { masks, seen }
    }
}

impl Masks {
    pub(super) fn zeros(steps: usize, rows: usize) -> Self {
        match steps {
            0..=8 => Self::Bytes(vec![0; rows]),
            9..=16 => Self::Shorts(vec![0; rows]),
            _ => Self::Words(vec![0; rows]),
        }
    }

    pub(super) fn len(&self) -> usize {
        each_width!(self, masks => masks.len())
    }

    pub(super) fn get(&self, row: usize) -> Option<u64> {
        match self {
            Self::Bytes(masks) => masks.get(row).copied().map(u64::from),
            Self::Shorts(masks) => masks.get(row).copied().map(u64::from),
            Self::Words(masks) => masks.get(row).copied(),
        }
    }

    /// The mask of each row from the mask of its code.
    pub(super) fn gather(&self, codes: &[u8]) -> Self {
        match self {
            Self::Bytes(masks) => Self::Bytes(gather(masks, codes)),
            Self::Shorts(masks) => Self::Shorts(gather(masks, codes)),
            Self::Words(masks) => Self::Words(gather(masks, codes)),
        }
    }

    /// The mask of each row from the number of its value.
    pub(super) fn of_ids(&self, ids: &[u32]) -> Self {
        match self {
            Self::Bytes(masks) => Self::Bytes(of_ids(masks, ids)),
            Self::Shorts(masks) => Self::Shorts(of_ids(masks, ids)),
            Self::Words(masks) => Self::Words(of_ids(masks, ids)),
        }
    }

    /// Only the rows that are `seen` satisfy anything.
    pub(super) fn hide(&mut self, seen: &BooleanBuffer) {
        each_width!(self, masks => {
            for (mask, seen) in masks.iter_mut().zip(seen) {
                if !seen {
                    *mask = 0;
                }
            }
        });
    }

    /// The rows at `positions`.
    pub(super) fn take(&self, positions: &[usize]) -> Self {
        match self {
            Self::Bytes(masks) => Self::Bytes(pick(masks, positions)),
            Self::Shorts(masks) => Self::Shorts(pick(masks, positions)),
            Self::Words(masks) => Self::Words(pick(masks, positions)),
        }
    }

    /// Appends these rows of `other`, whose masks are as wide.
    pub(super) fn append(&mut self, other: &Self, rows: Range<usize>) {
        match (self, other) {
            (Self::Bytes(masks), Self::Bytes(others)) => masks.extend_from_slice(&others[rows]),
            (Self::Shorts(masks), Self::Shorts(others)) => masks.extend_from_slice(&others[rows]),
            (Self::Words(masks), Self::Words(others)) => masks.extend_from_slice(&others[rows]),
            // The width is that of the call's conditions, here as there.
            _ => debug_assert!(false, "masks of another call"),
        }
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        each_width!(self, masks => masks.truncate(rows));
    }

    pub(super) fn clear(&mut self) {
        each_width!(self, masks => masks.clear());
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        fn bytes<M>(masks: &Vec<M>) -> usize {
            masks.capacity() * size_of::<M>()
        }
        each_width!(self, masks => bytes(masks))
    }

    fn set(&mut self, step: usize, condition: &BooleanBuffer) {
        match self {
            Self::Bytes(masks) => set(masks, 1 << step, condition),
            Self::Shorts(masks) => set(masks, 1 << step, condition),
            Self::Words(masks) => set(masks, 1 << step, condition),
        }
    }
}

/// Where both are true.
pub(super) fn both(seen: Option<BooleanBuffer>, visible: &BooleanBuffer) -> BooleanBuffer {
    match seen {
        Some(seen) => &seen & visible,
        None => visible.clone(),
    }
}

/// Where a condition is true, null being false.
pub(super) fn is_true(condition: &BooleanArray) -> BooleanBuffer {
    match condition.nulls() {
        Some(nulls) => condition.values() & nulls.inner(),
        None => condition.values().clone(),
    }
}

/// Sets `bit` in each mask whose condition is true.
fn set<M: Copy + BitOrAssign>(masks: &mut [M], bit: M, condition: &BooleanBuffer) {
    let words = condition.bit_chunks();
    for (masks, word) in masks.chunks_mut(64).zip(words.iter_padded()) {
        if word == u64::MAX {
            masks.iter_mut().for_each(|mask| *mask |= bit);
            continue;
        }
        let mut rest = word;
        while rest != 0 {
            if let Some(mask) = masks.get_mut(rest.trailing_zeros() as usize) {
                *mask |= bit;
            }
            rest &= rest - 1;
        }
    }
}

fn gather<M: Copy + Default>(masks: &[M], codes: &[u8]) -> Vec<M> {
    let mut table = [M::default(); 256];
    for (slot, mask) in table.iter_mut().zip(masks) {
        *slot = *mask;
    }
    codes.iter().map(|code| table[usize::from(*code)]).collect()
}

fn of_ids<M: Copy + Default>(masks: &[M], ids: &[u32]) -> Vec<M> {
    let masks = ids.iter().map(|id| masks.get(*id as usize).copied());
    masks.map(Option::unwrap_or_default).collect()
}

fn pick<M: Copy>(masks: &[M], positions: &[usize]) -> Vec<M> {
    let masks = positions.iter().filter_map(|row| masks.get(*row));
    masks.copied().collect()
}
