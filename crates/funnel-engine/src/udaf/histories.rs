//! Histories that are put together from runs of several sorted streams.

use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, Int32Array};
use datafusion::common::Result;
use funnel_match::{Matcher, Row, Runs};

use super::answer::Answer;
use super::masks::Masks;
use super::stream::{StreamCall, answers};

/// The rows of a batch that a call looks at, by run.
#[derive(Debug)]
pub(crate) struct Piece {
    pub(super) times: Vec<i64>,
    pub(super) masks: Masks,
    /// Run `i` lies between `i` and `i + 1`.
    pub(super) offsets: Vec<usize>,
}

impl Piece {
    /// Bytes in memory.
    pub(crate) fn size(&self) -> usize {
        let (times, offsets) = (self.times.capacity(), self.offsets.capacity());
        times * size_of::<i64>() + offsets * size_of::<usize>() + self.masks.size()
    }
}

/// Histories of a call; the last is open.
#[derive(Debug)]
pub(crate) struct Histories {
    times: Vec<i64>,
    masks: Masks,
    /// Where each history begins.
    begins: Vec<usize>,
    /// Did the rows of the open history come in the order of time?
    in_order: bool,
}

impl Histories {
    pub(crate) fn new(call: &StreamCall) -> Self {
        Self {
            times: Vec::new(),
            masks: Masks::zeros(call.conditions(), 0),
            begins: Vec::new(),
            in_order: true,
        }
    }

    /// Begins a history; the one before it has ended.
    pub(crate) fn begin(&mut self) {
        self.end();
        self.begins.push(self.times.len());
    }

    /// The open history goes on with run `run` of `piece`.
    pub(crate) fn append(&mut self, piece: &Piece, run: usize) {
        let rows = piece.offsets[run]..piece.offsets[run + 1];
        let times = &piece.times[rows.clone()];
        let begin = self.begins.last().copied().unwrap_or_default();
        if let (Some(last), Some(first)) = (self.times[begin..].last(), times.first()) {
            self.in_order &= last <= first;
        }
        self.times.extend_from_slice(times);
        self.masks.append(&piece.masks, rows);
    }

    /// Rows of all histories.
    pub(crate) fn rows(&self) -> usize {
        self.times.len()
    }

    /// Bytes in memory.
    pub(crate) fn size(&self) -> usize {
        let (times, begins) = (self.times.capacity(), self.begins.capacity());
        times * size_of::<i64>() + begins * size_of::<usize>() + self.masks.size()
    }

    /// One answer for each history, all of which have ended. None are left.
    pub(crate) fn answers(&mut self, call: &StreamCall) -> Result<ArrayRef> {
        self.end();
        self.begins.push(self.times.len());
        let (times, begins) = (&self.times, &self.begins);
        let answers = match &self.masks {
            Masks::Bytes(masks) => of_columns(call, times, masks, begins),
            Masks::Shorts(masks) => of_columns(call, times, masks, begins),
            Masks::Words(masks) => of_columns(call, times, masks, begins),
        };
        self.times.clear();
        self.masks.clear();
        self.begins.clear();
        answers
    }

    /// The rows of the open history come into the order of time; of rows of the same time, the first
    /// stream's are first.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.in_order, true) {
            let begin = self.begins.last().copied().unwrap_or_default();
            let mut order: Vec<usize> = (begin..self.times.len()).collect();
            order.sort_by_key(|row| self.times[*row]);
            let times: Vec<i64> = order.iter().map(|row| self.times[*row]).collect();
            self.times.truncate(begin);
            self.times.extend(times);
            let masks = self.masks.take(&order);
            self.masks.truncate(begin);
            self.masks.append(&masks, 0..order.len());
        }
    }
}

/// One answer for each history between neighbouring `offsets`, whose rows are in the order of time.
pub(super) fn of_columns<M: Copy + Into<u64>>(
    call: &StreamCall,
    times: &[i64],
    masks: &[M],
    offsets: &[usize],
) -> Result<ArrayRef> {
    match Runs::new(call.spec()) {
        Some(mut runs) if call.answer() == Answer::Level => {
            let mut levels = Vec::with_capacity(offsets.len());
            runs.levels(times, masks, offsets, &mut levels);
            let levels = levels.into_iter().map(i32::from);
            Ok(Arc::new(levels.collect::<Int32Array>()))
        }
        _ => {
            let rows = times.iter().zip(masks);
            let mut rows: Vec<Row> = rows
                .map(|(time, mask)| Row {
                    time: *time,
                    mask: (*mask).into(),
                })
                .collect();
            let mut matcher = Matcher::new(call.spec().clone());
            answers(call, &mut matcher, &mut rows, offsets)
        }
    }
}
