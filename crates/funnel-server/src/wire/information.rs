//! `information_schema` as PostgreSQL has it: types by their names there, and the tables of keys, of which there are none.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use arrow_pg::datatypes::into_pg_type;
use async_trait::async_trait;
use datafusion::catalog::information_schema::{
    INFORMATION_SCHEMA_TABLES, InformationSchemaProvider,
};
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use pgwire::api::Type;

use super::catalog::SYSTEM_SCHEMA;
use super::tables::fields;

const COLUMNS: &str = "columns";
/// The settings of the engine, which PostgreSQL does not have: `SHOW ALL` has those of a connection.
const HIDDEN: &str = "df_settings";
const TEXT: DataType = DataType::Utf8;
const NUMBER: DataType = DataType::Int32;

/// Tables that the library lacks, with their columns of text.
const EMPTY: [(&str, &[&str]); 4] = [
    (
        "table_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "constraint_type",
            "is_deferrable",
            "initially_deferred",
        ],
    ),
    (
        "key_column_usage",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
        ],
    ),
    (
        "constraint_column_usage",
        &[
            "table_catalog",
            "table_schema",
            "table_name",
            "column_name",
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
        ],
    ),
    (
        "referential_constraints",
        &[
            "constraint_catalog",
            "constraint_schema",
            "constraint_name",
            "unique_constraint_catalog",
            "unique_constraint_schema",
            "unique_constraint_name",
            "match_option",
            "update_rule",
            "delete_rule",
        ],
    ),
];

#[derive(Debug)]
pub(super) struct Information {
    pub(super) library: InformationSchemaProvider,
    pub(super) database: String,
    /// The schemas of which the columns are listed.
    pub(super) schemas: Vec<(&'static str, Arc<dyn SchemaProvider>)>,
}

/// A column of a table.
struct Column {
    schema: &'static str,
    table: String,
    position: i32,
    name: String,
    is_nullable: bool,
    kind: Type,
}

impl Information {
    async fn columns(&self) -> Result<Arc<dyn TableProvider>> {
        let mut all = Vec::new();
        for (schema, provider) in &self.schemas {
            let mut tables = provider.table_names();
            tables.sort();
            for table in tables {
                let Some(provider) = provider.table(&table).await? else {
                    continue;
                };
                let fields = provider.schema();
                all.extend((1..).zip(fields.fields()).map(|(position, field)| Column {
                    schema,
                    table: table.clone(),
                    position,
                    name: field.name().clone(),
                    is_nullable: field.is_nullable(),
                    kind: into_pg_type(field.data_type()).unwrap_or(Type::TEXT),
                }));
            }
        }
        self.listed(&all)
    }

    fn listed(&self, all: &[Column]) -> Result<Arc<dyn TableProvider>> {
        let texts = |pick: &dyn Fn(&Column) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(all.iter().map(pick)))
        };
        let numbers = |pick: &dyn Fn(&Column) -> Option<i32>| -> ArrayRef {
            Arc::new(all.iter().map(pick).collect::<Int32Array>())
        };
        let same = |value: &str| texts(&|_| value.to_owned());
        let no_text = || new_null_array(&TEXT, all.len());
        let no_number = || new_null_array(&NUMBER, all.len());
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("table_catalog", same(&self.database)),
            ("table_schema", texts(&|c| c.schema.to_owned())),
            ("table_name", texts(&|c| c.table.clone())),
            ("column_name", texts(&|c| c.name.clone())),
            ("ordinal_position", numbers(&|c| Some(c.position))),
            ("column_default", no_text()),
            (
                "is_nullable",
                texts(&|c| if c.is_nullable { "YES" } else { "NO" }.to_owned()),
            ),
            ("data_type", texts(&|c| spelled(&c.kind).to_owned())),
            ("character_maximum_length", no_number()),
            ("character_octet_length", no_number()),
            ("numeric_precision", numbers(&|c| bits(&c.kind))),
            (
                "numeric_precision_radix",
                numbers(&|c| bits(&c.kind).map(|_| 2)),
            ),
            (
                "numeric_scale",
                numbers(&|c| is_whole(&c.kind).then_some(0)),
            ),
            ("datetime_precision", numbers(&|c| of_seconds(&c.kind))),
            ("interval_type", no_text()),
            ("character_set_name", no_text()),
            ("collation_name", no_text()),
            ("domain_name", no_text()),
            ("udt_catalog", same(&self.database)),
            ("udt_schema", same(SYSTEM_SCHEMA)),
            ("udt_name", texts(&|c| c.kind.name().to_owned())),
            ("dtd_identifier", texts(&|c| c.position.to_string())),
            ("is_identity", same("NO")),
            ("identity_generation", no_text()),
            ("is_generated", same("NEVER")),
            ("generation_expression", no_text()),
            ("is_updatable", same("NO")),
        ];
        let described = columns
            .iter()
            .map(|(name, values)| Field::new(*name, values.data_type().clone(), true));
        let schema = Arc::new(Schema::new(described.collect::<Vec<_>>()));
        let values = columns.into_iter().map(|(_, values)| values).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), values)?;
        Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
    }
}

#[async_trait]
impl SchemaProvider for Information {
    fn table_names(&self) -> Vec<String> {
        let known = INFORMATION_SCHEMA_TABLES.iter().copied();
        let names = known.chain(EMPTY.iter().map(|(name, _)| *name));
        let names = names.filter(|name| *name != HIDDEN);
        names.map(str::to_owned).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        if name == HIDDEN {
            return Ok(None);
        }
        if name == COLUMNS {
            return self.columns().await.map(Some);
        }
        let Some((_, columns)) = EMPTY.iter().find(|(known, _)| *known == name) else {
            return self.library.table(name).await;
        };
        let columns: Vec<_> = columns.iter().map(|name| (*name, TEXT)).collect();
        let mut columns = fields(&columns);
        if name == "key_column_usage" {
            let positions = ["ordinal_position", "position_in_unique_constraint"];
            columns.extend(fields(&positions.map(|name| (name, NUMBER))));
        }
        let schema = Arc::new(Schema::new(columns));
        Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![]])?)))
    }

    fn table_exist(&self, name: &str) -> bool {
        name != HIDDEN && self.library.table_exist(name)
            || EMPTY.iter().any(|(known, _)| *known == name)
    }
}

/// The name of a type in a statement.
fn spelled(kind: &Type) -> &str {
    match *kind {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIME => "time without time zone",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        _ if kind.name().starts_with('_') => "ARRAY",
        _ => kind.name(),
    }
}

fn is_whole(kind: &Type) -> bool {
    [Type::INT2, Type::INT4, Type::INT8].contains(kind)
}

fn bits(kind: &Type) -> Option<i32> {
    Some(match *kind {
        Type::INT2 => 16,
        Type::INT4 => 32,
        Type::INT8 => 64,
        Type::FLOAT4 => 24,
        Type::FLOAT8 => 53,
        _ => return None,
    })
}

/// Digits behind the second.
fn of_seconds(kind: &Type) -> Option<i32> {
    Some(match *kind {
        Type::DATE => 0,
        Type::TIME | Type::TIMESTAMP | Type::TIMESTAMPTZ | Type::INTERVAL => 6,
        _ => return None,
    })
}
