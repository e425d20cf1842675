//! What must not be written, and what must: leftovers, tests that do not run, errors that print
//! their cause twice, folders of somebody's machine, crate documentation.

use super::Problem;
use crate::house::House;
use crate::rust::code_only;

/// In code. Written in pieces so that this file does not find itself.
const NOT_IN_CODE: [(&str, &str); 5] = [
    (
        concat!("#[ig", "nore"),
        "a test that does not run shows nothing; remove it or make it run",
    ),
    (concat!("to", "do!("), "is a leftover"),
    (concat!("unimple", "mented!("), "is a leftover"),
    (concat!("db", "g!("), "is a leftover"),
    (
        concat!("#![al", "low("),
        "silences a whole file; `#[expect(…, reason = …)]` on the item says why",
    ),
];

const LEFTOVER: &str = concat!("TO", "DO");

/// Beginnings of paths that exist on one machine only.
const MACHINE_PATHS: [&str; 3] = [
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tmp/tar", "get"),
];

pub(super) fn check(house: &House) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (path, text) in house.files().filter(|(path, _)| *path != "Cargo.lock") {
        for (number, line) in (1..).zip(text.lines()) {
            if MACHINE_PATHS.iter().any(|machine| has_path(line, machine)) {
                problems.push(Problem::new(path, number, "names a folder of one machine"));
            }
        }
    }
    for (path, text) in house.rust() {
        for (number, (line, code)) in (1..).zip(text.lines().zip(code_only(text).lines())) {
            for (word, reason) in NOT_IN_CODE.iter().filter(|(word, _)| code.contains(word)) {
                problems.push(Problem::new(path, number, format!("`{word}`: {reason}")));
            }
            if has_word(line, LEFTOVER) {
                problems.push(Problem::new(
                    path,
                    number,
                    format!("{LEFTOVER}: do it, or say why not"),
                ));
            }
        }
        problems.extend(printed_sources(path, text));
        if is_crate_root(path) && !text.starts_with("//!") {
            problems.push(Problem::new(
                path,
                1,
                "a crate begins with what it is: `//! …`",
            ));
        }
    }
    problems
}

/// Whoever logs an error prints the chain; a message that holds its source prints it twice.
fn printed_sources(path: &str, text: &str) -> Vec<Problem> {
    let attributes = text.match_indices("#[error(").filter(|(at, _)| {
        let attribute = &text[*at..];
        let end = attribute.find(")]").unwrap_or(attribute.len());
        attribute[..end].contains("{source")
    });
    attributes
        .map(|(at, _)| {
            let line = 1 + text[..at].matches('\n').count();
            Problem::new(path, line, "an error does not print its source")
        })
        .collect()
}

/// Is there an absolute path that begins so?
fn has_path(line: &str, beginning: &str) -> bool {
    line.match_indices(beginning)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || "_-.~}/".contains(c)))
}

fn has_word(line: &str, word: &str) -> bool {
    let is_letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].ends_with(is_letter) && !line[at + word.len()..].starts_with(is_letter)
    })
}

fn is_crate_root(path: &str) -> bool {
    ["src/lib.rs", "src/main.rs"]
        .iter()
        .any(|root| path.ends_with(root))
        || path
            .strip_prefix("tests/")
            .is_some_and(|lane| lane.ends_with("/main.rs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        check(&House::of([(path, text)]))
            .iter()
            .map(Problem::to_string)
            .collect()
    }

    #[test]
    fn leftovers_are_found_in_code_and_not_in_strings() {
        for (word, _) in NOT_IN_CODE {
            assert_eq!(found("a.rs", &format!("\n{word}\n")).len(), 1, "{word}");
            assert_eq!(
                found("a.rs", &format!("let x = \"{word}\";")).len(),
                0,
                "{word}"
            );
        }
        assert_eq!(found("a.rs", &format!("// {LEFTOVER}: later")).len(), 1);
        assert_eq!(
            found("a.rs", &format!("// {LEFTOVER}S are something else")).len(),
            0
        );
    }

    #[test]
    fn error_that_prints_its_source_is_found() {
        let of =
            |message| format!("#[error(\n    \"{message}\"\n)]\nRead {{ source: io::Error }},");
        assert_eq!(
            found("a.rs", &of("could not read: {source}")),
            ["a.rs:1: an error does not print its source"]
        );
        assert_eq!(found("a.rs", &of("could not read `{path}`")), [""; 0]);
    }

    #[test]
    fn folders_of_a_machine_are_found_in_every_file() {
        for machine in MACHINE_PATHS {
            assert_eq!(
                found("README.md", &format!("see {machine}x")).len(),
                1,
                "{machine}"
            );
            assert_eq!(
                found("a.sh", &format!("\"$DIR{machine}x\"")).len(),
                0,
                "{machine}"
            );
        }
    }

    #[test]
    fn crate_without_documentation_is_found() {
        assert_eq!(found("crates/a/src/lib.rs", "mod b;").len(), 1);
        assert_eq!(found("tests/it/main.rs", "mod b;").len(), 1);
        assert_eq!(found("crates/a/src/lib.rs", "//! What it is.").len(), 0);
    }
}
