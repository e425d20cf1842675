//! The real binary, from outside: exit codes, stdout and stderr, formats, messages.
#![cfg(test)]

mod configuration;
mod demo;
mod help;
mod ingest;
mod maintain;
mod pipeline;
mod prompt;
mod readme;
mod report;
mod serve;
mod sql;
mod usage;

use std::path::Path;
use std::process::Output;

use assert_cmd::Command;

/// The binary in an empty directory, without anybody's environment or configuration.
fn funnel(dir: &Path) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("funnel"));
    command.current_dir(dir).env_clear().env("HOME", dir);
    command
}

/// Runs it; the exit code must be the one expected.
#[track_caller]
fn run(command: &mut Command, code: i32) -> (String, String) {
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let (out, err) = (
        String::from_utf8(stdout).unwrap(),
        String::from_utf8(stderr).unwrap(),
    );
    assert_eq!(status.code(), Some(code), "stdout:\n{out}\nstderr:\n{err}");
    (out, err)
}

fn empty_dir() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}
