//! From one row per unit to counts per breakdown value and step.
//!
//! Plain loops over the units as they stream by: as a query plan this would be a hundred
//! expressions that take longer to optimise than to answer.

use std::collections::BTreeMap;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, RecordBatch, TimestampMicrosecondArray,
};
use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, TimestampMicrosecondType};
use arrow::error::ArrowError;
use arrow::row::{OwnedRow, RowConverter, SortField};

use super::execution::{StepRules, by_name};
use super::open::STILL_OPEN;
use super::passage::Passage;
use super::times::Times;
use crate::error::{QueryError, Result};

/// The counts of one step. What a number means stands at `funnel report`'s columns.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct StepCounts {
    pub(crate) reached: i64,
    /// What became of the units that reached the step which they needed before this one.
    pub(crate) passage: Passage,
    /// Not here, but at a later step.
    pub(crate) skipped: i64,
    /// Of those: the ones that needed this step.
    pub(crate) required: i64,
    /// Seconds to the next step that the unit needed, ascending once finished.
    pub(crate) times: Times,
    /// Seconds since the first step of those that reached both.
    pub(crate) from_first: Times,
}

/// Counts per breakdown value, in the order of the values, NULL last.
#[derive(Debug)]
pub(crate) struct Counts {
    /// One array per breakdown, one value per group.
    pub(crate) values: Vec<ArrayRef>,
    /// The steps of each group.
    pub(crate) groups: Vec<Vec<StepCounts>>,
}

/// Counts units batch by batch.
#[derive(Debug)]
pub(crate) struct Counter<'a> {
    steps: &'a [StepRules],
    converter: RowConverter,
    breakdowns: usize,
    groups: BTreeMap<OwnedRow, Vec<StepCounts>>,
}

impl<'a> Counter<'a> {
    /// A counter for units broken down by columns of these types.
    pub(crate) fn new(steps: &'a [StepRules], types: &[DataType]) -> Result<Self, ArrowError> {
        let order = SortOptions {
            descending: false,
            nulls_first: false,
        };
        // Without a breakdown all units are one group; a row must have a column all the same.
        let fields = if types.is_empty() {
            &[DataType::Boolean]
        } else {
            types
        };
        let fields = fields
            .iter()
            .map(|t| SortField::new_with_options(t.clone(), order));
        Ok(Self {
            steps,
            converter: RowConverter::new(fields.collect())?,
            breakdowns: types.len(),
            groups: BTreeMap::new(),
        })
    }

    /// Adds one row per unit, as made by `chain`.
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), ArrowError> {
        let keys: Vec<ArrayRef> = if self.breakdowns == 0 {
            vec![std::sync::Arc::new(BooleanArray::from(vec![
                true;
                batch
                    .num_rows()
            ]))]
        } else {
            let names = (0..self.breakdowns).map(by_name);
            names
                .map(|name| column(batch, &name).cloned())
                .collect::<Result<_, _>>()?
        };
        let keys = self.converter.convert_columns(&keys)?;
        let columns = Columns::new(batch, self.steps.len())?;
        for (row, key) in keys.iter().enumerate() {
            let unit = columns.unit(row);
            if unit.reached.iter().any(|reached| *reached) {
                let empty = || vec![StepCounts::default(); self.steps.len()];
                let counts = self.groups.entry(key.owned()).or_insert_with(empty);
                count(self.steps, &unit, counts);
            }
        }
        Ok(())
    }

    /// The counts, once every unit was added.
    ///
    /// # Errors
    /// When the numbers of a step do not add up.
    pub(crate) fn finish(mut self) -> Result<Counts> {
        if self.breakdowns == 0 {
            // Nobody at all is an answer, too.
            let groups = self.groups.into_values().next();
            let mut steps = groups.unwrap_or_else(|| vec![StepCounts::default(); self.steps.len()]);
            settle(&mut steps)?;
            return Ok(Counts {
                values: Vec::new(),
                groups: vec![steps],
            });
        }
        let values = self
            .converter
            .convert_rows(self.groups.keys().map(OwnedRow::row))
            .map_err(|source| QueryError::query("could not run the funnel", source.into()))?;
        let mut groups: Vec<Vec<StepCounts>> =
            std::mem::take(&mut self.groups).into_values().collect();
        groups.iter_mut().try_for_each(|steps| settle(steps))?;
        Ok(Counts { values, groups })
    }
}

fn settle(steps: &mut [StepCounts]) -> Result<()> {
    for (index, step) in steps.iter_mut().enumerate() {
        step.times.finish();
        step.from_first.finish();
        step.passage.check(index)?;
    }
    Ok(())
}

