//! Times, each as what it is more than the one before it: what the format calls `DELTA_BINARY_PACKED`.

use bytes::Bytes;
use datafusion::common::Result;

use super::bits::{broken, signed_varint, unpack, varint};

/// A reader of one page.
#[derive(Debug)]
pub(super) struct Delta {
    bytes: Bytes,
    at: usize,
    /// The number that was given last; before the first, the first.
    last: i64,
    begun: bool,
    /// Numbers that are still to come.
    left: usize,
    /// Packs of a block, and numbers of a pack.
    packs: usize,
    per_pack: usize,
    /// What is less than every difference in the block, or the same.
    least: i64,
    /// Where the widths of the packs of the block are, and which pack is next.
    widths: usize,
    pack: usize,
    /// Of the pack that is read: where it begins, the bits of a number, numbers read.
    pack_at: usize,
    width: usize,
    read: usize,
}

impl Delta {
    pub(super) fn new(bytes: Bytes) -> Result<Self> {
        let mut at = 0;
        let block = length(varint(&bytes, &mut at)?);
        let packs = length(varint(&bytes, &mut at)?);
        let left = length(varint(&bytes, &mut at)?);
        let last = signed_varint(&bytes, &mut at)?;
        let per_pack = block.checked_div(packs).unwrap_or(0);
        if per_pack == 0 || !per_pack.is_multiple_of(32) || per_pack * packs != block {
            return Err(broken("its blocks are not made of packs of 32"));
        }
        Ok(Self {
            bytes,
            at,
            last,
            begun: false,
            left,
            packs,
            per_pack,
            least: 0,
            widths: 0,
            // The next is the first of a new block.
            pack: packs,
            pack_at: 0,
            width: 0,
            read: per_pack,
        })
    }

    /// Fills `to` with the next numbers.
    pub(super) fn read(&mut self, mut to: &mut [i64]) -> Result<()> {
        if to.len() > self.left {
            return Err(broken("it has fewer numbers than it says"));
        }
        self.left -= to.len();
        if !self.begun && !to.is_empty() {
            self.begun = true;
            to[0] = self.last;
            to = &mut to[1..];
        }
        while !to.is_empty() {
            if self.read == self.per_pack {
                self.next_pack()?;
            }
            let count = to.len().min(self.per_pack - self.read);
            let (now, later) = to.split_at_mut(count);
            let packed = &self.bytes[self.pack_at..self.at];
            if (self.read + count) * self.width > 8 * packed.len() {
                return Err(broken("it ends within a pack"));
            }
            unpack(packed, self.width, self.read, now);
            let (mut last, least) = (self.last, self.least);
            for number in now {
                last = last.wrapping_add(least).wrapping_add(*number);
                *number = last;
            }
            self.last = last;
            self.read += count;
            to = later;
        }
        Ok(())
    }

    fn next_pack(&mut self) -> Result<()> {
        if self.pack == self.packs {
            self.least = signed_varint(&self.bytes, &mut self.at)?;
            self.widths = self.at;
            self.at += self.packs;
            self.pack = 0;
        }
        let width = self.bytes.get(self.widths + self.pack).copied();
        let width = width.ok_or_else(|| broken("it ends within a block"))?;
        if width > 64 {
            return Err(broken("its numbers have more than 64 bits"));
        }
        self.width = usize::from(width);
        self.pack += 1;
        self.read = 0;
        self.pack_at = self.at.min(self.bytes.len());
        let length = (self.per_pack / 8).saturating_mul(self.width);
        let end = self.pack_at.saturating_add(length);
        self.at = end.min(self.bytes.len());
        Ok(())
    }
}

fn length(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
