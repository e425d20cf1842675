//! `funnel report` with a definition that has its own key and time, over any table.

use funnel_query::report::table_report;

use super::super::context::Context;
use super::super::question;
use crate::args::ReportArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{Output, note};

pub(super) async fn run(context: &Context, args: &ReportArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?;
    let of_lakes = [
        ("--top", args.top.is_some()),
        ("--compare", args.compare.is_some()),
        ("--availability", args.availability),
        ("--reconcile", args.reconcile),
    ];
    if let Some((option, _)) = of_lakes.into_iter().find(|(_, given)| *given) {
        let message = format!("{option} is for funnels without a [source]");
        return Err(CliError::usage(message).hint("leave it out"));
    }
    let mut funnel = question::table_funnel(&args.question)?;
    if !args.by.is_empty() {
        funnel.breakdown.by.clone_from(&args.by);
    }
    let session = question::table_session(context, &args.question, &funnel).await?;
    if args.question.table.is_empty() {
        question::of_one_account(&session, &args.question, &mut funnel).await?;
        let complete = session.complete_until().await?;
        note(&format!(
            "complete to {}",
            complete.format("%Y-%m-%d %H:%M:%S UTC")
        ));
    }
    let answer = table_report(&session, &funnel, args.per_key).await?;
    question::note_unplaced(answer.unplaced);
    let rows = answer.keys.unwrap_or(answer.rows);
    output.batches(&rows.schema(), &[rows])?;
    Ok(Exit::Done)
}
