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

/// Bytes that are copied or compared in one instruction.
const WORD: usize = size_of::<u64>();
const PIECE: usize = size_of::<u128>();
const PIECES: usize = 2 * PIECE;

impl Bytes {
    /// The number of the new string.
    ///
    /// # Errors
    /// It cannot be counted in 32 bits, or all of them have more than 2 GiB.
    pub(super) fn push(&mut self, value: &[u8]) -> Result<u32> {
        let number = self.count;
        self.count_in(1, value.len())?;
        if number == 0 {
            self.length = value.len();
        } else if self.ends.is_empty() && value.len() != self.length {
            // All were equally long so far, so that their ends are known to fit.
            self.ends = (1..=number)
                .map(|number| number * self.length as u32)
                .collect();
        }
        self.bytes.extend_from_slice(value);
        if !self.ends.is_empty() {
            self.ends.push(self.bytes.len() as u32); // Below 2 GiB.
        }
        Ok(number)
    }

    /// Appends `values`, in turn.
    ///
    /// # Errors
    /// As with `push`.
    pub(super) fn extend<'a>(
        &mut self,
        mut values: impl ExactSizeIterator<Item = &'a [u8]> + Clone,
    ) -> Result<()> {
        if self.count == 0 {
            self.length = values.clone().next().map_or(0, <[u8]>::len);
        }
        let length = self.length;
        if !self.ends.is_empty() || length == 0 || values.clone().any(|value| value.len() != length)
        {
            return values.try_for_each(|value| self.push(value).map(drop));
        }
        let begin = self.bytes.len();
        self.count_in(values.len(), values.len() * length)?;
        self.bytes.resize(begin + values.len() * length, 0);
        let places = self.bytes[begin..].chunks_exact_mut(length);
        match length {
            WORD..PIECE => copy_in_pieces::<WORD>(places, values),
            PIECE..=PIECES => copy_in_pieces::<PIECE>(places, values),
            _ => places
                .zip(values)
                .for_each(|(place, value)| place.copy_from_slice(value)),
        }
        Ok(())
    }

    /// Counts `more` strings of `bytes` bytes together. One more than there are is still a number.
    fn count_in(&mut self, more: usize, bytes: usize) -> Result<()> {
        let count = u32::try_from(more)
            .ok()
            .and_then(|more| self.count.checked_add(more))
            .filter(|count| *count < u32::MAX - 1)
            .ok_or_else(too_many_groups)?;
        // Arrow counts bytes so.
        i32::try_from(self.bytes.len() + bytes).map_err(|_| too_many_groups())?;
        self.count = count;
        Ok(())
    }

    #[inline]
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

    /// Bytes of the two ends of a string, which may lie in different cache lines; what they are means
    /// nothing.
    pub(super) fn touch(&self, number: u32) -> u8 {
        let value = self.get(number);
        value.first().copied().unwrap_or_default() ^ value.last().copied().unwrap_or_default()
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

/// Copies values whose length is `N` to twice as much in two pieces that may overlap: without the call
/// that other lengths need.
fn copy_in_pieces<'p, 'v, const N: usize>(
    places: impl Iterator<Item = &'p mut [u8]>,
    values: impl Iterator<Item = &'v [u8]>,
) {
    for (place, value) in places.zip(values) {
        if let (Some(place), Some(value)) = (place.first_chunk_mut::<N>(), value.first_chunk()) {
            *place = *value;
        }
        if let (Some(place), Some(value)) = (place.last_chunk_mut::<N>(), value.last_chunk()) {
            *place = *value;
        }
    }
}

/// Are these the same? Most keys are numbers or ids: those are compared as they are copied.
#[inline]
pub(super) fn same(left: &[u8], right: &[u8]) -> bool {
    if left.len() != right.len() {
        return false;
    }
    match left.len() {
        WORD..PIECE => ends::<WORD>(left) == ends::<WORD>(right),
        PIECE..=PIECES => ends::<PIECE>(left) == ends::<PIECE>(right),
        _ => left == right,
    }
}

/// The first and the last bytes.
fn ends<const N: usize>(value: &[u8]) -> Option<(&[u8; N], &[u8; N])> {
    Some((value.first_chunk()?, value.last_chunk()?))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn many_at_once_are_the_same_as_one_after_the_other(
            lengths in prop::collection::vec(prop::sample::select(vec![0_usize, 7, 8, 15, 16, 22, 32, 33]), 1..3),
            counts in prop::collection::vec(0_usize..9, 1..5),
        ) {
            let mut text = 0_u8;
            let (mut together, mut alone) = (Bytes::default(), Bytes::default());
            for (index, count) in counts.into_iter().enumerate() {
                let length = lengths[index % lengths.len()];
                let values: Vec<Vec<u8>> = (0..count)
                    .map(|_| (0..length).map(|_| { text = text.wrapping_add(1); text }).collect())
                    .collect();
                together.extend(values.iter().map(Vec::as_slice)).unwrap();
                for value in &values {
                    alone.push(value).unwrap();
                }
            }
            prop_assert_eq!(together.len(), alone.len());
            for number in 0..alone.len() as u32 {
                prop_assert!(same(together.get(number), alone.get(number)));
                prop_assert_eq!(together.get(number), alone.get(number));
            }
        }

        #[test]
        fn the_same_are_those_that_are_equal(
            left in prop::collection::vec(0_u8..2, 0..40),
            at in 0_usize..40,
        ) {
            let mut right = left.clone();
            prop_assert!(same(&left, &right));
            if let Some(byte) = right.get_mut(at) {
                *byte ^= 2;
                prop_assert!(!same(&left, &right));
            }
            right.push(0);
            prop_assert!(!same(&left, &right));
        }
    }
}
