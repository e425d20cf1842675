//! Keys as bytes, numbered in the order in which they first come.

use std::hint::black_box;
use std::mem::size_of;

use datafusion::common::Result;

use super::spill::{Bytes, same};

/// A hash table of keys. It knows 32 bits of each key's hash, by which it grows without reading keys
/// again, and passes over most keys that are not the one looked for.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// Open addressing; each slot is hash bits and, in the lower half, the number of the key plus
    /// one. 0 is free. Their number is a power of two, or none before the first key.
    slots: Vec<u64>,
    keys: Bytes,
    null: Option<u32>,
}

/// No key.
const FREE: u32 = u32::MAX;

/// Rows whose slots and keys are fetched together: they fit the nearest cache.
const TOUCHED_ROWS: usize = 128;

/// Slots of the smallest table.
const SLOTS_MIN: usize = 16;

impl Table {
    /// The number of `key`, which is new or known. No key is the key of its own.
    pub(super) fn number(&mut self, hash: u32, key: Option<&[u8]>) -> Result<u32> {
        let Some(key) = key else {
            return match self.null {
                Some(number) => Ok(number),
                None => {
                    let number = self.keys.push(&[])?;
                    self.null = Some(number);
                    Ok(number)
                }
            };
        };
        // Five eighths full: longer searches would cost more than the room is worth.
        if self.keys.len() * 8 >= self.slots.len() * 5 {
            self.grow();
        }
        let mut at = self.slot(hash);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                let number = self.keys.push(key)?;
                self.slots[at] = u64::from(hash) << 32 | u64::from(number + 1);
                return Ok(number);
            }
            let number = (slot & u64::from(u32::MAX)) as u32 - 1; // Masked to 32 bits; not free.
            if (slot >> 32) as u32 == hash && same(self.keys.get(number), key) {
                return Ok(number);
            }
            at = self.next(at);
        }
    }

    /// The number of each of these keys, by position.
    ///
    /// Looks at all slots, then at all keys that they name, then compares: the loads of one step do not
    /// wait for each other, as those of one search after the other do.
    pub(super) fn numbers<'a>(
        &mut self,
        hashes: &[u32],
        key: impl Fn(usize) -> Option<&'a [u8]>,
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        for (chunk, hashes) in hashes.chunks(TOUCHED_ROWS).enumerate() {
            let mut candidates = [FREE; TOUCHED_ROWS];
            if !self.slots.is_empty() {
                black_box(self.touch(hashes));
                black_box(self.candidates(hashes, &mut candidates));
            }
            for (row, (hash, candidate)) in hashes.iter().zip(candidates).enumerate() {
                let key = key(chunk * TOUCHED_ROWS + row);
                numbers.push(match key {
                    Some(key) if candidate != FREE && same(self.keys.get(candidate), key) => {
                        candidate
                    }
                    _ => self.number(*hash, key)?,
                });
            }
        }
        Ok(())
    }

    /// Reads the slots where the searches begin. The sum means nothing; it is there to be used.
    fn touch(&self, hashes: &[u32]) -> u64 {
        let slots = hashes.iter().map(|hash| self.slots[self.slot(*hash)]);
        slots.fold(0, u64::wrapping_add)
    }

    /// The first key with the bits of each hash, if there is one, and reads its ends; most often it is
    /// the one looked for.
    fn candidates(&self, hashes: &[u32], candidates: &mut [u32]) -> u64 {
        let mut touched = 0_u8;
        for (hash, candidate) in hashes.iter().zip(candidates) {
            let mut at = self.slot(*hash);
            let mut slot = self.slots[at];
            while slot != 0 && (slot >> 32) as u32 != *hash {
                at = self.next(at);
                slot = self.slots[at];
            }
            *candidate = (slot as u32).wrapping_sub(1); // The lower half; `FREE` for a free slot.
            if *candidate != FREE {
                touched ^= self.keys.touch(*candidate);
            }
        }
        u64::from(touched)
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(super) fn null(&self) -> Option<u32> {
        self.null
    }

    pub(super) fn keys(&self) -> &Bytes {
        &self.keys
    }

    /// Hash bits of each key by its number; 0 for no key.
    pub(super) fn hashes(&self) -> Vec<u32> {
        let mut hashes = vec![0; self.keys.len()];
        for slot in self.slots.iter().filter(|slot| **slot != 0) {
            let number = (slot & u64::from(u32::MAX)) as usize - 1;
            hashes[number] = (slot >> 32) as u32;
        }
        hashes
    }

    /// Bytes in memory.
    pub(super) fn size(&self) -> usize {
        self.slots.capacity() * size_of::<u64>() + self.keys.size()
    }

    /// Where the search for `hash` begins: its upper bits, so that a table that grows keeps its order.
    fn slot(&self, hash: u32) -> usize {
        let bits = self.slots.len().trailing_zeros();
        (u64::from(hash) << bits >> 32) as usize
    }

    /// The slot after `at`, round the end.
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() * 2).max(SLOTS_MIN);
        let before = std::mem::replace(&mut self.slots, vec![0; slots]);
        for slot in before.into_iter().filter(|slot| *slot != 0) {
            let mut at = self.slot((slot >> 32) as u32);
            while self.slots[at] != 0 {
                at = self.next(at);
            }
            self.slots[at] = slot;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equal_keys_have_one_number(
            keys in prop::collection::vec(prop::option::of("[ab]{0,4}"), 0..400),
            bits in 0_u32..8,
        ) {
            // Few hash values: keys that collide must still be told apart.
            let hash = |key: &Option<String>| {
                let length = key.as_ref().map_or(0, |key| key.len() as u32);
                (length << 29) >> (8 - bits)
            };
            let hashes: Vec<u32> = keys.iter().map(hash).collect();
            let key = |row: usize| keys[row].as_deref().map(str::as_bytes);
            let mut table = Table::default();
            let mut numbers = Vec::new();
            let (first, second) = hashes.split_at(hashes.len() / 2);
            table.numbers(first, key, &mut numbers).unwrap();
            let begun = first.len();
            table.numbers(second, |row| key(begun + row), &mut numbers).unwrap();
            let mut known = HashMap::new();
            for (key, number) in keys.iter().zip(numbers) {
                let next = known.len() as u32;
                prop_assert_eq!(number, *known.entry(key.clone()).or_insert(next));
            }
            prop_assert_eq!(table.len(), known.len());
            for (key, number) in known {
                prop_assert_eq!(table.null() == Some(number), key.is_none());
                let key = key.unwrap_or_default();
                prop_assert_eq!(table.keys().get(number), key.as_bytes());
            }
        }
    }
}
