//! What a decoder may do: privacy, limits, time.

use std::time::Duration;

/// The secret behind `consumer_key`. Without one no consumer key is ever stored.
#[derive(Clone)]
pub struct HashKey {
    key: [u8; 32],
    id: String,
}

impl HashKey {
    /// A key from a secret of any length. `id` names the key in `consumer_key_id`; it is not
    /// secret.
    #[must_use]
    pub fn new(secret: &[u8], id: impl Into<String>) -> Self {
        Self {
            key: blake3::derive_key("funnel 2024 consumer_key", secret),
            id: id.into(),
        }
    }

    /// The public name of the key.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The key of one consumer of one account: the same person in two accounts is two consumers.
    #[must_use]
    pub fn consumer_key(&self, account_id: &str, consumer: &str) -> String {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(account_id.as_bytes());
        hasher.update(&[0x1f]);
        hasher.update(consumer.as_bytes());
        let hash = hasher.finalize();
        crate::column::hex(hash.as_bytes().get(..16).unwrap_or_default())
    }
}

impl std::fmt::Debug for HashKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HashKey")
            .field("key", &"***")
            .field("id", &self.id)
            .finish()
    }
}

/// What a brand may choose to store although it can identify a person. All off by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PrivacyKeep {
    /// Text of chat lines, in `extra_json`.
    pub chat_text: bool,
    /// Lines written before the chat, in `extra_json`.
    pub pre_chat_lines: bool,
    /// Answers of surveys, in `extra_json`.
    pub survey_answers: bool,
    /// Titles of pages, in `page_title`.
    pub page_title: bool,
    /// Query and fragment of addresses.
    pub url_query: bool,
    /// Names, e-mail, phone and the like, in `extra_json` and `sde_json`.
    pub personal: bool,
    /// IP addresses, in `extra_json`.
    pub ip_address: bool,
}

impl PrivacyKeep {
    /// The names that [`PrivacyKeep::from_names`] takes.
    pub const NAMES: [&'static str; 7] = [
        "chat_text",
        "pre_chat_lines",
        "survey_answers",
        "page_title",
        "url_query",
        "personal",
        "ip_address",
    ];

    /// Reads the list of a configuration file.
    ///
    /// # Errors
    /// Gives back the first name that is not in [`PrivacyKeep::NAMES`].
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let mut keep = Self::default();
        for name in names {
            *match name {
                "chat_text" => &mut keep.chat_text,
                "pre_chat_lines" => &mut keep.pre_chat_lines,
                "survey_answers" => &mut keep.survey_answers,
                "page_title" => &mut keep.page_title,
                "url_query" => &mut keep.url_query,
                "personal" => &mut keep.personal,
                "ip_address" => &mut keep.ip_address,
                other => return Err(other.to_owned()),
            } = true;
        }
        Ok(keep)
    }
}

/// Bounds that keep one record from taking the process down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A larger record is refused unread.
    pub max_record_bytes: usize,
    /// Nesting of arrays and objects.
    pub max_depth: usize,
    /// Entries of one record.
    pub max_entries: usize,
    /// Bytes of `extra_json` and of `sde_json`.
    pub max_json_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_record_bytes: 8 * 1024 * 1024,
            max_depth: 64,
            max_entries: 20_000,
            max_json_bytes: 8 * 1024,
        }
    }
}

/// Refusal by age, both off by default: a late event is better than a lost one. Ages are measured
/// from `producedAt`, never from our clock, so that reading a record twice gives the same verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TimeRules {
    pub max_age: Option<Duration>,
    pub future_tolerance: Option<Duration>,
}

/// Everything a [`crate::Decoder`] needs to know.
#[derive(Debug, Clone, Default)]
pub struct DecoderConfig {
    pub consumer_hash_key: Option<HashKey>,
    pub keep: PrivacyKeep,
    pub limits: Limits,
    pub time: TimeRules,
}
