//! Levels and the numbers of dictionary values: runs of one number, and packs of several.

use std::ops::Range;

use bytes::Bytes;
use datafusion::common::Result;

use super::bits::{broken, unpack, varint};

/// A reader of what the format calls the RLE/bit-packing hybrid.
#[derive(Debug)]
pub(super) struct Hybrid {
    bytes: Bytes,
    at: usize,
    width: usize,
    run: Run,
}

#[derive(Debug)]
enum Run {
    Same {
        number: u32,
        left: usize,
    },
    Packed {
        bytes: Range<usize>,
        next: usize,
        left: usize,
    },
}

impl Hybrid {
    /// Numbers of `width` bits, which are 32 at most.
    pub(super) fn new(bytes: Bytes, width: u8) -> Result<Self> {
        if width > 32 {
            return Err(broken("its numbers have more than 32 bits"));
        }
        Ok(Self {
            bytes,
            at: 0,
            width: usize::from(width),
            run: Run::Same { number: 0, left: 0 },
        })
    }

    /// Are the next `count` numbers `number`, as far as can be said without a look at each?
    pub(super) fn are_all(&mut self, number: u32, count: usize) -> Result<bool> {
        if self.left() == 0 && count > 0 {
            self.next_run()?;
        }
        Ok(
            matches!(self.run, Run::Same { number: of_run, left } if of_run == number && left >= count),
        )
    }

    /// Fills `to` with the next numbers.
    pub(super) fn read(&mut self, mut to: &mut [u32]) -> Result<()> {
        while !to.is_empty() {
            if self.left() == 0 {
                self.next_run()?;
            }
            let count = self.left().min(to.len());
            let (now, later) = to.split_at_mut(count);
            match &mut self.run {
                Run::Same { number, left } => {
                    now.fill(*number);
                    *left -= count;
                }
                Run::Packed { bytes, next, left } => {
                    let packed = &self.bytes[bytes.clone()];
                    if (*next + count) * self.width > 8 * packed.len() {
                        return Err(broken("it ends within a pack"));
                    }
                    unpack(packed, self.width, *next, now);
                    *next += count;
                    *left -= count;
                }
            }
            to = later;
        }
        Ok(())
    }

    fn left(&self) -> usize {
        match self.run {
            Run::Same { left, .. } | Run::Packed { left, .. } => left,
        }
    }

    /// Reads the head of a run that is not empty.
    fn next_run(&mut self) -> Result<()> {
        let head = varint(&self.bytes, &mut self.at)?;
        let length = usize::try_from(head >> 1).unwrap_or(usize::MAX);
        if length == 0 {
            return Err(broken("a run of it is empty"));
        }
        if head & 1 == 0 {
            let end = self.at + self.width.div_ceil(8);
            let bytes = self.bytes.get(self.at..end);
            let bytes = bytes.ok_or_else(|| broken("it ends within a run"))?;
            let number = bytes.iter().rev();
            let number = number.fold(0, |number, byte| number << 8 | u32::from(*byte));
            if u64::from(number) >> self.width != 0 {
                return Err(broken("a number of it has more bits than it says"));
            }
            self.at = end;
            self.run = Run::Same {
                number,
                left: length,
            };
            return Ok(());
        }
        // So many groups of eight.
        let left = length.checked_mul(8);
        let left = left.ok_or_else(|| broken("a pack of it is too long"))?;
        let end = self.at.saturating_add(length.saturating_mul(self.width));
        // Some writers leave out what nobody reads of the last pack.
        let end = end.min(self.bytes.len());
        self.run = Run::Packed {
            bytes: self.at..end,
            next: 0,
            left,
        };
        self.at = end;
        Ok(())
    }
}
