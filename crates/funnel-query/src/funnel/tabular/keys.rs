//! One key after the other through the matcher.

use std::collections::HashSet;
use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::SortOptions;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use chrono::NaiveDate;
use funnel_match::classify::{self, Reason};
use funnel_match::{Count, Matcher, Mode, Outcome, Row, STEPS_MAX, Spec, State};

use super::definition::{Period, TableFunnel, Touch};
use super::plan::{Clock, Plan};
use crate::error::{QueryError, Result};

/// How far one key got.
#[derive(Debug, Clone)]
pub(crate) struct Unit {
    pub(crate) key: OwnedRow,
    /// The breakdown value, where there is a breakdown.
    pub(crate) value: Option<OwnedRow>,
    pub(crate) level: usize,
    pub(crate) state: State,
    /// By step: the time of the row that reached it.
    pub(crate) times: Vec<Option<i64>>,
    /// By step: the id of the row that reached it.
    pub(crate) ids: Vec<Option<String>>,
    /// By step.
    pub(crate) reached: Vec<bool>,
    /// Why it went no further.
    pub(crate) reason: Option<Reason>,
    /// When its chain began, or the attempt that an excluded row ended.
    pub(crate) entered: Option<i64>,
    /// The exclusion that ended it, and the id of the excluded row.
    pub(crate) excluded_by: Option<(usize, Option<String>)>,
}

impl Unit {
    /// The first day of the period in which the key entered; `None` if it did not.
    pub(crate) fn period(&self, period: Period, clock: Clock) -> Option<NaiveDate> {
        let local = clock.time(self.entered?)?.with_timezone(&period.zone);
        period.every.beginning(local.date_naive())
    }
}

/// Turns the keys and breakdown values of units into columns again.
#[derive(Debug)]
pub(crate) struct Values {
    keys: RowConverter,
    by: RowConverter,
}

impl Values {
    pub(crate) fn key(&self, units: &[Unit]) -> Result<ArrayRef, ArrowError> {
        let columns = self
            .keys
            .convert_rows(units.iter().map(|unit| unit.key.row()))?;
        let first = columns.into_iter().next();
        first.ok_or_else(|| ArrowError::SchemaError("the funnel has no key".to_owned()))
    }

    pub(crate) fn by<'a>(
        &self,
        values: impl Iterator<Item = &'a OwnedRow>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        self.by.convert_rows(values.map(OwnedRow::row))
    }
}

/// Reads rows ordered by key, held values and time.
pub(crate) struct Evaluation {
    matcher: Matcher,
    /// Finds the attempts, where those are counted.
    attempts: Option<Matcher>,
    completions_only: bool,
    touch: Touch,
    names: Names,
    values: Values,
    holds: RowConverter,
    /// The breakdown value of a key that has none.
    no_value: Option<OwnedRow>,
    key: Option<OwnedRow>,
    hold: Option<OwnedRow>,
    run: Run,
    /// The rows of the key, whatever their held values.
    whole: Vec<Row>,
    seen: HashSet<String>,
    best: Option<Unit>,
    chain: Vec<Option<usize>>,
    /// One bit for each step.
    all: u64,
    pub(crate) unplaced: u64,
}

/// Columns of the plan, by role.
struct Names {
    keys: Vec<String>,
    holds: Vec<String>,
    by: Vec<String>,
    /// Of the steps, then of the exclusions.
    conditions: Vec<String>,
    has_id: bool,
}

/// The rows of one key with equal held values.
#[derive(Default)]
struct Run {
    rows: Vec<Row>,
    ids: Vec<Option<String>>,
    values: Vec<OwnedRow>,
}

/// The columns of one batch.
pub(super) struct Batch<'a> {
    keys: arrow::row::Rows,
    pub(super) holds: Option<arrow::row::Rows>,
    by: Option<arrow::row::Rows>,
    first_key: &'a ArrayRef,
    pub(super) times: &'a Int64Array,
    pub(super) masks: Vec<u64>,
    pub(super) ids: Option<&'a StringArray>,
}

