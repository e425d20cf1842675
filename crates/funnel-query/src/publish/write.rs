//! One day of a mart into the lake: the partition of the Delta table and the plain file at its
//! stable path. What is there already is not written again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::error::ArrowError;
use bytes::Bytes;
use chrono::NaiveDate;
use datafusion::prelude::{SessionContext, ident};
use funnel_lake::{Lake, LakeError};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;

use super::build::DATE;
use super::contract::{conform, content_hash};
use super::{Action, PartitionReport};
use crate::error::{QueryError, Result};
use crate::funnel::projection::date_literal;

/// A mart: its name and the partition column of its Delta table.
#[derive(Debug)]
pub(super) struct Kind {
    name: &'static str,
    partition_column: &'static str,
}

pub(super) const OFFERS: Kind = Kind {
    name: "offers",
    partition_column: DATE,
};
pub(super) const FUNNEL_STATE: Kind = Kind {
    name: "funnel_state",
    partition_column: DATE,
};
pub(super) const FUNNEL_DAILY: Kind = Kind {
    name: crate::session::FUNNEL_DAILY,
    partition_column: "date",
};

/// Makes the day of the mart hold exactly `rows`, which have this [`content_hash`].
pub(super) async fn mart(
    ctx: &SessionContext,
    lake: &Lake,
    kind: &Kind,
    day: NaiveDate,
    rows: RecordBatch,
    hash: String,
) -> Result<PartitionReport> {
    let laid_out = |source: ArrowError| {
        QueryError::query(
            format!("could not lay out the mart `{}`", kind.name),
            source.into(),
        )
    };
    let written = |source| table_failed(kind.name, source);
    let export = format!("export/{}/date={day}/part-0.parquet", kind.name);
    let mut report = PartitionReport {
        mart: kind.name.to_owned(),
        date: day,
        rows: i64::try_from(rows.num_rows()).unwrap_or(i64::MAX),
        action: Action::Unchanged,
        export: export.clone(),
        table_version: None,
        content_hash: hash.clone(),
    };
    let table_rows = partitioned(kind, &rows).map_err(laid_out)?;
    let table = lake
        .mart(kind.name, table_rows.schema(), kind.partition_column)
        .await
        .map_err(written)?;
    let stored = stored_rows(ctx, lake, kind, day, &rows.schema()).await?;
    let exported = exported_rows(lake, &export, &rows.schema()).await?;
    let same = |found: Option<RecordBatch>| {
        found
            .and_then(|found| content_hash(&found).ok())
            .is_some_and(|found| found == hash)
    };
    if same(stored) && same(exported) {
        return Ok(report);
    }
    let version = table
        .replace_partition(&day.to_string(), vec![table_rows])
        .await
        .map_err(written)?;
    lake.replace_file(&export, encode(&rows)?)
        .await
        .map_err(written)?;
    report.action = Action::Written;
    report.table_version = Some(version);
    Ok(report)
}

/// Makes the day of `funnel_state` hold exactly `rows`.
pub(super) async fn state(lake: &Lake, day: NaiveDate, rows: &RecordBatch) -> Result<()> {
    let kind = &FUNNEL_STATE;
    let rows = partitioned(kind, rows).map_err(|source| {
        QueryError::query(format!("could not lay out `{}`", kind.name), source.into())
    })?;
    let replace = async {
        let table = lake
            .mart(kind.name, rows.schema(), kind.partition_column)
            .await?;
        table.replace_partition(&day.to_string(), vec![rows]).await
    };
    let replaced = replace
        .await
        .map_err(|source| table_failed(kind.name, source));
    replaced.map(|_| ())
}

pub(super) fn table_failed(name: &str, source: LakeError) -> QueryError {
    QueryError::lake(
        format!("could not read or write the table `{name}`"),
        source,
    )
}

/// The rows with the partition column last. The plain files do not have it: their path says it,
/// and readers that find it twice give up.
fn partitioned(kind: &Kind, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema();
    let date = schema.index_of(DATE)?;
    let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
    let mut columns = rows.columns().to_vec();
    let field = Arc::new(
        fields[date]
            .as_ref()
            .clone()
            .with_name(kind.partition_column),
    );
    let values = Arc::clone(&columns[date]);
    if kind.partition_column == DATE {
        fields.remove(date);
        columns.remove(date);
    }
    fields.push(field);
    columns.push(values);
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The rows that the Delta table has for the day, or `None` where it lacks a column.
pub(super) async fn stored_rows(
    ctx: &SessionContext,
    lake: &Lake,
    kind: &Kind,
    day: NaiveDate,
    schema: &SchemaRef,
) -> Result<Option<RecordBatch>> {
    let batches = raw_rows(ctx, lake, kind, day).await?;
    Ok(batches.and_then(|batches| as_one(&batches, schema)))
}

/// The rows that the Delta table has for the day, or `None` where there is no table.
pub(super) async fn raw_rows(
    ctx: &SessionContext,
    lake: &Lake,
    kind: &Kind,
    day: NaiveDate,
) -> Result<Option<Vec<RecordBatch>>> {
    let failed =
        |source| QueryError::query(format!("could not read the mart `{}`", kind.name), source);
    let name = kind.name;
    let first = format!("{name}/_delta_log/{:020}.json", 0);
    let first = lake.read_file(&first).await;
    if first
        .map_err(|source| table_failed(name, source))?
        .is_none()
    {
        return Ok(None);
    }
    let provider = lake.table_provider(name).await;
    let provider = provider.map_err(|source| table_failed(name, source))?;
    let read = async {
        let rows = ctx.read_table(provider)?;
        rows.filter(ident(kind.partition_column).eq(date_literal(day)))?
            .collect()
            .await
    };
    read.await.map(Some).map_err(failed)
}

/// The rows of the plain file, or `None` where there is none or it is another table.
async fn exported_rows(lake: &Lake, path: &str, schema: &SchemaRef) -> Result<Option<RecordBatch>> {
    let read = lake.read_file(path).await;
    let bytes =
        read.map_err(|source| QueryError::lake(format!("could not read `{path}`"), source))?;
    let Some(bytes) = bytes else { return Ok(None) };
    // A file that is no Parquet is replaced like any other that differs.
    let batches = ParquetRecordBatchReaderBuilder::try_new(bytes)
        .and_then(|builder| builder.build())
        .ok()
        .and_then(|reader| reader.collect::<Result<Vec<_>, _>>().ok());
    Ok(batches.and_then(|batches| as_one(&batches, schema)))
}

fn as_one(batches: &[RecordBatch], schema: &SchemaRef) -> Option<RecordBatch> {
    let conformed: Result<Vec<_>, _> = batches.iter().map(|batch| conform(batch, schema)).collect();
    concat_batches(schema, &conformed.ok()?).ok()
}

fn encode(rows: &RecordBatch) -> Result<Bytes> {
    let encode = || {
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(3)?))
            .build();
        let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties))?;
        writer.write(rows)?;
        writer.into_inner()
    };
    let bytes = encode()
        .map_err(|source| QueryError::query("could not encode a mart as Parquet", source.into()))?;
    Ok(Bytes::from(bytes))
}
