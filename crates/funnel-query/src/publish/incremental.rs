//! One run: what came since the last one, which keys and days it changes, and those days again.
//!
//! A day is the sum of what its keys contribute. New events change the contributions of their keys
//! and of all that is tied to them; those are made anew from all of their events, whatever day they
//! are of, and put in the place of the old ones. A day that is published for the first time
//! takes all keys that have events around it.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use funnel_lake::{DeltaTableProvider, Lake, LakeError};

use super::build::{self, DayRows};
use super::closure::{self, Closure};
use super::contract::{content_hash, without_origin};
use super::index::Index;
use super::merge::{Keyed, replace};
use super::record::{self, Day, Record};
use super::{DayReport, PartitionReport, keys, state, write};
use crate::error::{QueryError, Result};
use crate::{QueryOptions, QuerySession, report};

/// The outcome of an offer that time alone will change.
const OPEN: &str = "in_progress";

/// What a run has done.
#[derive(Default)]
pub(super) struct Done {
    pub(super) partitions: Vec<PartitionReport>,
    pub(super) days: Vec<DayReport>,
    pub(super) days_read: BTreeSet<NaiveDate>,
}

/// A run under way.
pub(super) struct Run<'a> {
    lake: &'a Lake,
    options: QueryOptions,
    now: DateTime<Utc>,
    requested: BTreeSet<NaiveDate>,
    /// Without a lake: reads tables that are given to it.
    reader: QuerySession,
    events: Arc<dyn TableProvider>,
    index: Index,
    record: Record,
    /// Every published day is written again, because a new account has a row in each.
    all: bool,
    /// Days that are made from their events, whatever their tables hold.
    anew: BTreeSet<NaiveDate>,
    /// Keys of events that came since the last run.
    arrived: HashSet<i64>,
    done: Done,
}

impl<'a> Run<'a> {
    /// Finds out what came since the last run.
    pub(super) async fn begin(
        lake: &'a Lake,
        options: QueryOptions,
        now: DateTime<Utc>,
        requested: BTreeSet<NaiveDate>,
    ) -> Result<Self> {
        let failed = |source| QueryError::lake("could not read table `events`", source);
        let reader = QuerySession::without_lake(options.clone())?;
        let snapshot = lake.events().load().await.map_err(failed)?;
        let provider = |at| Ok::<_, LakeError>(Arc::new(DeltaTableProvider::new(at)?));
        let events: Arc<dyn TableProvider> = provider(&snapshot).map_err(failed)?;
        let mut index = Index::read(&reader, lake).await?;
        let mut record = Record::read(lake).await?;
        let rules = record::rules(&options)?;
        let goes_on = record.rules == rules && record.as_of <= now && index.len() >= record.keys;
        let appended = match goes_on {
            true => lake
                .events()
                .appended(record.version, &snapshot)
                .await
                .map_err(failed)?,
            false => None,
        };
        let mut anew: BTreeSet<NaiveDate> = requested.iter().copied().collect();
        anew.retain(|day| !record.days.contains_key(day));
        let mut arrived = match &appended {
            Some(files) => {
                index
                    .absorb(&reader, provider(files).map_err(failed)?)
                    .await?
            }
            None => {
                anew.extend(record.days.keys());
                record.accounts.clear();
                index.forget();
                index.absorb(&reader, Arc::clone(&events)).await?
            }
        };
        if appended.is_none() {
            arrived.keys.clear();
        }
        let accounts = record.accounts.len();
        record.accounts.append(&mut arrived.accounts);
        record.version = snapshot.version();
        record.rules = rules;
        record.as_of = now;
        Ok(Self {
            all: record.accounts.len() > accounts,
            arrived: arrived.keys,
            done: Done::default(),
            options: QueryOptions {
                as_of: Some(now),
                ..options
            },
            lake,
            now,
            requested,
            reader,
            events,
            index,
            record,
            anew,
        })
    }

