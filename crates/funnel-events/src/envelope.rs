//! The envelope that every record has, whatever its payload.

use crate::event::Event;
use crate::event_type::{EventType, Flow, TimeSource};
use crate::json::{Kind, Value, integer};
use crate::reject::{Reject, RejectCode};
use crate::time::{TimeError, read_time};

/// The longest account id.
const ACCOUNT_CHARS_MAX: usize = 20;
/// The major version of the envelope that this reader knows.
const MAJOR_VERSION: &str = "1";
/// A client's clock may differ this much from the producer's before it is not believed.
const CLIENT_SKEW_US_MAX: i64 = 24 * 3600 * 1_000_000;

/// Reads the envelope into a template for the record's facts, and finds the payload.
pub(crate) fn read_envelope<'d, 'a>(
    root: Value<'d, 'a>,
) -> Result<(Event, Value<'d, 'a>), Box<Reject>> {
    if !root.is_object() {
        return Err(Box::new(
            Reject::new(RejectCode::NotObject, "a record is one JSON object").at(""),
        ));
    }
    let mut event = Event {
        schema_version: version(root)?,
        ..Event::default()
    };
    event.event_type = event_type(root)?;
    event.account_id = account(root)?;
    event.source_system = root
        .take_text("sourceSystem")
        .unwrap_or_else(|| "unknown".to_owned());
    event.source_event = root
        .take_text("sourceEvent")
        .unwrap_or_else(|| "unknown".to_owned());
    event.flow = named(root, "flow", Flow::from_name).unwrap_or_default();
    event.producer_event_id = root.take_id("eventId");
    event.visitor_id = root.take_id("visitorId");
    event.session_id_raw = root.take_id("sessionId");
    event.page_id = root.take_id("pageId");
    event.context_id = root.take_id("contextId");
    read_times(root, &mut event)?;
    let payload = member(root, "payload").ok_or_else(|| {
        missing(
            "payload",
            "a record has a payload; `{}` where there is nothing to say",
        )
    })?;
    if !payload.is_object() {
        return Err(Box::new(
            Reject::new(RejectCode::NotObject, "`payload` is an object").at("/payload"),
        ));
    }
    Ok((event, payload))
}

/// A member that is there and not null. Unions are a matter of payloads, not of our own envelope.
fn member<'d, 'a>(root: Value<'d, 'a>, key: &str) -> Option<Value<'d, 'a>> {
    root.raw(key).filter(|value| !value.is_null())
}

fn missing(key: &str, detail: &str) -> Box<Reject> {
    Box::new(Reject::new(RejectCode::FieldMissing, detail).at(format!("/{key}")))
}

fn wrong_type(key: &str, detail: &str) -> Box<Reject> {
    Box::new(Reject::new(RejectCode::FieldType, detail).at(format!("/{key}")))
}

fn version(root: Value<'_, '_>) -> Result<String, Box<Reject>> {
    let Some(value) = member(root, "schemaVersion") else {
        return Ok("1.0".to_owned());
    };
    if value.kind() != Kind::String {
        return Err(wrong_type(
            "schemaVersion",
            "`schemaVersion` is a text such as \"1.0\"",
        ));
    }
    let text = value.text();
    let minor_known = text.split_once('.').is_none_or(|(_, minor)| {
        !minor.is_empty() && minor.len() <= 8 && minor.bytes().all(|byte| byte.is_ascii_digit())
    });
    if text.split('.').next() != Some(MAJOR_VERSION) || !minor_known {
        let detail = "this reader knows version 1 of the envelope and its minor versions";
        return Err(Box::new(
            Reject::new(RejectCode::VersionUnsupported, detail).at("/schemaVersion"),
        ));
    }
    value.mark();
    Ok(text.to_owned())
}

