//! JSON text to nodes. Strict RFC 8259; in addition duplicate member names and deep nesting are
//! refused.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;

use super::{Document, Kind, Node};
use crate::reject::RejectCode;

/// Why the text is no JSON document, and at which byte.
#[derive(Debug)]
pub(crate) struct ParseError {
    pub(crate) code: RejectCode,
    pub(crate) byte: usize,
    pub(crate) what: &'static str,
}

/// Up to this many members, names are compared pairwise; it costs less than hashing them.
const PAIRWISE_MAX: usize = 24;

/// Parses one document that must take up all of `text`.
pub(crate) fn parse(text: &str, max_depth: usize) -> Result<Document<'_>, ParseError> {
    let mut parser = Parser {
        text,
        bytes: text.as_bytes(),
        at: 0,
        nodes: Vec::with_capacity(text.len() / 10 + 8),
        max_depth,
    };
    parser.skip_space();
    parser.value(0)?;
    parser.skip_space();
    if parser.at < parser.bytes.len() {
        return Err(parser.error(RejectCode::TrailingData, "there is more after the document"));
    }
    Ok(Document {
        nodes: parser.nodes,
    })
}

struct Parser<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node<'a>>,
    max_depth: usize,
}

impl<'a> Parser<'a> {
    fn error(&self, code: RejectCode, what: &'static str) -> ParseError {
        ParseError {
            code,
            byte: self.at,
            what,
        }
    }

    fn syntax<T>(&self, what: &'static str) -> Result<T, ParseError> {
        let what = if self.at >= self.bytes.len() {
            "the document ends early"
        } else {
            what
        };
        Err(self.error(RejectCode::JsonSyntax, what))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Adds a node and gives its position. A record has fewer bytes than `u32::MAX`, so fewer nodes
    /// too.
    fn push(&mut self, kind: Kind, text: Cow<'a, str>) -> usize {
        let position = self.nodes.len();
        let end = u32::try_from(position + 1).unwrap_or(u32::MAX);
        self.nodes.push(Node {
            kind,
            end,
            read: Cell::new(false),
            text,
        });
        position
    }

    fn close(&mut self, position: usize) {
        let end = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        if let Some(node) = self.nodes.get_mut(position) {
            node.end = end;
        }
    }

    fn value(&mut self, depth: usize) -> Result<(), ParseError> {
        match self.peek() {
            Some(b'{') => self.object(depth + 1),
            Some(b'[') => self.array(depth + 1),
            Some(b'"') => {
                let text = self.string()?;
                self.push(Kind::String, text);
                Ok(())
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true", Kind::True),
            Some(b'f') => self.word("false", Kind::False),
            Some(b'n') => self.word("null", Kind::Null),
            _ => self.syntax("a value should stand here"),
        }
    }

    fn word(&mut self, word: &'static str, kind: Kind) -> Result<(), ParseError> {
        if !self
            .bytes
            .get(self.at..)
            .is_some_and(|rest| rest.starts_with(word.as_bytes()))
        {
            return self.syntax("a value should stand here");
        }
        self.at += word.len();
        self.push(kind, Cow::Borrowed(""));
        Ok(())
    }

    fn enter(&self, depth: usize) -> Result<(), ParseError> {
        if depth > self.max_depth {
            return Err(self.error(RejectCode::JsonDepth, "the nesting is too deep"));
        }
        Ok(())
    }

    fn array(&mut self, depth: usize) -> Result<(), ParseError> {
        self.enter(depth)?;
        let position = self.push(Kind::Array, Cow::Borrowed(""));
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_space();
            self.value(depth)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => break,
                _ => return self.syntax("a comma or the end of the array should stand here"),
            }
        }
        self.at += 1;
        self.close(position);
        Ok(())
    }

