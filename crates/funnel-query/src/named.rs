//! Named queries: `queries/*.sql`, each with a front matter that says what it asks, takes and
//! gives. Values of parameters are bound as typed literals; text never becomes SQL.

mod bind;
mod front_matter;
mod table;

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use datafusion::dataframe::DataFrame;

pub(crate) use table::register;

use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel;

/// Embeds `queries/<name>.sql` for each name.
macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        [$(($name, include_str!(concat!("../../../queries/", $name, ".sql")))),+]
    };
}

const SHIPPED: [(&str, &str); 15] = shipped![
    "abandonment",
    "attribution_models",
    "authentication",
    "availability",
    "availability_losses",
    "campaign_losses",
    "chat_endings",
    "completeness",
    "conversions",
    "ledger_summary",
    "metrics",
    "not_available",
    "outcomes",
    "rejects_summary",
    "time_to_next_stage",
];

/// One parameter of a named query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Param {
    pub name: String,
    /// `DATE`, `TIMESTAMP`, `BIGINT`, `DOUBLE`, `BOOLEAN`, `TEXT`, or `a|b|c`: one of these words.
    pub kind: String,
    /// `None`: the caller must give it. `Some("NULL")`: no value.
    pub default: Option<String>,
    pub help: String,
}

/// One column of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: String,
    /// `DATE`, `TIMESTAMP`, `BIGINT`, `INTEGER`, `SMALLINT`, `DOUBLE`, `BOOLEAN`, `TEXT`,
    /// `DECIMAL`.
    pub kind: String,
    pub help: String,
}

/// A named query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedQuery {
    pub name: String,
    pub question: String,
    pub params: Vec<Param>,
    pub columns: Vec<Column>,
    pub sql: String,
}

/// Every named query that is shipped, sorted by name.
///
/// # Errors
/// When a front matter is wrong; a test keeps that from being shipped.
pub fn list() -> Result<Vec<NamedQuery>> {
    SHIPPED
        .iter()
        .map(|(file, text)| front_matter::parse(file, text))
        .collect()
}

/// The shipped query of that name.
///
/// # Errors
/// Usage, with the names there are.
pub fn find(name: &str) -> Result<NamedQuery> {
    match SHIPPED.iter().find(|(file, _)| *file == name) {
        Some((file, text)) => front_matter::parse(file, text),
        None => {
            let known: Vec<&str> = SHIPPED.iter().map(|(file, _)| *file).collect();
            let known = known.join(", ");
            Err(QueryError::usage(format!(
                "no query is called `{name}`; there are: {known}"
            )))
        }
    }
}

/// Runs a named query with the texts of its parameters, each read as the type it declares.
///
/// # Errors
/// Usage for an unknown name or parameter, a missing parameter, or a value that is not of its
/// type; query when the query fails.
pub async fn run(
    session: &QuerySession,
    name: &str,
    params: &BTreeMap<String, String>,
) -> Result<Vec<RecordBatch>> {
    let frame = plan(session, &find(name)?, params).await?;
    let schema = frame.schema().as_arrow().clone();
    let batches = frame
        .collect()
        .await
        .map_err(|source| QueryError::query(format!("could not run the query `{name}`"), source))?;
    if batches.is_empty() {
        return Ok(vec![RecordBatch::new_empty(std::sync::Arc::new(schema))]);
    }
    Ok(batches)
}

/// Plans a named query with its parameters bound.
///
/// # Errors
/// As [`run`], before any data is read.
pub async fn plan(
    session: &QuerySession,
    query: &NamedQuery,
    params: &BTreeMap<String, String>,
) -> Result<DataFrame> {
    let values = bind::values(query, params)?;
    let ctx = session.ctx();
    // A query over the ledger or the rejects must run where there are no events.
    if ctx.table_exist("events_enriched").unwrap_or(false) {
        funnel::attribution::ensure_registered(ctx).await?;
    }
    let statement = bind::statement(ctx, query, &values)?;
    let planned = async {
        let plan = ctx.state().statement_to_plan(statement).await?;
        ctx.execute_logical_plan(plan).await
    };
    planned.await.map_err(|source| {
        QueryError::query(format!("could not plan the query `{}`", query.name), source)
    })
}

#[cfg(test)]
mod tests;
