//! Tables by path: a Parquet file, a directory of Parquet files, a Delta table.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::common::DataFusionError;
use datafusion::datasource::file_format::parquet::ParquetFormat;
use datafusion::datasource::listing::{
    ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl,
};
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::logical_expr::LogicalPlanBuilder;
use datafusion::prelude::{SessionContext, col, lit};

use crate::error::{QueryError, Result};

/// The table at `path`, which `name` stands for in messages.
pub(super) async fn open(
    ctx: &SessionContext,
    name: &str,
    path: &str,
) -> Result<Arc<dyn TableProvider>> {
    let local = Path::new(path.strip_prefix("file://").unwrap_or(path));
    if !local.exists() {
        return Err(QueryError::usage(format!(
            "could not read table `{name}`: nothing at `{path}`; hint: give a Parquet file, a \
             directory of Parquet files or a Delta table"
        )));
    }
    if local.join("_delta_log").is_dir() {
        return funnel_lake::table_provider(path)
            .await
            .map_err(|source| QueryError::lake(format!("could not read table `{name}`"), source));
    }
    parquet(ctx, local)
        .await
        .map_err(|source| QueryError::query(format!("could not read table `{name}`"), source))
}

/// The rows of a table that belong to one of these accounts.
pub(super) fn of_accounts(
    table: Arc<dyn TableProvider>,
    accounts: &BTreeSet<String>,
) -> Result<Arc<dyn TableProvider>> {
    let own = accounts.iter().map(|account| lit(account.as_str()));
    let own = col("account_id").in_list(own.collect(), false);
    let plan = LogicalPlanBuilder::scan("rows", provider_as_source(table), None)
        .and_then(|rows| rows.filter(own))
        .and_then(LogicalPlanBuilder::build)
        .map_err(|source| QueryError::query("could not plan a table of some accounts", source))?;
    Ok(Arc::new(ViewTable::new(plan, None)))
}

async fn parquet(
    ctx: &SessionContext,
    path: &Path,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let is_dir = path.is_dir();
    let extension = if is_dir {
        ".parquet".to_owned()
    } else {
        path.extension()
            .map(|extension| format!(".{}", extension.to_string_lossy()))
            .unwrap_or_default()
    };
    // Only a trailing slash makes a directory of it.
    let mut text = path.to_string_lossy().into_owned();
    if is_dir && !text.ends_with('/') {
        text.push('/');
    }
    let url = ListingTableUrl::parse(&text)?;
    let state = ctx.state();
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(extension);
    let schema = options.infer_schema(&state, &url).await?;
    // `date=2024-03-04/part-0.parquet` gives a column `date`, unless the files have it themselves.
    let partitions = hive_columns(path)
        .into_iter()
        .filter(|column| schema.field_with_name(column).is_err())
        .map(|column| (column, DataType::Utf8))
        .collect();
    let options = options.with_table_partition_cols(partitions);
    let config = ListingTableConfig::new(url)
        .with_listing_options(options)
        .with_schema(schema);
    Ok(Arc::new(ListingTable::try_new(config)?))
}

/// The column names in the `column=value` folders on the first path down from `path`.
fn hive_columns(path: &Path) -> Vec<String> {
    let mut columns = Vec::new();
    let mut folder = path.to_path_buf();
    while let Some((column, below)) = first_hive_folder(&folder) {
        columns.push(column);
        folder = below;
    }
    columns
}

fn first_hive_folder(folder: &Path) -> Option<(String, std::path::PathBuf)> {
    let mut folders: Vec<_> = std::fs::read_dir(folder)
        .ok()?
        .filter_map(Result::ok)
        .filter(|entry| entry.path().is_dir())
        .collect();
    folders.sort_by_key(std::fs::DirEntry::file_name);
    folders.iter().find_map(|entry| {
        let name = entry.file_name().to_string_lossy().into_owned();
        let (column, _) = name.split_once('=')?;
        Some((column.to_owned(), entry.path()))
    })
}
