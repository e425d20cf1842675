//! `funnel report --table`: a definition with its own key and time, over any table.

use std::path::Path;

use funnel_query::funnel::TableFunnel;
use funnel_query::report::table_report;
use funnel_query::{QueryError, QuerySession};

use super::super::context::{Context, query_options};
use crate::args::ReportArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output};

pub(super) async fn run(context: &Context, args: &ReportArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?;
    let funnel = funnel(args)?;
    let mut options = query_options(&context.settings()?)?;
    if funnel.mode.depends_on_row_order() {
        // Partitions read side by side have no order of arrival.
        options.target_partitions = Some(1);
    }
    let session = QuerySession::without_lake(options)?;
    for table in &args.table {
        session.register_table(&table.name, &table.value).await?;
    }
    let answer = table_report(&session, &funnel, args.per_key).await?;
    if answer.unplaced > 0 {
        output::note(&format!(
            "{} rows of a step have no key or no time and are in no funnel",
            answer.unplaced
        ));
    }
    let rows = answer.keys.unwrap_or(answer.rows);
    output.batches(&rows.schema(), &[rows])?;
    Ok(Exit::Done)
}

/// The definition with what the command line says instead.
fn funnel(args: &ReportArgs) -> Result<TableFunnel> {
    let Some(path) = &args.file else {
        return Err(CliError::usage("name a --file that defines the funnel"));
    };
    let mut funnel = TableFunnel::from_file(path).map_err(QueryError::from)?;
    if let Some(mode) = &args.mode {
        funnel.mode = mode
            .parse()
            .map_err(|error| CliError::usage(format!("--mode: {error}")))?;
    }
    if args.window.is_some() {
        funnel.window = args.window;
    }
    if !args.by.is_empty() {
        funnel.breakdown.by.clone_from(&args.by);
    }
    if let Some(condition) = &args.condition {
        funnel.where_sql = Some(match &funnel.where_sql {
            Some(own) => format!("({own}) AND ({condition})"),
            None => condition.clone(),
        });
    }
    match (args.timezone, &mut funnel.period) {
        (Some(zone), Some(period)) => period.zone = zone,
        (Some(_), None) => {
            return Err(CliError::usage(
                "--timezone has no meaning for a funnel without a [period]",
            ));
        }
        (None, _) => {}
    }
    Ok(funnel)
}

/// The error for a definition that needs a table, where none was given.
pub(super) fn meant(path: &Path) -> Option<CliError> {
    let table = TableFunnel::from_file(path).ok()?.source.table;
    let message = format!("{} reads table `{table}`", path.display());
    Some(CliError::usage(message).hint(format!("give it with --table {table}=FILE")))
}
