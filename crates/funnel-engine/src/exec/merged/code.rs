//! How a key differs from one before it, in a number: an offset-value code.
//!
//! ```text
//! before: account-1 visitor-3…          code: (words that are the same, the first word that is not)
//! key:    account-1 visitor-7…
//! ```
//!
//! Of two keys that follow the same key, the one with the lesser code is the lesser, and the code of the other stays
//! what it is after that one. So a merge looks at the keys only where two codes are equal, and then from where they
//! differed on: what all keys begin with is looked at once.

const WORD: usize = size_of::<u64>();

/// A code; it compares as the keys do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Code(u128);

impl Code {
    /// The same key as before.
    pub(super) const SAME: Self = Self(0);
    /// There is no key: a stream has ended.
    pub(super) const ENDED: Self = Self(u128::MAX);

    /// Of `key`, which is not less than `before`.
    pub(super) fn after(before: &[u8], key: &[u8]) -> Self {
        match difference(before, key, 0) {
            Some(offset) => Self::at(offset, key),
            None => Self::SAME,
        }
    }

    /// Of a key before which there is none.
    pub(super) fn first(key: &[u8]) -> Self {
        Self::at(0, key)
    }

    /// The more words are the same, the less the code; never the least or the greatest.
    fn at(offset: usize, key: &[u8]) -> Self {
        let same = u64::MAX - 1 - offset as u64; // A key has fewer than 2^64 - 1 words.
        Self(u128::from(same) << u64::BITS | u128::from(word(key, offset)))
    }

    /// The number of words that are the same; none if all are, or if there is no key.
    fn offset(self) -> Option<usize> {
        let same = (self.0 >> u64::BITS) as u64; // The upper half.
        (self != Self::SAME && self != Self::ENDED).then(|| (u64::MAX - 1 - same) as usize)
    }
}

/// Is stream `a` at a lesser key than `b`, or at the same and the earlier of the two? Codes of both are after the same
/// key; that of the greater is after the lesser from now on.
#[inline(always)]
pub(super) fn is_before<'a>(
    codes: &mut [Code],
    key: impl Fn(usize) -> Option<&'a [u8]>,
    (a, b): (usize, usize),
) -> bool {
    let (left, right) = (codes[a], codes[b]);
    match left == right {
        true => is_before_by_key(codes, key, (a, b)),
        false => left < right,
    }
}

/// The same where the codes are equal.
#[cold]
fn is_before_by_key<'a>(
    codes: &mut [Code],
    key: impl Fn(usize) -> Option<&'a [u8]>,
    (a, b): (usize, usize),
) -> bool {
    let left = codes[a];
    let (Some(offset), Some(one), Some(other)) = (left.offset(), key(a), key(b)) else {
        return a < b;
    };
    let Some(offset) = difference(one, other, offset + 1) else {
        codes[a.max(b)] = Code::SAME;
        return a < b;
    };
    let is_less = word(one, offset) < word(other, offset);
    match is_less {
        true => codes[b] = Code::at(offset, other),
        false => codes[a] = Code::at(offset, one),
    }
    is_less
}

/// The first word from `offset` on that differs. No key is the beginning of another, so that what is missing may count
/// as zeros.
fn difference(one: &[u8], other: &[u8], offset: usize) -> Option<usize> {
    let words = one.len().max(other.len()).div_ceil(WORD);
    (offset..words).find(|offset| word(one, *offset) != word(other, *offset))
}

/// Eight bytes of a key, as a number that compares as they do; what is missing counts as zeros.
fn word(key: &[u8], offset: usize) -> u64 {
    let rest = key.get(offset * WORD..).unwrap_or_default();
    if let Some(bytes) = rest.first_chunk() {
        return u64::from_be_bytes(*bytes);
    }
    let mut bytes = [0; WORD];
    for (byte, of) in bytes.iter_mut().zip(rest) {
        *byte = *of;
    }
    u64::from_be_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::super::tournament::Tournament;
    use super::*;

    /// Keys of which none is the beginning of another, with many words alike.
    fn key() -> impl Strategy<Value = Vec<u8>> {
        let part = prop::sample::select(vec!["", "a", "account-1", "account-number-2", "visitor"]);
        let parts = prop::collection::vec((part, 1_u8..3), 0..4);
        parts.prop_map(|parts| {
            let mut key: Vec<u8> = parts
                .into_iter()
                .flat_map(|(text, number)| text.bytes().chain([number]).collect::<Vec<_>>())
                .collect();
            key.push(0);
            key
        })
    }

    proptest! {
        #[test]
        fn codes_merge_as_keys_do(
            streams in prop::collection::vec(prop::collection::vec(key(), 0..12), 0..9),
        ) {
            let streams: Vec<Vec<Vec<u8>>> = streams
                .into_iter()
                .map(|mut stream| { stream.sort_unstable(); stream })
                .collect();
            let code = |stream: usize, at: usize| match (at.checked_sub(1), streams[stream].get(at)) {
                (_, None) => Code::ENDED,
                (None, Some(key)) => Code::first(key),
                (Some(before), Some(key)) => Code::after(&streams[stream][before], key),
            };
            let at: Vec<Cell<usize>> = streams.iter().map(|_| Cell::new(0)).collect();
            let key = |stream: usize| streams[stream].get(at[stream].get()).map(Vec::as_slice);
            let mut codes: Vec<Code> = (0..streams.len()).map(|stream| code(stream, 0)).collect();
            let mut tournament =
                Tournament::new(streams.len(), |a, b| is_before(&mut codes, key, (a, b)));
            let mut merged: Vec<(Vec<u8>, usize)> = Vec::new();
            while let Some(stream) = tournament.winner() {
                let Some(next) = key(stream) else { break };
                let is_same = merged.last().is_some_and(|(last, _)| last == next);
                prop_assert_eq!(codes[stream] == Code::SAME, is_same);
                merged.push((next.to_vec(), stream));
                at[stream].set(at[stream].get() + 1);
                codes[stream] = code(stream, at[stream].get());
                tournament.replay(|a, b| is_before(&mut codes, key, (a, b)));
            }
            let mut expected: Vec<(Vec<u8>, usize)> = streams
                .iter()
                .enumerate()
                .flat_map(|(stream, keys)| keys.iter().map(move |key| (key.clone(), stream)))
                .collect();
            expected.sort();
            prop_assert_eq!(merged, expected);
        }
    }
}