fn event_type(root: Value<'_, '_>) -> Result<EventType, Box<Reject>> {
    let value = member(root, "eventType")
        .ok_or_else(|| missing("eventType", "a record names its event type"))?;
    if value.kind() != Kind::String {
        return Err(wrong_type("eventType", "`eventType` is a text"));
    }
    let Some(event_type) = EventType::from_name(value.text()) else {
        let detail = "no event type has this name; the list is in schemas/README.md";
        return Err(Box::new(
            Reject::new(RejectCode::TypeUnknown, detail).at("/eventType"),
        ));
    };
    value.mark();
    Ok(event_type)
}

fn account(root: Value<'_, '_>) -> Result<String, Box<Reject>> {
    let value = member(root, "accountId")
        .ok_or_else(|| missing("accountId", "a record names its account"))?;
    let at = |code, detail: &str| Box::new(Reject::new(code, detail).at("/accountId"));
    let account = match value.kind() {
        Kind::String => value.text().to_owned(),
        Kind::Number => match integer(value.text()) {
            Some(number) if number >= 0 => number.to_string(),
            _ => {
                return Err(at(
                    RejectCode::IdFormat,
                    "an account number is a positive integer",
                ));
            }
        },
        _ => {
            return Err(wrong_type(
                "accountId",
                "`accountId` is a text or an integer",
            ));
        }
    };
    if account.is_empty() {
        return Err(missing(
            "accountId",
            "a record names its account; the text is empty",
        ));
    }
    if account.chars().count() > ACCOUNT_CHARS_MAX {
        return Err(at(
            RejectCode::FieldTooLong,
            "an account id has at most 20 characters",
        ));
    }
    if !account
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        return Err(at(
            RejectCode::IdFormat,
            "an account id has letters, digits and underscores only",
        ));
    }
    value.mark();
    Ok(account)
}

/// A member of a closed list; another name stays unread and goes to `extra_json`.
fn named<T>(root: Value<'_, '_>, key: &str, from_name: impl Fn(&str) -> Option<T>) -> Option<T> {
    let value = member(root, key).filter(|value| value.kind() == Kind::String)?;
    let known = from_name(value.text())?;
    value.mark();
    Some(known)
}

fn read_times(root: Value<'_, '_>, event: &mut Event) -> Result<(), Box<Reject>> {
    let value = member(root, "eventTime")
        .ok_or_else(|| missing("eventTime", "a record says when it happened"))?;
    event.event_time_us =
        read_time(value).map_err(|error| Box::new(time_reject(error).at("/eventTime")))?;
    value.mark();
    event.event_time_source =
        named(root, "eventTimeSource", TimeSource::from_name).unwrap_or_default();
    event.produced_time_us = root.take_time("producedAt");
    let Some(produced_us) = event.produced_time_us else {
        return Ok(());
    };
    let skew_us = event.event_time_us.abs_diff(produced_us);
    if event.event_time_source == TimeSource::Client && skew_us > CLIENT_SKEW_US_MAX.unsigned_abs()
    {
        event.event_time_raw = Some(value.text().to_owned());
        event.event_time_us = produced_us;
        event.event_time_source = TimeSource::Derived;
    }
    Ok(())
}

/// The refusal of a value that is no time.
pub(crate) fn time_reject(error: TimeError) -> Reject {
    match error {
        TimeError::Type => Reject::new(
            RejectCode::FieldType,
            "a time is milliseconds since 1970 or ISO 8601 text",
        ),
        TimeError::Format => Reject::new(
            RejectCode::TimeFormat,
            "a time is milliseconds since 1970 or ISO 8601 text with an offset, such as 2017-02-27T06:24:15.424-05:00",
        ),
        TimeError::Range => Reject::new(
            RejectCode::FieldRange,
            "milliseconds since 1970 do not fit 64 bits",
        ),
        TimeError::TooOld => Reject::new(RejectCode::TimeTooOld, "times before 1970 are not read"),
        TimeError::Future => Reject::new(RejectCode::TimeFuture, "times from 2200 on are not read"),
    }
}
