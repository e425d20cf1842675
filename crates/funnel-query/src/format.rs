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
    /// The same for spreadsheets: a text that they would take for a formula begins with an apostrophe.
    CsvSafe,
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
    /// Must texts not be formulas?
    is_safe: bool,
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
                RowFormat::Csv | RowFormat::CsvSafe => Nested::AsJsonText,
                RowFormat::Json | RowFormat::Ndjson | RowFormat::Arrow => Nested::Keep,
                RowFormat::Parquet => Nested::KeepForParquet,
            },
        );
        let encoder = match format {
            RowFormat::Csv | RowFormat::CsvSafe => {
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
        Ok(Self {
            prepare,
            encoder,
            is_safe: format == RowFormat::CsvSafe,
        })
    }

    /// Writes the rows of a batch.
    ///
    /// # Errors
    /// When the target fails, or a value cannot be shown.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let mut batch = self.prepare.apply(batch)?;
        if self.is_safe {
            batch = prepare::without_formulas(&batch)?;
        }
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int64Array, StringArray};

    use super::*;

    #[test]
    fn no_text_of_safe_csv_is_a_formula_and_numbers_stay() {
        let texts = ["=1+1", "+1", "-1", "@a", "\tb", "a=b", ""];
        let rows = RecordBatch::try_from_iter([
            ("text", Arc::new(StringArray::from(texts.to_vec())) as _),
            (
                "number",
                Arc::new(Int64Array::from_iter_values((-7..0).rev())) as _,
            ),
        ]);
        let rows = rows.unwrap();
        let written = |format| {
            let mut writer = RowWriter::new(Vec::new(), format, &rows.schema()).unwrap();
            writer.write(&rows).unwrap();
            String::from_utf8(writer.finish().unwrap()).unwrap()
        };
        let safe = "text,number\n'=1+1,-1\n'+1,-2\n'-1,-3\n'@a,-4\n'\tb,-5\na=b,-6\n,-7\n";
        assert_eq!(written(RowFormat::CsvSafe), safe);
        assert_eq!(written(RowFormat::Csv), safe.replace('\'', ""));
    }
}
