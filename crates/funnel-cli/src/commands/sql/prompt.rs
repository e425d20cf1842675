//! The interactive prompt: history, completion, several lines until `;`.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::PathBuf;

use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Cmd, CompletionType, Config, Context, Editor, KeyEvent};
use rustyline::{Helper, Highlighter, Hinter};

use super::split::{Piece, split};
use super::{Flow, Runner, catalog};
use crate::env_vars;
use crate::error::{CliError, Result};
use crate::output;

/// What `\?` says.
pub(super) const HELP: &str = "\
A statement ends with `;` and may span lines. Tab completes tables, columns and functions.
  \\d          list tables and views
  \\d NAME     describe one
  \\timing     show how long queries take
  \\q          leave (also Ctrl-D); Ctrl-C drops the line or stops the query";

const PROMPT: &str = "funnel> ";

const KEYWORDS: &str = "\
SELECT FROM WHERE GROUP BY ORDER HAVING LIMIT OFFSET JOIN LEFT RIGHT FULL INNER OUTER CROSS ON \
USING AS DISTINCT UNION ALL EXCEPT INTERSECT WITH RECURSIVE CASE WHEN THEN ELSE END AND OR NOT IN \
IS NULL LIKE ILIKE BETWEEN EXISTS CAST INTERVAL DATE TIMESTAMP TRUE FALSE ASC DESC NULLS FIRST LAST \
OVER PARTITION ROWS RANGE PRECEDING FOLLOWING UNBOUNDED CURRENT ROW FILTER QUALIFY VALUES EXPLAIN \
ANALYZE DESCRIBE SHOW TABLES COLUMNS CREATE VIEW TABLE DROP COPY TO";

/// Reads and runs until the user leaves.
pub(super) async fn run(runner: &mut Runner) -> Result<()> {
    let unusable = |error| CliError::failed("could not open the prompt").because(error);
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .auto_add_history(false)
        .build();
    let mut editor: Editor<Words, DefaultHistory> =
        Editor::with_config(config).map_err(unusable)?;
    editor.bind_sequence(KeyEvent::ctrl('L'), Cmd::ClearScreen);
    let history = history_file();
    if let Some(path) = &history {
        // The first time there is none.
        drop(editor.load_history(path));
    }
    output::note("funnel sql: \\? for help, \\q to leave");
    loop {
        editor.set_helper(Some(Words {
            words: catalog::words(runner.session.ctx()).await,
        }));
        match editor.readline(PROMPT) {
            Ok(text) => {
                drop(editor.add_history_entry(text.trim()));
                if run_interruptibly(runner, &text).await? == Flow::Quit {
                    break;
                }
            }
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(unusable(error)),
        }
    }
    if let Some(path) = &history
        && let Err(error) = editor.save_history(path)
    {
        output::note(&format!(
            "could not save the history to `{}`: {error}",
            path.display()
        ));
    }
    Ok(())
}

/// An error is shown and the prompt goes on; Ctrl-C stops the query.
async fn run_interruptibly(runner: &mut Runner, text: &str) -> Result<Flow> {
    let leave = ["quit", "exit"].contains(&text.trim().trim_end_matches(';'));
    if leave {
        return Ok(Flow::Quit);
    }
    let answer = tokio::select! {
        answer = runner.script(text) => answer,
        _ = tokio::signal::ctrl_c() => {
            output::note("stopped");
            return Ok(Flow::GoOn);
        }
    };
    match answer {
        Ok(flow) => Ok(flow),
        Err(error) if error.is_closed_pipe() => Err(error),
        Err(error) => {
            output::note(error.render().trim_end());
            Ok(Flow::GoOn)
        }
    }
}

/// Under the user's data directory; without a home there is no history.
fn history_file() -> Option<PathBuf> {
    let dir = env_vars::user_data_dir()?;
    std::fs::create_dir_all(&dir).ok()?;
    Some(dir.join("history.sql"))
}

#[derive(Helper, Highlighter, Hinter)]
struct Words {
    words: BTreeSet<String>,
}

impl Validator for Words {
    fn validate(&self, ctx: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let found = split(ctx.input());
        let leaving = ["quit", "exit"].contains(&ctx.input().trim());
        let meta = matches!(found.pieces.last(), Some(Piece::Meta(_)));
        Ok(
            if found.rest.is_empty() || leaving || (meta && found.rest.is_empty()) {
                ValidationResult::Valid(None)
            } else {
                ValidationResult::Incomplete
            },
        )
    }
}

impl Completer for Words {
    type Candidate = String;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..position).unwrap_or_default();
        let start = before
            .char_indices()
            .rev()
            .find(|(_, c)| !c.is_alphanumeric() && *c != '_')
            .map_or(0, |(at, c)| at + c.len_utf8());
        let word = before.get(start..).unwrap_or_default();
        Ok((start, candidates(&self.words, word)))
    }
}

/// Names that start with the word; keywords in the case in which it is written.
fn candidates(words: &BTreeSet<String>, word: &str) -> Vec<String> {
    if word.is_empty() {
        return Vec::new();
    }
    let upper = word.to_uppercase();
    let lower = word.to_lowercase();
    let keywords = KEYWORDS
        .split_whitespace()
        .filter(|keyword| keyword.starts_with(&upper))
        .map(|keyword| -> Cow<'_, str> {
            if word == lower {
                keyword.to_lowercase().into()
            } else {
                keyword.into()
            }
        });
    let names = words
        .iter()
        .filter(|name| name.to_lowercase().starts_with(&lower))
        .map(|name| Cow::Borrowed(name.as_str()));
    names.chain(keywords).map(Cow::into_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn completion_keeps_the_case_of_keywords_and_knows_names() {
        let words = BTreeSet::from(["events".to_owned(), "event_type".to_owned()]);
        assert_eq!(candidates(&words, "eve"), ["event_type", "events"]);
        assert_eq!(candidates(&words, "sel"), ["select"]);
        assert_eq!(candidates(&words, "SEL"), ["SELECT"]);
        assert!(candidates(&words, "").is_empty());
    }
}
