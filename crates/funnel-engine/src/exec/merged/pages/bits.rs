//! Numbers of a few bits each, one after the other, the lowest bit first: what both encodings of numbers are made of.

use datafusion::common::{Result, exec_datafusion_err};
use datafusion::error::DataFusionError;

/// A page that is not as the format says.
pub(super) fn broken(what: &str) -> DataFusionError {
    exec_datafusion_err!("a page of a Parquet file is damaged: {what}")
}

/// A variable-length number at `at`, which moves behind it.
pub(super) fn varint(bytes: &[u8], at: &mut usize) -> Result<u64> {
    let mut number = 0_u64;
    for shift in (0..u64::BITS).step_by(7) {
        let byte = *bytes
            .get(*at)
            .ok_or_else(|| broken("it ends within a number"))?;
        *at += 1;
        number |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Ok(number);
        }
    }
    Err(broken("a number has more than 64 bits"))
}

/// The same of a signed number, whose sign is its lowest bit.
pub(super) fn signed_varint(bytes: &[u8], at: &mut usize) -> Result<i64> {
    let number = varint(bytes, at)?;
    Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
}

/// A number that is unpacked.
pub(super) trait Number: Copy {
    /// The lowest bits of `bits`, as many as there are.
    fn of(bits: u64) -> Self;
}

impl Number for u32 {
    fn of(bits: u64) -> Self {
        bits as Self // The lower half.
    }
}

impl Number for i64 {
    fn of(bits: u64) -> Self {
        bits.cast_signed()
    }
}

/// Fills `to` with numbers of `width` bits, 64 at most, from number `first` of `packed` on, which holds them.
pub(super) fn unpack<T: Number>(packed: &[u8], width: usize, first: usize, to: &mut [T]) {
    if width == 0 {
        to.fill(T::of(0));
        return;
    }
    // Eight numbers are whole bytes.
    let before = (first.next_multiple_of(8) - first).min(to.len());
    let (one_by_one, rest) = to.split_at_mut(before);
    unpack_each(packed, width, first, one_by_one);
    let first = first + before;
    let of_rest = packed.get(first / 8 * width..).unwrap_or_default();
    // The last number of eight may be read with bytes that come after it.
    let groups = (rest.len() / 8).min(of_rest.len().saturating_sub(8) / width);
    let (eights, one_by_one) = rest.split_at_mut(8 * groups);
    unpack_eights(of_rest, width, eights.as_chunks_mut().0);
    unpack_each(packed, width, first + 8 * groups, one_by_one);
}

/// Calls what is made for a width that is known while compiling, where shifts and places are constants.
macro_rules! for_width {
    ($width:expr, $packed:expr, $to:expr => $($known:literal)*) => {
        match $width {
            $($known => unpack_eights_of::<T, $known>($packed, $to),)*
            _ => {}
        }
    };
}

fn unpack_eights<T: Number>(packed: &[u8], width: usize, to: &mut [[T; 8]]) {
    for_width!(width, packed, to => 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30
        31 32 33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64);
}

/// `packed` has eight bytes more than the numbers take.
fn unpack_eights_of<T: Number, const WIDTH: usize>(packed: &[u8], to: &mut [[T; 8]]) {
    let mask = u64::MAX >> (64 - WIDTH);
    for (group, numbers) in to.iter_mut().enumerate() {
        let Some(bytes) = packed.get(group * WIDTH..group * WIDTH + WIDTH + 8) else {
            return;
        };
        for (index, number) in numbers.iter_mut().enumerate() {
            let (byte, shift) = (index * WIDTH / 8, index * WIDTH % 8);
            let Some(word) = bytes[byte..].first_chunk() else {
                return;
            };
            let mut bits = u64::from_le_bytes(*word) >> shift;
            if shift + WIDTH > 64 {
                bits |= u64::from(bytes[byte + 8]) << (64 - shift);
            }
            *number = T::of(bits & mask);
        }
    }
}

fn unpack_each<T: Number>(packed: &[u8], width: usize, first: usize, to: &mut [T]) {
    let mask = u64::MAX >> (64 - width);
    for (number, bit) in to.iter_mut().zip((first * width..).step_by(width)) {
        let (byte, shift) = (bit / 8, bit % 8);
        let low = u128::from(word(packed, byte));
        let high = u128::from(word(packed, byte + 8));
        let bits = (high << 64 | low) >> shift;
        *number = T::of(bits as u64 & mask); // The lower half.
    }
}

/// Eight bytes from `at` on, as far as there are any.
fn word(packed: &[u8], at: usize) -> u64 {
    let rest = packed.get(at..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        return u64::from_le_bytes(*bytes);
    }
    let mut bytes = [0; 8];
    for (byte, of) in bytes.iter_mut().zip(rest) {
        *byte = *of;
    }
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_out_of_their_bits(
            numbers in prop::collection::vec(any::<u64>(), 0..200),
            width in 0_usize..=64,
            from in 0_usize..40,
            spare in 0_usize..12,
        ) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let numbers: Vec<u64> = numbers.into_iter().map(|number| number & mask).collect();
            let mut packed = vec![0_u8; (numbers.len() * width).div_ceil(8) + spare];
            for (index, number) in numbers.iter().enumerate() {
                for bit in (0..width).filter(|bit| number >> bit & 1 == 1) {
                    let at = index * width + bit;
                    packed[at / 8] |= 1 << (at % 8);
                }
            }
            let from = from.min(numbers.len());
            let mut long = vec![0_i64; numbers.len() - from];
            unpack(&packed, width, from, &mut long);
            let long: Vec<u64> = long.into_iter().map(i64::cast_unsigned).collect();
            prop_assert_eq!(&long, &numbers[from..]);
            if width <= 32 {
                let mut short = vec![0_u32; numbers.len() - from];
                unpack(&packed, width, from, &mut short);
                let short: Vec<u64> = short.into_iter().map(u64::from).collect();
                prop_assert_eq!(&short, &numbers[from..]);
            }
        }
    }
}
