//! Tables of `pg_catalog` that the library lacks, or has with the contents or types of another database.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, RecordBatch, StringArray, new_null_array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use datafusion::error::Result;

use super::settings::Settings;

/// Tables that the library lacks.
pub(super) const ADDED: [&str; 6] = [
    "pg_indexes",
    "pg_locks",
    "pg_parameter_acl",
    "pg_stat_activity",
    "pg_user",
    "pg_user_mappings",
];

const TEXT: DataType = DataType::Utf8;
const OID: DataType = DataType::Int32;
const SHORT: DataType = DataType::Int16;
const FLAG: DataType = DataType::Boolean;

/// A table in which there is nothing: the lake has no indexes, constraints, locks.
pub(super) fn empty(name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
    let fields = match name {
        "pg_user" => fields(&[("usename", TEXT), ("usesysid", OID), ("passwd", TEXT)]),
        "pg_locks" => fields(&[
            ("locktype", TEXT),
            ("relation", OID),
            ("pid", OID),
            ("mode", TEXT),
        ]),
        "pg_parameter_acl" => fields(&[("oid", OID), ("parname", TEXT), ("paracl", list(TEXT))]),
        "pg_user_mappings" => fields(&[
            ("umid", OID),
            ("srvid", OID),
            ("srvname", TEXT),
            ("umuser", OID),
            ("usename", TEXT),
            ("umoptions", list(TEXT)),
        ]),
        "pg_indexes" => fields(&[
            ("schemaname", TEXT),
            ("tablename", TEXT),
            ("indexname", TEXT),
            ("tablespace", TEXT),
            ("indexdef", TEXT),
        ]),
        "pg_stat_activity" => fields(&[
            ("datname", TEXT),
            ("pid", OID),
            ("usename", TEXT),
            ("application_name", TEXT),
            ("state", TEXT),
            ("query", TEXT),
        ]),
        "pg_index" => indexes(),
        "pg_constraint" => constraints(),
        _ => return Ok(None),
    };
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    Ok(Some(Arc::new(MemTable::try_new(schema, vec![vec![]])?)))
}

pub(super) fn fields(columns: &[(&str, DataType)]) -> Vec<Field> {
    columns
        .iter()
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true))
        .collect()
}

fn list(of: DataType) -> DataType {
    DataType::new_list(of, true)
}

fn indexes() -> Vec<Field> {
    fields(&[
        ("indexrelid", OID),
        ("indrelid", OID),
        ("indnatts", SHORT),
        ("indnkeyatts", SHORT),
        ("indisunique", FLAG),
        ("indnullsnotdistinct", FLAG),
        ("indisprimary", FLAG),
        ("indisexclusion", FLAG),
        ("indimmediate", FLAG),
        ("indisclustered", FLAG),
        ("indisvalid", FLAG),
        ("indcheckxmin", FLAG),
        ("indisready", FLAG),
        ("indislive", FLAG),
        ("indisreplident", FLAG),
        ("indkey", list(SHORT)),
        ("indcollation", list(OID)),
        ("indclass", list(OID)),
        ("indoption", list(SHORT)),
        ("indexprs", TEXT),
        ("indpred", TEXT),
    ])
}

fn constraints() -> Vec<Field> {
    fields(&[
        ("oid", OID),
        ("conname", TEXT),
        ("connamespace", OID),
        ("contype", TEXT),
        ("condeferrable", FLAG),
        ("condeferred", FLAG),
        ("convalidated", FLAG),
        ("conrelid", OID),
        ("contypid", OID),
        ("conindid", OID),
        ("conparentid", OID),
        ("confrelid", OID),
        ("confupdtype", TEXT),
        ("confdeltype", TEXT),
        ("confmatchtype", TEXT),
        ("conislocal", FLAG),
        ("coninhcount", SHORT),
        ("connoinherit", FLAG),
        ("conkey", list(SHORT)),
        ("confkey", list(SHORT)),
        ("conpfeqop", list(OID)),
        ("conppeqop", list(OID)),
        ("conffeqop", list(OID)),
        ("confdelsetcols", list(SHORT)),
        ("conexclop", list(OID)),
        ("conbin", TEXT),
    ])
}

/// `pg_settings`: what `SHOW ALL` has.
pub(super) fn settings(settings: &Settings) -> Result<Arc<dyn TableProvider>> {
    const COLUMNS: [&str; 17] = [
        "name",
        "setting",
        "unit",
        "category",
        "short_desc",
        "extra_desc",
        "context",
        "vartype",
        "source",
        "min_val",
        "max_val",
        "enumvals",
        "boot_val",
        "reset_val",
        "sourcefile",
        "sourceline",
        "pending_restart",
    ];
    let schema: SchemaRef = Arc::new(Schema::new(fields(&COLUMNS.map(|name| (name, TEXT)))));
    let (names, values): (Vec<&str>, Vec<&str>) = settings.all().unzip();
    let columns = COLUMNS.map(|name| -> ArrayRef {
        match name {
            "name" => Arc::new(StringArray::from(names.clone())),
            "setting" | "reset_val" => Arc::new(StringArray::from(values.clone())),
            _ => new_null_array(&TEXT, names.len()),
        }
    });
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.to_vec())?;
    Ok(Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))
}

/// `pg_class` with the columns that it lacks, and without pages: DuckDB would ask for them one by one.
pub(super) fn with_options(
    known: &Schema,
    classes: &[RecordBatch],
) -> Result<Arc<dyn TableProvider>> {
    let added = fields(&[("relacl", list(TEXT)), ("reloptions", list(TEXT))]);
    let known_fields = known.fields().iter().cloned();
    let all = known_fields.chain(added.iter().cloned().map(Arc::new));
    let schema: SchemaRef = Arc::new(Schema::new(all.collect::<Vec<_>>()));
    let batches = classes.iter().map(|batch| {
        let nothing = added
            .iter()
            .map(|field| new_null_array(field.data_type(), batch.num_rows()));
        let names = batch.schema_ref().fields().iter().map(|field| field.name());
        let known = names
            .zip(batch.columns())
            .map(|(name, column)| -> ArrayRef {
                match name.as_str() {
                    "relpages" => Arc::new(Int32Array::from(vec![0; batch.num_rows()])),
                    _ => Arc::clone(column),
                }
            });
        let columns: Vec<ArrayRef> = known.chain(nothing).collect();
        RecordBatch::try_new(Arc::clone(&schema), columns)
    });
    let batches = batches.collect::<Result<Vec<_>, _>>()?;
    Ok(Arc::new(MemTable::try_new(schema, vec![batches])?))
}
