//! Days that were published one by one, while events came late, against all of it at once.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Date32Type, Int64Type};
use funnel_datagen::{Options, Simulation};
use funnel_events::EventType;

use super::super::contract::{content_hash, without_origin};
use super::*;
use crate::fixture::{batch, chat, ev, line};
use crate::funnel::FunnelDefinition;
use crate::report::{ReportRequest, report};
use crate::testing::decode;

const DAY: i64 = 86_400;
/// A time after which nothing comes: no day waits for a partition.
const NEVER: &str = "2030-01-01T00:00:00Z";

/// Numbers that look random and are the same every time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

fn date(number: i64) -> NaiveDate {
    let first: NaiveDate = golden::DATE.parse().unwrap();
    first + chrono::TimeDelta::days(number)
}

/// A lake that grows.
struct Growing {
    dir: tempfile::TempDir,
    lake: Lake,
    options: QueryOptions,
    next: i64,
}

impl Growing {
    async fn new(options: QueryOptions) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lake = Lake::create_or_open(dir.path().to_str().unwrap())
            .await
            .unwrap();
        Self {
            dir,
            lake,
            options,
            next: 0,
        }
    }

    async fn arrive(&mut self, events: RecordBatch) {
        let rows = i64::try_from(events.num_rows()).unwrap();
        if rows > 0 {
            append(&self.lake, events, self.next, NEVER).await;
            self.next += rows;
        }
    }

    async fn publish(&self, from: NaiveDate, to: NaiveDate, now: &str) -> Result<RunReport> {
        let session = QuerySession::open(&self.lake, self.options.clone()).await?;
        publish(&session, PublishRequest::new(from, to, at(now))).await
    }

    /// A hash of each file that readers see, and of the state behind it.
    async fn published(&self) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for mart in ["offers", "funnel_daily"] {
            let folder = self.dir.path().join("export").join(mart);
            for day in std::fs::read_dir(folder).unwrap() {
                let day = day.unwrap().path();
                let name = format!("{mart} {}", day.file_name().unwrap().display());
                let rows = super::read(&day.join("part-0.parquet"));
                found.insert(name, content_hash(&rows).unwrap());
            }
        }
        for table in ["offers", "funnel_daily", "funnel_state"] {
            let rows = self.table(table).await;
            found.insert(table.to_owned(), content_hash(&rows).unwrap());
        }
        found
    }

    async fn table(&self, name: &str) -> RecordBatch {
        let url = format!("{}{name}", self.lake.url());
        let provider = funnel_lake::table_provider(&url).await.unwrap();
        let schema = provider.schema();
        let session = QuerySession::without_lake(QueryOptions::default()).unwrap();
        let rows = session.ctx().read_table(provider).unwrap();
        concat_batches(&schema, &rows.collect().await.unwrap()).unwrap()
    }
}

fn taken(events: &RecordBatch, rows: &[u64]) -> RecordBatch {
    take_record_batch(events, &UInt64Array::from(rows.to_vec())).unwrap()
}

/// The same records at other places in Kafka.
fn sent_again(events: &RecordBatch) -> RecordBatch {
    let at = events.schema().index_of("kafka_offset").unwrap();
    let mut columns = events.columns().to_vec();
    let moved = columns[at].as_primitive::<Int64Type>();
    let moved: Int64Array = moved
        .iter()
        .map(|offset| Some(offset? + 1_000_000))
        .collect();
    columns[at] = std::sync::Arc::new(moved);
    RecordBatch::try_new(events.schema(), columns).unwrap()
}

/// In which round each row arrives: that of its day, or any later one.
fn rounds(events: &RecordBatch, days: i64, dice: &mut Dice) -> Vec<Vec<u64>> {
    let dates = events.column_by_name("event_date").unwrap();
    let dates = dates.as_primitive::<Date32Type>();
    let count = usize::try_from(days).unwrap();
    let mut rounds = vec![Vec::new(); count];
    for row in 0..events.num_rows() {
        let day = i64::from(dates.value(row) - date(0).to_epoch_days()).clamp(0, days - 1);
        let left = u64::try_from(days - day).unwrap();
        let late = if dice.below(8) == 0 {
            dice.below(left)
        } else {
            0
        };
        rounds[usize::try_from(day).unwrap() + usize::try_from(late).unwrap()].push(row as u64);
    }
    for rows in &mut rounds {
        for row in (1..rows.len()).rev() {
            rows.swap(row, usize::try_from(dice.below(row as u64 + 1)).unwrap());
        }
    }
    rounds
}

