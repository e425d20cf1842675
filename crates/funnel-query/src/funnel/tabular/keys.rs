//! One key after the other through the matcher.

use std::collections::HashSet;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray, new_null_array,
};
use arrow::compute::SortOptions;
use arrow::datatypes::Int64Type;
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};
use funnel_match::{Matcher, Options, Row, Spec, State, classify};

use super::definition::{TableFunnel, Touch};
use super::plan::Plan;
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
    /// Why it went no further, where the mode can tell.
    pub(crate) reason: Option<&'static str>,
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
    explained: bool,
    touch: Touch,
    names: Names,
    values: Values,
    holds: RowConverter,
    /// The breakdown value of a key that has none.
    no_value: Option<OwnedRow>,
    key: Option<OwnedRow>,
    hold: Option<OwnedRow>,
    run: Run,
    seen: HashSet<String>,
    best: Option<Unit>,
    chain: Vec<Option<usize>>,
    pub(crate) unplaced: u64,
}

/// Columns of the plan, by role.
struct Names {
    keys: Vec<String>,
    holds: Vec<String>,
    by: Vec<String>,
    steps: Vec<String>,
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
struct Batch<'a> {
    keys: arrow::row::Rows,
    holds: Option<arrow::row::Rows>,
    by: Option<arrow::row::Rows>,
    first_key: &'a ArrayRef,
    times: &'a Int64Array,
    masks: Vec<u64>,
    ids: Option<&'a StringArray>,
}

impl Evaluation {
    pub(crate) fn new(funnel: &TableFunnel, plan: &Plan) -> Result<Self> {
        let as_of = funnel
            .as_of
            .map(|as_of| plan.clock.instant(as_of))
            .transpose()?;
        let options = funnel.options(as_of);
        let window = match funnel.window {
            Some(window) => plan.clock.window(window)?,
            None => {
                return Err(QueryError::usage(format!(
                    "funnel `{}` has no window: write `window = \"31 days\"`, a bare number where \
                     time is an integer, or \"unbounded\"",
                    funnel.name
                )));
            }
        };
        let plain = Options {
            as_of,
            ..Options::default()
        } == options;
        let spec = Spec::new(funnel.mode, plan.steps, window)
            .and_then(|spec| spec.with_options(options))
            .map_err(|e| QueryError::usage(format!("funnel `{}`: {e}", funnel.name)))?;
        let numbered = |mark: &str, count: usize| -> Vec<String> {
            (0..count).map(|index| format!("{mark}_{index}")).collect()
        };
        let names = Names {
            keys: numbered("key", plan.keys),
            holds: numbered("hold", plan.holds),
            by: numbered("by", plan.by),
            steps: numbered("step", plan.steps),
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
            matcher: Matcher::new(spec),
            explained: plain,
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
            seen: HashSet::new(),
            best: None,
            chain: Vec::new(),
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
                self.unplaced += u64::from(batch.masks[row] != 0);
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
                    self.evaluate();
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
            self.run.rows.push(Row {
                time: batch.times.value(row),
                mask: batch.masks[row],
            });
            self.run.ids.push(id.map(str::to_owned));
            if let Some(by) = &batch.by {
                self.run.values.push(by.row(row).owned());
            }
        }
        Ok(())
    }

    /// Ends the current key.
    pub(crate) fn finish(&mut self, take: &mut impl FnMut(Unit)) {
        self.evaluate();
        self.hold = None;
        self.seen.clear();
        if let Some(unit) = self.best.take() {
            take(unit);
        }
    }

    pub(crate) fn into_values(self) -> Values {
        self.values
    }

    /// Matches the current run; the better of several runs of a key stands for it.
    fn evaluate(&mut self) {
        let run = std::mem::take(&mut self.run);
        let (Some(key), false) = (&self.key, run.rows.is_empty()) else {
            return;
        };
        let outcome = self.matcher.outcome(&run.rows);
        let rank = |level: usize, state: State| (level, state == State::Open);
        let better = self
            .best
            .as_ref()
            .is_none_or(|best| rank(outcome.level, outcome.state) > rank(best.level, best.state));
        if !better {
            return;
        }
        let steps = self.matcher.spec().steps();
        self.matcher.chain(&run.rows, &mut self.chain);
        self.chain.resize(steps, None);
        let reached = self.matcher.reached(&run.rows);
        let at = |place: &Option<usize>| place.and_then(|place| run.rows.get(place));
        let id = |place: &Option<usize>| place.and_then(|place| run.ids.get(place)?.clone());
        let reason = if self.explained {
            classify::reason(
                self.matcher.spec(),
                &run.rows,
                self.matcher.spec().options().as_of,
            )
            .ok()
            .flatten()
            .map(classify::Reason::name)
        } else {
            None
        };
        self.best = Some(Unit {
            key: key.clone(),
            value: self.value(&run),
            level: outcome.level,
            state: outcome.state,
            times: self
                .chain
                .iter()
                .map(|place| at(place).map(|row| row.time))
                .collect(),
            ids: self.chain.iter().map(id).collect(),
            reached: (0..steps).map(|step| reached >> step & 1 == 1).collect(),
            reason,
        });
    }

    /// The breakdown value of a run whose chain was just found.
    fn value(&self, run: &Run) -> Option<OwnedRow> {
        let none = self.no_value.as_ref()?;
        let valued = |(row, value): &(&Row, &OwnedRow)| row.mask != 0 && *value != none;
        let mut rows = run.rows.iter().zip(&run.values);
        let found = match self.touch {
            Touch::First => rows.find(valued).map(|(_, value)| value),
            Touch::Last => rows.rfind(valued).map(|(_, value)| value),
            Touch::All => run.values.first(),
            Touch::Step(step) => {
                let place = self.chain.get(step.saturating_sub(1)).copied().flatten();
                place.and_then(|place| run.values.get(place))
            }
        };
        Some(found.unwrap_or(none).clone())
    }

    fn read<'a>(&self, batch: &'a RecordBatch) -> Result<Batch<'a>, ArrowError> {
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
        for (step, name) in self.names.steps.iter().enumerate() {
            let flags: &BooleanArray = column(batch, name)?.as_boolean();
            for (row, mask) in masks.iter_mut().enumerate() {
                *mask |= u64::from(flags.is_valid(row) && flags.value(row)) << step;
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
