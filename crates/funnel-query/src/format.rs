//! Rows as bytes: the forms in which answers leave, the same on the command line and on the servers.

mod prepare;

use std::fmt;
use std::io::Write;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::{csv, json};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

pub use prepare::{Nested, Prepare};

/// Timestamps as every text form shows them: RFC 3339 in UTC.
pub const TIMESTAMP_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// The form of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowFormat {
    /// Comma-separated values with a header line (RFC 4180); lists and structs as JSON.
    Csv,
    /// One array of objects.
    Json,
    /// One object a line.
    Ndjson,
    /// A Parquet file.
    Parquet,
    /// An Arrow IPC stream.
    Arrow,
}

/// Writes batches of one schema to `W`.
pub struct RowWriter<W: Write + Send> {
    prepare: Prepare,
    encoder: Encoder<W>,
}

enum Encoder<W: Write + Send> {
    Csv(Box<csv::Writer<W>>),
    Json(json::ArrayWriter<W>),
    Ndjson(json::LineDelimitedWriter<W>),
    Parquet(Box<ArrowWriter<W>>),
    Arrow(Box<StreamWriter<W>>),
}

impl<W: Write + Send> fmt::Debug for RowWriter<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowWriter")
            .field("schema", self.prepare.schema())
            .finish_non_exhaustive()
    }
}

impl<W: Write + Send> RowWriter<W> {
    /// Writes what stands before the rows: a header line, also when no row follows.
    ///
    /// # Errors
    /// When `target` fails, or the form has no place for a type of the schema.
    pub fn new(target: W, format: RowFormat, schema: &SchemaRef) -> Result<Self, ArrowError> {
        let prepare = Prepare::new(
            schema,
            match format {
                RowFormat::Csv => Nested::AsJsonText,
                RowFormat::Json | RowFormat::Ndjson | RowFormat::Arrow => Nested::Keep,
                RowFormat::Parquet => Nested::KeepForParquet,
            },
        );
        let encoder = match format {
            RowFormat::Csv => {
                let mut writer = csv::WriterBuilder::new()
                    .with_timestamp_tz_format(TIMESTAMP_FORMAT.to_owned())
                    .build(target);
                writer.write(&RecordBatch::new_empty(SchemaRef::clone(prepare.schema())))?;
                Encoder::Csv(Box::new(writer))
            }
            RowFormat::Json => Encoder::Json(json_options().build(target)),
            RowFormat::Ndjson => Encoder::Ndjson(json_options().build(target)),
            RowFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .build();
                let schema = SchemaRef::clone(prepare.schema());
                let writer = ArrowWriter::try_new(target, schema, Some(properties));
                Encoder::Parquet(Box::new(writer.map_err(of_parquet)?))
            }
            RowFormat::Arrow => {
                Encoder::Arrow(Box::new(StreamWriter::try_new(target, prepare.schema())?))
            }
        };
        Ok(Self { prepare, encoder })
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// When the target fails, or a value cannot be shown.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let batch = self.prepare.apply(batch)?;
        match &mut self.encoder {
            Encoder::Csv(writer) => writer.write(&batch),
            Encoder::Json(writer) => writer.write(&batch),
            Encoder::Ndjson(writer) => writer.write(&batch),
            Encoder::Parquet(writer) => writer.write(&batch).map_err(of_parquet),
            Encoder::Arrow(writer) => writer.write(&batch),
        }
    }

    /// Writes what stands after the rows, and gives the target back.
    ///
    /// # Errors
    /// When the target fails.
    pub fn finish(self) -> Result<W, ArrowError> {
        match self.encoder {
            Encoder::Csv(writer) => Ok(writer.into_inner()),
            Encoder::Json(mut writer) => {
                writer.finish()?;
                let mut target = writer.into_inner();
                target.write_all(b"\n")?;
                Ok(target)
            }
            Encoder::Ndjson(mut writer) => {
                writer.finish()?;
                Ok(writer.into_inner())
            }
            Encoder::Parquet(writer) => writer.into_inner().map_err(of_parquet),
            Encoder::Arrow(writer) => writer.into_inner(),
        }
    }
}

fn json_options() -> json::WriterBuilder {
    json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_tz_format(TIMESTAMP_FORMAT.to_owned())
}

fn of_parquet(error: ParquetError) -> ArrowError {
    ArrowError::from(error)
}