    /// Makes the days that were asked for, and every published day that changed.
    pub(super) async fn finish(mut self) -> Result<Done> {
        // First: with too many keys a later run reads too much, with too few it would miss some.
        self.index.write(self.lake).await?;
        let mut seeds = std::mem::take(&mut self.arrived);
        seeds.extend(self.keys_around_new_days());
        seeds.extend(self.open_keys().await?);
        let mut days: BTreeSet<NaiveDate> = self.record.days.keys().copied().collect();
        days.extend(&self.requested);
        loop {
            let closure =
                closure::follow(self.reader.ctx(), &self.events, &self.index, seeds).await?;
            self.done.days_read.extend(&closure.days_read);
            let damaged = self.pass(closure, &days).await?;
            if damaged.is_empty() {
                break;
            }
            // What a day held is not what was published: it is made from its events.
            self.anew.clone_from(&damaged);
            seeds = self.keys_around_new_days().collect();
            days = damaged;
        }
        self.record.keys = self.index.len();
        self.record.write(self.lake).await?;
        self.done.partitions.sort_by_key(|partition| partition.date);
        self.done.days.sort_by_key(|day| day.date);
        Ok(self.done)
    }

    /// The keys of every session that can have begun on a day that is made anew.
    fn keys_around_new_days(&self) -> impl Iterator<Item = i64> {
        let is_utc = self.options.accounts.values().all(|zone| *zone == Tz::UTC);
        let around = |day: &NaiveDate| match is_utc {
            true => vec![*day],
            false => neighbours(*day),
        };
        let days: BTreeSet<NaiveDate> = self.anew.iter().flat_map(around).collect();
        days.into_iter()
            .flat_map(|day| self.index.keys(day).iter().copied())
    }

    /// The keys whose offers were in progress when they were published.
    async fn open_keys(&self) -> Result<Vec<i64>> {
        let mut open = Vec::new();
        let days = self
            .record
            .days
            .iter()
            .filter(|(_, published)| published.open);
        for (day, _) in days {
            let kind = &write::OFFERS;
            let rows = write::raw_rows(&self.reader, self.lake, kind, *day).await?;
            for batch in rows.unwrap_or_default() {
                let failed = |source| laid_out(*day, source);
                let outcomes = keys::texts(&batch, "offer_outcome").map_err(failed)?;
                let visitors = of_offers(&batch).map_err(failed)?;
                let both = visitors.iter().zip(&outcomes);
                open.extend(
                    both.filter(|both| both.1 == Some(OPEN))
                        .filter_map(|both| both.0),
                );
            }
        }
        Ok(open)
    }

    /// Makes those of `days` that the closure can have changed; the days whose tables do not hold
    /// what was published.
    async fn pass(
        &mut self,
        closure: Closure,
        days: &BTreeSet<NaiveDate>,
    ) -> Result<BTreeSet<NaiveDate>> {
        let session = QuerySession::from_batches(closure.events, self.options.clone()).await?;
        let accounts = report::accounts(&session).await?;
        let mut damaged = BTreeSet::new();
        for day in days {
            // Sessions of a local day begin on its UTC day or on a neighbour of it.
            let is_near = neighbours(*day)
                .iter()
                .any(|day| closure.event_days.contains(day));
            let is_asked = self.all || self.requested.contains(day) || self.anew.contains(day);
            if !is_near && !is_asked {
                continue;
            }
            let accounts = if is_near { &accounts[..] } else { &[] };
            let new = build::day_rows(&session, *day, accounts).await?;
            match self.published(*day, &new).await? {
                Some(old) => self.day(&session, *day, &old, &new, &closure.keys).await?,
                None => {
                    damaged.insert(*day);
                }
            }
        }
        Ok(damaged)
    }

    /// What was published of a day; `None` if its tables hold something else.
    async fn published(&self, day: NaiveDate, new: &DayRows) -> Result<Option<DayRows>> {
        let none = || DayRows {
            state: RecordBatch::new_empty(new.state.schema()),
            offers: RecordBatch::new_empty(new.offers.schema()),
        };
        if self.anew.contains(&day) {
            return Ok(Some(none()));
        }
        let Some(record) = self.record.days.get(&day) else {
            return Ok(None);
        };
        let failed = |source| laid_out(day, source);
        let with_origin = build::offers_mart(&none().offers, &none().state, self.now)?.schema();
        let stored = async |kind, schema: SchemaRef| {
            write::stored_rows(&self.reader, self.lake, kind, day, &schema).await
        };
        let state = stored(&write::FUNNEL_STATE, new.state.schema()).await?;
        let offers = stored(&write::OFFERS, with_origin).await?;
        let (Some(state), Some(offers)) = (state, offers) else {
            return Ok(None);
        };
        let is_same = content_hash(&state).map_err(failed)? == record.state
            && content_hash(&offers).map_err(failed)? == record.offers;
        let offers = without_origin(&offers).map_err(failed)?;
        Ok(is_same.then_some(DayRows { state, offers }))
    }

