//! Small events for tests: one visitor `v` of account `a` in session `s`, unless said otherwise.

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use funnel_datagen::message::Message;
use funnel_events::{
    Decoded, Decoder, DecoderConfig, Entry, Event, EventType, EventsBuilder, Flow, RecordOrigin,
    Stamp,
};

use crate::session::{QueryOptions, QuerySession};

/// 2024-03-04 12:00:00 UTC in microseconds: second 0 of every test.
pub(crate) const NOON_US: i64 = 1_709_553_600_000_000;

/// One event under construction.
#[derive(Debug, Clone)]
pub(crate) struct Ev {
    pub(crate) event: Event,
    /// Milliseconds between the event and its arrival in Kafka.
    pub(crate) delay_ms: i64,
}

/// An event of `event_type` at `second`, seen by the Web Tag in session `s` of visitor `v`.
pub(crate) fn ev(event_type: EventType, second: i64) -> Ev {
    ev_ms(event_type, second * 1000)
}

/// The same, at a millisecond.
pub(crate) fn ev_ms(event_type: EventType, ms: i64) -> Ev {
    let event = Event {
        event_type,
        event_type_code: event_type.code(),
        source_system: "web_tag".to_owned(),
        source_event: "test".to_owned(),
        flow: Flow::Monitored,
        account_id: "a".to_owned(),
        visitor_id: Some("v".to_owned()),
        session_id: Some("s".to_owned()),
        event_time_us: NOON_US + ms * 1000,
        ..Event::default()
    };
    Ev {
        event,
        delay_ms: 100,
    }
}

/// A row of the Chat API about chat `k`, with no ids but those of the chat.
pub(crate) fn chat(event_type: EventType, second: i64, seq: i64) -> Ev {
    ev(event_type, second)
        .source("server_chat")
        .anonymous()
        .set(|e| {
            e.chat_session_key = Some("k".to_owned());
            e.line_seq = Some(seq);
        })
}

/// A line of chat `k`.
pub(crate) fn line(source: &str, second: i64, seq: i64) -> Ev {
    chat(EventType::ChatLine, second, seq).set(|e| e.line_source = Some(source.to_owned()))
}

/// A system line of chat `k`.
pub(crate) fn system_line(id: i16, second: i64, seq: i64) -> Ev {
    let event_type = match id {
        13 | 15 | 23 => EventType::ChatTransferred,
        _ => EventType::ChatLine,
    };
    chat(event_type, second, seq).set(|e| {
        e.line_source = Some("system".to_owned());
        e.system_message_id = Some(id);
    })
}

impl Ev {
    pub(crate) fn set(mut self, change: impl FnOnce(&mut Event)) -> Self {
        change(&mut self.event);
        self
    }

    pub(crate) fn source(self, system: &str) -> Self {
        self.set(|e| e.source_system = system.to_owned())
    }

    pub(crate) fn visitor(self, visitor: &str) -> Self {
        self.set(|e| e.visitor_id = Some(visitor.to_owned()))
    }

    pub(crate) fn session(self, session: &str) -> Self {
        self.set(|e| e.session_id = Some(session.to_owned()))
    }

    pub(crate) fn context(self, context: &str) -> Self {
        self.set(|e| e.context_id = Some(context.to_owned()))
    }

    pub(crate) fn engagement(self, engagement: i64) -> Self {
        self.set(|e| {
            e.campaign_id = Some(1);
            e.engagement_id = Some(engagement);
        })
    }

    pub(crate) fn state(self, state: i16) -> Self {
        self.set(|e| e.agent_state = Some(state))
    }

    /// Of chat `k`, with the ids that its `info` has.
    pub(crate) fn known(self) -> Self {
        self.set(|e| {
            e.visitor_id = Some("v".to_owned());
            e.session_id = Some("s".to_owned());
            e.context_id = Some("1".to_owned());
        })
    }

