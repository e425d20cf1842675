//! A call over sorted input: rows of one run after the other, answers as runs end.

mod by_value;

use std::mem::size_of;
use std::sync::Arc;

use datafusion::arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch};
use datafusion::common::{Result, internal_err};
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_plan::PhysicalExpr;
use funnel_match::{Matcher, Row, Runs, Spec};

use super::answer::Answer;
use super::call::Call;
use super::coded::Coded;
use super::masks::{Steps, each_width};
use super::rows::Batch;
use super::{Funnel, sort};
pub(crate) use by_value::{StepsOf, Ticked};

/// A call of a funnel function in a `GROUP BY` over sorted input.
#[derive(Debug, Clone)]
pub(crate) struct StreamCall {
    /// How EXPLAIN shows it.
    pub(crate) name: String,
    call: Call,
    answer: Answer,
    arguments: Vec<Arc<dyn PhysicalExpr>>,
    /// The steps, if they all look at one column.
    coded: Option<Coded>,
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
        let call = Call::from_physical(funnel.answer, &arguments, &types)?;
        if call.extra.details.is_some() {
            return Ok(None);
        }
        let steps = arguments.get(call.time + 1..).unwrap_or_default();
        Ok(Some(Self {
            name: aggregate.name().to_owned(),
            coded: Coded::of(steps)?,
            call,
            answer: funnel.answer,
            arguments,
            filter: filter.cloned(),
        }))
    }

    /// The same call, each of whose expressions has been changed by `over`.
    pub(crate) fn over(
        &self,
        over: impl Fn(&Arc<dyn PhysicalExpr>) -> Result<Arc<dyn PhysicalExpr>>,
    ) -> Result<Self> {
        let arguments = self.arguments.iter().map(&over);
        let arguments = arguments.collect::<Result<Vec<_>>>()?;
        let steps = arguments.get(self.call.time + 1..).unwrap_or_default();
        Ok(Self {
            coded: Coded::of(steps)?,
            filter: self.filter.as_ref().map(&over).transpose()?,
            arguments,
            ..self.clone()
        })
    }

    pub(crate) fn time(&self) -> Option<&Arc<dyn PhysicalExpr>> {
        self.arguments.get(self.call.time)
    }

    pub(super) fn spec(&self) -> &Spec {
        &self.call.spec
    }

    pub(super) fn answer(&self) -> Answer {
        self.answer
    }

    /// How many conditions there are: those of the steps, then those of option `exclude`.
    pub(super) fn conditions(&self) -> usize {
        self.arguments.len().saturating_sub(self.call.time + 1)
    }

    /// Do rows that satisfy no step matter?
    pub(super) fn needs_all_rows(&self) -> bool {
        self.call.all_rows()
    }

    pub(crate) fn is_by_order_of_rows(&self) -> bool {
        self.call.by_order_of_rows()
    }

    pub(crate) fn expressions(&self) -> impl Iterator<Item = &Arc<dyn PhysicalExpr>> {
        self.arguments.iter().chain(&self.filter)
    }

    /// Times and steps of a batch.
    pub(crate) fn read(&self, batch: &RecordBatch) -> Result<Batch> {
        let column = |expr: &Arc<dyn PhysicalExpr>| -> Result<ArrayRef> {
            expr.evaluate(batch)?.into_array(batch.num_rows())
        };
        // What stands before the time is constant, and known.
        let Some((time, steps)) = self
            .arguments
            .get(self.call.time..)
            .and_then(|arguments| arguments.split_first())
        else {
            return internal_err!("funnel was given no time");
        };
        let null_hides = self.call.null_hides_row();
        let coded = self.coded.as_ref();
        let steps = match coded
            .map(|coded| coded.read(batch, null_hides))
            .transpose()?
        {
            Some(Some(steps)) => steps,
            _ => {
                let conditions = steps.iter().map(column).collect::<Result<Vec<_>>>()?;
                Steps::of(&conditions, batch.num_rows(), null_hides)
            }
        };
        let filter = self.filter.as_ref().map(column).transpose()?;
        let filter = filter.as_ref().map(|filter| filter.as_boolean());
        Batch::of(&self.call, &column(time)?, steps, filter)
    }
}