/// What one unit did, by step.
struct UnitSteps {
    reached: Vec<bool>,
    times: Vec<Option<i64>>,
    required: Vec<bool>,
    seen: Vec<bool>,
    /// Has it a beginning whose window is not over? `None` where no window ends.
    recent: Option<Vec<bool>>,
    /// Can it still get rows?
    is_open: bool,
}

impl UnitSteps {
    /// Could a row of step `missing` still count?
    fn could_reach(&self, missing: usize) -> bool {
        let in_window = |recent: &Vec<bool>| recent[missing];
        self.is_open && self.recent.as_ref().is_none_or(in_window)
    }
}

/// The columns of a batch of units, by step.
struct Columns<'a> {
    reached: Vec<&'a BooleanArray>,
    times: Vec<&'a TimestampMicrosecondArray>,
    required: Vec<&'a BooleanArray>,
    seen: Vec<&'a BooleanArray>,
    recent: Option<Vec<&'a BooleanArray>>,
    open: Option<&'a BooleanArray>,
}

impl<'a> Columns<'a> {
    fn new(batch: &'a RecordBatch, steps: usize) -> Result<Self, ArrowError> {
        let flags = |mark: &str| -> Result<Vec<&'a BooleanArray>, ArrowError> {
            let columns = (0..steps).map(|step| column(batch, &format!("{mark}{step}")));
            columns.map(|found| Ok(found?.as_boolean())).collect()
        };
        let times = (0..steps).map(|step| column(batch, &format!("t{step}")));
        Ok(Self {
            reached: flags("r")?,
            times: times
                .map(|found| Ok(found?.as_primitive::<TimestampMicrosecondType>()))
                .collect::<Result<_, ArrowError>>()?,
            required: flags("q")?,
            seen: flags("n")?,
            recent: batch.column_by_name("w0").map(|_| flags("w")).transpose()?,
            open: batch
                .column_by_name(STILL_OPEN)
                .map(|open| open.as_boolean()),
        })
    }

    fn unit(&self, row: usize) -> UnitSteps {
        let flags = |columns: &[&BooleanArray]| -> Vec<bool> {
            columns
                .iter()
                .map(|column| column.is_valid(row) && column.value(row))
                .collect()
        };
        let time =
            |column: &&TimestampMicrosecondArray| column.is_valid(row).then(|| column.value(row));
        UnitSteps {
            reached: flags(&self.reached),
            times: self.times.iter().map(time).collect(),
            required: flags(&self.required),
            seen: flags(&self.seen),
            recent: self.recent.as_deref().map(flags),
            is_open: self
                .open
                .is_some_and(|open| open.is_valid(row) && open.value(row)),
        }
    }
}

/// Adds one unit. Optional steps lose nobody, so what stands before a step is the last step that
/// this unit needed; every unit has met what stands before the first.
fn count(steps: &[StepRules], unit: &UnitSteps, counts: &mut [StepCounts]) {
    let furthest = unit.reached.iter().rposition(|reached| *reached);
    let mut previous = true;
    for (index, step) in steps.iter().enumerate() {
        let counts = &mut counts[index];
        let reached = unit.reached[index];
        let required = unit.required[index];
        let later = furthest.is_some_and(|furthest| furthest > index);
        let applies = previous && (required || step.required_when.is_none());
        counts.reached += i64::from(reached);
        if applies {
            let is_open = unit.could_reach(index);
            counts.passage.count(reached, later, is_open);
        }
        counts.required += i64::from(previous && required);
        let eligible = step.optional || required;
        counts.skipped += i64::from(eligible && !reached && later && !unit.seen[index]);
        let next = (index + 1..steps.len()).find(|next| unit.required[*next]);
        let to_next = seconds(unit.times[index], next.and_then(|next| unit.times[next]));
        to_next.into_iter().for_each(|span| counts.times.push(span));
        if index > 0 && reached && unit.reached[0] {
            let from_first = seconds(unit.times[0], unit.times[index]);
            from_first
                .into_iter()
                .for_each(|span| counts.from_first.push(span));
        }
        if required {
            previous = reached;
        }
    }
}

/// From one time to a later one.
#[expect(
    clippy::cast_precision_loss,
    reason = "spans of time stay below 2^53 µs"
)]
fn seconds(from: Option<i64>, to: Option<i64>) -> Option<f64> {
    let (from, to) = from.zip(to).filter(|(from, to)| to >= from)?;
    Some((to - from) as f64 / 1_000_000.0)
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, ArrowError> {
    let missing = || ArrowError::SchemaError(format!("the units have no column `{name}`"));
    batch.column_by_name(name).ok_or_else(missing)
}
