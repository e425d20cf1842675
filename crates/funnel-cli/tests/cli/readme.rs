//! Every command that the README prints, run as it stands there.

use std::path::Path;
use std::process::{Command, Stdio};

use funnel_datagen::output::write_dir;
use funnel_datagen::{Options, Simulation};

use super::ingest::{broker, wait_for_line};
use super::{empty_dir, funnel, run};

const README: &str = include_str!("../../../../README.md");
const MAKEFILE: &str = include_str!("../../../../Makefile");

/// The lines of the README's shell blocks that begin with `program`, without their remarks.
fn commands(program: &str) -> Vec<&'static str> {
    let blocks = README.split("```").filter_map(|b| b.strip_prefix("sh\n"));
    let lines = blocks.flat_map(str::lines);
    lines
        .filter(|line| line.split(' ').next() == Some(program))
        .map(|line| line.split(" #").next().unwrap_or(line).trim())
        .collect()
}

/// What a reader of the README has: a configuration, a lake of one account, and a Parquet file.
fn workplace(brokers: &str) -> tempfile::TempDir {
    let dir = empty_dir();
    let options = Options {
        sessions: 120,
        accounts: 1,
        ..Options::default()
    };
    write_dir(
        Simulation::new(options).unwrap(),
        &dir.path().join("traffic"),
    )
    .unwrap();
    let config = format!(
        "[lake]\nurl = \"lake\"\n[kafka]\nbrokers = \"{brokers}\"\nassignment = \"static\"\n\
         [http]\nlisten = \"127.0.0.1:0\"\n\
         [serve]\nlisten = \"127.0.0.1:0\"\npg_listen = \"127.0.0.1:0\"\n"
    );
    std::fs::write(dir.path().join("funnel.toml"), config).unwrap();
    let traffic = std::fs::read_dir(dir.path().join("traffic")).unwrap();
    let traffic = traffic
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "ndjson"));
    let words = ["ingest", "--lake", "lake", "--files"];
    run(funnel(dir.path()).args(words).args(traffic), 0);
    let words = ["sql", "-c", "SELECT 1 AS one", "-o", "file.parquet"];
    run(funnel(dir.path()).args(words), 0);
    dir
}

/// A shell that finds the binary under test by its name.
fn shell(dir: &Path, line: &str) -> Command {
    let binary = assert_cmd::cargo::cargo_bin!("funnel");
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", line])
        .current_dir(dir)
        .env_clear()
        .env("HOME", dir)
        .env("PATH", binary.parent().unwrap())
        .stdin(Stdio::null());
    command
}

#[test]
fn every_command_of_the_readme_does_what_it_says() {
    let broker = broker();
    let dir = workplace(&broker.bootstrap_servers());
    let lines = commands("funnel");
    assert!(lines.len() >= 8, "{lines:?}");
    for line in lines {
        if ["funnel ingest", "funnel serve"]
            .iter()
            .any(|service| line.starts_with(service))
        {
            until_stopped(dir.path(), line);
            continue;
        }
        let output = shell(dir.path(), line).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{line}\n{err}");
        let said = !output.stdout.is_empty() || line.starts_with("funnel config check");
        assert!(said, "{line} printed nothing\n{err}");
    }
}

/// A service runs until it is told to stop, and is then done.
fn until_stopped(dir: &Path, line: &str) {
    let mut service = shell(dir, &format!("exec {line}"))
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let started = wait_for_line(&mut service, "http://127.0.0.1:");
    let kill = format!("kill -TERM {}", service.id());
    assert!(shell(dir, &kill).status().unwrap().success());
    assert_eq!(service.wait().unwrap().code(), Some(0), "{line}\n{started}");
}

#[test]
fn the_two_set_up_commands_are_targets_of_the_makefile() {
    let lines = commands("make");
    assert_eq!(lines, ["make demo", "make test"]);
    for line in lines {
        let target = format!("\n{}:", line.trim_start_matches("make "));
        assert!(MAKEFILE.contains(&target), "{line}");
    }
}