impl Evaluation {
    pub(crate) fn new(funnel: &TableFunnel, plan: &Plan) -> Result<Self> {
        let spec = spec(funnel, plan)?;
        let numbered = |mark: &str, count: usize| -> Vec<String> {
            (0..count).map(|index| format!("{mark}_{index}")).collect()
        };
        let names = Names {
            keys: numbered("key", plan.keys),
            holds: numbered("hold", plan.holds),
            by: numbered("by", plan.by),
            conditions: [
                numbered("step", plan.steps),
                numbered("exclusion", plan.exclusions),
            ]
            .concat(),
            has_id: plan.has_id,
        };
        let failed =
            |source: ArrowError| QueryError::query("could not plan the funnel", source.into());
        let converter = |names: &[String]| converter(plan, names).map_err(failed);
        let by = converter(&names.by)?;
        let none = names.by.iter().map(|name| {
            let field = plan.rows.schema().field_with_unqualified_name(name);
            field.map(|field| new_null_array(field.data_type(), 1))
        });
        let none: Vec<ArrayRef> = none
            .collect::<Result<_, _>>()
            .map_err(|source| QueryError::query("could not plan the funnel", source))?;
        let no_value = if none.is_empty() {
            None
        } else {
            Some(by.convert_columns(&none).map_err(failed)?.row(0).owned())
        };
        Ok(Self {
            matcher: Matcher::new(spec.attempt()),
            attempts: (funnel.count != Count::Unique).then(|| Matcher::new(spec)),
            completions_only: funnel.count == Count::Completions,
            touch: funnel.breakdown.attribution,
            holds: converter(&names.holds)?,
            values: Values {
                keys: converter(&names.keys)?,
                by,
            },
            names,
            no_value,
            key: None,
            hold: None,
            run: Run::default(),
            whole: Vec::new(),
            seen: HashSet::new(),
            best: None,
            chain: Vec::new(),
            all: u64::MAX >> (STEPS_MAX - plan.steps),
            unplaced: 0,
        })
    }

    /// Takes the rows of `batch`; each key that is complete goes to `take`.
    pub(crate) fn add(
        &mut self,
        batch: &RecordBatch,
        take: &mut impl FnMut(Unit),
    ) -> Result<(), ArrowError> {
        let batch = self.read(batch)?;
        for row in 0..batch.times.len() {
            if batch.first_key.is_null(row) || batch.times.is_null(row) {
                self.unplaced += u64::from(batch.masks[row] & self.all != 0);
                continue;
            }
            let key = batch.keys.row(row);
            if self.key.as_ref().is_none_or(|current| current.row() != key) {
                self.finish(take);
                self.key = Some(key.owned());
            }
            if let Some(holds) = &batch.holds {
                let hold = holds.row(row);
                if self
                    .hold
                    .as_ref()
                    .is_none_or(|current| current.row() != hold)
                {
                    self.evaluate(take);
                    self.hold = Some(hold.owned());
                }
            }
            let id = batch
                .ids
                .filter(|ids| ids.is_valid(row))
                .map(|ids| ids.value(row));
            if let Some(id) = id
                && !self.seen.insert(id.to_owned())
            {
                continue;
            }
            let found = Row {
                time: batch.times.value(row),
                mask: batch.masks[row],
            };
            self.run.rows.push(found);
            if batch.holds.is_some() {
                self.whole.push(found);
            }
            self.run.ids.push(id.map(str::to_owned));
            if let Some(by) = &batch.by {
                self.run.values.push(by.row(row).owned());
            }
        }
        Ok(())
    }

    /// Ends the current key.
    pub(crate) fn finish(&mut self, take: &mut impl FnMut(Unit)) {
        self.evaluate(take);
        self.hold = None;
        self.seen.clear();
        let mut whole = std::mem::take(&mut self.whole);
        if let Some(mut unit) = self.best.take() {
            if let Some(reason) = unit.reason.filter(|_| !whole.is_empty()) {
                whole.sort_by_key(|row| row.time);
                unit.reason = Some(reason.unless_held(self.matcher.spec(), &whole));
            }
            take(unit);
        }
    }

