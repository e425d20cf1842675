//! What a client asks about the lake and the server, as tables.

use std::sync::LazyLock;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Field, Schema};
use arrow_flight::error::FlightError;
use arrow_flight::sql::metadata::{
    GetTablesBuilder, SqlInfoData, SqlInfoDataBuilder, XdbcTypeInfoDataBuilder,
};
use arrow_flight::sql::{
    Command, SqlInfo, SqlNullOrdering, SqlSupportedCaseSensitivity, SqlSupportedTransaction,
};
use datafusion::catalog::SchemaProvider;
use datafusion::logical_expr::TableType;
use datafusion::prelude::SessionContext;

use super::rows::sent_as;
use crate::failure::Failure;

/// Kinds of tables.
const TABLE: &str = "TABLE";
const VIEW: &str = "VIEW";
/// Of Arrow's columnar format.
const ARROW_VERSION: &str = "1.5";

/// The table that answers the command, over the tables of this session; none if it asks for something else.
pub(super) async fn table(
    ctx: &SessionContext,
    command: Command,
) -> Result<Option<RecordBatch>, Failure> {
    let state = ctx.state();
    let names = &state.config().options().catalog;
    let (catalog, schema) = (&names.default_catalog, &names.default_schema);
    let built = match command {
        Command::CommandGetCatalogs(asked) => {
            let mut found = asked.into_builder();
            found.append(catalog);
            found.build()
        }
        Command::CommandGetDbSchemas(asked) => {
            let mut found = asked.into_builder();
            found.append(catalog, schema);
            found.build()
        }
        Command::CommandGetTables(asked) => {
            let tables = ctx.catalog(catalog).and_then(|found| found.schema(schema));
            let tables = tables.ok_or_else(Failure::internal)?;
            let found = asked.into_builder();
            of_tables(found, catalog, schema, tables.as_ref())
                .await?
                .build()
        }
        Command::CommandGetTableTypes(asked) => {
            let mut found = asked.into_builder();
            found.append(TABLE);
            found.append(VIEW);
            found.build()
        }
        Command::CommandGetSqlInfo(asked) => {
            let known = INFO.as_ref().ok_or_else(Failure::internal)?;
            asked.into_builder(known).build()
        }
        Command::CommandGetXdbcTypeInfo(asked) => XdbcTypeInfoDataBuilder::new()
            .build()
            .and_then(|none| asked.into_builder(&none).build()),
        Command::CommandGetPrimaryKeys(_) => Ok(RecordBatch::new_empty(primary_keys().into())),
        Command::CommandGetExportedKeys(_)
        | Command::CommandGetImportedKeys(_)
        | Command::CommandGetCrossReference(_) => Ok(RecordBatch::new_empty(foreign_keys().into())),
        _ => return Ok(None),
    };
    built.map(Some).map_err(failure)
}

async fn of_tables(
    mut found: GetTablesBuilder,
    catalog: &str,
    schema: &str,
    tables: &dyn SchemaProvider,
) -> Result<GetTablesBuilder, Failure> {
    for name in tables.table_names() {
        let Some(table) = tables.table(&name).await? else {
            continue;
        };
        let kind = match table.table_type() {
            TableType::Base | TableType::Temporary => TABLE,
            TableType::View => VIEW,
        };
        found
            .append(catalog, schema, &name, kind, &sent_as(&table.schema()))
            .map_err(failure)?;
    }
    Ok(found)
}

fn failure(error: FlightError) -> Failure {
    match error {
        // A pattern that cannot be one.
        FlightError::Arrow(error) => Failure::new("22023", error.to_string()),
        error => {
            tracing::error!(%error, "metadata could not be put together");
            Failure::internal()
        }
    }
}

