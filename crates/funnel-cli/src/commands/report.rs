//! `funnel report`: one funnel over a range of days.

mod people;
mod table;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use funnel_query::QuerySession;
use funnel_query::named;
use funnel_query::reconcile::{Reconciliation, reconcile as reconcile_rows};
use funnel_query::report::{
    Header, Report, ReportRequest, availability, comparison, report, unit_report,
};

use super::context::Context;
use super::question;
use crate::args::ReportArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output, upright};

pub(super) async fn run(context: &Context, args: &ReportArgs) -> Result<Exit> {
    if question::is_over_a_table(&args.question) {
        return table::run(context, args).await;
    }
    let output = Output::new(&args.output)?;
    let for_people = output.is_for_people() && output.is_stdout();
    if args.reconcile && args.availability && !for_people {
        return Err(
            CliError::usage("--availability and --reconcile are two answers of their own")
                .hint("ask for one at a time, or add --format table"),
        );
    }
    let request = request(context, args)?;
    let session = question::session(context, &args.question).await?;
    if args.per_key {
        let rows = unit_report(&session, &request).await?;
        output.batches(&rows.schema(), &[rows])?;
        return Ok(Exit::Done);
    }
    if args.compare.is_some() {
        let found = comparison(&session, &request).await?;
        output::note(&format!("{}: {}", found.header.funnel, found.text));
        let rows = match for_people {
            true => people::compared(&found.rows)?,
            false => found.rows,
        };
        output.batches(&rows.schema(), &[rows])?;
        return Ok(Exit::Done);
    }
    let sections = [args.availability, args.reconcile];
    let answer = report(&session, request.clone()).await?;
    if for_people {
        show(&output, &answer)?;
    } else {
        // Rows are data; what qualifies them goes beside, not between.
        output::note(&heading(&answer.header));
        if !sections.contains(&true) {
            output.batches(&answer.rows.schema(), std::slice::from_ref(&answer.rows))?;
        }
    }
    if args.availability {
        let rows = availability(&session, &request, args.stale_after).await?;
        if for_people {
            output::print("\nOffers that were shown and lost, by what the agents were:\n")?;
        }
        output.batches(&rows.schema(), &[rows])?;
    }
    if args.reconcile {
        let found = reconcile_rows(&session, &request).await?;
        if for_people {
            reconcile(&session, &output, args, &answer.header).await?;
            show_reconciliation(&output, &found)?;
        } else {
            output.batches(&found.lines.schema(), std::slice::from_ref(&found.lines))?;
        }
        found.check()?;
    }
    Ok(Exit::Done)
}

fn request(context: &Context, args: &ReportArgs) -> Result<ReportRequest> {
    let (Some(from), Some(to)) = (args.question.from, args.question.to) else {
        return Err(CliError::usage("name the days with --from and --to"));
    };
    let mut request = question::request(context, &args.question, args.funnel.as_deref(), from, to)?;
    request.by.clone_from(&args.by);
    request.top = args.top.map(usize::from);
    Ok(request)
}

fn show_reconciliation(output: &Output, found: &Reconciliation) -> Result<()> {
    let parts = [
        (
            "Where every row of `events` went, and what the ledger says of Kafka:",
            found.sums.clone(),
        ),
        ("By topic and partition:", found.partitions.clone()),
        (
            "Each partition, with the offsets between which its rows stand:",
            found.lines.clone(),
        ),
    ];
    for (title, rows) in parts {
        output::print(&format!("\n{title}\n"))?;
        output.batches(&rows.schema(), &[rows])?;
    }
    Ok(())
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
        (
            "model".to_owned(),
            args.question.attribution.model.to_string(),
        ),
        (
            "cross_session_days".to_owned(),
            args.question.attribution.days().to_string(),
        ),
    ]);
    if let Some(zone) = args.question.timezone {
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
    let complete_to = header.as_of.map_or_else(
        || "(everything)".to_owned(),
        |time| time.format("%Y-%m-%d %H:%M:%S UTC").to_string(),
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
        ("complete to", complete_to),
        ("completeness", header.completeness.text.clone()),
        ("definition", header.definition_hash.clone()),
    ];
    for (name, value) in lines {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {name:<13} {value}");
    }
    text
}
