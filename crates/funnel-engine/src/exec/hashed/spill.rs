//! Byte strings in one piece, and how a partition is written to disk and read back.

use std::io::{self, Write};
use std::mem::size_of;

use datafusion::common::{DataFusionError, Result};

use crate::udaf::{number, number32};

/// Byte strings by number. As long as all are equally long, as ids mostly are, nothing is kept for
/// each of them but its bytes.
#[derive(Debug, Default)]
pub(super) struct Bytes {
    bytes: Vec<u8>,
    /// The length of each, if it is one.
    length: usize,
    count: u32,
    /// Where each ends, otherwise.
    ends: Vec<u32>,
}

impl Bytes {
    /// The number of the new string; none if no more can be counted.
    pub(super) fn push(&mut self, value: &[u8]) -> Option<u32> {
        let number = self.count;
        self.count = number.checked_add(2)? - 1; // One more is still a number.
        i32::try_from(self.bytes.len() + value.len()).ok()?; // Arrow counts bytes so.
        if number == 0 {
            self.length = value.len();
        } else if self.ends.is_empty() && value.len() != self.length {
            let length = u32::try_from(self.length).ok()?;
            self.ends = (1..=number).map(|number| number * length).collect();
        }
        self.bytes.extend_from_slice(value);
        if !self.ends.is_empty() {
            self.ends.push(u32::try_from(self.bytes.len()).ok()?);
        }
        Some(number)
    }

    pub(super) fn get(&self, number: u32) -> &[u8] {
        let number = number as usize;
        let range = if self.ends.is_empty() {
            number * self.length..(number + 1) * self.length
        } else {
            let begin = number.checked_sub(1).map_or(0, |before| self.ends[before]);
            begin as usize..self.ends[number] as usize
        };
        self.bytes.get(range).unwrap_or_default()
    }

    /// 0 for the last of them, if it is empty.
    pub(super) fn first_byte(&self, number: u32) -> u8 {
        let number = number as usize;
        let begin = match number.checked_sub(1) {
            Some(before) if !self.ends.is_empty() => self.ends[before] as usize,
            _ => number * self.length,
        };
        self.bytes.get(begin).copied().unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.count as usize
    }

    /// Forgets all, but not the room for them.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.count = 0;
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<u32>()
    }
}

/// Writes keys with their hash bits; the one of no key is marked by its number.
pub(super) fn write_keys(
    keys: &Bytes,
    hashes: &[u32],
    null: Option<u32>,
    to: &mut impl Write,
) -> io::Result<()> {
    to.write_all(&(keys.len() as u64).to_le_bytes())?;
    to.write_all(&null.unwrap_or(u32::MAX).to_le_bytes())?;
    for (number, hash) in (0..).zip(hashes) {
        let key = keys.get(number);
        to.write_all(&hash.to_le_bytes())?;
        to.write_all(&(key.len() as u32).to_le_bytes())?; // All keys together are below 2 GiB.
        to.write_all(key)?;
    }
    Ok(())
}

/// Hands each key with its hash bits to `take`, in the order of their numbers.
pub(super) fn read_keys(
    from: &mut &[u8],
    mut take: impl FnMut(u32, Option<&[u8]>) -> Result<()>,
) -> Result<()> {
    let (keys, null) = (number(from)?, number32(from)?);
    for key in 0..keys {
        let hash = number32(from)?;
        let length = number32(from)? as usize;
        let Some((bytes, rest)) = from.split_at_checked(length) else {
            return Err(DataFusionError::Execution(
                "a spilled file of a funnel is cut off".to_owned(),
            ));
        };
        *from = rest;
        take(hash, (key != u64::from(null)).then_some(bytes))?;
    }
    Ok(())
}

pub(super) fn too_many_groups() -> DataFusionError {
    DataFusionError::ResourcesExhausted(
        "the keys of a funnel take more than 2 GiB in one of its partitions".to_owned(),
    )
}
