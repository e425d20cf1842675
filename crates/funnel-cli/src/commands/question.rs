//! From the words of `report` and `explain` to a request or a definition.

use std::path::PathBuf;

use chrono::NaiveDate;
use funnel_query::funnel::{
    Attribution, DateBasis, FunnelDefinition, Instant, Span, TableFunnel, Window,
};
use funnel_query::report::{ReportRequest, choose_account};
use funnel_query::{QueryError, QueryOptions, QuerySession};

use super::context::{Context, open_lake, query_options};
use crate::args::QuestionArgs;
use crate::error::{CliError, Result};
use crate::settings::Settings;

const ACCOUNT: &str = "account_id";

/// The question about a lake; `name` is that of a funnel.
pub(super) fn request(
    context: &Context,
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
    let mut request = ReportRequest::new(definition(context, args, name)?, from, to);
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

fn definition(
    context: &Context,
    args: &QuestionArgs,
    name: Option<&str>,
) -> Result<FunnelDefinition> {
    match (&args.file, name) {
        (Some(_), Some(name)) => Err(CliError::usage(format!(
            "--file defines the funnel, so `{name}` cannot name another: leave one of them out"
        ))),
        (Some(path), None) => Ok(FunnelDefinition::from_file(path).map_err(QueryError::from)?),
        (None, Some(name)) => {
            let funnels = query_options(&context.settings()?)?.funnels;
            Ok(funnels.get(name).map_err(QueryError::from)?)
        }
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

/// Does the question bring its own key and time: a table, or a definition with a `[source]`?
pub(super) fn is_over_a_table(args: &QuestionArgs) -> bool {
    let of_source = |path: &PathBuf| TableFunnel::from_file(path).is_ok();
    !args.table.is_empty() || args.file.as_ref().is_some_and(of_source)
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

/// A session over the tables that are named or, without any, over the lake.
pub(super) async fn table_session(
    context: &Context,
    args: &QuestionArgs,
    funnel: &TableFunnel,
) -> Result<QuerySession> {
    let settings = context.settings()?;
    let mut options = query_options(&settings)?;
    if funnel.mode.depends_on_row_order() {
        // Partitions read side by side have no order of arrival.
        options.target_partitions = Some(1);
    }
    if args.table.is_empty() {
        return lake_session(&settings, args, funnel, options).await;
    }
    let session = QuerySession::without_lake(options)?;
    for table in &args.table {
        session.register_table(&table.name, &table.value).await?;
    }
    Ok(session)
}

/// A session over the lake, which has the table that `funnel` reads.
async fn lake_session(
    settings: &Settings,
    args: &QuestionArgs,
    funnel: &TableFunnel,
    options: QueryOptions,
) -> Result<QuerySession> {
    let table = &funnel.source.table;
    let with_table = |error: CliError| {
        error.hint(format!(
            "`{}` reads table `{table}`: give it with --table {table}=FILE, or name one of a lake, \
             such as `events_enriched`",
            funnel.name
        ))
    };
    let lake = open_lake(settings).await.map_err(with_table)?;
    let session = QuerySession::open(&lake, options).await?;
    if session.ctx().table_provider(table).await.is_err() {
        let message = format!("the lake has no table `{table}`");
        return Err(with_table(CliError::usage(message)));
    }
    let of_lakes = [
        ("--from", args.from.is_some()),
        ("--to", args.to.is_some()),
        ("--unit", args.unit.is_some()),
        ("--date-basis", args.date_basis != DateBasis::SessionStart),
        (
            "--attribution",
            "last".parse::<Attribution>().ok() != Some(args.attribution),
        ),
    ];
    if let Some((option, _)) = of_lakes.into_iter().find(|(_, given)| *given) {
        let message = format!("{option} is for funnels without a [source]");
        let hint = "say in `where`, or with --where, which rows take part";
        return Err(CliError::usage(message).hint(hint));
    }
    Ok(session)
}

/// The rows of one account of the lake: that of `--account`, unless `where` says which.
pub(super) async fn of_one_account(
    session: &QuerySession,
    args: &QuestionArgs,
    funnel: &mut TableFunnel,
) -> Result<()> {
    let condition = funnel.where_sql.as_deref().unwrap_or_default();
    let provider = session.ctx().table_provider(&funnel.source.table).await;
    let has_accounts = provider.is_ok_and(|table| table.schema().index_of(ACCOUNT).is_ok());
    if !has_accounts || args.account.is_none() && condition.contains(ACCOUNT) {
        return Ok(());
    }
    let account = choose_account(session, args.account.as_deref()).await?;
    let own = format!("{ACCOUNT} = '{}'", account.replace('\'', "''"));
    funnel.where_sql = Some(match condition {
        "" => own,
        condition => format!("({condition}) AND {own}"),
    });
    Ok(())
}

/// Says how many rows a funnel over a table could not place.
pub(super) fn note_unplaced(unplaced: u64) {
    if unplaced > 0 {
        crate::output::note(&format!(
            "{unplaced} rows of a step have no key or no time and are in no funnel"
        ));
    }
}
