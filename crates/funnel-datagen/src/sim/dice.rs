//! Seeded chance. Every visitor has dice of their own, so that what one does never depends on
//! what was asked about another.

use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

#[derive(Debug, Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// Dice number `stream` of a seed.
    pub(crate) fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    pub(crate) fn chance(&mut self, share: f64) -> bool {
        share > 0.0 && self.0.random_bool(share.min(1.0))
    }

    /// Uniform, both ends included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        self.0.random_range(low..=high.max(low))
    }

    /// A moment `low` to `high` seconds long, in milliseconds.
    pub(crate) fn seconds(&mut self, low: i64, high: i64) -> i64 {
        self.between(low * 1_000, high * 1_000)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0.random_range(0..n.max(1))
    }

    /// `n` characters of `alphabet`, which must be ASCII. Seven characters take one draw, which
    /// favours some characters by less than one in a million.
    pub(crate) fn text(&mut self, alphabet: &[u8], n: usize) -> String {
        let size = alphabet.len() as u64;
        let mut text = String::with_capacity(n);
        let mut left = 0;
        let mut draw = 0;
        while text.len() < n {
            if left == 0 {
                draw = self.0.next_u64();
                left = 7;
            }
            text.push(char::from(alphabet[(draw % size) as usize]));
            draw /= size;
            left -= 1;
        }
        text
    }

    pub(crate) fn hex(&mut self, n: usize) -> String {
        self.text(b"0123456789abcdef", n)
    }

    pub(crate) fn digits(&mut self, n: usize) -> String {
        format!(
            "{}{}",
            self.between(1, 9),
            self.text(b"0123456789", n.saturating_sub(1))
        )
    }

    /// The form of LivePerson's visitor and session ids.
    pub(crate) fn web_id(&mut self) -> String {
        let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        self.text(alphabet, 22)
    }

    pub(crate) fn uuid(&mut self) -> String {
        format!(
            "{}-{}-4{}-a{}-{}",
            self.hex(8),
            self.hex(4),
            self.hex(3),
            self.hex(3),
            self.hex(12)
        )
    }
}
