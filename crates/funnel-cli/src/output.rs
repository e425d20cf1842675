//! The printer: the one place that writes to stdout.

mod prepare;
mod table;
mod upright;

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::json;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

use crate::args::{Format, OutputArgs};
use crate::error::{CliError, Result};
use prepare::{Nested, Prepare};

pub(crate) use upright::upright;

/// Metadata of a text column that a table shows to the right, like a number.
pub(crate) const ALIGN_RIGHT: &str = "align_right";

/// Timestamps as every text format shows them: RFC 3339 in UTC.
const TIMESTAMP_FORMAT: &str = "%Y-%m-%dT%H:%M:%S%.fZ";

/// Where answers go and in which form, decided once from the flags and the terminal.
#[derive(Debug, Clone)]
pub(crate) struct Output {
    format: Format,
    file: Option<PathBuf>,
    null_text: &'static str,
}

impl Output {
    /// Decides the form: the flag, else the file's ending, else a table on a terminal and csv in a pipe.
    pub(crate) fn new(args: &OutputArgs) -> Result<Self> {
        let file = args.output.clone().filter(|path| path.as_os_str() != "-");
        let terminal = file.is_none() && io::stdout().is_terminal();
        let by_ending = file.as_deref().and_then(format_of_ending);
        let automatic = if terminal { Format::Table } else { Format::Csv };
        let format = args.format.or(by_ending).unwrap_or(automatic);
        if format == Format::Parquet && terminal {
            return Err(
                CliError::usage("a Parquet file cannot be shown on a terminal")
                    .hint("name a file with -o FILE, or pipe the output"),
            );
        }
        Ok(Self {
            format,
            file,
            null_text: "",
        })
    }

    /// Shows nulls as `NULL` in tables instead of leaving the cell empty.
    #[must_use]
    pub(crate) fn with_visible_nulls(mut self) -> Self {
        self.null_text = "NULL";
        self
    }

    /// Whether the answer is read by a person, so that headings and pictures belong to it.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// Whether rows go to stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        self.file.is_none()
    }

    /// Starts a stream of rows.
    pub(crate) fn rows(&self, schema: &SchemaRef) -> Result<Rows> {
        let nested = match self.format {
            Format::Table | Format::Csv => Nested::AsJsonText,
            Format::Json | Format::Ndjson => Nested::Keep,
            Format::Parquet => Nested::KeepForParquet,
        };
        let prepare = Prepare::new(schema, nested);
        let target = Target::open(self.file.as_deref())?;
        let encoder = self.encoder(target, &prepare)?;
        Ok(Rows {
            prepare,
            encoder,
            file: self.file.clone(),
            written: 0,
        })
    }

    /// Writes batches that are all there already.
    pub(crate) fn batches(&self, schema: &SchemaRef, batches: &[RecordBatch]) -> Result<usize> {
        let mut rows = self.rows(schema)?;
        for batch in batches {
            rows.write(batch)?;
        }
        rows.finish()
    }

    fn encoder(&self, target: Target, prepare: &Prepare) -> Result<Encoder> {
        Ok(match self.format {
            Format::Table => {
                // An empty batch: the headings, also when no row follows.
                let batches = vec![RecordBatch::new_empty(SchemaRef::clone(prepare.schema()))];
                Encoder::Table {
                    target,
                    batches,
                    null_text: self.null_text,
                }
            }
            Format::Csv => {
                let writer = csv::WriterBuilder::new()
                    .with_timestamp_tz_format(TIMESTAMP_FORMAT.to_owned())
                    .build(target);
                let mut encoder = Encoder::Csv(Box::new(writer));
                // The header line, also when no row follows.
                encoder.write(RecordBatch::new_empty(SchemaRef::clone(prepare.schema())))?;
                encoder
            }
            Format::Json => Encoder::Json(json_options().build(target)),
            Format::Ndjson => Encoder::Ndjson(json_options().build(target)),
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .build();
                let schema = SchemaRef::clone(prepare.schema());
                let writer = ArrowWriter::try_new(target, schema, Some(properties))
                    .map_err(CliError::output)?;
                Encoder::Parquet(Box::new(writer))
            }
        })
    }
}

/// Writes text of ours (a picture, a report, a script) to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Writes bytes to stdout as they are.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(CliError::output)
}

/// Writes a line for people to stderr. A closed stderr is nobody's loss.
pub(crate) fn note(text: &str) {
    let mut err = io::stderr().lock();
    drop(writeln!(err, "{text}"));
}

/// Whether people read stderr.
pub(crate) fn stderr_is_terminal() -> bool {
    io::stderr().is_terminal()
}

/// A stream of rows to one target in one format.
#[derive(Debug)]
pub(crate) struct Rows {
    prepare: Prepare,
    encoder: Encoder,
    file: Option<PathBuf>,
    written: usize,
}