async fn days_and_whole_agree(seed: u64) {
    const DAYS: i64 = 3;
    let options = Options {
        seed,
        sessions: 40,
        days: 3,
        accounts: 2,
        ..Options::default()
    };
    let zones = Simulation::time_zones(&options).into_iter();
    let zones = zones.map(|(account, zone)| (account, zone.parse().unwrap()));
    let query = QueryOptions {
        accounts: zones.collect(),
        ..QueryOptions::default()
    };
    let messages: Vec<_> = Simulation::new(options).unwrap().collect();
    let events = decode(&messages).0;
    let mut dice = Dice(seed);
    let mut growing = Growing::new(query.clone()).await;
    let mut whole = Growing::new(query).await;
    let mut all = Vec::new();
    let mut refreshed = 0;
    for (round, rows) in rounds(&events, DAYS, &mut dice).into_iter().enumerate() {
        let mut parts = vec![taken(&events, &rows)];
        let again: Vec<u64> = rows
            .iter()
            .copied()
            .filter(|_| dice.below(20) == 0)
            .collect();
        parts.push(sent_again(&taken(&events, &again)));
        for part in &parts {
            growing.arrive(part.clone()).await;
        }
        all.extend(parts);
        let day = date(i64::try_from(round).unwrap());
        let now = "2024-06-01T00:00:00Z";
        let run = growing.publish(day, day, now).await.unwrap();
        assert!(
            run.days
                .iter()
                .any(|found| found.date == day && found.requested)
        );
        refreshed += run.days.iter().filter(|day| !day.requested).count();
    }
    assert!(refreshed > 0, "seed {seed}: no late event changed a day");
    all.reverse();
    whole
        .arrive(concat_batches(&events.schema(), &all).unwrap())
        .await;
    let now = "2024-06-02T00:00:00Z";
    whole.publish(date(0), date(DAYS - 1), now).await.unwrap();
    let (found, wanted) = (growing.published().await, whole.published().await);
    assert_eq!(found, wanted, "seed {seed}");
    for day in (0..DAYS).map(date) {
        offers_agree(&whole, day).await;
    }
    reports_agree(&whole, date(1)).await;
}

/// The mart of a day, which was made in parts, holds what the view over all events says.
async fn offers_agree(lake: &Growing, day: NaiveDate) {
    let session = QuerySession::open(&lake.lake, lake.options.clone())
        .await
        .unwrap();
    let wanted = super::super::build::offers(&session, day).await.unwrap();
    let path = format!("export/offers/date={day}/part-0.parquet");
    let found = without_origin(&super::read(&lake.dir.path().join(path))).unwrap();
    assert!(wanted.num_rows() > 0, "{day}");
    assert_eq!(
        content_hash(&found).unwrap(),
        content_hash(&wanted).unwrap(),
        "{day}"
    );
}

