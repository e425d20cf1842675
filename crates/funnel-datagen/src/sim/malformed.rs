//! Records that cannot become events, one kind for each reason that a producer can cause.

use super::dice::Dice;

/// Which part of a good record goes wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// The whole value.
    Value(&'static [u8]),
    /// Cut in the middle.
    Truncated,
    /// A byte that is no UTF-8 inside a text.
    Utf8,
    Trailing,
    DuplicateKey,
    Deep,
    /// One member of the envelope is replaced, or left out where the text is empty.
    Member(&'static str, &'static str),
}

const FAULTS: [(Fault, &str); 22] = [
    (
        Fault::Value(b"this is a log line, not a record"),
        "E_JSON_SYNTAX",
    ),
    (Fault::Value(b"{\"schemaVersion\": NaN}"), "E_JSON_SYNTAX"),
    (
        Fault::Value(b"{\"a\":\"nul \x00 inside\"}"),
        "E_JSON_SYNTAX",
    ),
    (Fault::Value(b""), "E_EMPTY"),
    (Fault::Value(b"[1,2,3]"), "E_NOT_OBJECT"),
    (Fault::Value(b"42"), "E_NOT_OBJECT"),
    (Fault::Value(b"\x00\x00\x00\x00\x07avro"), "E_WIRE_FORMAT"),
    (Fault::Truncated, "E_JSON_SYNTAX"),
    (Fault::Utf8, "E_UTF8"),
    (Fault::Trailing, "E_TRAILING_DATA"),
    (Fault::DuplicateKey, "E_JSON_DUP_KEY"),
    (Fault::Deep, "E_JSON_DEPTH"),
    (
        Fault::Member("eventType", "\"engagement_teleported\""),
        "E_TYPE_UNKNOWN",
    ),
    (
        Fault::Member("schemaVersion", "\"9.0\""),
        "E_VERSION_UNSUPPORTED",
    ),
    (Fault::Member("accountId", ""), "E_FIELD_MISSING"),
    (
        Fault::Member("accountId", "\"no spaces allowed\""),
        "E_ID_FORMAT",
    ),
    (
        Fault::Member("accountId", "\"a_name_that_is_longer_than_20\""),
        "E_FIELD_TOO_LONG",
    ),
    (
        Fault::Member("eventTime", "\"last tuesday\""),
        "E_TIME_FORMAT",
    ),
    (
        Fault::Member("eventTime", "\"0001-01-01T00:00:00Z\""),
        "E_TIME_TOO_OLD",
    ),
    (
        Fault::Member("eventTime", "\"9999-12-31T23:59:59Z\""),
        "E_TIME_FUTURE",
    ),
    (
        Fault::Member("eventTime", "92233720368547758080"),
        "E_FIELD_RANGE",
    ),
    (
        Fault::Member("payload", "[\"not\",\"an\",\"object\"]"),
        "E_NOT_OBJECT",
    ),
];

/// How deep the nesting of a bad record is.
const DEPTH: usize = 1_000;

/// A bad record of `account` at `time`, and the reason it must be refused for.
pub(super) fn record(account: &str, time: i64, dice: &mut Dice) -> (Vec<u8>, &'static str) {
    let (fault, code) = FAULTS[dice.below(FAULTS.len())];
    let good = |replace: Option<(&str, &str)>| -> String {
        let members = [
            ("schemaVersion", "\"1.0\"".to_owned()),
            ("eventType", "\"page_viewed\"".to_owned()),
            ("sourceSystem", "\"web_tag\"".to_owned()),
            ("sourceEvent", "\"newPage\"".to_owned()),
            ("flow", "\"monitored\"".to_owned()),
            ("accountId", format!("\"{account}\"")),
            ("visitorId", "\"a-visitor-of-nothing-x\"".to_owned()),
            ("eventTime", time.to_string()),
            ("eventTimeSource", "\"client\"".to_owned()),
            ("producedAt", time.to_string()),
            (
                "payload",
                "{\"url\":\"https://www.examplebank.test/\"}".to_owned(),
            ),
        ];
        let mut text = String::with_capacity(400);
        for (key, value) in &members {
            let value = match replace {
                Some((k, v)) if k == *key => v,
                _ => value.as_str(),
            };
            if !value.is_empty() {
                text.push(if text.is_empty() { '{' } else { ',' });
                text.push_str(&format!("\"{key}\":{value}"));
            }
        }
        text.push('}');
        text
    };
    let bytes = match fault {
        Fault::Value(bytes) => bytes.to_vec(),
        Fault::Truncated => {
            let text = good(None);
            text.as_bytes()[..text.len() / 2].to_vec()
        }
        Fault::Utf8 => {
            let mut bytes = good(None).into_bytes();
            // Inside the visitor's id.
            let at = bytes
                .windows(9)
                .position(|w| w == b"a-visitor")
                .unwrap_or(0);
            bytes[at + 3] = 0xff;
            bytes
        }
        Fault::Trailing => format!("{} {{}}", good(None)).into_bytes(),
        Fault::DuplicateKey => good(None)
            .replacen('{', "{\"accountId\":\"71520386\",", 1)
            .into_bytes(),
        Fault::Deep => {
            let nested = format!("{{\"x\":{}1{}}}", "[".repeat(DEPTH), "]".repeat(DEPTH));
            good(Some(("payload", &nested))).into_bytes()
        }
        Fault::Member(key, value) => good(Some((key, value))).into_bytes(),
    };
    (bytes, code)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn byte_level_faults_are_no_json_and_the_others_are() {
        let mut dice = Dice::new(5, 0);
        let mut codes = BTreeSet::new();
        for _ in 0..600 {
            let (bytes, code) = record("71520386", 1_709_560_800_000, &mut dice);
            codes.insert(code);
            let parsed = serde_json::from_slice::<serde_json::Value>(&bytes);
            let syntax = [
                "E_JSON_SYNTAX",
                "E_EMPTY",
                "E_WIRE_FORMAT",
                "E_UTF8",
                "E_TRAILING_DATA",
            ];
            match code {
                code if syntax.contains(&code) => assert!(parsed.is_err(), "{code}"),
                // serde_json keeps the last of two members and refuses deep nesting.
                "E_JSON_DUP_KEY" => assert!(parsed.is_ok()),
                "E_JSON_DEPTH" => assert!(parsed.is_err()),
                code => assert!(parsed.is_ok(), "{code}"),
            }
        }
        assert_eq!(codes, FAULTS.iter().map(|(_, code)| *code).collect());
    }
}
