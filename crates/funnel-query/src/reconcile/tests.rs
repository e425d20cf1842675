use std::collections::BTreeSet;

use funnel_datagen::golden::{self, Variant};
use funnel_lake::{
    Commit, Lake, LedgerEntry, LedgerKind, OffsetAdvance, OffsetKey, Outcome, encode_files,
};

use super::*;
use crate::QueryOptions;
use crate::funnel::{FunnelDefinition, Mode, Unit};
use crate::report::report;
use crate::testing::{golden_events, golden_session};

fn request(unit: Unit, mode: Mode) -> ReportRequest {
    let day = golden::DATE.parse().unwrap();
    let funnel = FunnelDefinition::shipped("impression_to_chat").unwrap();
    ReportRequest {
        account: Some(golden::ACCOUNT.to_owned()),
        unit: Some(unit),
        mode: Some(mode),
        ..ReportRequest::new(funnel, day, day)
    }
}

#[tokio::test]
async fn used_rows_of_a_step_are_the_offers_that_reached_it() {
    let session = golden_session(Variant::default()).await;
    let request = request(Unit::Offer, Mode::Ordered);
    let rows = reconcile(&session, &request).await.unwrap().sums;
    let answer = report(&session, request).await.unwrap();
    let (classes, steps) = (text(&rows, "class").unwrap(), text(&rows, "step").unwrap());
    let counts = rows.column(3).as_primitive::<Int64Type>();
    let reached = answer.rows.column_by_name("reached").unwrap();
    let names = text(&answer.rows, "step").unwrap();
    for (name, reached) in names
        .iter()
        .zip(reached.as_primitive::<Int64Type>().values())
    {
        let of_step = (0..rows.num_rows())
            .filter(|row| classes.value(*row) == "used" && steps.value(*row) == name.unwrap());
        let used: i64 = of_step.map(|row| counts.value(row)).sum();
        // What is derived or attributed has no row of its own in `events`.
        let derived = ["interactive", "converted"].contains(&name.unwrap());
        assert!(
            used == *reached || derived,
            "{name:?}: {used} and {reached}"
        );
    }
}

#[tokio::test]
async fn classes_add_up_for_every_unit_and_mode() {
    let session = golden_session(Variant::default()).await;
    for unit in Unit::ALL.iter().copied() {
        for mode in [Mode::Loose, Mode::Ordered] {
            let answer = reconcile(&session, &request(unit, mode)).await.unwrap();
            answer.check().unwrap();
            let rows = answer.sums;
            let parts = text(&rows, "part").unwrap();
            let counts = rows.column(3).as_primitive::<Int64Type>();
            let sum = |part: &str| -> i64 {
                let rows = (0..rows.num_rows()).filter(|row| parts.value(*row) == part);
                rows.map(|row| counts.value(row)).sum()
            };
            assert_eq!(sum("events"), sum("total"), "{unit} {mode}");
        }
    }
}

/// What an ingestor would have written about the golden events: one entry for each topic, offsets
/// between their records as holes.
fn ledger(events: &RecordBatch) -> Vec<LedgerEntry> {
    let offsets = events.column_by_name("kafka_offset").unwrap();
    let offsets = offsets.as_primitive::<Int64Type>();
    let mut records: BTreeMap<Place, Vec<i64>> = BTreeMap::new();
    for (row, place) in places(events).unwrap().into_iter().enumerate() {
        records.entry(place).or_default().push(offsets.value(row));
    }
    let entry = |(place, rows): (Place, Vec<i64>)| {
        let records: BTreeSet<i64> = rows.iter().copied().collect();
        let end = records.last().unwrap() + 3;
        let kind = LedgerKind::Data;
        let mut entry = LedgerEntry::new(kind, &place.topic, &place.uuid, place.partition, 0..end);
        entry.accepted = i64::try_from(records.len()).unwrap();
        entry.event_rows = i64::try_from(rows.len()).unwrap();
        entry.holes = end - entry.accepted;
        entry
    };
    records.into_iter().map(entry).collect()
}

/// The golden events in a lake whose ledger says what `change` makes of the truth.
async fn reconciled(change: impl Fn(&mut Vec<LedgerEntry>)) -> Reconciliation {
    let dir = tempfile::tempdir().unwrap();
    let lake = Lake::create_or_open(dir.path().to_str().unwrap());
    let lake = lake.await.unwrap();
    let events = golden_events(Variant::default());
    let mut ledger = ledger(&events);
    change(&mut ledger);
    let advance = |entry: &LedgerEntry| OffsetAdvance {
        key: OffsetKey {
            job: "funnel".to_owned(),
            topic: entry.kafka_topic.clone(),
            topic_uuid: entry.topic_uuid.clone(),
            partition: entry.kafka_partition,
        },
        from: None,
        to: entry.to_offset,
    };
    let mut advances: Vec<OffsetAdvance> = ledger.iter().map(advance).collect();
    advances.dedup_by(|a, b| a.key == b.key);
    let commit = Commit {
        files: encode_files(&[events], lake.events(), "b").unwrap(),
        advances,
        batch_id: "b".to_owned(),
        ledger,
    };
    let done = lake.events().commit(commit).await.unwrap();
    assert!(matches!(done, Outcome::Committed { .. }), "{done:?}");
    let session = QuerySession::open(&lake, QueryOptions::default());
    let session = session.await.unwrap();
    let request = request(Unit::Offer, Mode::Ordered);
    reconcile(&session, &request).await.unwrap()
}

