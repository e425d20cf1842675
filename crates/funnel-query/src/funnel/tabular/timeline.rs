//! Every row of one key.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::row::OwnedRow;
use datafusion::prelude::SessionContext;
use funnel_match::Spec;
use futures::StreamExt;

use super::definition::{Breakdown, TableFunnel, Touch};
use super::keys::Evaluation;
use super::plan::{self, Clock};
use crate::error::{QueryError, Result};

/// One row of the table.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) time: Option<i64>,
    /// One bit for each step that the row satisfies.
    pub(crate) mask: u64,
    pub(crate) id: Option<String>,
    /// Does `where` hold?
    pub(crate) kept: bool,
    pub(crate) hold: Option<OwnedRow>,
}

/// The rows of one key, ordered by held values and time.
#[derive(Debug)]
pub(crate) struct History {
    pub(crate) events: Vec<Event>,
    /// The held values of each event, by expression.
    pub(crate) holds: Vec<ArrayRef>,
    /// Of the key, or of each of its attempts.
    pub(crate) spec: Spec,
    /// The funnel whose attempts are counted, where they are.
    pub(crate) counted: Option<Spec>,
    pub(crate) clock: Clock,
}

/// Reads the rows of the key whose text is `key`.
pub(crate) async fn history(
    ctx: &SessionContext,
    funnel: &TableFunnel,
    key: &str,
) -> Result<History> {
    if funnel.breakdown.attribution == Touch::All && !funnel.breakdown.by.is_empty() {
        return Err(QueryError::usage(format!(
            "funnel `{}` has the breakdown attribution `all`, so a key is several funnels: leave \
             the breakdown out, and name the rows of one with --where",
            funnel.name
        )));
    }
    let whole = TableFunnel {
        breakdown: Breakdown::default(),
        period: None,
        ..funnel.clone()
    };
    let plan = plan::plan_key(ctx, &whole, key).await?;
    let evaluation = Evaluation::new(&whole, &plan)?;
    let failed = |source| QueryError::query("could not read the rows of the key", source);
    let mut events = Vec::new();
    let mut batches = plan.rows.execute_stream().await.map_err(failed)?;
    while let Some(batch) = batches.next().await {
        let batch = batch.map_err(failed)?;
        let kept = batch.column_by_name("kept").map(|kept| kept.as_boolean());
        let read = evaluation.read(&batch);
        let read = read.map_err(|source| failed(source.into()))?;
        events.extend((0..batch.num_rows()).map(|row| {
            Event {
                time: read.times.is_valid(row).then(|| read.times.value(row)),
                mask: read.masks[row],
                id: read
                    .ids
                    .filter(|ids| ids.is_valid(row))
                    .map(|ids| ids.value(row).to_owned()),
                kept: kept.is_none_or(|kept| kept.value(row)),
                hold: read.holds.as_ref().map(|holds| holds.row(row).owned()),
            }
        }));
    }
    let holds = match funnel.hold.is_empty() {
        true => Ok(Vec::new()),
        false => evaluation.held(
            events
                .iter()
                .filter_map(|event: &Event| event.hold.as_ref()),
        ),
    };
    Ok(History {
        holds: holds.map_err(|source| failed(source.into()))?,
        events,
        spec: evaluation.spec().clone(),
        counted: evaluation.counted().cloned(),
        clock: plan.clock,
    })
}
