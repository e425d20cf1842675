//! What may be stored. Everything here errs on the side of not storing.

use std::borrow::Cow;

use crate::config::PrivacyKeep;

/// Why a member is not stored, and which choice of the configuration would store it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    ChatText,
    PreChatLines,
    SurveyAnswers,
    PageTitle,
    Personal,
    IpAddress,
    /// Secrets and noise: never stored.
    Never,
}

impl Class {
    pub(crate) fn is_kept(self, keep: &PrivacyKeep) -> bool {
        match self {
            Self::ChatText => keep.chat_text,
            Self::PreChatLines => keep.pre_chat_lines,
            Self::SurveyAnswers => keep.survey_answers,
            Self::PageTitle => keep.page_title,
            Self::Personal => keep.personal,
            Self::IpAddress => keep.ip_address,
            Self::Never => false,
        }
    }
}

/// Parts of names that give a member away wherever they stand.
const PERSONAL_PARTS: [&str; 22] = [
    "email",
    "phone",
    "firstname",
    "lastname",
    "surname",
    "givenname",
    "familyname",
    "fullname",
    "nickname",
    "loginname",
    "username",
    "visitorname",
    "agentname",
    "zipcode",
    "postcode",
    "postalcode",
    "birth",
    "address",
    "contact",
    "msisdn",
    "imei",
    "passport",
];
const NEVER_PARTS: [&str; 8] = [
    "password",
    "secret",
    "token",
    "ssokey",
    "authorization",
    "cookie",
    "typing",
    "useragent",
];

/// The class of a member by its name, compared without case and punctuation.
pub(crate) fn class(name: &str) -> Option<Class> {
    let plain: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let exact = match plain.as_str() {
        "text"
        | "by"
        | "message"
        | "json"
        | "note"
        | "engagementagentnote"
        | "comment"
        | "lines"
        | "transcript"
        | "transcripts" => Some(Class::ChatText),
        "prechatlines" => Some(Class::PreChatLines),
        "answer" | "question" | "contents" | "questions" | "survey" | "surveys" | "displayname"
        | "value" => Some(Class::SurveyAnswers),
        "title" | "pagetitle" | "chatstartpage" | "startpage" => Some(Class::PageTitle),
        "ip" | "ipv4" | "lpv4" | "ipv6" | "clientip" | "visitorip" | "ipaddress" => {
            Some(Class::IpAddress)
        }
        "personal" | "personalinfo" | "name" | "mail" | "mobile" | "tel" | "telephone" | "fax"
        | "street" | "zip" | "city" | "region" | "dob" | "age" | "customerage" | "gender"
        | "company" | "companybranch" | "accountname" | "socialid" | "customerid"
        | "consumerid" | "sub" | "identities" | "ssn" | "iban" | "balance" | "isp" | "org"
        | "visitorinfo" | "geo" | "lastpaymentdate" | "registrationdate" => Some(Class::Personal),
        "link" | "links" | "lastupdate" | "chattimeout" | "linescores" | "predictions"
        | "cobrowsesessions" | "keywords" | "searchengine" => Some(Class::Never),
        _ => None,
    };
    exact
        .or_else(|| has_part(&plain, &NEVER_PARTS).then_some(Class::Never))
        .or_else(|| has_part(&plain, &PERSONAL_PARTS).then_some(Class::Personal))
}

fn has_part(plain: &str, parts: &[&str]) -> bool {
    parts.iter().any(|part| plain.contains(part))
}

/// A text of an unknown member: shapes of personal data become their name, long text its length.
pub(crate) fn scrub<'t>(name: &str, text: &'t str) -> Cow<'t, str> {
    const CHARS_MAX: usize = 64;
    if has_email(text) {
        return Cow::Borrowed("[email]");
    }
    if !name.ends_with("ersion") && has_ip(text) {
        return Cow::Borrowed("[ip]");
    }
    if has_phone(name, text) {
        return Cow::Borrowed("[phone]");
    }
    let text = if text.contains("://") || text.contains('?') {
        Cow::Owned(clean_url(text, false))
    } else {
        Cow::Borrowed(text)
    };
    match text.chars().count() {
        chars if chars > CHARS_MAX => Cow::Owned(format!("[{chars} characters]")),
        _ => text,
    }
}

/// An @ with something that could be a mail box before and a domain after it; also percent-encoded.
pub(crate) fn has_email(text: &str) -> bool {
    let is_word = |c: char| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '+');
    text.match_indices('@')
        .map(|(at, _)| (at, at + 1))
        .chain(text.match_indices("%40").map(|(at, _)| (at, at + 3)))
        .any(|(before, after)| {
            let mailbox = text
                .get(..before)
                .is_some_and(|head| head.ends_with(is_word));
            let domain: &str = text.get(after..).unwrap_or_default();
            let domain = domain
                .split(|c: char| !is_word(c))
                .next()
                .unwrap_or_default();
            mailbox && domain.trim_end_matches('.').contains('.')
        })
}

/// Four decimal bytes with points between, or a colon form of IPv6.
fn has_ip(text: &str) -> bool {
    let is_part = |c: char| c.is_ascii_hexdigit() || c == '.' || c == ':';
    text.split(|c: char| !is_part(c)).any(|word| {
        let word = word.trim_matches('.');
        let colons = word.matches(':').count();
        // "1.2.3.4:8080" is an address too; "10:30:00" is a time of day.
        let host = if colons == 1 {
            word.split(':').next().unwrap_or_default()
        } else {
            word
        };
        if colons >= 2 {
            host.parse::<std::net::Ipv6Addr>().is_ok()
        } else {
            host.parse::<std::net::Ipv4Addr>().is_ok()
        }
    })
}

