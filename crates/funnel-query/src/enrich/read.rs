//! From Arrow batches to rows.

use arrow::array::{
    Array, ArrayRef, AsArray, Int16Array, Int32Array, Int64Array, RecordBatch, StringArray,
};
use arrow::compute::cast;
use arrow::datatypes::{
    DataType, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
};
use arrow::error::ArrowError;

use super::intern::{Interner, NULL, Sym};
use super::row::{Availability, Flow, Form, Row, Source, code};

/// The columns that the rules read.
pub(crate) const CORE: [&str; 44] = [
    "event_id",
    "event_type_code",
    "source_system",
    "source_event",
    "flow",
    "account_id",
    "visitor_id",
    "session_id",
    "page_id",
    "context_id",
    "campaign_id",
    "engagement_id",
    "engagement_revision",
    "agent_state",
    "availability",
    "valid_for_seconds",
    "chat_key",
    "chat_session_key",
    "auth_conversation_id",
    "participant_id",
    "engagement_sequence",
    "chat_state",
    "system_message_id",
    "line_source",
    "line_seq",
    "ended_by",
    "sde_type",
    "survey_type",
    "conversion_type",
    "event_time",
    "received_time",
    "kafka_timestamp",
    "kafka_topic",
    "kafka_partition",
    "kafka_offset",
    "entry_index",
    "event_type",
    "was_connected",
    "session_key",
    "offer_key",
    "chat_leg_key",
    "available",
    "estimated_wait_time",
    "event_date",
];

/// Where a copy of an event stood in Kafka; the first of several copies is the one that counts.
pub(crate) type Coordinate = (i64, Sym, i32, i64, i32);

/// Reads rows from batches, sharing one table of texts.
#[derive(Debug)]
pub(crate) struct RowReader {
    pub(crate) texts: Interner,
    pub(crate) rows: Vec<Row>,
    pub(crate) coordinates: Vec<Coordinate>,
    /// The last account, source system and topic: neighbours mostly share them.
    last: [Sym; 3],
}

impl RowReader {
    pub(crate) fn new() -> Self {
        Self {
            texts: Interner::new(),
            rows: Vec::new(),
            coordinates: Vec::new(),
            last: [NULL; 3],
        }
    }

    /// Adds the rows of `batch`, which is the `number`-th of the input.
    pub(crate) fn add(&mut self, number: u32, batch: &RecordBatch) -> Result<(), ArrowError> {
        let columns = Columns::of(batch)?;
        for index in 0..batch.num_rows() {
            let row = self.row(&columns, number, index);
            let coordinate = (
                columns.kafka_time(index),
                self.repeated(2, &columns.topic, index),
                number_or(&columns.partition, index, 0),
                number_or(&columns.offset, index, 0),
                number_or(&columns.entry, index, -1),
            );
            self.rows.push(row);
            self.coordinates.push(coordinate);
        }
        Ok(())
    }

    fn sym(&mut self, column: &StringArray, index: usize) -> Sym {
        if column.is_null(index) {
            NULL
        } else {
            self.texts.intern(column.value(index))
        }
    }

    /// [`Self::sym`] for a column with few different values.
    fn repeated(&mut self, slot: usize, column: &StringArray, index: usize) -> Sym {
        let last = self.last[slot];
        if last == NULL || column.is_null(index) || column.value(index) != self.texts.text(last) {
            self.last[slot] = self.sym(column, index);
        }
        self.last[slot]
    }

