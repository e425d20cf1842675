//! `funnel report`: one funnel over a range of days.

mod people;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use funnel_query::funnel::{FunnelDefinition, Span, Window};
use funnel_query::named;
use funnel_query::reconcile::reconcile as reconcile_rows;
use funnel_query::report::{Header, Report, ReportRequest, report};
use funnel_query::{QueryError, QuerySession};

use super::context::Context;
use crate::args::ReportArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output, upright};

pub(super) async fn run(context: &Context, args: &ReportArgs) -> Result<Exit> {
    if !args.table.is_empty() {
        return table::run(context, args).await;
    }
    let output = Output::new(&args.output)?;
    let for_people = output.is_for_people() && output.is_stdout();
    if args.reconcile && !for_people {
        return Err(CliError::usage("--reconcile is shown beside a table only")
            .hint("add --format table; `funnel run metrics` gives the numbers as rows"));
    }
    let request = request(args)?;
    let session = context.session().await?;
    let answer = report(&session, request.clone()).await?;
    if for_people {
        show(&output, &answer)?;
    } else {
        // Rows are data; what qualifies them goes beside, not between.
        output::note(&heading(&answer.header));
        output.batches(&answer.rows.schema(), std::slice::from_ref(&answer.rows))?;
    }
    if args.reconcile {
        reconcile(&session, &output, args, &answer.header).await?;
        let rows = reconcile_rows(&session, &request).await?;
        output::print("\nWhere every row of `events` went, and what the ledger says of Kafka:\n")?;
        output.batches(&rows.schema(), &[rows])?;
    }
    Ok(Exit::Done)
}

fn request(args: &ReportArgs) -> Result<ReportRequest> {
    let (Some(from), Some(to)) = (args.from, args.to) else {
        return Err(CliError::usage("name the days with --from and --to"));
    };
    if from > to {
        return Err(CliError::usage(format!(
            "--from {from} lies after --to {to}"
        )));
    }
    let funnel = match (&args.funnel, &args.file) {
        (_, Some(path)) => match FunnelDefinition::from_file(path) {
            Ok(funnel) => funnel,
            Err(error) => return Err(table::meant(path).unwrap_or(QueryError::from(error).into())),
        },
        (Some(name), None) => FunnelDefinition::shipped(name).map_err(QueryError::from)?,
        (None, None) => {
            return Err(CliError::usage(
                "name a funnel, or a --file that defines one",
            ));
        }
    };
    let mut request = ReportRequest::new(funnel, from, to);
    request.account.clone_from(&args.account);
    request.by.clone_from(&args.by);
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

fn show(output: &Output, answer: &Report) -> Result<()> {
    output::print(&format!("{}\n", heading(&answer.header)))?;
    let rows = people::rows(answer)?;
    output.batches(&rows.schema(), &[rows])?;
    if answer.outcomes.num_rows() > 0 {
        output::print("\nWhat became of the offers:\n")?;
        output.batches(
            &answer.outcomes.schema(),
            std::slice::from_ref(&answer.outcomes),
        )?;
    }
    Ok(())
}

/// LivePerson's own metrics for the same account and days.
async fn reconcile(
    session: &QuerySession,
    output: &Output,
    args: &ReportArgs,
    header: &Header,
) -> Result<()> {
    let mut params = BTreeMap::from([
        ("from".to_owned(), header.from.to_string()),
        ("to".to_owned(), header.to.to_string()),
        ("account".to_owned(), header.account.clone()),
        ("date_basis".to_owned(), header.date_basis.to_string()),
        ("model".to_owned(), args.attribution.model.to_string()),
        (
            "cross_session_days".to_owned(),
            args.attribution.days().to_string(),
        ),
    ]);
    if let Some(zone) = args.timezone {
        params.insert("timezone".to_owned(), zone.name().to_owned());
    }
    output::print("\nLivePerson's metrics of the same days:\n")?;
    for batch in named::run(session, "metrics", &params).await? {
        let metrics = upright(&batch, ["metric", "value"])?;
        output.batches(&metrics.schema(), &[metrics])?;
    }
    Ok(())
}

/// What a reader must know to trust the numbers.
fn heading(header: &Header) -> String {
    let mut text = format!("{}: {}\n", header.funnel, header.question);
    let window = header.window_seconds.map_or_else(
        || "unbounded".to_owned(),
        |seconds| {
            let span = std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
            humantime::format_duration(span).to_string()
        },
    );
    let account = if header.account.is_empty() {
        "(no events)".to_owned()
    } else {
        header.account.clone()
    };
    let lines = [
        ("account", account),
        (
            "days",
            format!("{} to {} ({})", header.from, header.to, header.time_zone),
        ),
        ("unit", header.unit.to_string()),
        ("mode", header.mode.to_string()),
        ("window", window),
        ("date basis", header.date_basis.to_string()),
        ("attribution", header.attribution.clone()),
        ("completeness", header.completeness.text.clone()),
        ("definition", header.definition_hash.clone()),
    ];
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<13} {value}");
    }
    text
}
