//! LivePerson's payload shapes, one builder per documented form.
//!
//! Where the documents show an id as text in one place and as a number in another, the builders
//! follow the documents' samples, unless [`IdStyle`] asks for one form throughout.

pub mod app;
pub mod chat;
pub mod data_access;
pub mod history;
pub mod sde;
pub mod visit;
pub mod web_tag;

use chrono::{DateTime, FixedOffset};

use crate::json::Obj;
use crate::message::IdStyle;

/// A configured invitation to chat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engagement {
    pub campaign: i64,
    pub id: i64,
    pub revision: i64,
    /// 0 peeling corner, 1 overlay, 2 toaster, 3 slide-out, 5 embedded, 6 sticky.
    pub format: i64,
    pub name: String,
    pub zone: i64,
    pub window: i64,
    pub goal: i64,
    pub skill_id: i64,
    pub skill: String,
    /// Present when the engagement is for authenticated consumers.
    pub connector: Option<i64>,
    pub valid_for_seconds: i64,
    /// Shows content; a click opens no chat.
    pub content: bool,
}

/// What a visitor browses with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Device {
    /// `DESKTOP`, `TABLET` or `MOBILE`.
    pub family: &'static str,
    /// `WINDOWS`, `MAC_OSX`, `LINUX`, `IOS` or `ANDROID`.
    pub os: &'static str,
    pub browser: &'static str,
}

impl Device {
    pub const DESKTOP: Self = Self {
        family: "DESKTOP",
        os: "WINDOWS",
        browser: "Firefox 123.0",
    };

    /// Data Access has a spelling of its own.
    pub(crate) fn data_access_os(self) -> &'static str {
        if self.os == "MAC_OSX" {
            "MAC_OS"
        } else {
            self.os
        }
    }
}

/// ISO 8601 with milliseconds at UTC-5, as the Chat API prints it.
pub fn iso(ms: i64) -> String {
    let offset = FixedOffset::west_opt(5 * 3600);
    match (DateTime::from_timestamp_millis(ms), offset) {
        (Some(t), Some(o)) => t
            .with_timezone(&o)
            .format("%Y-%m-%dT%H:%M:%S%.3f%:z")
            .to_string(),
        _ => String::new(),
    }
}

/// Writes a numeric id; `text` is the form of the documents' samples.
fn id(o: &mut Obj, key: &str, value: i64, text: bool, style: IdStyle) {
    let text = match style {
        IdStyle::Natural => text,
        IdStyle::Strings => true,
        IdStyle::Numbers => false,
    };
    if text {
        o.str(key, &value.to_string());
    } else {
        o.int(key, value);
    }
}

/// Writes an id that may be no number at all.
fn text_id(o: &mut Obj, key: &str, value: &str, style: IdStyle) {
    if style == IdStyle::Numbers && value.bytes().all(|b| b.is_ascii_digit()) && !value.is_empty() {
        o.raw(key, value);
    } else {
        o.str(key, value);
    }
}
