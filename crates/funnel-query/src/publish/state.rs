//! `funnel_state`: what each key contributes to a day, one row per unit of each funnel. The counts
//! of a day are the sum over its rows, so that the rows of a few keys can be replaced.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int64Array, ListBuilder, RecordBatch,
    StringArray, TimestampMicrosecondArray, TimestampMicrosecondBuilder,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{
    ArrowNativeType, DataType, Field, Int64Type, Schema, SchemaRef, TimestampMicrosecondType,
};
use arrow::error::ArrowError;
use chrono::NaiveDate;

use super::build::DATE;
use super::keys;
use crate::QuerySession;
use crate::error::{ErrorKind, QueryError, Result};
use crate::funnel::execution::{by_name, types_of};
use crate::funnel::projection::{UNIT_KEY, VISITOR_KEY};
use crate::report::ReportRequest;

/// In the place of a unit: when the events of a key happened.
pub(super) const SPAN: &str = "span";

fn time_type() -> DataType {
    DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))
}

/// The columns.
pub(super) fn schema() -> SchemaRef {
    let text = |name: &str| Field::new(name, DataType::Utf8, true);
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let times = DataType::List(Arc::new(Field::new_list_field(time_type(), true)));
    Arc::new(Schema::new(vec![
        text("account_id"),
        text("funnel"),
        text("unit"),
        text("breakdown"),
        text("breakdown_value"),
        text("unit_key"),
        number("key"),
        number("reached"),
        number("required"),
        number("seen"),
        Field::new("times", times, true),
        Field::new(DATE, DataType::Date32, true),
    ]))
}

/// The state of the units of one report.
pub(super) fn of_units(
    request: &ReportRequest,
    batches: &[RecordBatch],
) -> Result<Vec<RecordBatch>> {
    let failed = |source: ArrowError| QueryError::query("could not keep units", source.into());
    let mut parts = Vec::with_capacity(batches.len());
    for batch in batches {
        let part = of_batch(request, batch).map_err(failed)?;
        if part
            .column_by_name("key")
            .is_none_or(|keys| keys.null_count() > 0)
        {
            return Err(QueryError::new(
                ErrorKind::Internal,
                format!(
                    "a unit of funnel `{}` belongs to no visitor",
                    request.funnel.name
                ),
            ));
        }
        parts.push(part);
    }
    Ok(parts)
}

fn of_batch(request: &ReportRequest, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let steps = request.funnel.steps.len();
    let account = request.account.as_deref().unwrap_or_default();
    let reached = mask(batch, 'r', steps)?;
    // A unit that reached nothing is in no count.
    let kept: BooleanArray = reached.iter().map(|bits| Some(bits != Some(0))).collect();
    let visitors = keys::texts(batch, VISITOR_KEY)?;
    let key = visitors.iter().map(|key| {
        let id = key?.strip_prefix(account)?.strip_prefix('|')?;
        Some(keys::visitor(account, id))
    });
    let rows = batch.num_rows();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows])) };
    let value: ArrayRef = match request.by.first() {
        None => Arc::new(StringArray::new_null(rows)),
        Some(_) => Arc::new(keys::texts(batch, &by_name(0))?),
    };
    let unit = request.unit.unwrap_or(request.funnel.unit);
    let columns: Vec<ArrayRef> = vec![
        text(account),
        text(&request.funnel.name),
        text(unit.as_str()),
        text(breakdown(request)),
        value,
        Arc::new(keys::texts(batch, UNIT_KEY)?),
        Arc::new(key.collect::<Int64Array>()),
        Arc::new(reached),
        Arc::new(mask(batch, 'q', steps)?),
        Arc::new(mask(batch, 'n', steps)?),
        times(batch, steps)?,
        dates(request.from, rows),
    ];
    let all = RecordBatch::try_new(schema(), columns)?;
    arrow::compute::filter_record_batch(&all, &kept)
}