    pub(super) fn spec(&self) -> &Spec {
        self.matcher.spec()
    }

    /// The funnel whose attempts are counted, where they are.
    pub(super) fn counted(&self) -> Option<&Spec> {
        self.attempts.as_ref().map(Matcher::spec)
    }

    /// The columns of held values.
    pub(super) fn held<'a>(
        &self,
        holds: impl Iterator<Item = &'a OwnedRow>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        self.holds.convert_rows(holds.map(OwnedRow::row))
    }

    pub(crate) fn into_values(self) -> Values {
        self.values
    }

    /// Matches the current run: each of its attempts, or the key, for which the better of several
    /// runs stands.
    fn evaluate(&mut self, take: &mut impl FnMut(Unit)) {
        let run = std::mem::take(&mut self.run);
        let (Some(key), false) = (self.key.clone(), run.rows.is_empty()) else {
            return;
        };
        if let Some(attempts) = &mut self.attempts {
            let mut ranges = Vec::new();
            attempts.attempts(&run.rows, &mut ranges);
            for (attempt, range) in ranges.iter().enumerate() {
                let outcome = self.matcher.outcome(&run.rows[range.clone()]);
                if !self.completions_only || outcome.state == State::Converted {
                    // What belongs to no attempt may say why this one went no further.
                    let before = attempt
                        .checked_sub(1)
                        .map_or(0, |before| ranges[before].end);
                    let after = ranges.get(attempt + 1);
                    let end = after.map_or(run.rows.len(), |after| after.start);
                    let mut unit = self.unit(&key, &run, range.clone(), outcome);
                    let around = &run.rows[before..end];
                    unit.reason = reason(self.matcher.spec(), around, &outcome).or(unit.reason);
                    take(unit);
                }
            }
            return;
        }
        let outcome = self.matcher.outcome(&run.rows);
        let rank = outcome.state.rank(outcome.level);
        let better = |best: &Unit| rank > best.state.rank(best.level);
        if self.best.as_ref().is_none_or(better) {
            let range = 0..run.rows.len();
            self.best = Some(self.unit(&key, &run, range, outcome));
        }
    }

    /// What became of the rows of `run` in `range`.
    fn unit(&mut self, key: &OwnedRow, run: &Run, range: Range<usize>, outcome: Outcome) -> Unit {
        let begin = range.start;
        let rows = &run.rows[range.clone()];
        let spec = self.matcher.spec();
        let reason = reason(spec, rows, &outcome);
        let steps = spec.steps();
        let reached = self.matcher.reached(rows);
        self.matcher.chain(rows, &mut self.chain);
        self.chain.resize(steps, None);
        let at = |place: &Option<usize>| place.and_then(|place| rows.get(place));
        let id_at = |place: usize| run.ids.get(begin + place).cloned().flatten();
        let times = self.chain.iter().map(|place| at(place).map(|row| row.time));
        let times: Vec<Option<i64>> = times.collect();
        let hit = outcome
            .hit
            .filter(|_| matches!(reason, Some(Reason::ExcludedBy { .. })));
        Unit {
            key: key.clone(),
            value: self.value(run, range),
            level: outcome.level,
            state: outcome.state,
            entered: times
                .iter()
                .flatten()
                .min()
                .copied()
                .or(hit.map(|hit| hit.entry)),
            times,
            ids: self
                .chain
                .iter()
                .map(|place| place.and_then(id_at))
                .collect(),
            reached: (0..steps).map(|step| reached >> step & 1 == 1).collect(),
            reason,
            excluded_by: hit.map(|hit| (hit.exclusion, id_at(hit.row))),
        }
    }

    /// The breakdown value of the rows of a run in `range`, whose chain was just found.
    fn value(&self, run: &Run, range: Range<usize>) -> Option<OwnedRow> {
        let none = self.no_value.as_ref()?;
        let valued = |(row, value): &(&Row, &OwnedRow)| row.mask & self.all != 0 && *value != none;
        let values = &run.values[range.clone()];
        let mut rows = run.rows[range].iter().zip(values);
        let found = match self.touch {
            Touch::First => rows.find(valued).map(|(_, value)| value),
            Touch::Last => rows.rfind(valued).map(|(_, value)| value),
            Touch::All => values.first(),
            Touch::Step(step) => {
                let place = self.chain.get(step.saturating_sub(1)).copied().flatten();
                place.and_then(|place| values.get(place))
            }
        };
        Some(found.unwrap_or(none).clone())
    }

    pub(super) fn read<'a>(&self, batch: &'a RecordBatch) -> Result<Batch<'a>, ArrowError> {
        let rows = |converter: &RowConverter, names: &[String]| {
            let columns = names.iter().map(|name| column(batch, name).cloned());
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            converter.convert_columns(&columns)
        };
        let optional = |converter: &RowConverter, names: &[String]| {
            (!names.is_empty())
                .then(|| rows(converter, names))
                .transpose()
        };
        let mut masks = vec![0; batch.num_rows()];
        for (bit, name) in self.names.conditions.iter().enumerate() {
            let flags: &BooleanArray = column(batch, name)?.as_boolean();
            for (row, mask) in masks.iter_mut().enumerate() {
                *mask |= u64::from(flags.is_valid(row) && flags.value(row)) << bit;
            }
        }
        let ids = self
            .names
            .has_id
            .then(|| column(batch, "event_id"))
            .transpose()?;
        Ok(Batch {
            keys: rows(&self.values.keys, &self.names.keys)?,
            holds: optional(&self.holds, &self.names.holds)?,
            by: optional(&self.values.by, &self.names.by)?,
            first_key: column(batch, "key_0")?,
            times: column(batch, "time")?.as_primitive::<Int64Type>(),
            masks,
            ids: ids.map(|ids| ids.as_string::<i32>()),
        })
    }
}