/// What a call knows of the run that is open.
#[derive(Debug)]
pub(crate) enum StreamRows {
    /// Levels alone: the kernel over columns, which keeps no rows.
    Levels(Box<Runs>),
    /// All other answers: the rows of the run.
    Rows {
        matcher: Box<Matcher>,
        rows: Vec<Row>,
    },
}

impl StreamRows {
    pub(crate) fn new(call: &StreamCall) -> Self {
        let spec = &call.call.spec;
        match Runs::new(spec) {
            Some(runs) if call.answer == Answer::Level => Self::Levels(Box::new(runs)),
            _ => Self::Rows {
                matcher: Box::new(Matcher::new(spec.clone())),
                rows: Vec::new(),
            },
        }
    }

    /// Takes the rows of `batch`. Its runs lie between neighbouring `offsets`; the first of them goes
    /// on with the run that was open. Gives one answer for each run but the last, which stays open.
    pub(crate) fn push(
        &mut self,
        call: &StreamCall,
        batch: &RecordBatch,
        offsets: &[usize],
    ) -> Result<ArrayRef> {
        let batch = call.read(batch)?;
        match self {
            Self::Levels(runs) => {
                let mut offsets = offsets.to_vec();
                let (times, masks) = batch.columns(&mut offsets);
                let levels = each_width!(&masks, masks => levels(runs, &times, masks, &offsets));
                Ok(Arc::new(levels))
            }
            Self::Rows { matcher, rows } => {
                let mut ends = vec![0];
                for run in offsets.windows(2) {
                    rows.extend((run[0]..run[1]).filter_map(|row| batch.row(row)));
                    ends.push(rows.len());
                }
                ends.pop();
                let ended = ends.last().copied().unwrap_or_default();
                let answers = answers(call, matcher, &mut rows[..ended], &ends)?;
                rows.drain(..ended);
                Ok(answers)
            }
        }
    }

    /// The answer of the open run, which has ended.
    pub(crate) fn finish(&mut self, call: &StreamCall) -> Result<ArrayRef> {
        match self {
            Self::Levels(runs) => Ok(Arc::new(Int32Array::from(vec![i32::from(runs.end())]))),
            Self::Rows { matcher, rows } => {
                let mut rows = std::mem::take(rows);
                let ends = [0, rows.len()];
                answers(call, matcher, &mut rows, &ends)
            }
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Levels(_) => size_of::<Runs>(),
            Self::Rows { rows, .. } => rows.capacity() * size_of::<Row>(),
        }
    }
}

fn levels<M: Copy + Into<u64>>(
    runs: &mut Runs,
    times: &[i64],
    masks: &[M],
    offsets: &[usize],
) -> Int32Array {
    let mut levels = Vec::with_capacity(offsets.len());
    let feed = |runs: &mut Runs, run: &[usize]| {
        if let &[from, to] = run {
            runs.feed(&times[from..to], &masks[from..to]);
        }
    };
    let runs_given = offsets.len().saturating_sub(1);
    feed(runs, offsets.get(..2).unwrap_or_default());
    if runs_given > 1 {
        levels.push(runs.end());
        runs.levels(times, masks, &offsets[1..runs_given], &mut levels);
        feed(runs, &offsets[runs_given - 1..]);
    }
    levels.into_iter().map(i32::from).collect()
}

/// One answer for each history between `offsets`, in whatever order its rows are.
pub(super) fn answers(
    call: &StreamCall,
    matcher: &mut Matcher,
    rows: &mut [Row],
    offsets: &[usize],
) -> Result<ArrayRef> {
    sort(rows, offsets);
    call.answer.evaluate(matcher, &call.call, rows, offsets)
}