    /// Without visitor and session.
    pub(crate) fn anonymous(self) -> Self {
        self.set(|e| {
            e.visitor_id = None;
            e.session_id = None;
        })
    }

    pub(crate) fn chat_key(self, key: &str) -> Self {
        self.set(|e| e.chat_key = Some(key.to_owned()))
    }
}

/// The events as a batch, in the order given.
pub(crate) fn batch(events: &[Ev]) -> RecordBatch {
    let mut builder = EventsBuilder::new();
    for (offset, Ev { event, delay_ms }) in events.iter().enumerate() {
        let mut event = event.clone();
        let hash = blake3::hash(format!("{event:?}").as_bytes());
        event.event_id.copy_from_slice(&hash.as_bytes()[..16]);
        event.session_key = key(&[&event.visitor_id, &event.session_id]);
        event.offer_key = key(&[&event.visitor_id, &event.session_id, &event.context_id]);
        let origin = RecordOrigin {
            topic: "t",
            topic_uuid: "u",
            partition: 0,
            offset: i64::try_from(offset).expect("offset"),
            timestamp_ms: Some(event.event_time_us / 1000 + delay_ms),
            key: None,
            headers: &[],
            value: None,
        };
        builder.append(&event, &origin);
    }
    let stamp = Stamp {
        batch_id: "b",
        ingested_us: NOON_US,
    };
    builder.finish(&stamp)
}

fn key(parts: &[&Option<String>]) -> Option<String> {
    let mut text = "a".to_owned();
    for part in parts {
        text.push('|');
        text.push_str(part.as_ref()?);
    }
    Some(text)
}

/// A session over the events.
pub(crate) async fn session(events: &[Ev]) -> QuerySession {
    session_with(events, QueryOptions::default()).await
}

/// A session over the events, with options.
pub(crate) async fn session_with(events: &[Ev], options: QueryOptions) -> QuerySession {
    QuerySession::from_batches(vec![batch(events)], options)
        .await
        .expect("session")
}

/// The rows of a query, each as its values joined by a blank; null is `-`.
pub(crate) async fn rows(session: &QuerySession, sql: &str) -> Vec<String> {
    let batches = match session.collect(sql).await {
        Ok(batches) => batches,
        Err(error) => panic!("{error}: {:?}", std::error::Error::source(&error)),
    };
    let options = FormatOptions::new().with_null("-");
    let mut lines = Vec::new();
    for batch in &batches {
        let columns: Vec<_> = batch
            .columns()
            .iter()
            .map(|column| ArrayFormatter::try_new(column, &options).expect("format"))
            .collect();
        for row in 0..batch.num_rows() {
            let values: Vec<String> = columns
                .iter()
                .map(|column| column.value(row).to_string())
                .collect();
            lines.push(values.join(" "));
        }
    }
    lines
}

/// Messages as they would lie in the lake, every one decoded and no duplicate removed; and how many
/// entries were refused.
pub(crate) fn decoded(messages: impl IntoIterator<Item = Message>) -> (RecordBatch, usize) {
    let decoder = Decoder::new(DecoderConfig::default());
    let mut builder = EventsBuilder::new();
    let mut rejects = 0;
    for (offset, message) in messages.into_iter().enumerate() {
        let value = message.value.as_deref();
        let Decoded::Entries(entries) = decoder.decode(value) else {
            continue;
        };
        let origin = RecordOrigin {
            topic: message.topic,
            topic_uuid: "u",
            partition: 0,
            offset: i64::try_from(offset).expect("offset"),
            timestamp_ms: Some(message.timestamp_ms),
            key: Some(&message.key),
            headers: &[],
            value,
        };
        for entry in entries {
            match entry {
                Entry::Event(event) => builder.append(&event, &origin),
                Entry::Reject(_) => rejects += 1,
            }
        }
    }
    let stamp = Stamp {
        batch_id: "b",
        ingested_us: 0,
    };
    (builder.finish(&stamp), rejects)
}
