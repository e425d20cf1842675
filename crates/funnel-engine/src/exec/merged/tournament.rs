//! Which of several sorted streams is next.

/// A tree of losers: the least of `n` streams is known, and after it has moved on, the next least is
/// found with one comparison for each level of the tree.
#[derive(Debug)]
pub(super) struct Tournament {
    /// The winner, then the loser of each match; the children of match `i` are `2 i` and `2 i + 1`.
    nodes: Vec<usize>,
}

/// No stream has come to this match yet.
const EMPTY: usize = usize::MAX;

impl Tournament {
    /// `less` says of two streams whether the first is before the second; never of equal ones.
    pub(super) fn new(streams: usize, mut less: impl FnMut(usize, usize) -> bool) -> Self {
        let mut tournament = Self {
            nodes: vec![EMPTY; streams],
        };
        for stream in 0..streams {
            tournament.play(stream, &mut less);
        }
        tournament
    }

    /// The least stream; none if there are none.
    pub(super) fn winner(&self) -> Option<usize> {
        self.nodes.first().copied()
    }

    /// The winner has moved on.
    pub(super) fn replay(&mut self, mut less: impl FnMut(usize, usize) -> bool) {
        if let Some(winner) = self.winner() {
            self.play(winner, &mut less);
        }
    }

    fn play(&mut self, mut stream: usize, less: &mut impl FnMut(usize, usize) -> bool) {
        let mut node = (self.nodes.len() + stream) / 2;
        while node > 0 {
            let other = self.nodes[node];
            if other == EMPTY {
                break;
            }
            // Who wins cannot be foreseen: chosen without a branch.
            let (winner, loser) = match less(other, stream) {
                true => (other, stream),
                false => (stream, other),
            };
            self.nodes[node] = loser;
            stream = winner;
            node /= 2;
        }
        self.nodes[node] = stream;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn streams_come_out_merged(
            streams in prop::collection::vec(prop::collection::vec(0_u8..9, 0..12), 0..20),
        ) {
            let streams: Vec<Vec<u8>> = streams
                .into_iter()
                .map(|mut stream| { stream.sort_unstable(); stream })
                .collect();
            let mut at = vec![0; streams.len()];
            let head = |at: &[usize], stream: usize| {
                let value = streams[stream].get(at[stream]).copied();
                (value.is_none(), value, stream)
            };
            let mut tournament =
                Tournament::new(streams.len(), |a, b| head(&at, a) < head(&at, b));
            let mut merged = Vec::new();
            while let Some(stream) = tournament.winner() {
                let (_, Some(value), _) = head(&at, stream) else { break };
                merged.push((value, stream));
                at[stream] += 1;
                tournament.replay(|a, b| head(&at, a) < head(&at, b));
            }
            let mut expected: Vec<(u8, usize)> = streams
                .iter()
                .enumerate()
                .flat_map(|(stream, values)| values.iter().map(move |value| (*value, stream)))
                .collect();
            expected.sort_unstable();
            prop_assert_eq!(merged, expected);
        }
    }
}