/// What the server is and can do; the same for everybody.
static INFO: LazyLock<Option<SqlInfoData>> = LazyLock::new(|| {
    let mut info = SqlInfoDataBuilder::new();
    info.append(SqlInfo::FlightSqlServerName, "funnel");
    info.append(SqlInfo::FlightSqlServerVersion, env!("CARGO_PKG_VERSION"));
    info.append(SqlInfo::FlightSqlServerArrowVersion, ARROW_VERSION);
    info.append(SqlInfo::FlightSqlServerReadOnly, true);
    info.append(SqlInfo::FlightSqlServerSql, true);
    for absent in [
        SqlInfo::FlightSqlServerSubstrait,
        SqlInfo::FlightSqlServerCancel,
        SqlInfo::FlightSqlServerBulkIngestion,
        SqlInfo::FlightSqlServerIngestTransactionsSupported,
        SqlInfo::SqlDdlCatalog,
        SqlInfo::SqlDdlSchema,
        SqlInfo::SqlDdlTable,
        SqlInfo::SqlTransactionsSupported,
        SqlInfo::SqlSelectForUpdateSupported,
        SqlInfo::SqlStoredProceduresSupported,
    ] {
        info.append(absent, false);
    }
    for present in [
        SqlInfo::SqlAllTablesAreSelectable,
        SqlInfo::SqlSupportsColumnAliasing,
        SqlInfo::SqlNullPlusNullIsNull,
        SqlInfo::SqlSupportsTableCorrelationNames,
        SqlInfo::SqlSupportsExpressionsInOrderBy,
        SqlInfo::SqlSupportsOrderByUnrelated,
        SqlInfo::SqlCorrelatedSubqueriesSupported,
    ] {
        info.append(present, true);
    }
    let ordinals = [
        (
            SqlInfo::FlightSqlServerTransaction,
            SqlSupportedTransaction::None as i32,
        ),
        (
            SqlInfo::SqlIdentifierCase,
            SqlSupportedCaseSensitivity::SqlCaseSensitivityLowercase as i32,
        ),
        (
            SqlInfo::SqlQuotedIdentifierCase,
            SqlSupportedCaseSensitivity::SqlCaseSensitivityCaseInsensitive as i32,
        ),
        (
            SqlInfo::SqlNullOrdering,
            SqlNullOrdering::SqlNullsSortedHigh as i32,
        ),
        // Handles have no end.
        (SqlInfo::FlightSqlServerStatementTimeout, 0),
        (SqlInfo::FlightSqlServerTransactionTimeout, 0),
    ];
    for (name, value) in ordinals {
        info.append(name, value);
    }
    for (name, text) in [
        (SqlInfo::SqlIdentifierQuoteChar, "\""),
        (SqlInfo::SqlSearchStringEscape, "\\"),
        (SqlInfo::SqlExtraNameCharacters, ""),
        (SqlInfo::SqlSchemaTerm, "schema"),
        (SqlInfo::SqlCatalogTerm, "catalog"),
    ] {
        info.append(name, text);
    }
    info.build()
        .inspect_err(|error| tracing::error!(%error, "what the server can do could not be said"))
        .ok()
});

/// No table has any.
fn primary_keys() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Schema::new(vec![
        text("catalog_name", true),
        text("db_schema_name", true),
        text("table_name", false),
        text("column_name", false),
        text("key_name", true),
        Field::new("key_sequence", DataType::Int32, false),
    ])
}

/// No table has any.
fn foreign_keys() -> Schema {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    let rule = |name: &str| Field::new(name, DataType::UInt8, false);
    Schema::new(vec![
        text("pk_catalog_name", true),
        text("pk_db_schema_name", true),
        text("pk_table_name", false),
        text("pk_column_name", false),
        text("fk_catalog_name", true),
        text("fk_db_schema_name", true),
        text("fk_table_name", false),
        text("fk_column_name", false),
        Field::new("key_sequence", DataType::Int32, false),
        text("fk_key_name", true),
        text("pk_key_name", true),
        rule("update_rule"),
        rule("delete_rule"),
    ])
}
