//! What a record says beyond the columns, without what is personal: `extra_json` and `sde_json`.

use crate::config::PrivacyKeep;
use crate::json::{Kind, Value, simple_name};
use crate::privacy::{class, scrub};

/// The longest member name, with its path, that is kept.
const NAME_CHARS_MAX: usize = 96;

/// A JSON object under construction, with a bound on its size.
struct Writer<'k> {
    text: String,
    keep: &'k PrivacyKeep,
    bytes_max: usize,
    truncated: bool,
}

impl<'k> Writer<'k> {
    fn new(keep: &'k PrivacyKeep, bytes_max: usize) -> Self {
        Self {
            text: String::new(),
            keep,
            bytes_max,
            truncated: false,
        }
    }

    fn add(&mut self, name: &str, json: &str) {
        if self.text.len() + name.len() + json.len() > self.bytes_max {
            self.truncated = true;
            return;
        }
        self.text.push(if self.text.is_empty() { '{' } else { ',' });
        push_string(&mut self.text, name);
        self.text.push(':');
        self.text.push_str(json);
    }

    fn finish(mut self) -> Option<String> {
        if self.truncated {
            self.text
                .push_str(if self.text.is_empty() { "{" } else { "," });
            self.text.push_str("\"_truncated\":true");
        }
        if self.text.is_empty() {
            return None;
        }
        self.text.push('}');
        Some(self.text)
    }

    /// Every scalar below `value` that nobody read. Arrays are lists of something we do not know:
    /// not kept.
    fn collect(&mut self, value: Value<'_, '_>, prefix: &str) {
        for (name, member) in value.members() {
            let member = member.unwrapped();
            if member.is_marked() || member.is_null() {
                continue;
            }
            let name = simple_name(name);
            let path = if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}.{name}")
            };
            if path.len() > NAME_CHARS_MAX || scrub("id", name) != name {
                continue;
            }
            match class(name) {
                Some(class) if class.is_kept(self.keep) => self.add(&path, &raw_json(member)),
                Some(_) => {}
                None if member.is_object() => self.collect(member, &path),
                None => {
                    if let Some(json) = scalar_json(&path, member) {
                        self.add(&path, &json);
                    }
                }
            }
        }
    }
}

/// What the record says outside of arrays: all of its facts share it.
pub(crate) fn shared(root: Value<'_, '_>, keep: &PrivacyKeep, bytes_max: usize) -> Shared {
    let mut writer = Writer::new(keep, bytes_max);
    for (name, member) in root.members() {
        if name == "payload" {
            writer.collect(member, "");
        } else if !member.is_marked() && class(name).is_none() {
            let path = format!("envelope.{name}");
            if let Some(json) = scalar_json(&path, member) {
                writer.add(&path, &json);
            }
        }
    }
    Shared {
        text: writer.text,
        truncated: writer.truncated,
    }
}

/// The common part of the `extra_json` of a record's facts.
#[derive(Debug)]
pub(crate) struct Shared {
    text: String,
    truncated: bool,
}

impl Shared {
    /// `extra_json` of one fact: the common part and, for an element of an array, its own unknown
    /// members.
    pub(crate) fn with(
        &self,
        own: Option<Value<'_, '_>>,
        keep: &PrivacyKeep,
        bytes_max: usize,
    ) -> Option<String> {
        let mut writer = Writer::new(keep, bytes_max);
        if let Some(own) = own {
            writer.collect(own, "");
        }
        writer.truncated |= self.truncated;
        if !self.text.is_empty() {
            if writer.text.len() + self.text.len() > bytes_max {
                writer.truncated = true;
            } else if writer.text.is_empty() {
                writer.text.push_str(&self.text);
            } else {
                // A name that both have keeps both values apart by its prefix.
                for (name, json) in split_members(&self.text) {
                    let taken = writer.text.contains(&format!("{name}:"));
                    let name = name.trim_matches('"');
                    let name = if taken {
                        format!("record.{name}")
                    } else {
                        name.to_owned()
                    };
                    writer.add(&name, json);
                }
            }
        }
        writer.finish()
    }
}

