//! One group at a time: for queries without GROUP BY, and for window functions.

use std::mem::size_of;

use datafusion::arrow::array::ArrayRef;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::Accumulator;
use funnel_match::{Matcher, Row};

use super::answer::Answer;
use super::call::Call;
use super::{rows, sort};

/// Keeps the rows that satisfy a step; a state is those rows, so merging is exact.
#[derive(Debug)]
pub(super) struct FunnelAccumulator {
    call: Call,
    answer: Answer,
    matcher: Matcher,
    rows: Vec<Row>,
}

impl FunnelAccumulator {
    pub(super) fn new(call: Call, answer: Answer) -> Self {
        let matcher = Matcher::new(call.spec.clone());
        Self {
            call,
            answer,
            matcher,
            rows: Vec::new(),
        }
    }
}

impl Accumulator for FunnelAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        rows::read(&self.call, values, None, |_, row| self.rows.push(row))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        rows::read_state(states, |_, row| self.rows.push(row))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = rows::to_state(&self.rows, &[0, self.rows.len()])?;
        state
            .iter()
            .map(|lists| ScalarValue::try_from_array(lists, 0))
            .collect()
    }

    /// May be asked again after more rows: a window frame that grows.
    fn evaluate(&mut self) -> Result<ScalarValue> {
        let offsets = [0, self.rows.len()];
        sort(&mut self.rows, &offsets);
        let answers = self
            .answer
            .evaluate(&mut self.matcher, &self.call, &self.rows, &offsets)?;
        ScalarValue::try_from_array(&answers, 0)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.rows.capacity() * size_of::<Row>()
    }
}
