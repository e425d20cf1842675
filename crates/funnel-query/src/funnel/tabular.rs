//! Funnels over any table, by a definition with its own key and time.
//!
//! 1. `definition`: what a file can say.
//! 2. `plan`: the expressions as a plan whose rows come ordered by key and time.
//! 3. `keys`: one key after the other through the matcher.
//! 4. `timeline`: every row of one key.
//! 5. `tally`: counts per breakdown value, period and step.

mod definition;
mod keys;
mod plan;
mod tally;
mod timeline;

use datafusion::prelude::SessionContext;
use futures::StreamExt;

pub use definition::{
    Breakdown, Every, Instant, Period, Source, Span, TableExclusion, TableFunnel, TableStep, Touch,
};
pub(crate) use keys::{Unit, reason};
pub(crate) use plan::Clock;
pub(crate) use tally::{StepTally, Tallies};
pub(crate) use timeline::{History, history};

use crate::error::{QueryError, Result};

/// The answer of a funnel over a table.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) tallies: Tallies,
    /// One entry per key, where they were asked for.
    pub(crate) units: Vec<Unit>,
    pub(crate) values: keys::Values,
    pub(crate) clock: Clock,
    /// Rows of a step without a key or a time.
    pub(crate) unplaced: u64,
}

/// Runs `funnel` over the tables of `ctx`.
pub(crate) async fn run(
    ctx: &SessionContext,
    funnel: &TableFunnel,
    keep_units: bool,
) -> Result<Answer> {
    let plan = plan::plan(ctx, funnel).await?;
    if let (Some(_), Clock::Integer | Clock::Unsigned) = (funnel.period, plan.clock) {
        return Err(QueryError::usage(
            "`period` needs a calendar, but `source.time` is an integer: make a timestamp of it",
        ));
    }
    let failed = |source| QueryError::query("could not run the funnel", source);
    let mut evaluation = keys::Evaluation::new(funnel, &plan)?;
    let mut tally = tally::Tally::new(funnel, plan.clock);
    let mut units = Vec::new();
    let mut take = |unit: Unit| {
        tally.add(&unit);
        if keep_units {
            units.push(unit);
        }
    };
    let mut batches = plan.rows.execute_stream().await.map_err(failed)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(failed)?;
        let added = evaluation.add(&batch, &mut take);
        added.map_err(|source| failed(source.into()))?;
    }
    evaluation.finish(&mut take);
    let unplaced = evaluation.unplaced;
    let values = evaluation.into_values();
    Ok(Answer {
        tallies: tally.finish()?,
        units,
        values,
        clock: plan.clock,
        unplaced,
    })
}

#[cfg(test)]
mod files;
