//! Our functions in `pg_proc`, so that `\df` and the lists of tools have them.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int32Array, RecordBatch, StringArray};
use arrow::compute::{cast, concat_batches, take};
use arrow::datatypes::{DataType, Int32Type};
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::prelude::SessionContext;

/// A function: name, kind (`a`: aggregate, `f`: other), arguments, result.
pub(super) type Function = (&'static str, &'static str, &'static str, &'static str);

/// Identifiers from here on are those of our functions, in the order of the list.
const FIRST: i32 = 900_000;

pub(super) const FUNCTIONS: [Function; 16] = [
    (
        "funnel",
        "f",
        "name text, first date, last date, options record",
        "SETOF record",
    ),
    (
        "funnel_comparison",
        "f",
        "name text, first date, last date, options record",
        "SETOF record",
    ),
    ("funnel_level", "f", "state bytea", "integer"),
    (
        "funnel_match",
        "a",
        "window interval, mode text, time timestamp with time zone, VARIADIC steps boolean[]",
        "record",
    ),
    ("funnel_merge", "a", "state bytea", "bytea"),
    (
        "funnel_state",
        "a",
        "window interval, mode text, time timestamp with time zone, VARIADIC steps boolean[]",
        "bytea",
    ),
    (
        "funnel_steps",
        "a",
        "window interval, mode text, time timestamp with time zone, VARIADIC steps boolean[]",
        "bigint[]",
    ),
    (
        "funnel_units",
        "f",
        "name text, first date, last date, options record",
        "SETOF record",
    ),
    (
        "local_date",
        "f",
        "time timestamp with time zone, zone text",
        "date",
    ),
    (
        "local_hour",
        "f",
        "time timestamp with time zone, zone text",
        "integer",
    ),
    ("named_queries", "f", "", "SETOF record"),
    (
        "named_query",
        "f",
        "name text, parameters record",
        "SETOF record",
    ),
    (
        "retention",
        "a",
        "VARIADIC conditions boolean[]",
        "boolean[]",
    ),
    (
        "sequence_count",
        "a",
        "pattern text, time timestamp with time zone, VARIADIC conditions boolean[]",
        "bigint",
    ),
    (
        "sequence_match",
        "a",
        "pattern text, time timestamp with time zone, VARIADIC conditions boolean[]",
        "boolean",
    ),
    (
        "window_funnel",
        "a",
        "window interval, mode text, time timestamp with time zone, VARIADIC steps boolean[]",
        "integer",
    ),
];

/// The function with this identifier, if it is ours.
pub(super) fn by_oid(oid: i32) -> Option<&'static Function> {
    usize::try_from(oid.checked_sub(FIRST)?)
        .ok()
        .and_then(|at| FUNCTIONS.get(at))
}

/// `pg_proc` with our functions in the schema of the tables.
pub(super) async fn with_ours(
    known: Arc<dyn TableProvider>,
    schemas: Arc<dyn TableProvider>,
    schema: &str,
) -> Result<Arc<dyn TableProvider>> {
    let ctx = SessionContext::new();
    let schemas = ctx.read_table(schemas)?.collect().await?;
    let namespace = schemas.iter().find_map(|batch| {
        let names = cast(batch.column_by_name("nspname")?, &DataType::Utf8).ok()?;
        let at = names
            .as_string::<i32>()
            .iter()
            .position(|name| name == Some(schema))?;
        Some(
            batch
                .column_by_name("oid")?
                .as_primitive::<Int32Type>()
                .value(at),
        )
    });
    let mut batches = ctx.read_table(known)?.collect().await?;
    let first = batches.first().filter(|batch| batch.num_rows() > 0);
    let (Some(first), Some(namespace)) = (first, namespace) else {
        return Err(DataFusionError::Internal("pg_proc is empty".to_owned()));
    };
    let ours = ours(first, namespace)?;
    let schema = first.schema();
    batches.push(ours);
    let all = concat_batches(&schema, &batches)?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![all]])?))
}

/// Rows like the first one of the table, with what we know of our functions.
fn ours(like: &RecordBatch, namespace: i32) -> Result<RecordBatch> {
    let same = Int32Array::from(vec![0; FUNCTIONS.len()]);
    let texts = |pick: fn(&Function) -> &'static str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(FUNCTIONS.iter().map(pick)))
    };
    let columns = like.schema_ref().fields().iter().zip(like.columns());
    let columns = columns.map(|(field, column)| {
        let column: ArrayRef = match field.name().as_str() {
            "oid" => {
                let oids = (FIRST..).take(FUNCTIONS.len());
                Arc::new(Int32Array::from_iter_values(oids))
            }
            "proname" => texts(|(name, ..)| name),
            "prokind" => texts(|(_, kind, ..)| kind),
            "pronamespace" => Arc::new(Int32Array::from(vec![namespace; FUNCTIONS.len()])),
            _ => take(column, &same, None)?,
        };
        Ok(cast(&column, field.data_type())?)
    });
    let columns = columns.collect::<Result<_>>()?;
    Ok(RecordBatch::try_new(like.schema(), columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_of_the_engine_is_listed() {
        let aggregates = funnel_engine::aggregate_functions();
        let scalars = funnel_engine::scalar_functions();
        let aggregates = aggregates.iter().map(|function| (function.name(), "a"));
        let scalars = scalars.iter().map(|function| (function.name(), "f"));
        let tables = [
            "funnel",
            "funnel_comparison",
            "funnel_units",
            "named_queries",
            "named_query",
        ];
        let tables = tables.map(|name| (name, "f"));
        let mut known: Vec<_> = aggregates.chain(scalars).chain(tables).collect();
        known.sort_unstable();
        let listed: Vec<_> = FUNCTIONS
            .iter()
            .map(|(name, kind, ..)| (*name, *kind))
            .collect();
        assert_eq!(listed, known);
        assert_eq!(by_oid(FIRST).map(|(name, ..)| *name), Some("funnel"));
        assert_eq!(by_oid(1), None);
    }
}
