//! `funnel publish`: the marts of closed days.

use chrono::Utc;
use funnel_query::publish::{PublishRequest, publish};

use super::context::Context;
use crate::args::PublishArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output;

pub(super) async fn run(context: &Context, args: &PublishArgs) -> Result<Exit> {
    let (from, to) = match (args.date, args.from, args.to) {
        (Some(date), _, _) => (date, date),
        (None, Some(from), Some(to)) => (from, to),
        _ => return Err(CliError::usage("name the days: --date, or --from and --to")),
    };
    if from > to {
        return Err(CliError::usage(format!(
            "--from {from} lies after --to {to}"
        )));
    }
    let settings = context.settings()?;
    let mut request = PublishRequest::new(from, to, Utc::now());
    request.wait = args.wait;
    if let Some(close_after) = settings.span("publish.close_after") {
        request.close_after = close_after;
    }
    let session = context.session().await?;
    let report = publish(&session, request).await?;
    let text = serde_json::to_string_pretty(&report).map_err(CliError::output)?;
    output::print(&format!("{text}\n"))?;
    for day in report.days.iter().filter(|day| !day.requested) {
        output::note(&format!(
            "{} was published before and changed: {} keys contribute something else now",
            day.date, day.keys_changed
        ));
    }
    if report.unchanged {
        output::note("nothing to do: every mart holds exactly this already");
    }
    Ok(Exit::Done)
}
