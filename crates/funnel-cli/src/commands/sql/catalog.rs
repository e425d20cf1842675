//! What a session knows: tables, their columns, functions.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use datafusion::common::TableReference;
use datafusion::datasource::TableType;
use datafusion::prelude::SessionContext;

use crate::error::{CliError, Result};

/// All tables and views with their kind and how many columns they have.
pub(super) async fn tables(ctx: &SessionContext) -> Result<RecordBatch> {
    let mut names = Vec::new();
    let mut kinds = Vec::new();
    for name in table_names(ctx) {
        let kind = match ctx
            .table_provider(TableReference::bare(name.as_str()))
            .await
        {
            Ok(provider) if provider.table_type() == TableType::View => "view",
            _ => "table",
        };
        kinds.push(kind);
        names.push(name);
    }
    let names: ArrayRef = Arc::new(StringArray::from(names));
    let kinds: ArrayRef = Arc::new(StringArray::from(kinds));
    RecordBatch::try_from_iter([("name", names), ("kind", kinds)]).map_err(CliError::output)
}

/// The columns of one table.
pub(super) async fn columns(ctx: &SessionContext, table: &str) -> Result<RecordBatch> {
    let Some(schema) = schema(ctx, table).await else {
        let names: Vec<_> = table_names(ctx).into_iter().collect();
        return Err(CliError::failed(format!("there is no table `{table}`"))
            .hint(format!("there are {}", names.join(", "))));
    };
    let fields = schema.fields();
    let names: ArrayRef = Arc::new(StringArray::from_iter_values(
        fields.iter().map(|field| field.name()),
    ));
    let types: ArrayRef = Arc::new(StringArray::from_iter_values(
        fields.iter().map(|field| field.data_type().to_string()),
    ));
    let nullable: ArrayRef = Arc::new(BooleanArray::from_iter(
        fields.iter().map(|field| Some(field.is_nullable())),
    ));
    RecordBatch::try_from_iter([("column", names), ("type", types), ("nullable", nullable)])
        .map_err(CliError::output)
}

/// Words that the prompt completes: tables, columns, functions.
pub(super) async fn words(ctx: &SessionContext) -> BTreeSet<String> {
    let mut words = table_names(ctx);
    for table in words.clone() {
        if let Some(schema) = schema(ctx, &table).await {
            words.extend(schema.fields().iter().map(|field| field.name().clone()));
        }
    }
    let state = ctx.state();
    words.extend(state.scalar_functions().keys().cloned());
    words.extend(state.aggregate_functions().keys().cloned());
    words.extend(state.window_functions().keys().cloned());
    words.extend(state.table_functions().keys().cloned());
    words
}

fn table_names(ctx: &SessionContext) -> BTreeSet<String> {
    let default = ctx.state().config_options().catalog.clone();
    ctx.catalog(&default.default_catalog)
        .and_then(|catalog| catalog.schema(&default.default_schema))
        .map(|schema| schema.table_names().into_iter().collect())
        .unwrap_or_default()
}

async fn schema(ctx: &SessionContext, table: &str) -> Option<SchemaRef> {
    let provider = ctx.table_provider(TableReference::bare(table)).await.ok()?;
    Some(provider.schema())
}