    /// Puts `new` in the place of what the touched keys had, and writes what is different.
    async fn day(
        &mut self,
        session: &QuerySession,
        day: NaiveDate,
        old: &DayRows,
        new: &DayRows,
        touched: &HashSet<i64>,
    ) -> Result<()> {
        let failed = |source| laid_out(day, source);
        let merge = || -> Result<_, ArrowError> {
            let keyed = |rows: &RecordBatch, keys| Keyed {
                rows: rows.clone(),
                keys,
            };
            let (state, mut changed) = replace(
                &keyed(&old.state, state::keys(&old.state)?),
                &keyed(&new.state, state::keys(&new.state)?),
                touched,
            )?;
            let (offers, of_offers) = replace(
                &keyed(&old.offers, of_offers(&old.offers)?),
                &keyed(&new.offers, of_offers(&new.offers)?),
                touched,
            )?;
            changed.extend(of_offers);
            Ok((DayRows { state, offers }, changed.len()))
        };
        let (rows, keys_changed) = merge().map_err(failed)?;
        let requested = self.requested.contains(&day);
        if keys_changed == 0 && !requested && !self.all && !self.anew.contains(&day) {
            return Ok(());
        }
        let parts = self.write(session, day, &rows).await?;
        if requested
            || parts
                .iter()
                .any(|part| part.action == super::Action::Written)
        {
            self.done.days.push(DayReport {
                date: day,
                requested,
                keys_changed,
            });
            self.done.partitions.extend(parts);
        }
        Ok(())
    }

    /// Makes state and marts of a day hold exactly this.
    async fn write(
        &mut self,
        session: &QuerySession,
        day: NaiveDate,
        rows: &DayRows,
    ) -> Result<Vec<PartitionReport>> {
        let failed = |source| laid_out(day, source);
        let offers = build::offers_mart(&rows.offers, &rows.state, self.now)?;
        let outcomes = keys::texts(&offers, "offer_outcome").map_err(failed)?;
        let published = Day {
            state: content_hash(&rows.state).map_err(failed)?,
            offers: content_hash(&offers).map_err(failed)?,
            open: outcomes.iter().any(|outcome| outcome == Some(OPEN)),
        };
        let before = self.record.days.get(&day);
        if self.anew.contains(&day) || before.is_none_or(|day| day.state != published.state) {
            write::state(self.lake, day, &rows.state).await?;
        }
        let accounts = &self.record.accounts;
        let daily = build::funnel_daily(session, day, accounts, &rows.state, self.now).await?;
        let mart = async |kind, rows| write::mart(session, self.lake, kind, day, rows).await;
        let mut parts = vec![mart(&write::OFFERS, offers).await?];
        if daily.num_columns() > 0 {
            parts.push(mart(&write::FUNNEL_DAILY, daily).await?);
        }
        self.record.days.insert(day, published);
        Ok(parts)
    }
}

/// The day, the one before and the one after.
fn neighbours(day: NaiveDate) -> Vec<NaiveDate> {
    [day.pred_opt(), Some(day), day.succ_opt()]
        .into_iter()
        .flatten()
        .collect()
}

/// The key of each offer: its visitor.
fn of_offers(rows: &RecordBatch) -> Result<Int64Array, ArrowError> {
    let accounts = keys::texts(rows, "account_id")?;
    let visitors = keys::texts(rows, "visitor_id")?;
    let both = accounts.iter().zip(&visitors);
    Ok(both
        .map(|(account, id)| Some(keys::visitor(account?, id?)))
        .collect())
}

fn laid_out(day: NaiveDate, source: ArrowError) -> QueryError {
    QueryError::query(
        format!("could not lay out what was published of {day}"),
        source.into(),
    )
}
