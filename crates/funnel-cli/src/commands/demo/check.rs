//! The numbers beside those that the simulator promised.

use std::collections::BTreeMap;

use funnel_datagen::Truth;
use funnel_datagen::truth::FunnelTruth;
use funnel_lake::{Lake, audit};
use funnel_query::funnel::Mode;
use funnel_query::report::Report;

use super::Answers;
use super::picture::steps;
use crate::error::Result;

/// Everything that is not as promised; empty when all is well.
pub(super) async fn differences(
    lake: &Lake,
    answers: &Answers,
    truth: &Truth,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    let report = audit(lake).await?;
    found.extend(
        report
            .problems
            .iter()
            .map(|problem| format!("audit: {}", problem.detail)),
    );
    let sum = |pick: fn(&funnel_lake::PartitionTotals) -> i64| {
        u64::try_from(report.partitions.iter().map(pick).sum::<i64>()).unwrap_or(0)
    };
    let pairs = [
        (
            "accepted records",
            sum(|row| row.accepted),
            truth.records.accepted,
        ),
        (
            "duplicate records",
            sum(|row| row.duplicate),
            truth.records.duplicate,
        ),
        (
            "rejected records",
            sum(|row| row.rejected),
            truth.records.rejected,
        ),
        ("empty records", sum(|row| row.empty), truth.records.empty),
        (
            "tombstones",
            sum(|row| row.tombstone),
            truth.records.tombstone,
        ),
        ("events", sum(|row| row.event_rows), truth.entries.events),
        ("rejects", sum(|row| row.reject_rows), truth.entries.rejects),
    ];
    for (what, ours, promised) in pairs {
        if ours != promised {
            found.push(format!("{what}: {ours} instead of {promised}"));
        }
    }
    for answer in [&answers.monitored, &answers.unmonitored] {
        found.extend(funnel_differences(answer, truth)?);
    }
    Ok(found)
}

fn funnel_differences(answer: &Report, truth: &Truth) -> Result<Vec<String>> {
    let header = &answer.header;
    let promised = truth
        .accounts
        .get(&header.account)
        .and_then(|account| account.funnels.get(&header.funnel))
        .and_then(|units| units.get(header.unit.as_str()))
        .map(|funnel| promised(funnel, header.mode))
        .unwrap_or_default();
    let ours: BTreeMap<String, i64> = steps(answer)?
        .into_iter()
        .map(|step| (step.name, step.reached))
        .collect();
    let mut found = Vec::new();
    for (step, reached) in &promised {
        let here = ours.get(step).copied();
        if here != Some(*reached) {
            let here = here.map_or("nothing".to_owned(), |count| count.to_string());
            found.push(format!(
                "{} step {step}: {here} instead of {reached}",
                header.funnel
            ));
        }
    }
    if promised.is_empty() {
        found.push(format!("{}: no numbers were promised", header.funnel));
    }
    Ok(found)
}

fn promised(funnel: &FunnelTruth, mode: Mode) -> BTreeMap<String, i64> {
    let steps = match mode {
        Mode::Loose => &funnel.loose,
        _ => &funnel.ordered,
    };
    steps
        .iter()
        .map(|step| {
            (
                step.step.clone(),
                i64::try_from(step.reached).unwrap_or(i64::MAX),
            )
        })
        .collect()
}
