//! The interactive prompt on a terminal of its own (`script` of util-linux makes one).

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use super::{empty_dir, funnel, run};

const PROMPT: &str = "\r\u{1b}[Kfunnel> \r";

struct Terminal {
    session: Child,
    keys: ChildStdin,
    screen: ChildStdout,
    seen: String,
}

impl Terminal {
    fn open(dir: &Path) -> Self {
        let binary = assert_cmd::cargo::cargo_bin!("funnel");
        let line = format!("{} sql --table greetings=g.parquet", binary.display());
        let mut session = Command::new("script")
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .current_dir(dir)
            .env("HOME", dir)
            .env("TERM", "xterm")
            .env_remove("XDG_DATA_HOME")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("`script` comes with Debian's bsdutils: scripts/install-test-deps");
        let (keys, screen) = (
            session.stdin.take().unwrap(),
            session.stdout.take().unwrap(),
        );
        Self {
            session,
            keys,
            screen,
            seen: String::new(),
        }
    }

    fn type_keys(&mut self, keys: &str) {
        self.seen.clear();
        self.keys.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until each of `parts` stands on the screen after the one before.
    fn see(&mut self, parts: &[&str]) {
        let mut bytes = [0; 4096];
        let mut from = 0;
        for part in parts {
            while !self.seen[from..].contains(part) {
                let read = self.screen.read(&mut bytes).unwrap();
                assert!(read > 0, "no {part:?} in\n{}", self.seen);
                // Only ASCII is looked for: a character cut in two does no harm.
                self.seen.push_str(&String::from_utf8_lossy(&bytes[..read]));
            }
            from += self.seen[from..].find(part).unwrap() + part.len();
        }
    }

    /// Runs a line, and waits for its answer and the next prompt: before it, keys go astray.
    fn ask(&mut self, keys: &str, answer: &str) {
        self.type_keys(keys);
        self.see(&[answer, PROMPT]);
    }

    fn leave(mut self) {
        self.keys.write_all(b"\\q\r").unwrap();
        let mut rest = Vec::new();
        self.screen.read_to_end(&mut rest).unwrap();
        assert_eq!(self.session.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn statements_span_lines_names_are_completed_and_history_survives() {
    let dir = empty_dir();
    let make = ["sql", "-c", "SELECT 'hello' AS word", "-o", "g.parquet"];
    run(funnel(dir.path()).args(make), 0);

    let mut terminal = Terminal::open(dir.path());
    terminal.see(&[PROMPT]);
    terminal.type_keys("SELECT 40\r");
    terminal.see(&["funnel> SELECT 40\r\n"]);
    terminal.ask("+ 2;\r", "42");
    terminal.ask("SELECT upper(word) FROM gree\t;\r", "HELLO");
    terminal.ask("SELECT nothing;\r", "No field named nothing");
    terminal.leave();

    let mut terminal = Terminal::open(dir.path());
    terminal.see(&[PROMPT]);
    // Three lines up, over the one that left and the one that failed.
    terminal.ask("\x1b[A\x1b[A\x1b[A\r", "HELLO");
    terminal.leave();
}
