//! `--help` teaches, and completions exist.

use super::{empty_dir, funnel, run};

const COMMANDS: [&str; 13] = [
    "demo",
    "ingest",
    "sql",
    "run",
    "report",
    "explain",
    "publish",
    "audit",
    "rejects",
    "maintain",
    "generate",
    "config",
    "completions",
];

#[test]
fn help_goes_to_stdout_and_names_every_command_and_exit_code() {
    let dir = empty_dir();
    let (out, err) = run(funnel(dir.path()).arg("--help"), 0);
    assert_eq!(err, "");
    for command in COMMANDS {
        assert!(
            out.contains(&format!("\n  {command} ")),
            "{command} is missing in\n{out}"
        );
    }
    for code in ["0", "1", "2", "3", "75", "78", "130", "143"] {
        let listed = out
            .lines()
            .any(|line| line.trim_start().starts_with(&format!("{code}  ")));
        assert!(listed, "exit code {code} is missing in\n{out}");
    }
    assert!(
        out.contains("FUNNEL_LAKE") && out.contains("FUNNEL_CONFIG"),
        "{out}"
    );
}

#[test]
fn every_command_has_examples() {
    let dir = empty_dir();
    let subcommands: [&[&str]; 16] = [
        &["demo"],
        &["ingest"],
        &["sql"],
        &["run"],
        &["report"],
        &["explain"],
        &["publish"],
        &["audit"],
        &["rejects", "list"],
        &["rejects", "show"],
        &["maintain", "compact"],
        &["generate"],
        &["config"],
        &["config", "show"],
        &["config", "check"],
        &["completions"],
    ];
    for words in subcommands {
        let (out, _) = run(funnel(dir.path()).args(words).arg("--help"), 0);
        assert!(out.contains("Examples:\n  "), "{words:?}\n{out}");
    }
}

#[test]
fn completions_name_commands_and_flags() {
    let dir = empty_dir();
    for shell in ["bash", "zsh", "fish"] {
        let (out, err) = run(funnel(dir.path()).args(["completions", shell]), 0);
        assert_eq!(err, "");
        assert!(
            out.contains("rejects") && out.contains("until-end"),
            "{shell}"
        );
    }
}

#[test]
fn version_is_printed_on_stdout() {
    let dir = empty_dir();
    let (out, err) = run(funnel(dir.path()).arg("--version"), 0);
    assert_eq!(out, format!("funnel {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(err, "");
}
