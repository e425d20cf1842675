//! `funnel explain`: the timeline of one unit, and why it went no further.

use std::fmt::Write as _;

use chrono::NaiveDate;
use funnel_query::explain::{Explanation, Verdict, explain, explain_key};
use funnel_query::report::ReportRequest;

use super::context::Context;
use super::question;
use crate::args::ExplainArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output};

/// What a person need not read; the other formats have every column.
const NOT_FOR_PEOPLE: [&str; 7] = [
    "unit_key",
    "level",
    "level_step",
    "missing_step",
    "reason",
    "reason_text",
    "offer_outcome",
];
/// The same, of units that have a local time and a place in Kafka instead.
const NOT_OF_UNITS: [&str; 3] = ["event_time", "satisfies", "event_id"];

pub(super) async fn run(context: &Context, args: &ExplainArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?;
    let (funnel, answer) = match question::is_over_a_table(&args.question) {
        false => explain_unit(context, args).await?,
        true => explain_row_key(context, args).await?,
    };
    let verdict = in_words(&answer.verdict);
    if output.is_for_people() && output.is_stdout() {
        output::print(&heading(&funnel, &answer))?;
        let schema = answer.rows.schema();
        let of_unit = schema.index_of("local_time").is_ok();
        let is_shown = |name: &str| {
            !(NOT_FOR_PEOPLE.contains(&name) || of_unit && NOT_OF_UNITS.contains(&name))
        };
        let columns: Vec<usize> = (0..schema.fields().len())
            .filter(|column| is_shown(schema.field(*column).name()))
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

async fn explain_unit(context: &Context, args: &ExplainArgs) -> Result<(String, Explanation)> {
    let (request, key) = request(context, args)?;
    let session = question::session(context, &args.question).await?;
    let funnel = request.funnel.name.clone();
    Ok((funnel, explain(&session, request, &key).await?))
}

async fn explain_row_key(context: &Context, args: &ExplainArgs) -> Result<(String, Explanation)> {
    let (None, Some(key)) = args.funnel_and_key() else {
        return Err(CliError::usage(
            "--file defines the funnel: name the key alone",
        ));
    };
    let mut funnel = question::table_funnel(&args.question)?;
    let session = question::table_session(context, &args.question, &funnel).await?;
    if args.question.table.is_empty() {
        question::of_one_account(&session, &args.question, &mut funnel).await?;
    }
    let answer = explain_key(&session, &funnel, key).await?;
    Ok((funnel.name, answer))
}

fn request(context: &Context, args: &ExplainArgs) -> Result<(ReportRequest, String)> {
    let (name, key) = args.funnel_and_key();
    let from = args.question.from.unwrap_or(NaiveDate::MIN);
    let to = args.question.to.unwrap_or(NaiveDate::MAX);
    let request = question::request(context, &args.question, name, from, to)?;
    let key = key.ok_or_else(|| CliError::usage("name the key of the unit to be explained"))?;
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
