//! A state as bytes, little-endian: version, mode, steps, flags (bit 0: a window, bit 1: a span),
//! unit of time, three reserved zeros, window, first time, last time, then the numbers; 8 bytes each.

use super::{SegmentState, StateError, StateShape};
use crate::Mode;

const VERSION: u8 = 1;
const HAS_WINDOW: u8 = 1;
const HAS_SPAN: u8 = 2;
const HEADER_BYTES: usize = 32;

impl SegmentState {
    /// The state as bytes of a stable format, for storage.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mode = u8::from(self.shape.mode == Mode::OrderedIncrease);
        let window = self.shape.window.map_or(0, |_| HAS_WINDOW);
        let flags = window | self.span.map_or(0, |_| HAS_SPAN);
        let (first, last) = self.span.unwrap_or_default();
        let steps = self.shape.steps as u8; // at most 64
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.numbers.len() * 8);
        bytes.extend([VERSION, mode, steps, flags, self.shape.unit, 0, 0, 0]);
        bytes.extend(self.shape.window.unwrap_or_default().to_le_bytes());
        for number in [first, last].iter().chain(&self.numbers) {
            bytes.extend(number.to_le_bytes());
        }
        bytes
    }

    /// Reads what [`SegmentState::to_bytes`] wrote.
    ///
    /// # Errors
    /// Other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<SegmentState, StateError> {
        let bad = |reason| StateError::Bytes { reason };
        let [version, mode, steps, flags, unit, reserved @ ..] = *bytes
            .first_chunk::<8>()
            .ok_or(bad("it ends within its head"))?;
        if version != VERSION {
            return Err(bad("it has a version that this program does not know"));
        }
        if flags > HAS_WINDOW | HAS_SPAN || reserved != [0; 3] {
            return Err(bad("its head has unknown flags"));
        }
        let mode = match mode {
            0 => Mode::Ordered,
            1 => Mode::OrderedIncrease,
            _ => return Err(bad("its mode is unknown")),
        };
        let (words, rest) = bytes.as_chunks::<8>();
        let [_, window, first, last, numbers @ ..] = words else {
            return Err(bad("it ends within its head"));
        };
        let window = (flags & HAS_WINDOW != 0).then(|| u64::from_le_bytes(*window));
        let shape = StateShape::new(mode, usize::from(steps), window)
            .map_err(|_| bad("its number of steps is none that a funnel can have"))?
            .with_unit(unit);
        if numbers.len() != shape.numbers() || !rest.is_empty() {
            return Err(bad("its length does not fit its number of steps"));
        }
        let span = (i64::from_le_bytes(*first), i64::from_le_bytes(*last));
        let state = SegmentState {
            shape,
            span: (flags & HAS_SPAN != 0).then_some(span),
            numbers: numbers.iter().copied().map(i64::from_le_bytes).collect(),
        };
        if !state.is_within_span() {
            return Err(bad("it names times outside of its span"));
        }
        Ok(state)
    }
}