/// When events happened, by the rows of a query: account, keys, first and last time.
pub(super) fn of_spans(day: NaiveDate, batch: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let text = |value: &str| -> ArrayRef { Arc::new(StringArray::from(vec![value; rows])) };
    let none: ArrayRef = Arc::new(StringArray::new_null(rows));
    let zero: ArrayRef = Arc::new(Int64Array::from(vec![0; rows]));
    let ends = ["first", "last"].map(|name| micros(batch, name));
    let ends = ends.into_iter().collect::<Result<Vec<_>, _>>()?;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(keys::texts(batch, "account_id")?),
        Arc::clone(&none),
        text(SPAN),
        Arc::clone(&none),
        Arc::clone(&none),
        none,
        Arc::new(keys::RowKeys::of(batch)?.first(rows)),
        Arc::clone(&zero),
        Arc::clone(&zero),
        zero,
        list(&ends, rows),
        dates(day, rows),
    ];
    RecordBatch::try_new(schema(), columns)
}

/// What the columns `breakdown` say of a report.
pub(super) fn breakdown(request: &ReportRequest) -> &str {
    // `all` is the whole: a NULL value of a dimension is a row of its own.
    request.by.first().map_or("all", String::as_str)
}

/// The state of a day, apart by report.
pub(super) struct ByReport {
    schema: SchemaRef,
    /// By account, funnel, unit and breakdown.
    reports: HashMap<[String; 4], Vec<RecordBatch>>,
}

impl ByReport {
    pub(super) fn new(state: &RecordBatch) -> Result<Self, ArrowError> {
        let names = ["account_id", "funnel", "unit", "breakdown"];
        let texts = names.map(|name| keys::texts(state, name));
        let texts = texts.into_iter().collect::<Result<Vec<_>, _>>()?;
        let of = |row: usize| {
            let text = |texts: &StringArray| match texts.is_valid(row) {
                true => texts.value(row).to_owned(),
                false => String::new(),
            };
            [0, 1, 2, 3].map(|column| texts.get(column).map(text).unwrap_or_default())
        };
        let is_next = |row: usize| {
            let same = |texts: &StringArray| {
                texts.is_valid(row) == texts.is_valid(row - 1)
                    && texts.value(row) == texts.value(row - 1)
            };
            texts.iter().all(same)
        };
        let mut reports: HashMap<_, Vec<RecordBatch>> = HashMap::new();
        let mut from = 0;
        for row in 1..=state.num_rows() {
            if row == state.num_rows() || !is_next(row) {
                let rows = state.slice(from, row - from);
                reports.entry(of(from)).or_default().push(rows);
                from = row;
            }
        }
        Ok(Self {
            schema: state.schema(),
            reports,
        })
    }

    /// The units of one report, as they were made.
    pub(super) async fn units(
        &self,
        session: &QuerySession,
        request: &ReportRequest,
    ) -> Result<RecordBatch> {
        let types = types_of(session.ctx(), &request.by).await?;
        let unit = request.unit.unwrap_or(request.funnel.unit);
        let of = [
            request.account.as_deref().unwrap_or_default(),
            &request.funnel.name,
            unit.as_str(),
            breakdown(request),
        ];
        let rows = self.reports.get(&of.map(str::to_owned));
        let read = || {
            let rows = rows.map(Vec::as_slice).unwrap_or_default();
            let state = concat_batches(&self.schema, rows)?;
            unpacked(&state, request.funnel.steps.len(), &types)
        };
        read().map_err(|source: ArrowError| {
            QueryError::query("could not read units from `funnel_state`", source.into())
        })
    }
}

fn unpacked(
    state: &RecordBatch,
    steps: usize,
    types: &[DataType],
) -> Result<RecordBatch, ArrowError> {
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    for (index, data_type) in types.iter().enumerate() {
        let values = keys::texts(state, "breakdown_value")?;
        columns.push((by_name(index), cast(&values, data_type)?));
    }
    for (mark, name) in [('r', "reached"), ('q', "required"), ('n', "seen")] {
        let bits = number(state, name)?;
        for step in 0..steps {
            let flags: BooleanArray = bits
                .iter()
                .map(|bits| Some(bits? >> step & 1 == 1))
                .collect();
            columns.push((format!("{mark}{step}"), Arc::new(flags)));
        }
    }
    let lists = state
        .column_by_name("times")
        .and_then(|lists| lists.as_list_opt::<i32>())
        .ok_or_else(|| ArrowError::SchemaError("`times` is no list".to_owned()))?;
    let all = lists
        .values()
        .as_primitive_opt::<TimestampMicrosecondType>();
    let all = all.ok_or_else(|| ArrowError::SchemaError("`times` are no times".to_owned()))?;
    let ends = lists.value_offsets().windows(2);
    let ends: Vec<(usize, usize)> = ends
        .map(|ends| (ends[0].as_usize(), ends[1].as_usize()))
        .collect();
    for step in 0..steps {
        let at = |(from, to): &(usize, usize)| {
            let at = from + step;
            (at < *to && all.is_valid(at)).then(|| all.value(at))
        };
        let times: TimestampMicrosecondArray = ends.iter().map(at).collect();
        columns.push((format!("t{step}"), Arc::new(times.with_timezone("UTC"))));
    }
    RecordBatch::try_from_iter_with_nullable(
        columns
            .into_iter()
            .map(|(name, values)| (name, values, true)),
    )
}