    fn row(&mut self, c: &Columns, batch: u32, index: usize) -> Row {
        let code = number_or(&c.code, index, 0);
        let time = number_or(&c.time, index, 0);
        let chat_key = self.sym(&c.chat_key, index);
        let chat_session = self.sym(&c.chat_session, index);
        let line_seq = optional(&c.line_seq, index);
        let variety = match code {
            code::SURVEY => optional(&c.survey_type, index)
                .map_or(NULL, |kind: i16| self.texts.intern(&kind.to_string())),
            _ => self.sym(&c.sde_type, index),
        };
        let named = chat_key != NULL || chat_session != NULL || line_seq.is_some();
        Row {
            at: (batch, u32::try_from(index).unwrap_or(u32::MAX)),
            id: u128::from_str_radix(c.event_id.value(index), 16).unwrap_or(0),
            code,
            source: Source::of(c.source_system.value(index)),
            system: self.repeated(1, &c.source_system, index),
            flow: Flow::of(c.flow.value(index)),
            account: self.repeated(0, &c.account, index),
            visitor: self.sym(&c.visitor, index),
            session: self.sym(&c.session, index),
            context: self.sym(&c.context, index),
            page: self.sym(&c.page, index),
            campaign: optional(&c.campaign, index),
            engagement: optional(&c.engagement, index),
            revision: optional(&c.revision, index),
            agent_state: optional(&c.agent_state, index),
            availability: availability(text(&c.availability, index)),
            valid_for_seconds: optional(&c.valid_for, index),
            chat_key,
            chat_session,
            auth_conversation: self.sym(&c.auth_conversation, index),
            participant: self.sym(&c.participant, index),
            sequence: optional(&c.sequence, index),
            form: form(c, index, code, named),
            line_seq,
            variety,
            is_conversion: !c.conversion_type.is_null(index),
            time,
            received: number_or(&c.received, index, time),
            first_time: time,
            duplicate: None,
            derived: false,
            join: None,
            stale: None,
            state: None,
            session_start: None,
            chat: 0,
            conversation: NULL,
            leg: None,
            was_connected: None,
            unavailable: 0,
        }
    }
}

/// What the row at `index` says about its chat.
fn form(c: &Columns, index: usize, code: i16, named: bool) -> Form {
    let system_message: Option<i16> = optional(&c.system_message, index);
    match code {
        code::REQUESTED if named => Form::Requested,
        code::REQUESTED => Form::Call,
        code::CONNECTED => Form::Connected,
        code::INTERACTIVE => Form::Interactive,
        code::TRANSFERRED => match system_message {
            None if is_forward(c.source_event.value(index)) => Form::Forwarded,
            _ => Form::Transferred,
        },
        // A leg that ended because it was passed on is a transfer, not an end.
        code::ENDED if text(&c.ended_by, index) == Some("transfer") => Form::Transferred,
        code::ENDED => Form::Ended,
        code::WINDOW => match text(&c.chat_state, index) {
            Some("waiting") => Form::Requested,
            Some("chatting") => Form::Connected,
            Some("interactive") => Form::Interactive,
            Some("ended") => Form::Ended,
            _ => Form::Nothing,
        },
        code::LINE => match (system_message, text(&c.line_source, index)) {
            (Some(4), _) => Form::Requested,
            (Some(3), _) => Form::Connected,
            (Some(5 | 6), _) => Form::Ended,
            (Some(13 | 15 | 23), _) => Form::Transferred,
            (None, Some("visitor")) => Form::VisitorLine,
            _ => Form::OtherLine,
        },
        _ => Form::Nothing,
    }
}

/// Account-to-account transfers: `a2a-transfer`, `onAccountToAccountTransfer`.
fn is_forward(source_event: &str) -> bool {
    let name = source_event.to_ascii_lowercase();
    name.contains("a2a") || name.contains("accounttoaccount")
}

fn availability(text: Option<&str>) -> Availability {
    match text {
        Some("Available") => Availability::Available,
        Some("NotAvailable") => Availability::NotAvailable,
        Some("Error") => Availability::Error,
        _ => Availability::Unsaid,
    }
}

fn text(column: &StringArray, index: usize) -> Option<&str> {
    column.is_valid(index).then(|| column.value(index))
}

/// A numeric column, read with one bounds check.
trait Numbers {
    type Native: Copy;
    fn number(&self, index: usize) -> Option<Self::Native>;
}

macro_rules! numbers {
    ($array:ty, $native:ty) => {
        impl Numbers for $array {
            type Native = $native;
            fn number(&self, index: usize) -> Option<$native> {
                self.is_valid(index).then(|| self.value(index))
            }
        }
    };
}

numbers!(Int16Array, i16);
numbers!(Int32Array, i32);
numbers!(Int64Array, i64);

fn optional<A: Numbers>(column: &A, index: usize) -> Option<A::Native> {
    column.number(index)
}

fn number_or<A: Numbers>(column: &A, index: usize, default: A::Native) -> A::Native {
    column.number(index).unwrap_or(default)
}

