//! `funnel explain`: the timeline of one unit, and why it went no further.

use std::fmt::Write as _;

use chrono::NaiveDate;
use funnel_query::QueryError;
use funnel_query::explain::{Explanation, Verdict, explain};
use funnel_query::funnel::FunnelDefinition;
use funnel_query::report::ReportRequest;

use super::context::Context;
use crate::args::ExplainArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output};

/// What a person reads; the other formats have every column.
const FOR_PEOPLE: [&str; 9] = [
    "row",
    "local_time",
    "event_type",
    "class",
    "decision",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "entry_index",
];

pub(super) async fn run(context: &Context, args: &ExplainArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?;
    let (request, key) = request(args)?;
    let session = context.session().await?;
    let funnel = request.funnel.name.clone();
    let answer = explain(&session, request, &key).await?;
    let verdict = in_words(&answer.verdict);
    if output.is_for_people() && output.is_stdout() {
        output::print(&heading(&funnel, &answer))?;
        let columns: Vec<usize> = FOR_PEOPLE
            .iter()
            .filter_map(|name| answer.rows.schema().index_of(name).ok())
            .collect();
        let rows = answer.rows.project(&columns).map_err(CliError::output)?;
        output.batches(&rows.schema(), &[rows])?;
        output::print(&format!("\n{verdict}"))?;
    } else {
        // Rows are data; the sentence goes beside.
        output::note(verdict.trim_end());
        output.batches(&answer.rows.schema(), std::slice::from_ref(&answer.rows))?;
    }
    Ok(Exit::Done)
}

fn request(args: &ExplainArgs) -> Result<(ReportRequest, String)> {
    let (name, key) = args.funnel_and_key();
    let funnel = match (&args.file, name) {
        (Some(_), Some(name)) => {
            return Err(CliError::usage(format!(
                "--file defines the funnel, so `{name}` cannot name another: leave one of them out"
            )));
        }
        (Some(path), None) => FunnelDefinition::from_file(path).map_err(QueryError::from)?,
        (None, Some(name)) => FunnelDefinition::shipped(name).map_err(QueryError::from)?,
        (None, None) => {
            return Err(CliError::usage(
                "name a funnel, or a --file that defines one",
            ));
        }
    };
    let Some(key) = key else {
        return Err(CliError::usage("name the key of the unit to be explained"));
    };
    let from = args.from.unwrap_or(NaiveDate::MIN);
    let to = args.to.unwrap_or(NaiveDate::MAX);
    if from > to {
        return Err(CliError::usage(format!(
            "--from {from} lies after --to {to}"
        )));
    }
    let mut request = ReportRequest::new(funnel, from, to);
    request.account.clone_from(&args.account);
    request.where_sql.clone_from(&args.condition);
    request.unit = args.unit;
    request.mode = args.mode;
    request.window = args.window;
    request.timezone = args.timezone;
    request.date_basis = args.date_basis;
    request.attribution = args.attribution;
    Ok((request, key.to_owned()))
}

fn heading(funnel: &str, answer: &Explanation) -> String {
    let verdict = &answer.verdict;
    format!(
        "{funnel}: {} {}\nlocal times are those of {}\n\n",
        verdict.unit, verdict.unit_key, answer.time_zone
    )
}

fn in_words(verdict: &Verdict) -> String {
    let mut text = match &verdict.level_step {
        Some(step) => format!(
            "reached: {step} (step {} of {})\n",
            verdict.level, verdict.steps
        ),
        None => "reached: no step\n".to_owned(),
    };
    let lines = [
        ("missing", verdict.missing_step.as_deref()),
        ("reason", verdict.reason),
        ("because", Some(verdict.text.as_str())),
        ("needed", verdict.needed.as_deref()),
        ("offer", verdict.offer_outcome.as_deref()),
        ("which means", verdict.outcome_text),
    ];
    for (name, line) in lines {
        if let Some(line) = line {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {line}");
        }
    }
    text
}
