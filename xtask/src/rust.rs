//! As much of Rust's grammar as the checks need: what is code and what is not, and where functions
//! begin and end.

/// Stands for a character of a string.
const IN_STRING: char = '\u{1}';

/// The text with comments as spaces and strings unreadable; lines and columns stay.
pub(crate) fn code_only(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let (length, filler) = match token(rest) {
            Token::Code => (first.len_utf8(), None),
            Token::Comment(length) => (length, Some(' ')),
            Token::Literal(length) => (length, Some(IN_STRING)),
        };
        let (part, others) = rest.split_at(length);
        match filler {
            None => code.push_str(part),
            Some(filler) => {
                code.extend(part.chars().map(|c| if c == '\n' { c } else { filler }));
            }
        }
        rest = others;
    }
    code
}

enum Token {
    Code,
    Comment(usize),
    Literal(usize),
}

/// What begins here. That a quote may follow letters (`b'{'`, `br"…"`) changes nothing.
fn token(rest: &str) -> Token {
    if rest.starts_with("//") {
        Token::Comment(rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        Token::Comment(block_comment(rest))
    } else if let Some(string) = rest.strip_prefix('"') {
        Token::Literal(1 + quoted(string, '"'))
    } else if rest.starts_with('r') {
        raw_string(rest).map_or(Token::Code, Token::Literal)
    } else if rest.starts_with('\'') {
        character(rest).map_or(Token::Code, Token::Literal)
    } else {
        Token::Code
    }
}

/// Length of a block comment, which may hold others.
fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, _) in text.char_indices() {
        if text[at..].starts_with("/*") {
            depth += 1;
        } else if at > 0 && text[at - 1..].starts_with("*/") {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    text.len()
}

/// Length to the closing quote, and with it.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if c == quote && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    text.len()
}

/// Length of `r"…"`, `r#"…"#` and so on.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    let body = text[1 + hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some(2 + hashes + length)
}

/// Length of a character literal; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let mut chars = text[1..].chars();
    match (chars.next()?, chars.next()?) {
        ('\\', _) => Some(1 + quoted(&text[1..], '\'')),
        (c, '\'') => Some(2 + c.len_utf8()),
        _ => None,
    }
}

/// A function with its body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    /// The line of its name, from 1.
    pub(crate) line: usize,
    /// Lines of its body that hold code, the braces not counted.
    pub(crate) length: usize,
}

/// The functions in `code`, which is text without comments ([`code_only`]).
pub(crate) fn functions(code: &str) -> Vec<Function> {
    let mut found = Vec::new();
    for (at, _) in code.match_indices("fn ") {
        let starts_word = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let signature = &code[at + 3..];
        let name: String = signature
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        if !starts_word || name.is_empty() {
            continue;
        }
        if let Some(body) = body(signature) {
            let lines = body.lines().filter(|line| !line.trim().is_empty());
            let line = 1 + code[..at].matches('\n').count();
            found.push(Function {
                name,
                line,
                length: lines.count(),
            });
        }
    }
    found
}

/// What stands between the braces of a function; a declaration has none.
fn body(signature: &str) -> Option<&str> {
    let open = signature.find(['{', ';'])?;
    // `[u8; 4]` in a signature is not its end.
    let (mut open, mut rest) = (open, &signature[open..]);
    while rest.starts_with(';') && brackets(&signature[..open]) > 0 {
        let next = rest[1..].find(['{', ';'])? + 1;
        (open, rest) = (open + next, &rest[next..]);
    }
    let inside = signature[open..].strip_prefix('{')?;
    let mut depth = 1_usize;
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return Some(&inside[..at]),
            '}' => depth -= 1,
            _ => {}
        }
    }
    Some(inside)
}

fn brackets(text: &str) -> isize {
    let count = |c: char| isize::try_from(text.matches(c).count()).unwrap_or(0);
    count('[') - count(']')
}

/// How many lines come before the tests at the end of a file: before `#[cfg(test)]` on a module
/// that stands in the file.
pub(crate) fn production_lines(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let tests_begin = |at: &usize| {
        let item = lines[at + 1..].iter().find(|line| !line.starts_with("#["));
        lines[*at] == "#[cfg(test)]"
            && item.is_some_and(|item| item.contains("mod ") && item.ends_with('{'))
    };
    (0..lines.len()).find(tests_begin).unwrap_or(lines.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_strings_are_not_code() {
        let text = "a // b\n/* c /* d */ e */ f \"g \\\" h\" r#\"i \" j\"# 'k' 'l '\\'' m b'{' n br\"\\\" o";
        let code = code_only(text);
        let words: String = code.chars().filter(char::is_ascii_alphabetic).collect();
        assert_eq!(words, "aflmbnbo");
        assert_eq!(code.chars().count(), text.chars().count());
        assert_eq!(code.lines().count(), text.lines().count());
    }

    #[test]
    fn length_of_a_function_is_its_lines_of_code() {
        let text = "fn a() {\n    let x = \"}\";\n\n    // no\n    if x {\n    }\n}\n\
                    trait T { fn b(x: [u8; 4]); fn c(x: [u8; 4]) { x } }\nlet fn_like = 1;";
        let found = functions(&code_only(text));
        let names: Vec<(&str, usize, usize)> = found
            .iter()
            .map(|f| (f.name.as_str(), f.line, f.length))
            .collect();
        assert_eq!(names, [("a", 1, 3), ("c", 8, 1)]);
    }

    #[test]
    fn tests_in_the_file_are_not_production() {
        assert_eq!(
            production_lines("a\nb\n#[cfg(test)]\nmod tests {\nc\n}\n"),
            2
        );
        assert_eq!(production_lines("#[cfg(test)]\nmod tests;\na\nb\n"), 4);
    }
}
