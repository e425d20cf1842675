//! A call over sorted input: rows of one run after the other, answers as runs end.

use std::mem::size_of;
use std::ops::Range;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, RecordBatch};
use datafusion::common::Result;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;
use funnel_match::{Matcher, Row};

use super::answer::Answer;
use super::call::Call;
use super::rows::Batch;
use super::{Funnel, sort};

/// A call of a funnel function in a `GROUP BY` over sorted input.
#[derive(Debug, Clone)]
pub(crate) struct StreamCall {
    /// How EXPLAIN shows it.
    pub(crate) name: String,
    call: Call,
    answer: Answer,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    filter: Option<Arc<dyn PhysicalExpr>>,
}

impl StreamCall {
    /// None if it is a call of another function, or one that asks for more than rows by time.
    pub(crate) fn of(
        aggregate: &AggregateFunctionExpr,
        filter: Option<&Arc<dyn PhysicalExpr>>,
        input: &datafusion::arrow::datatypes::Schema,
    ) -> Result<Option<Self>> {
        let Some(funnel) = aggregate.fun().inner().downcast_ref::<Funnel>() else {
            return Ok(None);
        };
        if aggregate.is_distinct() || !aggregate.order_bys().is_empty() {
            return Ok(None);
        }
        let arguments = aggregate.expressions();
        let types = arguments
            .iter()
            .map(|argument| argument.data_type(input))
            .collect::<Result<Vec<_>>>()?;
        Ok(Some(Self {
            name: aggregate.name().to_owned(),
            call: Call::from_physical(aggregate.fun().name(), &arguments, &types)?,
            answer: funnel.answer,
            arguments,
            filter: filter.cloned(),
        }))
    }

    pub(crate) fn time(&self) -> Option<&Arc<dyn PhysicalExpr>> {
        self.arguments.get(self.call.time)
    }

    pub(crate) fn is_by_order_of_rows(&self) -> bool {
        self.call.by_order_of_rows()
    }

    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.arguments.iter().chain(&self.filter)
    }

    fn read(&self, batch: &RecordBatch) -> Result<Batch> {
        let column = |expr: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            expr.evaluate(batch)?.into_array(batch.num_rows())
        };
        // What stands before the time is constant, and known.
        let values = self.arguments.get(self.call.time..).unwrap_or_default();
        let values = values.iter().map(column).collect::<Result<Vec<_>>>()?;
        let filter = self.filter.as_ref().map(column).transpose()?;
        let filter = filter.as_ref().map(|filter| filter.as_boolean());
        Batch::of(&self.call, &values, filter)
    }
}

/// The rows of a call that wait for the end of their run.
#[derive(Debug)]
pub(crate) struct StreamRows {
    matcher: Matcher,
    rows: Vec<Row>,
    offsets: Vec<usize>,
}

impl StreamRows {
    pub(crate) fn new(call: &StreamCall) -> Self {
        Self {
            matcher: Matcher::new(call.call.spec.clone()),
            rows: Vec::new(),
            offsets: Vec::new(),
        }
    }

    /// Takes the rows of `batch`, whose runs are `ranges`; the first of them goes on with the run
    /// that was open. Gives one answer for each run but the last, which stays open.
    pub(crate) fn push(
        &mut self,
        call: &StreamCall,
        batch: &RecordBatch,
        ranges: &[Range<usize>],
    ) -> Result<ArrayRef> {
        let columns = call.read(batch)?;
        self.offsets.clear();
        self.offsets.push(0);
        for range in ranges {
            let rows = range.clone().filter_map(|row| columns.row(row));
            self.rows.extend(rows);
            self.offsets.push(self.rows.len());
        }
        self.offsets.pop();
        let answers = self.answers(call)?;
        let ended = self.offsets.last().copied().unwrap_or_default();
        self.rows.drain(..ended);
        Ok(answers)
    }

    /// The answer of the open run, which has ended.
    pub(crate) fn finish(&mut self, call: &StreamCall) -> Result<ArrayRef> {
        self.offsets.clear();
        self.offsets.extend([0, self.rows.len()]);
        let answers = self.answers(call)?;
        self.rows.clear();
        Ok(answers)
    }

    fn answers(&mut self, call: &StreamCall) -> Result<ArrayRef> {
        let ended = self.offsets.last().copied().unwrap_or_default();
        sort(&mut self.rows[..ended], &self.offsets);
        call.answer.evaluate(
            &mut self.matcher,
            &call.call,
            &self.rows[..ended],
            &self.offsets,
        )
    }

    pub(crate) fn size(&self) -> usize {
        self.rows.capacity() * size_of::<Row>() + self.offsets.capacity() * size_of::<usize>()
    }
}
