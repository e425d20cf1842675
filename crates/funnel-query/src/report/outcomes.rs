//! What became of the offers of units.

use std::collections::HashMap;

use arrow::array::{Array, RecordBatch, StringArray};
use datafusion::error::Result as PlanResult;
use datafusion::functions_aggregate::expr_fn::first_value;
use datafusion::logical_expr::lit;
use datafusion::prelude::ident;

use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::explain::key::column_of;
use crate::explain::timeline::text;
use crate::funnel::Unit;

/// The outcome of the offer that went furthest of each unit that did not reach every step.
pub(super) async fn of_keys(
    session: &QuerySession,
    account: &str,
    unit: Unit,
    units: &RecordBatch,
) -> Result<StringArray> {
    let failed = |source| QueryError::query("could not read the outcomes of the offers", source);
    let (keys, reasons) = text(units, "key")
        .and_then(|keys| Ok((keys, text(units, "reason")?)))
        .map_err(|source| failed(source.into()))?;
    let read = async || -> PlanResult<HashMap<String, String>> {
        let key = ident(column_of(unit));
        let furthest = ident("offer_outcome_code").sort(false, false);
        let offers = session.ctx().table("offers").await?;
        let offers = offers
            .filter(
                ident("account_id")
                    .eq(lit(account))
                    .and(key.clone().is_not_null()),
            )?
            .aggregate(
                vec![key.alias("key")],
                vec![first_value(ident("offer_outcome"), vec![furthest]).alias("outcome")],
            )?;
        let mut outcomes = HashMap::new();
        for batch in offers.collect().await? {
            let (keys, found) = (text(&batch, "key")?, text(&batch, "outcome")?);
            let known = keys.iter().zip(&found);
            outcomes.extend(
                known.filter_map(|(key, outcome)| Some((key?.to_owned(), outcome?.to_owned()))),
            );
        }
        Ok(outcomes)
    };
    let outcomes = match reasons.null_count() == reasons.len() {
        true => HashMap::new(),
        false => read().await.map_err(failed)?,
    };
    let outcome = |(key, reason): (Option<&str>, Option<&str>)| {
        reason.and(outcomes.get(key?)).map(String::as_str)
    };
    Ok(keys.iter().zip(&reasons).map(outcome).collect())
}
