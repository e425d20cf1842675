//! A writer for JSON objects: keys in the order given, numbers as written, no tree in between.
//!
//! Same input, same bytes, whatever version of a library; and fast in builds without optimisation.

use std::fmt::Write as _;

/// A JSON object under construction.
#[derive(Debug, Clone)]
pub struct Obj {
    buf: String,
}

impl Default for Obj {
    fn default() -> Self {
        Self::new()
    }
}

impl Obj {
    pub fn new() -> Self {
        Self::with_capacity(128)
    }

    pub fn with_capacity(bytes: usize) -> Self {
        let mut buf = String::with_capacity(bytes);
        buf.push('{');
        Self { buf }
    }

    fn key(&mut self, key: &str) {
        if self.buf.len() > 1 {
            self.buf.push(',');
        }
        self.buf.push('"');
        self.buf.push_str(key);
        self.buf.push_str("\":");
    }

    pub fn str(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        quote(&mut self.buf, value);
        self
    }

    pub fn opt_str(&mut self, key: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(v) => self.str(key, v),
            None => self.null(key),
        }
    }

    pub fn int(&mut self, key: &str, value: i64) -> &mut Self {
        self.key(key);
        // Writing to a String does not fail.
        let _ = write!(self.buf, "{value}");
        self
    }

    pub fn opt_int(&mut self, key: &str, value: Option<i64>) -> &mut Self {
        match value {
            Some(v) => self.int(key, v),
            None => self.null(key),
        }
    }

    pub fn bool(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, if value { "true" } else { "false" })
    }

    pub fn null(&mut self, key: &str) -> &mut Self {
        self.raw(key, "null")
    }

    /// `value` is JSON text already.
    pub fn raw(&mut self, key: &str, value: &str) -> &mut Self {
        self.key(key);
        self.buf.push_str(value);
        self
    }

    pub fn obj(&mut self, key: &str, value: Obj) -> &mut Self {
        self.raw(key, &value.end())
    }

    /// An array whose elements are JSON text already.
    pub fn arr(&mut self, key: &str, elements: &[String]) -> &mut Self {
        self.key(key);
        self.buf.push('[');
        for (i, e) in elements.iter().enumerate() {
            if i > 0 {
                self.buf.push(',');
            }
            self.buf.push_str(e);
        }
        self.buf.push(']');
        self
    }

    /// Closes the object and gives its text.
    pub fn end(mut self) -> String {
        self.buf.push('}');
        self.buf
    }
}

/// `value` as a JSON string.
pub fn quoted(value: &str) -> String {
    let mut s = String::with_capacity(value.len() + 2);
    quote(&mut s, value);
    s
}

/// Whether nothing needs an escape. A loop, because iterators are slow without optimisation.
fn is_plain(bytes: &[u8]) -> bool {
    let mut i = 0;
    while i < bytes.len() {
        let b = bytes[i];
        if b < 0x20 || b == b'"' || b == b'\\' {
            return false;
        }
        i += 1;
    }
    true
}

fn quote(out: &mut String, value: &str) {
    out.push('"');
    if is_plain(value.as_bytes()) {
        out.push_str(value);
    } else {
        for c in value.chars() {
            match c {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                c if (c as u32) < 0x20 => {
                    let _ = write!(out, "\\u{:04x}", c as u32);
                }
                c => out.push(c),
            }
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_with_quotes_and_control_characters_stays_valid_json() {
        let nasty = "a\"b\\c\nd\u{1}é";
        let mut o = Obj::new();
        o.str("k", nasty)
            .int("n", -5)
            .null("z")
            .arr("a", &[quoted("x"), "1".into()]);
        let v: serde_json::Value = serde_json::from_str(&o.end()).unwrap();
        assert_eq!(v["k"], nasty);
        assert_eq!(v["n"], -5);
        assert_eq!(v["a"][0], "x");
    }
}