#[tokio::test]
async fn every_partition_closes_with_its_offsets_and_classes() {
    let answer = reconciled(|_| {}).await;
    answer.check().unwrap();
    let events = golden_events(Variant::default());
    let truth = ledger(&events);
    assert!(truth.len() > 1, "several topics");
    let (topics, ranges) = (
        text(&answer.partitions, "kafka_topic").unwrap(),
        text(&answer.partitions, "offsets").unwrap(),
    );
    for (row, entry) in truth.iter().enumerate() {
        assert_eq!(topics.value(row), entry.kafka_topic);
        assert_eq!(ranges.value(row), format!("0..{}", entry.to_offset));
    }
    // By class and partition, the offsets stand at the rows that a person finds there.
    let lines = &answer.lines;
    let column = |name: &str| text(lines, name).unwrap();
    let (topics, parts) = (column("kafka_topic"), column("part"));
    let number = |name: &str| {
        let values = lines.column_by_name(name).unwrap();
        values.as_primitive::<Int64Type>().clone()
    };
    let (rows, from, to) = (number("rows"), number("from_offset"), number("to_offset"));
    for entry in &truth {
        let of_events: Vec<usize> = (0..lines.num_rows())
            .filter(|row| topics.value(*row) == entry.kafka_topic && parts.value(*row) == "events")
            .collect();
        let sum: i64 = of_events.iter().map(|row| rows.value(*row)).sum();
        assert_eq!(sum, entry.event_rows);
        let first = of_events.iter().map(|row| from.value(*row)).min();
        let end = of_events.iter().map(|row| to.value(*row)).max();
        let offsets = events.column_by_name("kafka_offset").unwrap();
        let offsets = offsets.as_primitive::<Int64Type>().values();
        let own = places(&events).unwrap();
        let own = own.iter().zip(offsets);
        let own = own.filter(|(place, _)| place.topic == entry.kafka_topic);
        let own: BTreeSet<i64> = own.map(|(_, offset)| *offset).collect();
        assert_eq!(
            (first, end),
            (own.first().copied(), own.last().map(|o| o + 1))
        );
    }
}

#[tokio::test]
async fn a_partition_that_does_not_close_is_named_with_what_is_missing() {
    let last = |ledger: &mut Vec<LedgerEntry>| ledger.pop().unwrap();
    let topic = ledger(&golden_events(Variant::default()));
    let topic = topic.last().unwrap().kafka_topic.clone();
    type Change<'a> = (&'a str, &'a dyn Fn(&mut Vec<LedgerEntry>));
    let changes: [Change<'_>; 6] = [
        ("rows of `events`, the ledger says", &|ledger| {
            ledger.last_mut().unwrap().event_rows += 1;
        }),
        (
            "records with a row of `events`, the ledger says",
            &|ledger| {
                let entry = ledger.last_mut().unwrap();
                (entry.accepted, entry.holes) = (entry.accepted - 1, entry.holes + 1);
            },
        ),
        ("have a fate", &|ledger| {
            ledger.last_mut().unwrap().tombstone += 1;
        }),
        ("0 rows of `rejects`, the ledger says 2", &|ledger| {
            ledger.last_mut().unwrap().reject_rows = 2;
        }),
        ("no entry of the ledger for offsets 1..2", &|ledger| {
            let mut entry = last(ledger);
            let mut before = entry.clone();
            (before.accepted, before.event_rows) = (0, 0);
            (before.to_offset, before.holes) = (1, 1);
            (entry.from_offset, entry.holes) = (2, entry.holes - 2);
            ledger.extend([before, entry]);
        }),
        ("two entries of the ledger for offsets 1..2", &|ledger| {
            let mut entry = last(ledger);
            let mut before = entry.clone();
            (before.accepted, before.event_rows) = (0, 0);
            (before.to_offset, before.holes) = (2, 2);
            (entry.from_offset, entry.holes) = (1, entry.holes - 1);
            ledger.extend([before, entry]);
        }),
    ];
    for (problem, change) in changes {
        let answer = reconciled(change).await;
        let error = answer.check().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Incomplete, "{problem}");
        let place = format!("partition 0 of topic `{topic}`");
        assert_eq!(answer.problems.len(), 1, "{:?}", answer.problems);
        let said = error.to_string();
        assert!(
            said.contains(&place) && said.contains(problem),
            "{problem}: {said}"
        );
    }
}