impl Rows {
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.written += batch.num_rows();
        let batch = self.prepare.apply(batch).map_err(CliError::output)?;
        self.encoder.write(batch)
    }

    /// Ends the stream; a file appears under its name only now, whole. Returns the rows written.
    pub(crate) fn finish(self) -> Result<usize> {
        let target = self.encoder.finish()?;
        target.finish(self.file.as_deref())?;
        Ok(self.written)
    }
}

fn json_options() -> json::WriterBuilder {
    json::WriterBuilder::new()
        .with_explicit_nulls(true)
        .with_timestamp_tz_format(TIMESTAMP_FORMAT.to_owned())
}

fn format_of_ending(path: &Path) -> Option<Format> {
    match path.extension()?.to_str()? {
        "csv" => Some(Format::Csv),
        "json" => Some(Format::Json),
        "ndjson" | "jsonl" => Some(Format::Ndjson),
        "parquet" => Some(Format::Parquet),
        "txt" => Some(Format::Table),
        _ => None,
    }
}

enum Encoder {
    Table {
        target: Target,
        batches: Vec<RecordBatch>,
        null_text: &'static str,
    },
    Csv(Box<csv::Writer<Target>>),
    Json(json::ArrayWriter<Target>),
    Ndjson(json::LineDelimitedWriter<Target>),
    Parquet(Box<ArrowWriter<Target>>),
}

impl Encoder {
    fn write(&mut self, batch: RecordBatch) -> Result<()> {
        match self {
            Self::Table { batches, .. } => {
                batches.push(batch);
                Ok(())
            }
            Self::Csv(writer) => writer.write(&batch).map_err(CliError::output),
            Self::Json(writer) => writer.write(&batch).map_err(CliError::output),
            Self::Ndjson(writer) => writer.write(&batch).map_err(CliError::output),
            Self::Parquet(writer) => writer.write(&batch).map_err(CliError::output),
        }
    }

    fn finish(self) -> Result<Target> {
        match self {
            Self::Table {
                mut target,
                batches,
                null_text,
            } => {
                let text = table::render(&batches, null_text).map_err(CliError::output)?;
                target
                    .write_all(text.as_bytes())
                    .map_err(CliError::output)?;
                Ok(target)
            }
            Self::Csv(writer) => Ok(writer.into_inner()),
            Self::Json(mut writer) => {
                writer.finish().map_err(CliError::output)?;
                let mut target = writer.into_inner();
                target.write_all(b"\n").map_err(CliError::output)?;
                Ok(target)
            }
            Self::Ndjson(mut writer) => {
                writer.finish().map_err(CliError::output)?;
                Ok(writer.into_inner())
            }
            Self::Parquet(writer) => writer.into_inner().map_err(CliError::output),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Table { .. } => "Table",
            Self::Csv(_) => "Csv",
            Self::Json(_) => "Json",
            Self::Ndjson(_) => "Ndjson",
            Self::Parquet(_) => "Parquet",
        })
    }
}

/// Stdout, or a temporary file beside the one that is asked for.
#[derive(Debug)]
enum Target {
    Stdout(BufWriter<io::Stdout>),
    File(BufWriter<tempfile::NamedTempFile<File>>),
}

impl Target {
    fn open(file: Option<&Path>) -> Result<Self> {
        let Some(path) = file else {
            return Ok(Self::Stdout(BufWriter::new(io::stdout())));
        };
        let dir = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let temporary = tempfile::Builder::new()
            .prefix(".funnel-")
            .tempfile_in(dir)
            .map_err(|error| CliError::file("write", path, error))?;
        Ok(Self::File(BufWriter::new(temporary)))
    }

    fn finish(self, file: Option<&Path>) -> Result<()> {
        match (self, file) {
            (Self::Stdout(mut out), _) => out.flush().map_err(CliError::output),
            (Self::File(out), Some(path)) => {
                let temporary = out
                    .into_inner()
                    .map_err(|error| CliError::file("write", path, error.into_error()))?;
                allow_reading(temporary.as_file());
                temporary
                    .persist(path)
                    .map(drop)
                    .map_err(|error| CliError::file("write", path, error.error))
            }
            (Self::File(_), None) => Ok(()),
        }
    }
}

/// Temporary files are private; an answer has the permissions of any other new file.
fn allow_reading(file: &File) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        drop(file.set_permissions(std::fs::Permissions::from_mode(0o644)));
    }
    #[cfg(not(unix))]
    let _ = file;
}

impl Write for Target {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Stdout(out) => out.write(bytes),
            Self::File(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Stdout(out) => out.flush(),
            Self::File(out) => out.flush(),
        }
    }
}
