//! `funnel audit`: the accounting of every offset, from the tables and against Kafka.

mod broker;

use std::sync::Arc;

use arrow::array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray};
use funnel_lake::{AuditReport, PartitionTotals, audit};

use super::context::{Context, open_lake};
use crate::args::AuditArgs;
use crate::error::{CliError, Result};
use crate::exit::Exit;
use crate::output::{self, Output};
use broker::Comparison;

pub(super) async fn run(context: &Context, args: &AuditArgs) -> Result<Exit> {
    let output = Output::new(&args.output)?;
    let settings = context.settings()?;
    let lake = open_lake(&settings).await?;
    let report = audit(&lake).await?;
    let comparison = broker::compare(&settings, args, &report).await?;
    let batch = batch(&report, &comparison)?;
    output.batches(&batch.schema(), &[batch])?;
    for problem in report.problems.iter() {
        output::note(&format!("problem: {}: {}", problem.rule, problem.detail));
    }
    for problem in &comparison.problems {
        output::note(&format!("problem: {problem}"));
    }
    for halt in lake.halts().await? {
        output::note(&format!(
            "halted: {}: {}; {}",
            halt.key.app_id(),
            halt.reason,
            halt.flag_hint
        ));
    }
    if let Some(note) = &comparison.note {
        output::note(note);
    }
    let count = report.problems.len() + comparison.problems.len();
    output::note(&summary(&report, count));
    Ok(if count == 0 { Exit::Done } else { Exit::Gate })
}

fn summary(report: &AuditReport, problems: usize) -> String {
    let verdict = match problems {
        0 => "the accounting closes".to_owned(),
        1 => "1 problem: the accounting does not close".to_owned(),
        count => format!("{count} problems: the accounting does not close"),
    };
    format!(
        "{verdict} ({} ledger entries, {} rows of events, {} rows of rejects)",
        report.entries, report.event_rows, report.reject_rows
    )
}

fn batch(report: &AuditReport, comparison: &Comparison) -> Result<RecordBatch> {
    let rows = &report.partitions;
    let text = |pick: fn(&PartitionTotals) -> &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(pick)))
    };
    let number = |pick: fn(&PartitionTotals) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(rows.iter().map(pick)))
    };
    let partitions: ArrayRef = Arc::new(Int32Array::from_iter_values(
        rows.iter().map(|row| row.partition),
    ));
    let lag: ArrayRef = Arc::new(Int64Array::from_iter(
        rows.iter().map(|row| comparison.lag(row)),
    ));
    RecordBatch::try_from_iter_with_nullable([
        ("topic", text(|row| &row.topic), false),
        ("topic_uuid", text(|row| &row.topic_uuid), false),
        ("partition", partitions, false),
        ("from_offset", number(|row| row.from_offset), false),
        ("to_offset", number(|row| row.to_offset), false),
        (
            "records",
            number(|row| row.to_offset - row.from_offset),
            false,
        ),
        ("accepted", number(|row| row.accepted), false),
        ("rejected", number(|row| row.rejected), false),
        ("duplicate", number(|row| row.duplicate), false),
        ("empty", number(|row| row.empty), false),
        ("tombstone", number(|row| row.tombstone), false),
        ("holes", number(|row| row.holes), false),
        ("gap_offsets", number(|row| row.gap_offsets), false),
        ("event_rows", number(|row| row.event_rows), false),
        ("reject_rows", number(|row| row.reject_rows), false),
        (
            "duplicate_entries",
            number(|row| row.duplicate_entries),
            false,
        ),
        ("dup_differs", number(|row| row.dup_differs), false),
        ("lag", lag, true),
    ])
    .map_err(CliError::output)
}