/// Seven to fifteen digits with the marks that people put into phone numbers. Digits alone count
/// only where the member's name does not speak of an id, a number or a time.
fn has_phone(name: &str, text: &str) -> bool {
    let bare = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if bare {
        return (7..=15).contains(&text.len()) && !names_a_number(name);
    }
    if is_uuid(text) || is_key(name) || crate::time::is_time(text) {
        return false;
    }
    let is_part =
        |c: char| c.is_ascii_digit() || matches!(c, '+' | '(' | ')' | ' ' | '-' | '.' | '/');
    text.split(|c: char| !is_part(c)).any(|run| {
        let run = run.trim();
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        let marked = run.starts_with('+') || run.bytes().any(|byte| !byte.is_ascii_digit());
        (7..=15).contains(&digits) && marked && !is_date(run) && !is_decimal(run)
    })
}

fn names_a_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    is_key(name)
        || [
            "time", "timel", "stamp", "date", "seq", "revision", "code", "reason", "total",
            "value", "price",
        ]
        .iter()
        .any(|end| last.ends_with(end))
}

/// Whether a member is an id by its name.
fn is_key(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    ["id", "Id", "ID", "key", "Key", "sku"]
        .iter()
        .any(|end| last.ends_with(end))
}

pub(crate) fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// `2024-03-04` and what begins so.
fn is_date(run: &str) -> bool {
    let bytes = run.as_bytes();
    bytes.len() >= 10
        && bytes
            .iter()
            .take(10)
            .enumerate()
            .all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            })
}

/// `-1234567.25`.
fn is_decimal(run: &str) -> bool {
    let digits = run.strip_prefix('-').unwrap_or(run);
    digits.matches('.').count() <= 1
        && digits
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.')
}

/// An address without what identifies people: user part, query, fragment, and path parts that are
/// e-mail.
pub(crate) fn clean_url(url: &str, keep_query: bool) -> String {
    if keep_query {
        return url.to_owned();
    }
    let end = url.find(['?', '#', ';']).unwrap_or(url.len());
    let bare = url.get(..end).unwrap_or_default();
    let (scheme, rest) = match bare.split_once("://") {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, bare),
    };
    let phone = matches!(scheme, Some("tel" | "sms" | "mailto"))
        || bare.starts_with("tel:")
        || bare.starts_with("mailto:")
        || bare.starts_with("sms:");
    if phone {
        let scheme = scheme
            .or_else(|| bare.split(':').next())
            .unwrap_or_default();
        return format!("{scheme}:[removed]");
    }
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = if scheme.is_some() {
        host.rsplit('@').next().unwrap_or_default()
    } else {
        host
    };
    let path: Vec<Cow<'_, str>> = std::iter::once(Cow::Borrowed(host))
        .chain(path.split('/').skip(1).map(Cow::Borrowed))
        .map(|part| {
            if has_email(&part) {
                Cow::Borrowed("[email]")
            } else {
                part
            }
        })
        .collect();
    let joined = path.join("/");
    scheme.map_or(joined.clone(), |scheme| format!("{scheme}://{joined}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_of_personal_data_are_replaced() {
        let cases = [
            ("note1", "write to dana@example.test now", "[email]"),
            ("x", "dana%40example.test", "[email]"),
            ("x", "+1 555-0100", "[phone]"),
            ("x", "call (555) 010-0199 please", "[phone]"),
            ("callback", "15550100199", "[phone]"),
            ("x", "10.1.2.3", "[ip]"),
            ("x", "from 2001:db8::1", "[ip]"),
        ];
        for (name, text, scrubbed) in cases {
            assert_eq!(scrub(name, text), scrubbed, "{text}");
        }
    }

    #[test]
    fn ids_dates_and_amounts_are_not_taken_for_phone_numbers() {
        let cases = [
            ("zoneId", "512940310"),
            ("confKey", "2873105910_2873106210_31"),
            ("x", "2024-03-04 14:00:44.011+0000"),
            ("x", "b6f2d0a8-41c7-4f0e-9d15-3c7e5a90fd11"),
            ("x", "-1234567.25"),
            ("serverTimeStamp", "1709561230118"),
            ("goal", "sticky"),
        ];
        for (name, text) in cases {
            assert_eq!(scrub(name, text), text, "{name}");
        }
    }

    #[test]
    fn long_text_becomes_its_length() {
        assert_eq!(scrub("x", &"a".repeat(64)), "a".repeat(64));
        assert_eq!(scrub("x", &"a".repeat(65)), "[65 characters]");
    }

    #[test]
    fn addresses_lose_user_query_fragment_and_mail_boxes() {
        let cases = [
            ("https://u:p@shop.test/a/b?q=1#f", "https://shop.test/a/b"),
            (
                "https://shop.test/u/dana@example.test/x",
                "https://shop.test/u/[email]/x",
            ),
            ("/path?mail=a@b.test", "/path"),
            ("tel://972737004000", "tel:[removed]"),
            ("mailto:a@b.test", "mailto:[removed]"),
            ("sec://Sport", "sec://Sport"),
            ("https://shop.test", "https://shop.test"),
        ];
        for (url, clean) in cases {
            assert_eq!(clean_url(url, false), clean, "{url}");
        }
    }

    #[test]
    fn names_are_classed_without_case_and_punctuation() {
        assert_eq!(class("E-Mail_Address"), Some(Class::Personal));
        assert_eq!(class("visitorIp"), Some(Class::IpAddress));
        assert_eq!(class("ssoKey"), Some(Class::Never));
        assert_eq!(class("tglName"), None);
        assert_eq!(class("campaignName"), None);
    }
}
