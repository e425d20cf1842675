//! `funnel sql`: statements from the command line, a file, a pipe, or a prompt.

mod catalog;
mod prompt;
mod split;

use std::io::{self, IsTerminal, Read};
use std::path::Path;
use std::time::Instant;

use arrow::datatypes::SchemaRef;
use funnel_query::QuerySession;
use futures::TryStreamExt;

use super::context::{Context, open_lake, query_options, wrap};
use crate::args::SqlArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output};
use split::{Piece, split};

pub(super) async fn run(context: &Context, args: &SqlArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?.with_visible_nulls();
    let session = session(context, args).await?;
    let mut runner = Runner::new(session, output);
    match (&args.command[..], &args.file) {
        ([], None) if io::stdin().is_terminal() => prompt::run(&mut runner).await?,
        ([], None) => {
            runner.script(&read_stdin()?).await?;
        }
        ([], Some(path)) => {
            runner.script(&read_script(path)?).await?;
        }
        (commands, _) => {
            for command in commands {
                if runner.script(command).await? == Flow::Quit {
                    break;
                }
            }
        }
    }
    Ok(Exit::Done)
}

/// A session over the lake, if one is named, and the tables of the command line. With `--table` a
/// lake is not needed, and a configuration that happens to lie around is not asked for one.
async fn session(context: &Context, args: &SqlArgs) -> Result<QuerySession> {
    let settings = context.settings()?;
    let session = if settings.lake().is_ok() {
        let lake = open_lake(&settings).await?;
        QuerySession::open(&lake, query_options(&settings)?).await?
    } else {
        QuerySession::without_lake(query_options(&settings)?)?
    };
    for table in &args.table {
        session.register_table(&table.name, &table.value).await?;
    }
    Ok(session)
}

fn read_stdin() -> Result<String> {
    let mut text = String::new();
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|error| CliError::failed("could not read SQL from stdin").because(error))?;
    Ok(text)
}

fn read_script(path: &Path) -> Result<String> {
    if path.as_os_str() == "-" {
        return read_stdin();
    }
    std::fs::read_to_string(path).map_err(|error| CliError::file("read", path, error))
}

/// Whether the prompt goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Quit,
}

/// Runs statements and backslash commands against one session.
struct Runner {
    session: QuerySession,
    output: Output,
    timing: bool,
    answers: usize,
}

impl Runner {
    fn new(session: QuerySession, output: Output) -> Self {
        Self {
            session,
            output,
            timing: false,
            answers: 0,
        }
    }

    /// Everything in the text, up to the first error; the last `;` may be missing.
    async fn script(&mut self, text: &str) -> Result<Flow> {
        let found = split(text);
        let last = (!found.rest.is_empty()).then_some(Piece::Statement(found.rest));
        for piece in found.pieces.into_iter().chain(last) {
            if self.piece(&piece).await? == Flow::Quit {
                return Ok(Flow::Quit);
            }
        }
        Ok(Flow::GoOn)
    }

    async fn piece(&mut self, piece: &Piece) -> Result<Flow> {
        match piece {
            Piece::Statement(sql) => self.statement(sql).await.map(|()| Flow::GoOn),
            Piece::Meta(line) => self.meta(line).await,
        }
    }

    async fn statement(&mut self, sql: &str) -> Result<()> {
        let start = Instant::now();
        let frame = self.session.sql(sql).await?;
        let schema = SchemaRef::new(frame.schema().as_arrow().clone());
        let failed = |error| wrap(Exit::Failed, SqlFailed(error));
        let mut stream = frame.execute_stream().await.map_err(failed)?;
        if schema.fields().is_empty() {
            // A statement without an answer, such as CREATE VIEW: run it to its end.
            while stream.try_next().await.map_err(failed)?.is_some() {}
            return Ok(());
        }
        if !self.output.is_stdout() && self.answers > 0 {
            return Err(CliError::usage("several answers do not go into one file")
                .hint("use -o with one query, or write to stdout"));
        }
        self.answers += 1;
        let mut rows = self.output.rows(&stream.schema())?;
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            rows.write(&batch)?;
        }
        let count = rows.finish()?;
        self.foot(count, start);
        Ok(())
    }

    fn foot(&self, rows: usize, start: Instant) {
        let count = format!("{rows} row{}", if rows == 1 { "" } else { "s" });
        if self.timing {
            output::note(&format!(
                "({count}, {:.3} s)",
                start.elapsed().as_secs_f64()
            ));
        } else if self.output.is_for_people() && output::stderr_is_terminal() {
            output::note(&format!("({count})"));
        }
    }

    async fn meta(&mut self, line: &str) -> Result<Flow> {
        let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match name {
            "q" | "quit" => return Ok(Flow::Quit),
            "?" | "h" | "help" => output::note(prompt::HELP),
            "timing" => {
                self.timing = match rest.trim() {
                    "on" => true,
                    "off" => false,
                    _ => !self.timing,
                };
                output::note(if self.timing {
                    "timing is on"
                } else {
                    "timing is off"
                });
            }
            "d" => {
                let batch = match rest.trim() {
                    "" => catalog::tables(self.session.ctx()).await?,
                    table => catalog::columns(self.session.ctx(), table).await?,
                };
                self.output.batches(&batch.schema(), &[batch])?;
            }
            other => {
                return Err(CliError::usage(format!("there is no command `\\{other}`"))
                    .hint("\\? lists the commands"));
            }
        }
        Ok(Flow::GoOn)
    }
}

/// Keeps the query's own text as the cause.
#[derive(Debug, thiserror::Error)]
#[error("could not run the query")]
struct SqlFailed(#[source] datafusion::error::DataFusionError);
