//! Why a record, or one entry of it, could not become an event.

/// The closed list of reasons. Names are a stable interface: dashboards and replays select by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RejectCode {
    Empty,
    TooLarge,
    Utf8,
    JsonSyntax,
    JsonDupKey,
    JsonDepth,
    NotObject,
    TrailingData,
    WireFormat,
    SchemaIdUnknown,
    SchemaDecode,
    TypeUnknown,
    VersionUnsupported,
    FieldMissing,
    FieldType,
    FieldRange,
    FieldEnum,
    FieldTooLong,
    TimeFormat,
    TimeFuture,
    TimeTooOld,
    IdFormat,
    DupConflict,
    Lifecycle,
    Internal,
}

const CODES: [(RejectCode, &str); 25] = [
    (RejectCode::Empty, "E_EMPTY"),
    (RejectCode::TooLarge, "E_TOO_LARGE"),
    (RejectCode::Utf8, "E_UTF8"),
    (RejectCode::JsonSyntax, "E_JSON_SYNTAX"),
    (RejectCode::JsonDupKey, "E_JSON_DUP_KEY"),
    (RejectCode::JsonDepth, "E_JSON_DEPTH"),
    (RejectCode::NotObject, "E_NOT_OBJECT"),
    (RejectCode::TrailingData, "E_TRAILING_DATA"),
    (RejectCode::WireFormat, "E_WIRE_FORMAT"),
    (RejectCode::SchemaIdUnknown, "E_SCHEMA_ID_UNKNOWN"),
    (RejectCode::SchemaDecode, "E_SCHEMA_DECODE"),
    (RejectCode::TypeUnknown, "E_TYPE_UNKNOWN"),
    (RejectCode::VersionUnsupported, "E_VERSION_UNSUPPORTED"),
    (RejectCode::FieldMissing, "E_FIELD_MISSING"),
    (RejectCode::FieldType, "E_FIELD_TYPE"),
    (RejectCode::FieldRange, "E_FIELD_RANGE"),
    (RejectCode::FieldEnum, "E_FIELD_ENUM"),
    (RejectCode::FieldTooLong, "E_FIELD_TOO_LONG"),
    (RejectCode::TimeFormat, "E_TIME_FORMAT"),
    (RejectCode::TimeFuture, "E_TIME_FUTURE"),
    (RejectCode::TimeTooOld, "E_TIME_TOO_OLD"),
    (RejectCode::IdFormat, "E_ID_FORMAT"),
    (RejectCode::DupConflict, "E_DUP_CONFLICT"),
    (RejectCode::Lifecycle, "E_LIFECYCLE"),
    (RejectCode::Internal, "E_INTERNAL"),
];

impl RejectCode {
    /// All codes, in the order of the documentation.
    pub fn all() -> impl Iterator<Item = Self> {
        CODES.iter().map(|(code, _)| *code)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        CODES[self as usize].1
    }

    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        CODES
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(code, _)| *code)
    }

    /// The stage that raises the code in this crate.
    #[must_use]
    pub fn stage(self) -> RejectStage {
        match self {
            Self::Empty | Self::TooLarge | Self::WireFormat => RejectStage::Wire,
            Self::SchemaIdUnknown | Self::SchemaDecode => RejectStage::Wire,
            Self::Utf8 | Self::JsonSyntax | Self::JsonDupKey | Self::JsonDepth => RejectStage::Json,
            Self::TrailingData => RejectStage::Json,
            Self::DupConflict | Self::Lifecycle | Self::Internal => RejectStage::Ingest,
            _ => RejectStage::Envelope,
        }
    }
}

/// How far a record came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RejectStage {
    /// Size and framing.
    Wire,
    /// Bytes to JSON.
    Json,
    /// The envelope around every payload.
    Envelope,
    /// One entry inside the payload.
    Payload,
    /// After decoding.
    Ingest,
}

impl RejectStage {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Json => "json",
            Self::Envelope => "envelope",
            Self::Payload => "payload",
            Self::Ingest => "ingest",
        }
    }
}

/// One refusal. Beside the reason it carries what could be read, so that rejects can be grouped and
/// one visitor's can be deleted.
#[derive(Debug, Clone, PartialEq)]
pub struct Reject {
    pub code: RejectCode,
    pub stage: RejectStage,
    /// JSON pointer of the offending value.
    pub path: Option<String>,
    /// For people; holds no value of the record beyond names of the closed lists.
    pub detail: String,
    /// Position of the entry; null when the whole record is refused.
    pub entry_index: Option<i32>,
    pub event_id: Option<String>,
    pub event_type: Option<String>,
    pub schema_version: Option<String>,
    pub account_id: Option<String>,
    pub visitor_id: Option<String>,
    pub consumer_key: Option<String>,
    pub source_system: Option<String>,
    pub event_time_raw: Option<String>,
}

impl Reject {
    #[must_use]
    pub fn new(code: RejectCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            stage: code.stage(),
            path: None,
            detail: detail.into(),
            entry_index: None,
            event_id: None,
            event_type: None,
            schema_version: None,
            account_id: None,
            visitor_id: None,
            consumer_key: None,
            source_system: None,
            event_time_raw: None,
        }
    }

    /// Says where in the record the reason stands.
    #[must_use]
    pub fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_stands_at_its_own_place_of_the_list() {
        for (position, (code, name)) in CODES.iter().enumerate() {
            assert_eq!(*code as usize, position, "{name}");
            assert_eq!(RejectCode::from_name(name), Some(*code));
        }
    }
}
