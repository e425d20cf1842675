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
use funnel_lake::{StorageOptions, is_remote};

use crate::error::{QueryError, Result};

/// The table at `path`, which `name` stands for in messages.
pub(super) async fn open(
    ctx: &SessionContext,
    name: &str,
    path: &str,
    storage: &StorageOptions,
) -> Result<Arc<dyn TableProvider>> {
    if is_remote(path) {
        return in_store(ctx, name, path, storage).await;
    }
    let local = Path::new(path.strip_prefix("file://").unwrap_or(path));
    if !local.exists() {
        return Err(nothing(name, path));
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

/// A Delta table in an object store, or the Parquet files there.
async fn in_store(
    ctx: &SessionContext,
    name: &str,
    path: &str,
    storage: &StorageOptions,
) -> Result<Arc<dyn TableProvider>> {
    let failed = format!("could not read table `{name}`");
    match funnel_lake::open_table(path, storage).await {
        Ok(table) => return Ok(table),
        Err(error) if error.kind() == funnel_lake::ErrorKind::NotFound => {}
        Err(error) => return Err(QueryError::lake(failed, error)),
    }
    let (url, store) = funnel_lake::open_store(path, storage)
        .map_err(|source| QueryError::lake(failed.clone(), source))?;
    ctx.register_object_store(&url, store);
    let read = async {
        let is_file = path.ends_with(".parquet");
        let slash = if is_file || path.ends_with('/') {
            ""
        } else {
            "/"
        };
        let url = ListingTableUrl::parse(format!("{path}{slash}"))?;
        let state = ctx.state();
        let options = ListingOptions::new(Arc::new(ParquetFormat::default()));
        let columns = options.infer_partitions(&state, &url).await?;
        listed(ctx, url, options, columns).await
    };
    let table = read
        .await
        .map_err(|source| QueryError::query(failed, source))?;
    if table.schema().fields().is_empty() {
        return Err(nothing(name, path));
    }
    Ok(table)
}

fn nothing(name: &str, path: &str) -> QueryError {
    QueryError::usage(format!(
        "could not read table `{name}`: nothing at `{path}`; hint: give a Parquet file, a \
         directory of Parquet files or a Delta table"
    ))
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
    let options =
        ListingOptions::new(Arc::new(ParquetFormat::default())).with_file_extension(extension);
    listed(ctx, url, options, hive_columns(path)).await
}

/// The files at `url`; `date=2024-03-04/part-0.parquet` gives a column `date`, unless the files have
/// it themselves.
async fn listed(
    ctx: &SessionContext,
    url: ListingTableUrl,
    options: ListingOptions,
    columns: Vec<String>,
) -> Result<Arc<dyn TableProvider>, DataFusionError> {
    let schema = options.infer_schema(&ctx.state(), &url).await?;
    let partitions = columns
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
