//! A reconciliation as tables.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use arrow::error::ArrowError;

use super::partitions::{LEDGER, Partition, Place};
use super::{PLACE, Partitions, Reconciliation};
use crate::funnel::FunnelDefinition;

pub(super) fn tables(
    funnel: &FunnelDefinition,
    partitions: &Partitions,
    problems: Vec<String>,
) -> Result<Reconciliation, ArrowError> {
    Ok(Reconciliation {
        sums: sums(funnel, partitions)?,
        partitions: summary(partitions)?,
        lines: lines(funnel, partitions)?,
        problems,
    })
}

fn sums(funnel: &FunnelDefinition, partitions: &Partitions) -> Result<RecordBatch, ArrowError> {
    let ledgers = || partitions.values().filter_map(|at| at.ledger.as_ref());
    let mut rows: Vec<(&str, &str, Option<&str>, i64)> = Vec::new();
    if ledgers().next().is_some() {
        for (index, name) in LEDGER.iter().enumerate() {
            let count = ledgers().map(|ledger| ledger.counts[index]).sum();
            rows.push(("kafka", name, None, count));
        }
    }
    let mut classes: BTreeMap<&(String, Option<usize>), i64> = BTreeMap::new();
    for (class, found) in partitions.values().flat_map(|at| &at.classes) {
        *classes.entry(class).or_default() += found.count;
    }
    for ((class, step), count) in classes {
        rows.push(("events", class, step_name(funnel, *step), count));
    }
    let read = partitions.values().map(|at| at.read).sum();
    rows.push(("total", "rows read", None, read));
    let parts: StringArray = rows.iter().map(|row| Some(row.0)).collect();
    let classes: StringArray = rows.iter().map(|row| Some(row.1)).collect();
    let steps: StringArray = rows.iter().map(|row| row.2).collect();
    let counts: Int64Array = rows.iter().map(|row| Some(row.3)).collect();
    table(vec![
        ("part", Arc::new(parts)),
        ("class", Arc::new(classes)),
        ("step", Arc::new(steps)),
        ("rows", Arc::new(counts)),
    ])
}

fn step_name(funnel: &FunnelDefinition, step: Option<usize>) -> Option<&str> {
    let step = funnel.steps.get(step?)?;
    Some(&step.name)
}

fn summary(partitions: &Partitions) -> Result<RecordBatch, ArrowError> {
    let mut columns = at_places(partitions.keys());
    let ranges = |at: &Partition| {
        let ranges = at.ledger.as_ref()?.ranges.iter();
        let ranges = ranges.map(|range| match &range.gap {
            None => format!("{}..{}", range.offsets.start, range.offsets.end),
            Some(why) => format!("gap {}..{} ({why})", range.offsets.start, range.offsets.end),
        });
        Some(ranges.collect::<Vec<_>>().join(", "))
    };
    let ranges: StringArray = partitions.values().map(ranges).collect();
    columns.push(("offsets", Arc::new(ranges)));
    for (index, name) in LEDGER.into_iter().enumerate() {
        let count = |at: &Partition| Some(at.ledger.as_ref()?.counts[index]);
        let counts: Int64Array = partitions.values().map(count).collect();
        columns.push((name, Arc::new(counts)));
    }
    let read: Int64Array = partitions.values().map(|at| Some(at.read)).collect();
    let classified = partitions.values().map(|at| Some(at.classified()));
    let classified: Int64Array = classified.collect();
    let closes = partitions
        .iter()
        .map(|(place, at)| Some(at.problems(place).is_empty()));
    columns.push(("rows_read", Arc::new(read)));
    columns.push(("rows_classified", Arc::new(classified)));
    columns.push(("closes", Arc::new(closes.collect::<BooleanArray>())));
    table(columns)
}

/// One line about a partition.
struct Line<'a> {
    place: &'a Place,
    part: &'static str,
    class: &'a str,
    step: Option<&'a str>,
    offsets: Option<Range<i64>>,
    rows: i64,
}

fn lines(funnel: &FunnelDefinition, partitions: &Partitions) -> Result<RecordBatch, ArrowError> {
    let mut lines = Vec::new();
    for (place, at) in partitions {
        let mut push = |part, class, step, offsets, rows| {
            lines.push(Line {
                place,
                part,
                class,
                step,
                offsets,
                rows,
            });
        };
        if let Some(ledger) = &at.ledger {
            for range in &ledger.ranges {
                let class = range.gap.as_deref().unwrap_or("data");
                let offsets = range.offsets.clone();
                push(
                    "range",
                    class,
                    None,
                    Some(offsets.clone()),
                    offsets.end - offsets.start,
                );
            }
            for (name, count) in LEDGER.iter().zip(ledger.counts) {
                push("kafka", name, None, None, count);
            }
        }
        for ((class, step), found) in &at.classes {
            let offsets = Some(found.offsets.clone());
            push(
                "events",
                class,
                step_name(funnel, *step),
                offsets,
                found.count,
            );
        }
        push("total", "rows read", None, None, at.read);
    }
    let text = |of: &dyn Fn(&Line<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(lines.iter().map(of).collect::<StringArray>())
    };
    let number = |of: &dyn Fn(&Line<'_>) -> Option<i64>| -> ArrayRef {
        Arc::new(lines.iter().map(of).collect::<Int64Array>())
    };
    let mut columns = at_places(lines.iter().map(|line| line.place));
    columns.extend([
        ("part", text(&|line| Some(line.part.to_owned()))),
        ("class", text(&|line| Some(line.class.to_owned()))),
        ("step", text(&|line| line.step.map(str::to_owned))),
        (
            "from_offset",
            number(&|line| Some(line.offsets.as_ref()?.start)),
        ),
        (
            "to_offset",
            number(&|line| Some(line.offsets.as_ref()?.end)),
        ),
        ("rows", number(&|line| Some(line.rows))),
    ]);
    table(columns)
}

type Columns = Vec<(&'static str, ArrayRef)>;

fn at_places<'a>(places: impl Iterator<Item = &'a Place> + Clone) -> Columns {
    let [topic, uuid, partition] = PLACE;
    let topics: StringArray = places.clone().map(|place| Some(&*place.topic)).collect();
    let uuids: StringArray = places.clone().map(|place| Some(&*place.uuid)).collect();
    let partitions: Int32Array = places.map(|place| Some(place.partition)).collect();
    vec![
        (topic, Arc::new(topics)),
        (uuid, Arc::new(uuids)),
        (partition, Arc::new(partitions)),
    ]
}

fn table(columns: Columns) -> Result<RecordBatch, ArrowError> {
    let nullable = columns
        .into_iter()
        .map(|(name, values)| (name, values, true));
    RecordBatch::try_from_iter_with_nullable(nullable)
}
