//! What goes to Kafka: records, topics, keys and the envelope around a payload.

use crate::json::Obj;

/// The four topics. Which event type goes where is fixed by [`topics::of`].
pub mod topics {
    pub const ENGAGEMENT: &str = "lp.engagement.v1";
    pub const CLICK: &str = "lp.click.v1";
    pub const CHAT: &str = "lp.chat.v1";
    pub const CONVERSION: &str = "lp.conversion.v1";
    pub const ALL: [&str; 4] = [ENGAGEMENT, CLICK, CHAT, CONVERSION];

    /// The topic that carries an event type.
    pub fn of(event_type: &str) -> &'static str {
        match event_type {
            "engagement_click" => CLICK,
            "sde_reported" | "goal_reached" => CONVERSION,
            "survey_event" | "availability_checked" => CHAT,
            other if other.starts_with("chat_") => CHAT,
            _ => ENGAGEMENT,
        }
    }
}

/// One Kafka record, ready to be produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub topic: &'static str,
    /// Decides the partition. Exact copies of a record always carry the same key.
    pub key: Vec<u8>,
    /// `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Vec<u8>)>,
    /// `CreateTime` of the record, epoch milliseconds. Does not decrease along a simulation.
    pub timestamp_ms: i64,
}

/// How ids are written: LivePerson sends both forms, and readers must take both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum IdStyle {
    /// As the documents' samples show them: a mix.
    #[default]
    Natural,
    /// Every id as a JSON string.
    Strings,
    /// Every id that consists of digits as a JSON number.
    Numbers,
}

/// Who stamped the event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Clock {
    Server,
    Client,
}

/// How the envelope writes its event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimeForm {
    Millis,
    /// ISO 8601 with milliseconds and an offset, as the Chat API does.
    Iso,
}

/// The ids of the visit that an event belongs to; whatever is unknown is `None`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ids<'a> {
    pub account: &'a str,
    pub visitor: Option<&'a str>,
    pub session: Option<&'a str>,
    pub page: Option<&'a str>,
    pub context: Option<u32>,
}

/// The envelope around one payload.
#[derive(Debug, Clone)]
pub struct Envelope<'a> {
    pub event_type: &'a str,
    pub source_system: &'a str,
    pub source_event: &'a str,
    pub flow: &'a str,
    pub ids: Ids<'a>,
    /// Epoch milliseconds.
    pub time: i64,
    pub time_form: TimeForm,
    pub clock: Clock,
    /// Epoch milliseconds.
    pub produced_at: i64,
    pub seq: Option<i64>,
    pub producer_event_id: Option<&'a str>,
    pub id_style: IdStyle,
}

impl Envelope<'_> {
    /// The record's value.
    pub fn json(&self, payload: Obj) -> Vec<u8> {
        let mut o = Obj::with_capacity(512);
        o.str("schemaVersion", "1.0");
        o.opt_str("eventId", self.producer_event_id);
        o.str("eventType", self.event_type);
        o.str("sourceSystem", self.source_system);
        o.str("sourceEvent", self.source_event);
        o.str("flow", self.flow);
        self.text_id(&mut o, "accountId", Some(self.ids.account));
        o.opt_str("visitorId", self.ids.visitor);
        o.opt_str("sessionId", self.ids.session);
        self.text_id(&mut o, "pageId", self.ids.page);
        let context = self.ids.context.map(|c| c.to_string());
        self.text_id(&mut o, "contextId", context.as_deref());
        match self.time_form {
            TimeForm::Millis => o.int("eventTime", self.time),
            TimeForm::Iso => o.str("eventTime", &crate::payload::iso(self.time)),
        };
        o.str(
            "eventTimeSource",
            match self.clock {
                Clock::Server => "server",
                Clock::Client => "client",
            },
        );
        o.int("producedAt", self.produced_at);
        o.opt_int("seq", self.seq);
        o.obj("payload", payload);
        o.end().into_bytes()
    }

    /// The record's key: account and visitor, or account and whatever names the chat.
    pub fn key(&self, chat_session_key: Option<&str>) -> Vec<u8> {
        let second = self.ids.visitor.or(chat_session_key).unwrap_or("");
        format!("{}|{second}", self.ids.account).into_bytes()
    }

    fn text_id(&self, o: &mut Obj, key: &str, value: Option<&str>) {
        match (self.id_style, value) {
            (IdStyle::Numbers, Some(v)) if v.bytes().all(|b| b.is_ascii_digit()) => o.raw(key, v),
            _ => o.opt_str(key, value),
        };
    }
}
