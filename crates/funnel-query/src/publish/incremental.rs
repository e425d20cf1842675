//! One run: what came since the last one, which keys and days it changes, and those days again.
//!
//! A day is the sum of what its keys contribute. New events change the contributions of their keys
//! and of all that is tied to them; those are made anew from all of their events, whatever day they
//! are of, and put in the place of the old ones. A day that is published for the first time
//! takes all keys that have events around it; it changes no other day.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use chrono::{DateTime, NaiveDate, Utc};
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::common::runtime::SpawnedTask;
use funnel_lake::{DeltaTableProvider, Lake, LakeError};
use hashbrown::HashSet;
use tokio::task::JoinError;

use super::build::{self, DayRows};
use super::closure::Links;
use super::contract::{content_hash, without_origin};
use super::index::Index;
use super::merge::{Keyed, replace};
use super::record::{self, Day, Record};
use super::{DayReport, PartitionReport, keys, parts, state, write};
use crate::error::{ErrorKind, QueryError, Result};
use crate::{QueryOptions, QuerySession};

/// Days that are made anew are made together as long as they have no more keys than this, so that
/// what has to be held does not grow with the days that are asked for.
const KEYS_AT_ONCE: usize = if cfg!(test) { 30 } else { 200_000 };

/// Events are looked at in parts of at least so many: what is computed over them takes much more memory than they do.
const PART_ROWS: usize = if cfg!(test) { 200 } else { 400_000 };

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
    links: Links,
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
            links: Links::of(events),
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
        seeds.extend(self.open_keys().await?);
        let mut days: BTreeSet<NaiveDate> = self.record.days.keys().copied().collect();
        days.extend(&self.requested);
        days.retain(|day| !self.anew.contains(day));
        let mut anew = self.anew.clone();
        if !days.is_empty() {
            let mut seeds = self.near(seeds, &days).await?;
            if !self.is_utc()
                && let Some(first) = self.together(&anew).into_iter().next()
            {
                let around: HashSet<i64> = self.keys_around(&first).collect();
                // The events of a new day are near a published one too: they are looked at once, for both.
                if 2 * seeds.len() >= around.len() {
                    seeds.extend(around);
                    anew.retain(|day| !first.contains(day));
                    days.extend(first);
                }
            }
            // What a day held may not be what was published: it is made from its events.
            let damaged = self.pass(seeds, &days).await?;
            anew.extend(&damaged);
            self.anew.extend(damaged);
        }
        for days in self.together(&anew) {
            let seeds = self.keys_around(&days).collect();
            self.pass(seeds, &days).await?;
        }
        self.record.keys = self.index.len();
        self.record.write(self.lake).await?;
        self.done.days_read = self.links.days_read().collect();
        self.done.partitions.sort_by_key(|partition| partition.date);
        self.done.days.sort_by_key(|day| day.date);
        Ok(self.done)
    }

    /// Of what is tied to `seeds` the keys of sessions that can have begun on `days`: those of a new day, nearly all
    /// that comes, have none on days that are published, unless a time zone brings them near.
    async fn near(
        &mut self,
        seeds: HashSet<i64>,
        days: &BTreeSet<NaiveDate>,
    ) -> Result<HashSet<i64>> {
        let reader = self.reader.ctx();
        let (tied, _) = self.links.tied(reader, &self.index, seeds).await?;
        let around = self.keys_around(days);
        Ok(around.filter(|key| tied.contains(key)).collect())
    }

    /// Does every local day begin with its UTC day?
    fn is_utc(&self) -> bool {
        self.options.accounts.values().all(|zone| *zone == Tz::UTC)
    }

    /// Days that are made anew, in groups.
    fn together(&self, days: &BTreeSet<NaiveDate>) -> Vec<BTreeSet<NaiveDate>> {
        let mut groups: Vec<BTreeSet<NaiveDate>> = Vec::new();
        let mut keys = 0;
        for day in days {
            let of_day = self.index.keys(*day).len();
            keys += of_day;
            match groups.last_mut().filter(|_| keys <= KEYS_AT_ONCE) {
                Some(group) => {
                    group.insert(*day);
                }
                None => {
                    groups.push(BTreeSet::from([*day]));
                    keys = of_day;
                }
            }
        }
        groups
    }

    /// The keys of every session that can have begun on one of `days`.
    fn keys_around(&self, days: &BTreeSet<NaiveDate>) -> impl Iterator<Item = i64> {
        let around = |day: &NaiveDate| match self.is_utc() {
            true => vec![*day],
            false => neighbours(*day),
        };
        let days: BTreeSet<NaiveDate> = days.iter().flat_map(around).collect();
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
            let rows = write::raw_rows(self.reader.ctx(), self.lake, kind, *day).await?;
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

    /// Makes those of `days` that the keys, and all that they are tied to, can have changed; the days
    /// whose tables do not hold what was published.
    async fn pass(
        &mut self,
        seeds: HashSet<i64>,
        days: &BTreeSet<NaiveDate>,
    ) -> Result<BTreeSet<NaiveDate>> {
        let reader = self.reader.ctx();
        let closure = self.links.follow(reader, &self.index, seeds).await?;
        // Sessions of a local day begin on its UTC day or on a neighbour of it.
        let is_near = |day: &NaiveDate| {
            let near = neighbours(*day);
            near.iter().any(|day| closure.event_days.contains(day))
        };
        let is_asked =
            |day: &NaiveDate| self.all || self.requested.contains(day) || self.anew.contains(day);
        let mut days = days.clone();
        days.retain(|day| is_near(day) || is_asked(day));
        if days.is_empty() {
            return Ok(days);
        }
        let parts = QuerySession::in_parts(closure.events, &self.options, PART_ROWS).await?;
        let mut made = parts::rows(parts, &days).await?;
        let mut damaged = BTreeSet::new();
        let session = QuerySession::from_batches(Vec::new(), self.options.clone()).await?;
        for day in days {
            let new = match made.remove(&day) {
                Some(rows) => rows,
                None => build::no_rows(&session).await?,
            };
            match self.published(day, &new).await? {
                Some(old) => self.day(&session, day, &old, &new, &closure.keys).await?,
                None => {
                    damaged.insert(day);
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
            write::stored_rows(self.reader.ctx(), self.lake, kind, day, &schema).await
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
        let state = rows.state.clone();
        let of_state = SpawnedTask::spawn_blocking(move || content_hash(&state));
        let outcomes = keys::texts(&offers, "offer_outcome").map_err(failed)?;
        let published = Day {
            offers: content_hash(&offers).map_err(failed)?,
            open: outcomes.iter().any(|outcome| outcome == Some(OPEN)),
            state: of_state.join().await.map_err(ended)?.map_err(failed)?,
        };
        let before = self.record.days.get(&day);
        let is_new = before.is_none_or(|before| before.state != published.state);
        let state = (is_new || self.anew.contains(&day)).then(|| rows.state.clone());
        let (lake, ctx, hash) = (
            self.lake.clone(),
            session.ctx().clone(),
            published.offers.clone(),
        );
        let big = SpawnedTask::spawn(async move {
            if let Some(state) = state {
                write::state(&lake, day, &state).await?;
            }
            write::mart(&ctx, &lake, &write::OFFERS, day, offers, hash).await
        });
        let accounts = &self.record.accounts;
        let daily = build::funnel_daily(session, day, accounts, &rows.state, self.now).await?;
        let mut parts = vec![big.join().await.map_err(ended)??];
        if daily.num_columns() > 0 {
            let hash = content_hash(&daily).map_err(failed)?;
            let kind = &write::FUNNEL_DAILY;
            parts.push(write::mart(session.ctx(), self.lake, kind, day, daily, hash).await?);
        }
        self.record.days.insert(day, published);
        Ok(parts)
    }
}

/// A task that was ended, by a defect or with the program.
pub(super) fn ended(source: JoinError) -> QueryError {
    QueryError::new(ErrorKind::Internal, "could not make the rows of days").with_source(source)
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