/// The mart of a day holds what reports of the day say.
async fn reports_agree(lake: &Growing, day: NaiveDate) {
    let session = QuerySession::open(&lake.lake, lake.options.clone())
        .await
        .unwrap();
    let path = format!("export/funnel_daily/date={day}/part-0.parquet");
    let daily = super::read(&lake.dir.path().join(path));
    let mart = |wanted: [(&str, &str); 4]| {
        let texts = wanted.map(|(name, value)| {
            (
                daily.column_by_name(name).unwrap().as_string::<i32>(),
                value,
            )
        });
        let rows = 0..daily.num_rows() as u64;
        let is_wanted = |row: &u64| {
            texts
                .iter()
                .all(|(column, value)| column.value(*row as usize) == *value)
        };
        taken(&daily, &rows.filter(is_wanted).collect::<Vec<_>>())
    };
    for account in lake.options.accounts.keys() {
        for (funnel, unit, by) in [
            ("monitored", "session", "device_family"),
            ("unmonitored", "visitor", "all"),
            ("impression_to_chat", "offer", "campaign_id"),
            ("chat_lifecycle", "conversation", "all"),
        ] {
            let definition = FunnelDefinition::shipped(funnel).unwrap();
            let request = ReportRequest {
                account: Some(account.clone()),
                unit: Some(unit.parse().unwrap()),
                by: Some(by.to_owned())
                    .filter(|by| by != "all")
                    .into_iter()
                    .collect(),
                ..ReportRequest::new(definition, day, day)
            };
            let wanted = report(&session, request).await.unwrap().rows;
            let found = mart([
                ("account_id", account),
                ("funnel", funnel),
                ("unit", unit),
                ("breakdown", by),
            ]);
            for column in [
                "step",
                "reached",
                "dropped",
                "skipped",
                "p50_seconds_to_next",
            ] {
                let (found, wanted) = (found.column_by_name(column), wanted.column_by_name(column));
                assert_eq!(found, wanted, "{account} {funnel} {unit} {by} {column}");
            }
        }
    }
}

#[tokio::test]
async fn random_histories_published_day_by_day_are_those_published_whole() {
    for seed in [3, 8] {
        days_and_whole_agree(seed).await;
    }
}

/// One shown offer on each of five days, each of a visitor of its own.
fn five_days() -> Vec<crate::fixture::Ev> {
    let shown = |day: i64| {
        let visitor = format!("v{day}");
        ev(EventType::EngagementImpression, day * DAY)
            .visitor(&visitor)
            .context("1")
    };
    (0..5).map(shown).collect()
}

#[tokio::test]
async fn a_late_event_changes_the_days_of_its_visitor_and_no_other_day_is_read() {
    let mut lake = Growing::new(QueryOptions::default()).await;
    let mut events = five_days();
    // The visitor of the second day comes back on the fourth.
    events.push(
        ev(EventType::PageViewed, 3 * DAY + 60)
            .visitor("v1")
            .session("again"),
    );
    lake.arrive(batch(&events)).await;
    let first = lake
        .publish(date(0), date(4), "2024-03-20T00:00:00Z")
        .await
        .unwrap();
    assert_eq!(
        first
            .days
            .iter()
            .map(|day| day.keys_changed)
            .collect::<Vec<_>>(),
        [1, 1, 1, 2, 1]
    );

    for day in [0, 2, 4] {
        let folder = lake
            .dir
            .path()
            .join(format!("events/event_date={}", date(day)));
        for file in std::fs::read_dir(folder).unwrap() {
            std::fs::write(file.unwrap().path(), b"not parquet").unwrap();
        }
    }
    let late = ev(EventType::EngagementClick, DAY + 5)
        .visitor("v1")
        .context("1");
    lake.arrive(batch(&[late])).await;
    let run = lake
        .publish(date(3), date(3), "2024-03-21T00:00:00Z")
        .await
        .unwrap();
    assert_eq!(run.event_days_read, [date(1), date(3)]);
    let days = [(1, false, 1), (3, true, 0)];
    let days = days.map(|(day, requested, keys_changed)| DayReport {
        date: date(day),
        requested,
        keys_changed,
    });
    assert_eq!(run.days, days);
    let clicked = lake.table("offers").await;
    let clicks = clicked
        .column_by_name("clicks")
        .unwrap()
        .as_primitive::<Int64Type>();
    assert_eq!(arrow::compute::sum(clicks), Some(1));

    let again = lake
        .publish(date(3), date(3), "2024-03-22T00:00:00Z")
        .await
        .unwrap();
    assert!(
        again.unchanged && again.event_days_read.is_empty(),
        "{again:#?}"
    );
}