/// Members of a flat object that this module wrote.
fn split_members(text: &str) -> Vec<(&str, &str)> {
    let mut members = Vec::new();
    let mut rest = text.strip_prefix('{').unwrap_or(text);
    while let Some(name_end) = string_end(rest) {
        let (name, after) = rest.split_at(name_end);
        let after = after.strip_prefix(':').unwrap_or(after);
        let value_end = value_end(after);
        let (value, after) = after.split_at(value_end);
        members.push((name, value));
        rest = after.strip_prefix(',').unwrap_or(after);
    }
    members
}

/// Bytes of the string literal that `text` begins with.
fn string_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Bytes of the value that `text` begins with.
fn value_end(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        match rest.as_bytes().first() {
            Some(b'"') => at += string_end(rest).unwrap_or(rest.len()),
            Some(b'{' | b'[') => {
                depth += 1;
                at += 1;
            }
            Some(b'}' | b']') => {
                depth = depth.saturating_sub(1);
                at += 1;
            }
            Some(b',') if depth == 0 => return at,
            _ => at += rest.chars().next().map_or(1, char::len_utf8),
        }
    }
    text.len()
}

/// A scalar as JSON, texts scrubbed.
fn scalar_json(name: &str, value: Value<'_, '_>) -> Option<String> {
    match value.kind() {
        Kind::True => Some("true".to_owned()),
        Kind::False => Some("false".to_owned()),
        Kind::Number => Some(value.text().to_owned()),
        Kind::String if !value.text().is_empty() => {
            let mut json = String::new();
            push_string(&mut json, &scrub(name, value.text()));
            Some(json)
        }
        _ => None,
    }
}

/// A value as it was sent, for what the configuration keeps.
fn raw_json(value: Value<'_, '_>) -> String {
    let list =
        |open: char, parts: Vec<String>, close: char| format!("{open}{}{close}", parts.join(","));
    match value.kind() {
        Kind::Object => {
            let member = |(name, value): (&str, Value<'_, '_>)| {
                let mut text = String::new();
                push_string(&mut text, name);
                text.push(':');
                text.push_str(&raw_json(value));
                text
            };
            list('{', value.members().map(member).collect(), '}')
        }
        Kind::Array => list('[', value.items().map(raw_json).collect(), ']'),
        Kind::True => "true".to_owned(),
        Kind::False => "false".to_owned(),
        Kind::Number => value.text().to_owned(),
        Kind::String => {
            let mut text = String::new();
            push_string(&mut text, value.text());
            text
        }
        Kind::Null | Kind::Key => "null".to_owned(),
    }
}

fn push_string(json: &mut String, text: &str) {
    json.push('"');
    for character in text.chars() {
        match character {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            control if u32::from(control) < 0x20 => {
                json.push_str(&format!("\\u{:04x}", u32::from(control)));
            }
            other => json.push(other),
        }
    }
    json.push('"');
}

/// The body of an engagement attribute: scalars and products, without what is personal. None if
/// nothing is left.
pub(crate) fn attribute_json(
    body: Value<'_, '_>,
    keep: &PrivacyKeep,
    bytes_max: usize,
) -> Option<String> {
    let json = attribute_object(body, "", keep)?;
    if json.len() > bytes_max {
        return Some("{\"_truncated\":true}".to_owned());
    }
    Some(json)
}

fn attribute_object(object: Value<'_, '_>, parent: &str, keep: &PrivacyKeep) -> Option<String> {
    let mut json = String::new();
    for (name, value) in object.members() {
        let value = value.unwrapped();
        // Our own column says the kind; the name of a product names no person.
        let denied = class(name).is_some_and(|class| !class.is_kept(keep))
            && !(parent == "product" && name == "name");
        if denied || (parent.is_empty() && name == "type") {
            continue;
        }
        let member = match value.kind() {
            Kind::Object => attribute_object(value, name, keep),
            Kind::Array if name == "products" => {
                let products: Vec<_> = value
                    .items()
                    .filter_map(|product| attribute_object(product.unwrapped(), name, keep))
                    .collect();
                Some(format!("[{}]", products.join(",")))
            }
            _ if class(name).is_some() && parent != "product" => Some(raw_json(value)),
            _ => scalar_json(name, value),
        };
        if let Some(member) = member.filter(|_| name.len() <= NAME_CHARS_MAX) {
            json.push(if json.is_empty() { '{' } else { ',' });
            push_string(&mut json, name);
            json.push(':');
            json.push_str(&member);
        }
    }
    if json.is_empty() {
        return None;
    }
    json.push('}');
    Some(json)
}
