//! The printer: the one place that writes to stdout.

mod table;
mod upright;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use funnel_query::format::{Nested, Prepare, RowFormat, RowWriter, TIMESTAMP_FORMAT};

use crate::args::{Format, OutputArgs};
use crate::error::{CliError, Result};

pub(crate) use upright::upright;

/// Metadata of a text column that a table shows to the right, like a number.
pub(crate) const ALIGN_RIGHT: &str = "align_right";

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
        let target = Target::open(self.file.as_deref())?;
        Ok(Rows {
            encoder: self.encoder(target, schema)?,
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

    fn encoder(&self, target: Target, schema: &SchemaRef) -> Result<Encoder> {
        let format = match self.format {
            Format::Table => {
                let prepare = Prepare::new(schema, Nested::AsJsonText);
                // An empty batch: the headings, also when no row follows.
                let batches = vec![RecordBatch::new_empty(SchemaRef::clone(prepare.schema()))];
                return Ok(Encoder::Table {
                    target,
                    prepare,
                    batches,
                    null_text: self.null_text,
                });
            }
            Format::Csv => RowFormat::Csv,
            Format::Json => RowFormat::Json,
            Format::Ndjson => RowFormat::Ndjson,
            Format::Parquet => RowFormat::Parquet,
        };
        let writer = RowWriter::new(target, format, schema).map_err(CliError::output)?;
        Ok(Encoder::Rows(Box::new(writer)))
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
    encoder: Encoder,
    file: Option<PathBuf>,
    written: usize,
}

impl Rows {
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.written += batch.num_rows();
        self.encoder.write(batch)
    }

    /// Ends the stream; a file appears under its name only now, whole. Returns the rows written.
    pub(crate) fn finish(self) -> Result<usize> {
        let target = self.encoder.finish()?;
        target.finish(self.file.as_deref())?;
        Ok(self.written)
    }
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

#[derive(Debug)]
enum Encoder {
    Table {
        target: Target,
        prepare: Prepare,
        batches: Vec<RecordBatch>,
        null_text: &'static str,
    },
    Rows(Box<RowWriter<Target>>),
}

impl Encoder {
    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Table {
                prepare, batches, ..
            } => {
                batches.push(prepare.apply(batch).map_err(CliError::output)?);
                Ok(())
            }
            Self::Rows(writer) => writer.write(batch).map_err(CliError::output),
        }
    }

    fn finish(self) -> Result<Target> {
        match self {
            Self::Table {
                mut target,
                batches,
                null_text,
                ..
            } => {
                let text = table::render(&batches, null_text).map_err(CliError::output)?;
                target
                    .write_all(text.as_bytes())
                    .map_err(CliError::output)?;
                Ok(target)
            }
            Self::Rows(writer) => writer.finish().map_err(CliError::output),
        }
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