#[tokio::test]
async fn what_others_did_to_the_tables_is_made_good_from_the_events() {
    let mut lake = Growing::new(QueryOptions::default()).await;
    lake.arrive(batch(&five_days())).await;
    lake.publish(date(0), date(1), "2024-03-20T00:00:00Z")
        .await
        .unwrap();
    let wanted = lake.published().await;
    let (record, state) = ("_state/publish.json", "funnel_state");
    for damage in [record, state, "offers", "funnel_keys"] {
        let path = lake.dir.path().join(damage);
        match damage == record {
            true => std::fs::remove_file(path).unwrap(),
            false => std::fs::remove_dir_all(path).unwrap(),
        }
        lake.publish(date(0), date(1), "2024-03-20T00:00:00Z")
            .await
            .unwrap();
        assert_eq!(lake.published().await, wanted, "without {damage}");
    }
}

#[tokio::test]
async fn a_new_account_has_its_rows_on_every_published_day() {
    let mut lake = Growing::new(QueryOptions::default()).await;
    lake.arrive(batch(&five_days())).await;
    lake.publish(date(0), date(1), "2024-03-20T00:00:00Z")
        .await
        .unwrap();
    let other = ev(EventType::PageViewed, 2 * DAY).set(|event| event.account_id = "b".to_owned());
    lake.arrive(batch(&[other])).await;
    let run = lake
        .publish(date(2), date(2), "2024-03-20T00:00:00Z")
        .await
        .unwrap();
    let dates: Vec<_> = run.days.iter().map(|day| day.date).collect();
    assert_eq!(dates, [date(0), date(1), date(2)]);
    let daily = lake.table("funnel_daily").await;
    let accounts = daily
        .column_by_name("account_id")
        .unwrap()
        .as_string::<i32>();
    let of = |account: &str| {
        accounts
            .iter()
            .filter(|found| *found == Some(account))
            .count()
    };
    assert!(
        of("b") > 0 && of("b") % 3 == 0,
        "{} of {}",
        of("b"),
        accounts.len()
    );
}

#[tokio::test]
async fn an_offer_in_progress_gets_its_outcome_with_time_alone() {
    let mut lake = Growing::new(QueryOptions::default()).await;
    // The chat goes on until an hour before the day closes.
    let mut events = five_days();
    events.push(chat(EventType::ChatRequested, 11 * 3600, 1).known());
    events.push(line("agent", 23 * 3600, 2).known());
    lake.arrive(batch(&events)).await;
    lake.publish(date(0), date(0), "2024-03-05T12:00:00Z")
        .await
        .unwrap();
    let outcomes = async || {
        let offers = lake.table("offers").await;
        let outcomes = offers.column_by_name("offer_outcome").unwrap();
        let outcomes = outcomes
            .as_string::<i32>()
            .iter()
            .flatten()
            .map(str::to_owned);
        let mut outcomes: Vec<String> = outcomes.collect();
        outcomes.sort();
        outcomes
    };
    assert_eq!(outcomes().await, ["ignored", "in_progress"]);
    let run = lake
        .publish(date(1), date(1), "2024-03-06T12:00:00Z")
        .await
        .unwrap();
    assert!(
        run.days
            .iter()
            .any(|day| day.date == date(0) && !day.requested),
        "{run:#?}"
    );
    assert_eq!(
        outcomes().await,
        ["abandoned_in_queue", "ignored", "ignored"]
    );
}

#[tokio::test]
async fn one_run_at_a_time() {
    let mut lake = Growing::new(QueryOptions::default()).await;
    lake.arrive(batch(&five_days())).await;
    let _other = lake.lake.lock_publish().await.unwrap();
    let error = lake
        .publish(date(0), date(0), "2024-03-20T00:00:00Z")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(!lake.dir.path().join("offers").exists());
}

#[test]
fn the_columns_of_the_tables_beside_the_marts_are_the_published_ones() {
    for (table, schema) in [
        ("funnel_state", super::super::state::schema()),
        ("funnel_keys", super::super::index::schema()),
    ] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/lake");
        let published = std::fs::read_to_string(format!("{folder}/{table}.txt")).unwrap();
        assert_eq!(funnel_events::schema_text(&schema), published, "{table}");
    }
}