    fn object(&mut self, depth: usize) -> Result<(), ParseError> {
        self.enter(depth)?;
        let position = self.push(Kind::Object, Cow::Borrowed(""));
        self.at += 1;
        self.skip_space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.skip_space();
            if self.peek() != Some(b'"') {
                return self.syntax("a member name should stand here");
            }
            let name = self.string()?;
            self.push(Kind::Key, name);
            self.skip_space();
            if self.peek() != Some(b':') {
                return self.syntax("a colon should stand here");
            }
            self.at += 1;
            self.skip_space();
            self.value(depth)?;
            self.skip_space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => break,
                _ => return self.syntax("a comma or the end of the object should stand here"),
            }
        }
        self.at += 1;
        self.close(position);
        self.check_names(position)
    }

    /// Two members of one name: readers disagree on which one counts, so the record is refused.
    fn check_names(&self, position: usize) -> Result<(), ParseError> {
        let end = self.nodes.get(position).map_or(0, |node| node.end as usize);
        let mut names: Vec<&str> = Vec::with_capacity(16);
        let mut at = position + 1;
        while at + 1 < end {
            let (Some(key), Some(value)) = (self.nodes.get(at), self.nodes.get(at + 1)) else {
                break;
            };
            names.push(&key.text);
            at = value.end as usize;
        }
        let repeated = if names.len() <= PAIRWISE_MAX {
            names
                .iter()
                .enumerate()
                .any(|(n, name)| names.iter().skip(n + 1).any(|other| other == name))
        } else {
            let mut seen = HashSet::with_capacity(names.len());
            !names.iter().all(|name| seen.insert(*name))
        };
        if repeated {
            return Err(self.error(
                RejectCode::JsonDupKey,
                "an object that ends here has two members of one name",
            ));
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.syntax("a digit should stand here"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        self.push(Kind::Number, Cow::Borrowed(text));
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), ParseError> {
        let start = self.at;
        self.digits();
        if self.at == start {
            self.syntax("a digit should stand here")
        } else {
            Ok(())
        }
    }

    /// A string; borrowed from the input unless it holds an escape.
    fn string(&mut self) -> Result<Cow<'a, str>, ParseError> {
        self.at += 1;
        let mut start = self.at;
        let mut owned: Option<String> = None;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => {
                    let text = owned.get_or_insert_default();
                    text.push_str(self.text.get(start..self.at).unwrap_or_default());
                    self.at += 1;
                    let escaped = self.escape()?;
                    owned.get_or_insert_default().push(escaped);
                    start = self.at;
                }
                Some(0..=0x1f) => return self.syntax("a control character stands in a string"),
                Some(_) => self.at += 1,
                None => return self.syntax("the string has no end"),
            }
        }
        let tail = self.text.get(start..self.at).unwrap_or_default();
        self.at += 1;
        Ok(match owned {
            None => Cow::Borrowed(tail),
            Some(mut text) => {
                text.push_str(tail);
                Cow::Owned(text)
            }
        })
    }

    fn escape(&mut self) -> Result<char, ParseError> {
        let escaped = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.syntax("no such escape"),
        };
        self.at += 1;
        Ok(escaped)
    }

    fn unicode(&mut self) -> Result<char, ParseError> {
        let first = self.hex4()?;
        let code = match first {
            0xd800..=0xdbff => {
                if self.bytes.get(self.at..self.at + 2) != Some(b"\\u") {
                    return self.syntax("half of a surrogate pair is missing");
                }
                self.at += 2;
                let second = self.hex4()?;
                if !(0xdc00..=0xdfff).contains(&second) {
                    return self.syntax("half of a surrogate pair is missing");
                }
                0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)
            }
            other => other,
        };
        match char::from_u32(code) {
            Some(character) => Ok(character),
            None => self.syntax("half of a surrogate pair is missing"),
        }
    }

    fn hex4(&mut self) -> Result<u32, ParseError> {
        let mut code = 0;
        for _ in 0..4 {
            let Some(digit) = self.peek().and_then(|byte| char::from(byte).to_digit(16)) else {
                return self.syntax("four hex digits should stand here");
            };
            code = code * 16 + digit;
            self.at += 1;
        }
        Ok(code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<RejectCode> {
        parse(text, 64).err().map(|error| error.code)
    }

    #[test]
    fn texts_are_accepted_exactly_when_serde_json_accepts_them() {
        let texts = [
            "{}",
            "[]",
            "null",
            "true",
            "0",
            "-0",
            "01",
            "1.",
            ".5",
            "-",
            "1e5",
            "1e",
            "1E+2",
            "+1",
            "\"\"",
            "\"a",
            "\"\\u00e9\"",
            "\"\\ud83d\\ude00\"",
            "\"\\ud83d\"",
            "\"\\ude00\"",
            "\"\\x\"",
            "\"\t\"",
            "[1,]",
            "[,1]",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "[1 2]",
            " [ 1 , { \"a\" : [ ] } ] ",
            "nul",
            "tru",
            "\u{feff}{}",
            "",
            "\"\\/\\b\\f\\n\\r\\t\"",
            "[\"\\u0000\"]",
            "{\"\":null}",
            "\"\u{7f}\"",
            "[[[]]]",
            "NaN",
            "1e-7",
        ];
        for text in texts {
            let serde = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(code(text).is_none(), serde, "{text:?}");
        }
    }

    #[test]
    fn strings_are_borrowed_unless_they_hold_an_escape() {
        let document = parse(r#"["plain", "a\u0041\n\ud83d\ude00z"]"#, 64).expect("valid");
        let texts: Vec<_> = document
            .root()
            .items()
            .map(|item| item.text().to_owned())
            .collect();
        assert_eq!(texts, ["plain", "aA\n\u{1f600}z"]);
        assert!(matches!(document.nodes[1].text, Cow::Borrowed(_)));
    }

    #[test]
    fn the_error_names_the_byte() {
        let error = parse("{\"a\": tru}", 64).expect_err("broken word");
        assert_eq!((error.code, error.byte), (RejectCode::JsonSyntax, 6));
        let error = parse("{} x", 64).expect_err("more text");
        assert_eq!((error.code, error.byte), (RejectCode::TrailingData, 3));
    }

    #[test]
    fn duplicate_names_are_found_in_small_and_large_objects() {
        assert_eq!(
            code(r#"{"a":1,"b":{"c":1,"c":2}}"#),
            Some(RejectCode::JsonDupKey)
        );
        assert_eq!(code(r#"{"a":1,"\u0061":2}"#), Some(RejectCode::JsonDupKey));
        let many: Vec<String> = (0..100).map(|n| format!("\"k{n}\":1")).collect();
        assert_eq!(code(&format!("{{{}}}", many.join(","))), None);
        assert_eq!(
            code(&format!("{{{},\"k7\":2}}", many.join(","))),
            Some(RejectCode::JsonDupKey)
        );
    }

    #[test]
    fn nesting_of_sixty_four_is_the_last_that_is_read() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert_eq!(code(&nested(64)), None);
        assert_eq!(code(&nested(65)), Some(RejectCode::JsonDepth));
        assert_eq!(code(&"[".repeat(100_000)), Some(RejectCode::JsonDepth));
    }
}
