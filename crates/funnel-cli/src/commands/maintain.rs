//! `funnel maintain`: the tables in shape.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use funnel_lake::{CompactOptions, EventDay, Lake};
use funnel_query::publish::closing::{CLOSE_AFTER, closes_at, obstacles, watermarks};
use indicatif::ProgressBar;

use super::context::{Context, open_lake};
use crate::args::{CompactArgs, MaintainCommand};
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output};
use crate::settings::Settings;

pub(super) async fn run(context: &Context, command: &MaintainCommand) -> Result<Exit> {
    match command {
        MaintainCommand::Compact(args) => compact(context, args).await,
    }
}

/// What became of a day that has unsorted files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    /// Sorted now.
    Sorted,
    /// Too little came late.
    Late,
    /// Not closed.
    Open,
}

impl Action {
    fn name(self) -> &'static str {
        match self {
            Self::Sorted => "sorted",
            Self::Late => "late",
            Self::Open => "open",
        }
    }
}

/// One row of the answer.
#[derive(Debug)]
struct DayRow {
    date: NaiveDate,
    action: Action,
    files_before: usize,
    files_after: usize,
    rows: i64,
    bytes_before: i64,
    bytes_after: i64,
    seconds: f64,
}

impl DayRow {
    fn left(day: &EventDay, action: Action) -> Self {
        Self {
            date: day.date,
            action,
            files_before: day.files,
            files_after: day.files,
            rows: day.rows,
            bytes_before: day.bytes,
            bytes_after: day.bytes,
            seconds: 0.0,
        }
    }
}

async fn compact(context: &Context, args: &CompactArgs) -> Result<Exit> {
    let (from, to) = match args.date {
        Some(date) => (Some(date), Some(date)),
        None => (args.from, args.to),
    };
    if let (Some(from), Some(to)) = (from, to)
        && from > to
    {
        return Err(CliError::usage(format!(
            "--from {from} lies after --to {to}"
        )));
    }
    let output = Output::new(&args.output)?;
    let settings = context.settings()?;
    let lake = open_lake(&settings).await?;
    let lock = lake.lock_maintenance().await?;
    let mut days = lake.event_days().await?;
    days.retain(|day| {
        from.is_none_or(|from| day.date >= from) && to.is_none_or(|to| day.date <= to)
    });
    let closing = Closing::read(&lake, &settings).await?;
    let mut done = Vec::new();
    let bar = context.progress().counter("rows sorted");
    let work = work(args, &lake, &days, &closing, &bar, &mut done);
    let failed = lock.hold(work).await.map_err(CliError::from).flatten();
    bar.finish_and_clear();
    // What is done is shown even when a later day failed.
    let batch = batch(&done)?;
    output.batches(&batch.schema(), &[batch])?;
    failed?;
    let count = |action| done.iter().filter(|row| row.action == action).count();
    let (sorted, open) = (count(Action::Sorted), count(Action::Open));
    if sorted == 0 && open == 0 {
        output::note("nothing to do: no closed day has enough unsorted files");
    }
    let named = from.is_some() || to.is_some();
    if open == 0 || !named {
        return Ok(Exit::Done);
    }
    for row in done.iter().filter(|row| row.action == Action::Open) {
        for obstacle in closing.obstacles(row.date) {
            output::note(&format!("{} is not closed: {obstacle}", row.date));
        }
    }
    output::note("hint: --open sorts days that are not closed as well");
    Ok(Exit::Gate)
}

async fn work(
    args: &CompactArgs,
    lake: &Lake,
    days: &[EventDay],
    closing: &Closing,
    bar: &ProgressBar,
    done: &mut Vec<DayRow>,
) -> Result<()> {
    let options = CompactOptions {
        memory: usize::try_from(args.memory).unwrap_or(usize::MAX),
        file_bytes: args.file_size,
    };
    for day in days.iter().filter(|day| !day.is_sorted()) {
        if !args.open && !closing.obstacles(day.date).is_empty() {
            done.push(DayRow::left(day, Action::Open));
            continue;
        }
        if !args.late && !day.is_worth_sorting() {
            done.push(DayRow::left(day, Action::Late));
            continue;
        }
        let start = Instant::now();
        let sorted = lake
            .compact_day(day.date, &options, &|rows| bar.inc(rows))
            .await?;
        // `None`: another run was faster.
        if let Some(sorted) = sorted {
            done.push(DayRow {
                date: sorted.date,
                action: Action::Sorted,
                files_before: sorted.files_before,
                files_after: sorted.files_after,
                rows: sorted.rows,
                bytes_before: sorted.bytes_before,
                bytes_after: sorted.bytes_after,
                seconds: start.elapsed().as_secs_f64(),
            });
        }
    }
    Ok(())
}

/// When days close.
struct Closing {
    now: DateTime<Utc>,
    close_after: Duration,
    watermarks: BTreeMap<(String, i32), DateTime<Utc>>,
}

impl Closing {
    async fn read(lake: &Lake, settings: &Settings) -> Result<Self> {
        Ok(Self {
            now: Utc::now(),
            close_after: settings.span("publish.close_after").unwrap_or(CLOSE_AFTER),
            watermarks: watermarks(&lake.ledger_entries().await?),
        })
    }

    /// What keeps a UTC day from being closed, in words.
    fn obstacles(&self, day: NaiveDate) -> Vec<String> {
        match closes_at(day, Tz::UTC, self.close_after) {
            Some(closes_at) => obstacles(closes_at, self.now, &self.watermarks),
            None => vec!["it is too far in the future".to_owned()],
        }
    }
}

fn batch(rows: &[DayRow]) -> Result<RecordBatch> {
    let number = |pick: fn(&DayRow) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(pick)))
    };
    let count = |files: usize| i64::try_from(files).unwrap_or(i64::MAX);
    let before: ArrayRef = Arc::new(Int64Array::from_iter_values(
        rows.iter().map(|row| count(row.files_before)),
    ));
    let after: ArrayRef = Arc::new(Int64Array::from_iter_values(
        rows.iter().map(|row| count(row.files_after)),
    ));
    let days = rows.iter().map(|row| {
        let since = row.date.signed_duration_since(NaiveDate::default());
        i32::try_from(since.num_days()).unwrap_or(i32::MAX)
    });
    let days: ArrayRef = Arc::new(Date32Array::from_iter_values(days));
    let actions = rows.iter().map(|row| row.action.name());
    let actions: ArrayRef = Arc::new(StringArray::from_iter_values(actions));
    // Milliseconds are more than anybody asks for.
    let seconds = rows.iter().map(|row| (row.seconds * 1e3).round() / 1e3);
    let seconds: ArrayRef = Arc::new(Float64Array::from_iter_values(seconds));
    RecordBatch::try_from_iter_with_nullable([
        ("event_date", days, false),
        ("action", actions, false),
        ("files_before", before, false),
        ("files_after", after, false),
        ("rows", number(|row| row.rows), false),
        ("bytes_before", number(|row| row.bytes_before), false),
        ("bytes_after", number(|row| row.bytes_after), false),
        ("seconds", seconds, false),
    ])
    .map_err(CliError::output)
}
