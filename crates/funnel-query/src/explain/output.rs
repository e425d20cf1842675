//! The timeline as rows: what happened, what was decided, and where in Kafka it stands.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int32Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{Int32Type, Int64Type};
use arrow::error::ArrowError;
use chrono::DateTime;
use chrono_tz::Tz;
use datafusion::logical_expr::lit;
use datafusion::prelude::ident;

use super::Verdict;
use super::judge::Judgement;
use super::timeline::{TimelineRow, text};
use super::words;
use crate::QuerySession;
use crate::error::{QueryError, Result};
use crate::funnel::execution::Question;

/// Where an event stands in Kafka.
#[derive(Debug, Clone, Default)]
struct Coordinates {
    topic: Option<String>,
    partition: Option<i32>,
    offset: Option<i64>,
    entry: Option<i32>,
}

pub(super) async fn table(
    session: &QuerySession,
    question: &Question<'_>,
    zone: Tz,
    verdict: &Verdict,
    rows: &[TimelineRow],
    judgement: &Judgement,
) -> Result<RecordBatch> {
    let definition = question.definition;
    let words = &super::words_of(question);
    let found = coordinates(session, rows).await?;
    let at = |row: &TimelineRow| {
        let key = (row.event_id.clone(), row.row.duplicate);
        found.get(&key).cloned().unwrap_or_default()
    };
    let places: Vec<Coordinates> = rows.iter().map(at).collect();
    let number = |number: usize| i32::try_from(number).unwrap_or(i32::MAX);
    let times = rows.iter().map(|row| row.row.time);
    let utc = TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC");
    let decisions = || judgement.decisions.iter();
    let same = |value: Option<&str>| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows.iter().map(|_| value)))
    };
    let texts =
        |values: Vec<String>| -> ArrayRef { Arc::new(StringArray::from_iter_values(values)) };
    let local = rows.iter().map(|row| local(row.row.time, zone)).collect();
    let step_names: Vec<&str> = definition.steps.iter().map(|step| &*step.name).collect();
    let satisfies = rows
        .iter()
        .map(|row| names(&step_names, row.row.steps))
        .collect();
    let classes = decisions()
        .map(|decision| decision.name().to_owned())
        .collect();
    let said = decisions()
        .map(|decision| words::of_decision(words, *decision))
        .collect();
    let levels = rows.iter().map(|_| number(verdict.level));
    let partitions: Int32Array = places.iter().map(|place| place.partition).collect();
    let offsets: Int64Array = places.iter().map(|place| place.offset).collect();
    let entries: Int32Array = places.iter().map(|place| place.entry).collect();
    let topics: StringArray = places.iter().map(|place| place.topic.as_deref()).collect();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("unit_key", same(Some(&verdict.unit_key))),
        (
            "row",
            Arc::new(Int32Array::from_iter_values((1..=rows.len()).map(number))),
        ),
        ("event_time", Arc::new(utc)),
        ("local_time", texts(local)),
        (
            "event_type",
            texts(rows.iter().map(|row| row.event_type.clone()).collect()),
        ),
        ("satisfies", texts(satisfies)),
        ("class", texts(classes)),
        ("decision", texts(said)),
        (
            "event_id",
            texts(rows.iter().map(|row| row.event_id.clone()).collect()),
        ),
        ("kafka_topic", Arc::new(topics)),
        ("kafka_partition", Arc::new(partitions)),
        ("kafka_offset", Arc::new(offsets)),
        ("entry_index", Arc::new(entries)),
        ("level", Arc::new(Int32Array::from_iter_values(levels))),
        ("level_step", same(verdict.level_step.as_deref())),
        ("missing_step", same(verdict.missing_step.as_deref())),
        ("reason", same(verdict.reason)),
        ("reason_text", same(Some(&verdict.text))),
        ("offer_outcome", same(verdict.offer_outcome.as_deref())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, c)| (name, c, true)))
        .map_err(|source| QueryError::query("could not lay out the timeline", source.into()))
}

fn local(time: i64, zone: Tz) -> String {
    DateTime::from_timestamp_micros(time).map_or_else(String::new, |time| {
        time.with_timezone(&zone)
            .format("%Y-%m-%d %H:%M:%S%.3f")
            .to_string()
    })
}

/// The names of the steps in `mask`.
pub(super) fn names(steps: &[&str], mask: u64) -> String {
    let steps = steps.iter().enumerate();
    let names = steps
        .filter(|(step, _)| mask >> step & 1 == 1)
        .map(|(_, step)| *step);
    names.collect::<Vec<_>>().join(", ")
}

/// By event and whether it is a duplicate; the first, should several share that.
async fn coordinates(
    session: &QuerySession,
    rows: &[TimelineRow],
) -> Result<HashMap<(String, bool), Coordinates>> {
    let failed = |source| QueryError::query("could not read where the events stand", source);
    let wanted = rows.iter().map(|row| lit(row.event_id.as_str())).collect();
    let names = [
        "event_id",
        "is_duplicate",
        "kafka_topic",
        "kafka_partition",
        "kafka_offset",
        "entry_index",
    ];
    let read = async {
        let events = session.ctx().table("events_enriched").await?;
        // A fact that was derived has no record of its own.
        let recorded = ident("is_derived").is_false();
        events
            .filter(ident("event_id").in_list(wanted, false).and(recorded))?
            .select(names.map(ident).to_vec())?
            .collect()
            .await
    };
    let mut found = HashMap::new();
    for batch in read.await.map_err(failed)? {
        add(&mut found, &batch).map_err(|source| failed(source.into()))?;
    }
    Ok(found)
}

fn add(
    found: &mut HashMap<(String, bool), Coordinates>,
    batch: &RecordBatch,
) -> Result<(), ArrowError> {
    let (ids, topics) = (text(batch, "event_id")?, text(batch, "kafka_topic")?);
    let column = |name: &str| {
        let missing = || ArrowError::SchemaError(format!("the events have no column `{name}`"));
        batch.column_by_name(name).ok_or_else(missing)
    };
    let duplicate = column("is_duplicate")?.as_boolean();
    let partitions = column("kafka_partition")?.as_primitive::<Int32Type>();
    let offsets = column("kafka_offset")?.as_primitive::<Int64Type>();
    let entries = column("entry_index")?.as_primitive::<Int32Type>();
    for row in 0..batch.num_rows() {
        let key = (ids.value(row).to_owned(), duplicate.value(row));
        found.entry(key).or_insert_with(|| Coordinates {
            topic: topics.is_valid(row).then(|| topics.value(row).to_owned()),
            partition: partitions.is_valid(row).then(|| partitions.value(row)),
            offset: offsets.is_valid(row).then(|| offsets.value(row)),
            entry: entries.is_valid(row).then(|| entries.value(row)),
        });
    }
    Ok(())
}