/// Why rows that came to this outcome go no further.
pub(crate) fn reason(spec: &Spec, rows: &[Row], outcome: &Outcome) -> Option<Reason> {
    match outcome.state {
        State::Excluded => Some(Reason::ExcludedBy {
            step: outcome.level,
            row: outcome.hit.map(|hit| hit.row),
        }),
        _ => classify::reason(spec, rows, spec.options().as_of),
    }
}

/// The funnel in the unit of the table's time.
fn spec(funnel: &TableFunnel, plan: &Plan) -> Result<Spec> {
    let as_of = funnel.as_of.map(|as_of| plan.clock.instant(as_of));
    let as_of = as_of.transpose()?;
    let gaps = funnel.gaps(|key, gap| plan.clock.length(key, gap))?;
    let window = match funnel.window {
        Some(window) => plan.clock.length("window", window)?,
        None if funnel.mode == Mode::Set => None,
        None => {
            return Err(QueryError::usage(format!(
                "funnel `{}` has no window: write `window = \"31 days\"`, a bare number where \
                 time is an integer, or \"unbounded\"",
                funnel.name
            )));
        }
    };
    Spec::new(funnel.mode, plan.steps, window)
        .and_then(|spec| spec.with_options(funnel.options(as_of, gaps)))
        .map_err(|e| QueryError::usage(format!("funnel `{}`: {e}", funnel.name)))
}

fn converter(plan: &Plan, names: &[String]) -> Result<RowConverter, ArrowError> {
    let order = SortOptions {
        descending: false,
        nulls_first: false,
    };
    let fields = names.iter().map(|name| {
        let field = plan.rows.schema().field_with_unqualified_name(name);
        let field = field.map_err(|source| ArrowError::SchemaError(source.to_string()))?;
        Ok(SortField::new_with_options(
            field.data_type().clone(),
            order,
        ))
    });
    RowConverter::new(fields.collect::<Result<_, ArrowError>>()?)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("the rows have no column `{name}`"));
    batch.column_by_name(name).ok_or_else(missing)
}
