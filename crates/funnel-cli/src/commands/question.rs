//! From the words of `report` and `explain` to a request or a definition.

use std::path::Path;

use chrono::NaiveDate;
use funnel_query::funnel::{FunnelDefinition, Instant, Span, TableFunnel, Window};
use funnel_query::report::ReportRequest;
use funnel_query::{QueryError, QueryOptions, QuerySession};

use super::context::{Context, open_lake, query_options};
use crate::args::QuestionArgs;
use crate::error::{CliError, Result};

/// The question about a lake; `name` is that of a shipped funnel.
pub(super) fn request(
    args: &QuestionArgs,
    name: Option<&str>,
    from: NaiveDate,
    to: NaiveDate,
) -> Result<ReportRequest> {
    if from > to {
        return Err(CliError::usage(format!(
            "--from {from} lies after --to {to}"
        )));
    }
    let mut request = ReportRequest::new(definition(args, name)?, from, to);
    request.account.clone_from(&args.account);
    request.where_sql.clone_from(&args.condition);
    request.unit = args.unit;
    let mode = args.mode.as_deref().map(str::parse);
    request.mode = mode.transpose().map_err(QueryError::from)?;
    request.window = args.window.map(window).transpose()?;
    request.timezone = args.timezone;
    request.date_basis = args.date_basis;
    request.attribution = args.attribution;
    Ok(request)
}

fn definition(args: &QuestionArgs, name: Option<&str>) -> Result<FunnelDefinition> {
    match (&args.file, name) {
        (Some(_), Some(name)) => Err(CliError::usage(format!(
            "--file defines the funnel, so `{name}` cannot name another: leave one of them out"
        ))),
        (Some(path), None) => FunnelDefinition::from_file(path)
            .map_err(|error| meant(path).unwrap_or(QueryError::from(error).into())),
        (None, Some(name)) => Ok(FunnelDefinition::shipped(name).map_err(QueryError::from)?),
        (None, None) => Err(CliError::usage(
            "name a funnel, or a --file that defines one",
        )),
    }
}

/// A window with a unit: times of a lake are no bare numbers.
fn window(span: Span) -> Result<Window> {
    match span {
        Span::Time(window) => Ok(window),
        Span::Number(number) => Err(CliError::usage(format!("--window {number} has no unit"))
            .hint(format!(
                "write it with one, such as `{number}s` or `{number}m`"
            ))),
    }
}

/// The error for a definition that needs a table, where none was given.
fn meant(path: &Path) -> Option<CliError> {
    let table = TableFunnel::from_file(path).ok()?.source.table;
    let message = format!("{} reads table `{table}`", path.display());
    Some(CliError::usage(message).hint(format!("give it with --table {table}=FILE")))
}

/// A session over the lake.
pub(super) async fn session(context: &Context, args: &QuestionArgs) -> Result<QuerySession> {
    let as_of = match args.as_of {
        None => None,
        Some(Instant::Time(time)) => Some(time),
        Some(Instant::Number(number)) => {
            return Err(CliError::usage(format!("--as-of {number} is not a time"))
                .hint("write it as 2024-03-05T12:00:00Z"));
        }
    };
    let settings = context.settings()?;
    let lake = open_lake(&settings).await?;
    let options = QueryOptions {
        as_of,
        ..query_options(&settings)?
    };
    Ok(QuerySession::open(&lake, options).await?)
}

/// The definition over a table with what the command line says instead.
pub(super) fn table_funnel(args: &QuestionArgs) -> Result<TableFunnel> {
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
    if args.as_of.is_some() {
        funnel.as_of = args.as_of;
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

/// A session over the tables that are named.
pub(super) async fn table_session(
    context: &Context,
    args: &QuestionArgs,
    funnel: &TableFunnel,
) -> Result<QuerySession> {
    let mut options = query_options(&context.settings()?)?;
    if funnel.mode.depends_on_row_order() {
        // Partitions read side by side have no order of arrival.
        options.target_partitions = Some(1);
    }
    let session = QuerySession::without_lake(options)?;
    for table in &args.table {
        session.register_table(&table.name, &table.value).await?;
    }
    Ok(session)
}

/// Says how many rows a funnel over a table could not place.
pub(super) fn note_unplaced(unplaced: u64) {
    if unplaced > 0 {
        crate::output::note(&format!(
            "{unplaced} rows of a step have no key or no time and are in no funnel"
        ));
    }
}
