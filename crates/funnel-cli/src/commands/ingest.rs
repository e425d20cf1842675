//! `funnel ingest`: Kafka or files into the lake.

use funnel_ingest::{ErrorKind, Ingest, IngestError, Options, Progress, Summary};
use funnel_lake::Lake;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::config::ingest_config;
use super::context::{Context, wrap};
use super::signals::Signals;
use crate::args::IngestArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output;
use crate::settings::{Origin, Overrides};

pub(super) async fn run(context: &Context, args: IngestArgs) -> Result<Exit> {
    let settings = context.settings_with(overrides(&args))?;
    let from_kafka = args.files.is_empty();
    let config = ingest_config(&settings, from_kafka)?;
    let lake = Lake::create_or_open_with(settings.lake()?, &settings.storage()?).await?;
    let mut signals = Signals::new()?;
    let shutdown = CancellationToken::new();
    let service = args.is_service();
    let ingest = if from_kafka {
        let options = Options {
            until_end: args.until_end,
            overrides: args.resume,
            ..Options::default()
        };
        Ingest::start(config, lake, shutdown.clone(), options).await?
    } else {
        Ingest::start_files(config, lake, args.files, shutdown.clone()).await?
    };
    if let Some(address) = ingest.http() {
        output::note(&format!("http://{address}/livez /readyz /metrics"));
    }
    let bar = (!service).then(|| show(context, ingest.progress()));
    let finished = ingest.finished();
    tokio::pin!(finished);
    let mut stopped_by = None;
    let summary = loop {
        tokio::select! {
            summary = &mut finished => break summary?,
            exit = signals.next() => {
                if stopped_by.is_some() {
                    output::note("stopped at once; the next start goes on from the last commit");
                    return Ok(exit);
                }
                output::note("stopping after the last commit; a second signal stops at once");
                stopped_by = Some(exit);
                shutdown.cancel();
            }
        }
    };
    drop(bar);
    if !context.is_quiet() {
        output::note(&told(&summary));
    }
    Ok(outcome(&summary, service, stopped_by))
}

/// A daemon that was told to stop has done its work; a drain that was told to has not.
fn outcome(summary: &Summary, service: bool, stopped_by: Option<Exit>) -> Exit {
    for halted in &summary.halted {
        output::note(&format!(
            "halted: {}/{}: {}; {}",
            halted.topic, halted.partition, halted.reason, halted.hint
        ));
    }
    match stopped_by {
        Some(_) if service => Exit::Done,
        Some(exit) => exit,
        None if summary.halted.is_empty() => Exit::Done,
        None => Exit::Gate,
    }
}

fn told(summary: &Summary) -> String {
    let totals = &summary.totals;
    let parts = [
        ("accepted", totals.accepted),
        ("rejected", totals.rejected),
        ("duplicate", totals.duplicate),
        ("empty", totals.empty),
        ("tombstone", totals.tombstone),
        ("holes", totals.holes),
    ];
    let records: u64 = parts.iter().map(|(_, count)| count).sum();
    if records == 0 {
        return "nothing to do: no new records".to_owned();
    }
    let fates: Vec<_> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    format!(
        "{records} records ({}) gave {} rows of events and {} of rejects in {} commits",
        fates.join(", "),
        totals.event_rows,
        totals.reject_rows,
        totals.commits
    )
}

fn overrides(args: &IngestArgs) -> Overrides {
    let mut values = Vec::new();
    if let Some(brokers) = &args.brokers {
        values.push(("kafka.brokers", brokers.clone(), Origin::Flag("--brokers")));
    }
    if let Some(listen) = args.http {
        values.push(("http.listen", listen.to_string(), Origin::Flag("--http")));
    }
    Overrides {
        config: None,
        values,
    }
}

/// A bar that follows the run until it is dropped.
fn show(context: &Context, mut progress: watch::Receiver<Progress>) -> Bar {
    let bar = context.progress().counter("records");
    let shown = bar.clone();
    let task = tokio::spawn(async move {
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update().clone();
            shown.set_position(now.consumed);
            if let Some(target) = now.target {
                shown.set_length(target);
            }
            shown.set_message(format!("records, {} rows committed in", now.event_rows));
        }
    });
    Bar { bar, task }
}

/// Ends its task and clears its line when dropped.
struct Bar {
    bar: indicatif::ProgressBar,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

impl From<IngestError> for CliError {
    fn from(error: IngestError) -> Self {
        let exit = match error.kind() {
            ErrorKind::Unavailable => Exit::Unavailable,
            ErrorKind::Config => Exit::Config,
            // The lake needs a person, or we are wrong: it will fail again.
            _ => Exit::Failed,
        };
        wrap(exit, error)
    }
}