/// The core columns of one batch.
struct Columns {
    event_id: StringArray,
    code: Int16Array,
    source_system: StringArray,
    source_event: StringArray,
    flow: StringArray,
    account: StringArray,
    visitor: StringArray,
    session: StringArray,
    page: StringArray,
    context: StringArray,
    campaign: Int64Array,
    engagement: Int64Array,
    revision: Int32Array,
    agent_state: Int16Array,
    availability: StringArray,
    valid_for: Int32Array,
    chat_key: StringArray,
    chat_session: StringArray,
    auth_conversation: StringArray,
    participant: StringArray,
    sequence: Int32Array,
    chat_state: StringArray,
    system_message: Int16Array,
    line_source: StringArray,
    line_seq: Int64Array,
    ended_by: StringArray,
    sde_type: StringArray,
    survey_type: Int16Array,
    conversion_type: StringArray,
    time: Int64Array,
    received: Int64Array,
    kafka_time: Int64Array,
    topic: StringArray,
    partition: Int32Array,
    offset: Int64Array,
    entry: Int32Array,
}

impl Columns {
    fn of(batch: &RecordBatch) -> Result<Self, ArrowError> {
        let text = |name: &str| strings(batch, name);
        let short = |name: &str| -> Result<Int16Array, ArrowError> {
            Ok(typed(batch, name, &DataType::Int16)?
                .as_primitive::<Int16Type>()
                .clone())
        };
        let int = |name: &str| -> Result<Int32Array, ArrowError> {
            Ok(typed(batch, name, &DataType::Int32)?
                .as_primitive::<Int32Type>()
                .clone())
        };
        let long = |name: &str| -> Result<Int64Array, ArrowError> {
            Ok(typed(batch, name, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .clone())
        };
        Ok(Self {
            event_id: text("event_id")?,
            code: short("event_type_code")?,
            source_system: text("source_system")?,
            source_event: text("source_event")?,
            flow: text("flow")?,
            account: text("account_id")?,
            visitor: text("visitor_id")?,
            session: text("session_id")?,
            page: text("page_id")?,
            context: text("context_id")?,
            campaign: long("campaign_id")?,
            engagement: long("engagement_id")?,
            revision: int("engagement_revision")?,
            agent_state: short("agent_state")?,
            availability: text("availability")?,
            valid_for: int("valid_for_seconds")?,
            chat_key: text("chat_key")?,
            chat_session: text("chat_session_key")?,
            auth_conversation: text("auth_conversation_id")?,
            participant: text("participant_id")?,
            sequence: int("engagement_sequence")?,
            chat_state: text("chat_state")?,
            system_message: short("system_message_id")?,
            line_source: text("line_source")?,
            line_seq: long("line_seq")?,
            ended_by: text("ended_by")?,
            sde_type: text("sde_type")?,
            survey_type: short("survey_type")?,
            conversion_type: text("conversion_type")?,
            time: times(batch, "event_time")?,
            received: times(batch, "received_time")?,
            kafka_time: times(batch, "kafka_timestamp")?,
            topic: text("kafka_topic")?,
            partition: int("kafka_partition")?,
            offset: long("kafka_offset")?,
            entry: int("entry_index")?,
        })
    }

    fn kafka_time(&self, index: usize) -> i64 {
        // Records without a timestamp come last.
        number_or(&self.kafka_time, index, i64::MAX)
    }
}

fn typed(batch: &RecordBatch, name: &str, wanted: &DataType) -> Result<ArrayRef, ArrowError> {
    let column = batch
        .column_by_name(name)
        .ok_or_else(|| ArrowError::SchemaError(format!("table `events` has no column `{name}`")))?;
    if column.data_type() == wanted {
        Ok(ArrayRef::clone(column))
    } else {
        cast(column, wanted)
    }
}

fn strings(batch: &RecordBatch, name: &str) -> Result<StringArray, ArrowError> {
    Ok(typed(batch, name, &DataType::Utf8)?
        .as_string::<i32>()
        .clone())
}

fn times(batch: &RecordBatch, name: &str) -> Result<Int64Array, ArrowError> {
    let wanted = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let column = typed(batch, name, &wanted)?;
    Ok(column
        .as_primitive::<TimestampMicrosecondType>()
        .reinterpret_cast::<Int64Type>())
}
