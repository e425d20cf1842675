//! From rows back to Arrow columns.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Date32Array, Int16Array, Int32Array, Int64Array,
    RecordBatch, StringArray, StringBuilder, TimestampMicrosecondArray,
};
use arrow::compute::{cast, interleave};
use arrow::datatypes::{DataType, Field, Int16Type, Int32Type};
use arrow::error::ArrowError;

use super::calendar::Calendar;
use super::intern::{Interner, NULL};
use super::legs::Fact;
use super::row::{Duplicate, Row, code};

/// Events later than this behind their time are late (microseconds).
const LATE_US: i64 = 6 * 3600 * 1_000_000;

/// Makes columns from rows and the batches they were read from.
#[derive(Debug)]
pub(crate) struct Writer<'a> {
    pub(crate) texts: &'a Interner,
    pub(crate) batches: &'a [RecordBatch],
    pub(crate) calendar: &'a mut Calendar,
}

impl Writer<'_> {
    /// The column `field` for `rows`.
    pub(crate) fn column(&mut self, field: &Field, rows: &[Row]) -> Result<ArrayRef, ArrowError> {
        let column = match self.id_column(field.name(), rows)? {
            Some(column) => column,
            None => match self.added_column(field.name(), rows) {
                Some(column) => column,
                None => self.source_column(field.name(), rows)?,
            },
        };
        if column.data_type() == field.data_type() {
            Ok(column)
        } else {
            cast(&column, field.data_type())
        }
    }

    /// Columns of `events` that the rules may have changed.
    fn id_column(&self, name: &str, rows: &[Row]) -> Result<Option<ArrayRef>, ArrowError> {
        let text = |get: fn(&Row) -> u32| -> ArrayRef {
            Arc::new(
                rows.iter()
                    .map(|row| self.texts.get(get(row)))
                    .collect::<StringArray>(),
            )
        };
        Ok(Some(match name {
            "visitor_id" => text(|row| row.visitor),
            "session_id" => text(|row| row.session),
            "context_id" => text(|row| row.context),
            "session_key" => self.joined(rows, Self::session_key),
            "offer_key" => self.joined(rows, Self::offer_key),
            "chat_leg_key" => self.joined(rows, Self::leg_key),
            "flow" => names(rows, |row| Some(row.flow.name())),
            "campaign_id" => Arc::new(rows.iter().map(|r| r.campaign).collect::<Int64Array>()),
            "engagement_id" => Arc::new(rows.iter().map(|r| r.engagement).collect::<Int64Array>()),
            "engagement_revision" => {
                Arc::new(rows.iter().map(|row| row.revision).collect::<Int32Array>())
            }
            "was_connected" => self.was_connected(rows)?,
            "available" => self.available(rows)?,
            "event_id" | "event_type" | "event_type_code" if rows.iter().any(|r| r.derived) => {
                self.derived(name, rows)?
            }
            _ => return Ok(None),
        }))
    }

    /// Columns that `events` does not have.
    fn added_column(&mut self, name: &str, rows: &[Row]) -> Option<ArrayRef> {
        Some(match name {
            "is_duplicate" => truths(rows, |row| Some(row.duplicate.is_some())),
            "duplicate_kind" => names(rows, |row| row.duplicate.map(Duplicate::name)),
            "is_derived" => truths(rows, |row| Some(row.derived)),
            "is_late" => truths(rows, |row| Some(row.received - row.time > LATE_US)),
            "stale_offer" => truths(rows, |row| row.stale),
            "join_quality" => names(rows, |row| row.join.map(super::row::Join::name)),
            "session_start_time" => Arc::new(
                rows.iter()
                    .map(|row| row.session_start)
                    .collect::<TimestampMicrosecondArray>()
                    .with_timezone("UTC"),
            ),
            "session_start_date" => {
                let calendar = &mut *self.calendar;
                let day = |row: &Row| Some(calendar.local_day(row.account, row.session_start?));
                Arc::new(rows.iter().map(day).collect::<Date32Array>())
            }
            "local_date" => {
                let calendar = &mut *self.calendar;
                let day = |row: &Row| calendar.local_day(row.account, row.time);
                Arc::new(Date32Array::from_iter_values(rows.iter().map(day)))
            }
            "time_zone" => names(rows, |row| Some(self.calendar.zone(row.account).name())),
            "agent_state_at_event" => {
                Arc::new(rows.iter().map(|row| row.state).collect::<Int16Array>())
            }
            "conversation_key" => Arc::new(
                rows.iter()
                    .map(|row| self.texts.get(row.conversation))
                    .collect::<StringArray>(),
            ),
            "leg_number" => Arc::new(rows.iter().map(|row| row.leg).collect::<Int32Array>()),
            "visitor_key" => self.joined(rows, Self::visitor_key),
            _ => return None,
        })
    }

    /// A column as it was read.
    fn source_column(&self, name: &str, rows: &[Row]) -> Result<ArrayRef, ArrowError> {
        let columns: Vec<&dyn Array> = self
            .batches
            .iter()
            .map(|batch| {
                batch
                    .column_by_name(name)
                    .map(AsRef::as_ref)
                    .ok_or_else(|| {
                        ArrowError::SchemaError(format!("table `events` has no column `{name}`"))
                    })
            })
            .collect::<Result<_, _>>()?;
        let places: Vec<(usize, usize)> = rows
            .iter()
            .map(|row| (row.at.0 as usize, row.at.1 as usize))
            .collect();
        interleave(&columns, &places)
    }

    fn was_connected(&self, rows: &[Row]) -> Result<ArrayRef, ArrowError> {
        let said = cast(
            &self.source_column("was_connected", rows)?,
            &DataType::Boolean,
        )?;
        let said = said.as_boolean();
        let known = rows.iter().enumerate().map(|(index, row)| {
            row.was_connected
                .or_else(|| said.is_valid(index).then(|| said.value(index)))
        });
        Ok(Arc::new(known.collect::<BooleanArray>()))
    }

    /// An estimated wait answers the question for availability, too: -1 says that nobody is there.
    fn available(&self, rows: &[Row]) -> Result<ArrayRef, ArrowError> {
        let said = cast(&self.source_column("available", rows)?, &DataType::Boolean)?;
        let wait = cast(
            &self.source_column("estimated_wait_time", rows)?,
            &DataType::Int32,
        )?;
        let (said, wait) = (said.as_boolean(), wait.as_primitive::<Int32Type>());
        let answers = rows.iter().enumerate().map(|(index, row)| {
            let estimated = row.code == code::AVAILABILITY && wait.is_valid(index);
            if said.is_valid(index) {
                Some(said.value(index))
            } else {
                estimated.then(|| wait.value(index) != -1)
            }
        });
        Ok(Arc::new(answers.collect::<BooleanArray>()))
    }

    /// Id and type, which derived rows have of their own.
    fn derived(&self, name: &str, rows: &[Row]) -> Result<ArrayRef, ArrowError> {
        let source = self.source_column(name, rows)?;
        if name == "event_type_code" {
            let said = cast(&source, &DataType::Int16)?;
            let said = said.as_primitive::<Int16Type>();
            let codes = rows.iter().enumerate().map(|(index, row)| {
                if row.derived {
                    row.code
                } else {
                    said.value(index)
                }
            });
            return Ok(Arc::new(Int16Array::from_iter_values(codes)));
        }
        let said = cast(&source, &DataType::Utf8)?;
        let said = said.as_string::<i32>();
        let mut builder = StringBuilder::new();
        for (index, row) in rows.iter().enumerate() {
            match (row.derived, name) {
                (true, "event_id") => builder.append_value(format!("{:032x}", row.id)),
                (true, _) => builder.append_value(event_type(row.code)),
                (false, _) => builder.append_value(said.value(index)),
            }
        }
        Ok(Arc::new(builder.finish()))
    }

    /// A key made of several texts; `write` says whether there is one.
    fn joined(&self, rows: &[Row], write: fn(&Self, &Row, &mut String) -> bool) -> ArrayRef {
        let mut builder = StringBuilder::new();
        let mut text = String::new();
        for row in rows {
            text.clear();
            if write(self, row, &mut text) {
                builder.append_value(&text);
            } else {
                builder.append_null();
            }
        }
        Arc::new(builder.finish())
    }

    fn visitor_key(&self, row: &Row, text: &mut String) -> bool {
        text.push_str(self.texts.text(row.account));
        text.push('|');
        text.push_str(self.texts.text(row.visitor));
        row.visitor != NULL
    }

    fn session_key(&self, row: &Row, text: &mut String) -> bool {
        let has_visitor = self.visitor_key(row, text);
        text.push('|');
        text.push_str(self.texts.text(row.session));
        has_visitor && row.session != NULL
    }

    fn offer_key(&self, row: &Row, text: &mut String) -> bool {
        let has_session = self.session_key(row, text);
        if row.unavailable > 0 {
            text.push_str(&format!("|na{}", row.unavailable));
            return has_session;
        }
        text.push('|');
        text.push_str(self.texts.text(row.context));
        has_session && row.context != NULL
    }

    fn leg_key(&self, row: &Row, text: &mut String) -> bool {
        let Some(leg) = row.leg.filter(|_| row.conversation != NULL) else {
            return false;
        };
        text.push_str(self.texts.text(row.conversation));
        text.push_str(&format!("#{leg}"));
        true
    }
}

fn names(rows: &[Row], name: impl Fn(&Row) -> Option<&'static str>) -> ArrayRef {
    Arc::new(rows.iter().map(name).collect::<StringArray>())
}

fn truths(rows: &[Row], truth: impl Fn(&Row) -> Option<bool>) -> ArrayRef {
    Arc::new(rows.iter().map(truth).collect::<BooleanArray>())
}

fn event_type(code: i16) -> &'static str {
    [
        Fact::Requested,
        Fact::Connected,
        Fact::Interactive,
        Fact::Transferred,
        Fact::Ended,
    ]
    .into_iter()
    .find(|fact| fact.code() == code)
    .map_or("", Fact::event_type)
}