/// First and last instant of the events of a day.
pub(super) fn span(state: &RecordBatch) -> Result<(Option<i64>, Option<i64>), ArrowError> {
    let units = keys::texts(state, "unit")?;
    let lists = state
        .column_by_name("times")
        .and_then(|lists| lists.as_list_opt::<i32>());
    let mut span: (Option<i64>, Option<i64>) = (None, None);
    for row in (0..state.num_rows()).filter(|row| units.value(*row) == SPAN) {
        let Some(times) = lists.map(|lists| lists.value(row)) else {
            continue;
        };
        let times = times.as_primitive::<TimestampMicrosecondType>();
        let (first, last) = (times.value(0), times.value(1));
        span.0 = Some(span.0.map_or(first, |known| known.min(first)));
        span.1 = Some(span.1.map_or(last, |known| known.max(last)));
    }
    Ok(span)
}

/// The key of each row.
pub(super) fn keys(state: &RecordBatch) -> Result<Int64Array, ArrowError> {
    number(state, "key")
}

/// The batches as one.
pub(super) fn joined(batches: &[RecordBatch]) -> Result<RecordBatch, ArrowError> {
    concat_batches(&schema(), batches)
}

fn dates(day: NaiveDate, rows: usize) -> ArrayRef {
    Arc::new(Date32Array::from(vec![day.to_epoch_days(); rows]))
}

fn mask(batch: &RecordBatch, mark: char, steps: usize) -> Result<Int64Array, ArrowError> {
    let mut bits = vec![0_i64; batch.num_rows()];
    for step in 0..steps {
        let name = format!("{mark}{step}");
        let flags = batch
            .column_by_name(&name)
            .and_then(|flags| flags.as_boolean_opt())
            .ok_or_else(|| ArrowError::SchemaError(format!("there is no flag `{name}`")))?;
        for (row, bits) in bits.iter_mut().enumerate() {
            *bits |= i64::from(flags.is_valid(row) && flags.value(row)) << step;
        }
    }
    Ok(Int64Array::from(bits))
}

fn times(batch: &RecordBatch, steps: usize) -> Result<ArrayRef, ArrowError> {
    let columns = (0..steps).map(|step| micros(batch, &format!("t{step}")));
    Ok(list(
        &columns.collect::<Result<Vec<_>, _>>()?,
        batch.num_rows(),
    ))
}

fn list(columns: &[TimestampMicrosecondArray], rows: usize) -> ArrayRef {
    let values = TimestampMicrosecondBuilder::new().with_timezone("UTC");
    let mut lists = ListBuilder::new(values);
    for row in 0..rows {
        for column in columns {
            let time = column.is_valid(row).then(|| column.value(row));
            lists.values().append_option(time);
        }
        lists.append(true);
    }
    Arc::new(lists.finish())
}

fn micros(batch: &RecordBatch, name: &str) -> Result<TimestampMicrosecondArray, ArrowError> {
    let found = batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{name}`")))?;
    let times = cast(found, &time_type())?;
    Ok(times.as_primitive::<TimestampMicrosecondType>().clone())
}

fn number(batch: &RecordBatch, name: &str) -> Result<Int64Array, ArrowError> {
    let found = batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("there is no column `{name}`")))?;
    Ok(found.as_primitive::<Int64Type>().clone())
}
