//! Cuts input into statements and backslash commands.

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// An SQL statement without its `;`.
    Statement(String),
    /// A line that starts with a backslash, without it.
    Meta(String),
}

/// What the input holds so far.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Split {
    pub(super) pieces: Vec<Piece>,
    /// A statement that has begun and not ended.
    pub(super) rest: String,
}

/// Splits at `;` outside of quotes and comments.
pub(super) fn split(input: &str) -> Split {
    let mut pieces = Vec::new();
    let mut start = 0;
    let mut at = 0;
    let bytes = input.as_bytes();
    while at < bytes.len() {
        let untouched = input.get(start..at).is_some_and(blank);
        match bytes.get(at) {
            Some(b'\\') if untouched => {
                let end = input.get(at..).and_then(|text| text.find('\n'));
                let end = end.map_or(input.len(), |length| at + length);
                let line = input.get(at + 1..end).unwrap_or_default().trim();
                pieces.push(Piece::Meta(line.trim_end_matches(';').trim().to_owned()));
                at = end;
                start = end;
            }
            Some(b';') => {
                push(&mut pieces, input.get(start..at).unwrap_or_default());
                at += 1;
                start = at;
            }
            _ => at = skip(input, at),
        }
    }
    let rest = input.get(start..).unwrap_or_default();
    Split {
        pieces,
        rest: if blank(rest) {
            String::new()
        } else {
            rest.trim().to_owned()
        },
    }
}

fn push(pieces: &mut Vec<Piece>, text: &str) {
    if !blank(text) {
        pieces.push(Piece::Statement(text.trim().to_owned()));
    }
}

/// Nothing but space and comments.
fn blank(text: &str) -> bool {
    let mut at = 0;
    while at < text.len() {
        let rest = text.get(at..).unwrap_or_default();
        let is_space = rest.starts_with(char::is_whitespace);
        if !is_space && !rest.starts_with("--") && !rest.starts_with("/*") {
            return false;
        }
        at = skip(text, at);
    }
    true
}

/// The position after the character, quoted text or comment that starts at `at`.
fn skip(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    let length = match rest.as_bytes() {
        [b'\'', ..] => after(rest, 1, "'"),
        [b'"', ..] => after(rest, 1, "\""),
        [b'-', b'-', ..] => after(rest, 2, "\n"),
        [b'/', b'*', ..] => after(rest, 2, "*/"),
        [b'$', b'$', ..] => after(rest, 2, "$$"),
        _ => rest.chars().next().map_or(1, char::len_utf8),
    };
    at + length
}

/// The length up to and with the closing mark; all of it when that is missing.
fn after(text: &str, open: usize, close: &str) -> usize {
    text.get(open..)
        .and_then(|inner| inner.find(close))
        .map_or(text.len(), |position| open + position + close.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statements(input: &str) -> Vec<String> {
        split(input)
            .pieces
            .into_iter()
            .map(|piece| match piece {
                Piece::Statement(text) => text,
                Piece::Meta(text) => format!("\\{text}"),
            })
            .collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_do_not_end_a_statement() {
        let input = "SELECT ';', \"a;b\" -- c;\n, /* ; */ 1; SELECT 'it''s;';";
        assert_eq!(
            statements(input),
            ["SELECT ';', \"a;b\" -- c;\n, /* ; */ 1", "SELECT 'it''s;'"]
        );
    }

    #[test]
    fn an_open_statement_is_the_rest() {
        let found = split("SELECT 1; SELECT\n 2");
        assert_eq!(found.pieces.len(), 1);
        assert_eq!(found.rest, "SELECT\n 2");
        assert_eq!(split("SELECT 'a;").rest, "SELECT 'a;");
        assert_eq!(split(" \n-- only a comment\n").rest, "");
    }

    #[test]
    fn backslash_commands_stand_between_statements_only() {
        assert_eq!(
            statements("\\d events\nSELECT 1;\n\\q"),
            ["\\d events", "SELECT 1", "\\q"]
        );
        assert_eq!(split("SELECT \\d").rest, "SELECT \\d");
    }

    #[test]
    fn text_beyond_ascii_is_not_cut() {
        assert_eq!(statements("SELECT 'é;ü' AS ñ;"), ["SELECT 'é;ü' AS ñ"]);
    }
}
