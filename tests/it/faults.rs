//! Processes that end badly, and ones that end well: nothing lost, nothing twice.

use std::process::Child;
use std::time::{Duration, Instant};

use funnel_datagen::{Options, Simulation};
use funnel_tests::Lab;

use crate::{simulation, truth};

const PATIENCE: Duration = Duration::from_secs(120);

/// Commits in the log of the events table so far.
pub(crate) fn commits(lab: &Lab) -> usize {
    let log = lab.lake().join("events/_delta_log");
    let Ok(entries) = std::fs::read_dir(log) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .filter(|entry| entry.path().extension().is_some_and(|e| e == "json"))
        .count()
}

/// Waits until the table has `more` commits than `before`, or `child` has ended.
pub(crate) fn await_commits(lab: &Lab, child: &mut Child, more: usize, before: usize) {
    let deadline = Instant::now() + PATIENCE;
    while commits(lab) < before + more {
        if child
            .try_wait()
            .expect("the process can be asked")
            .is_some()
        {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "no {more} commits after {before} in {PATIENCE:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// SIGTERM, as a supervisor sends it.
pub(crate) fn terminate(child: &Child) {
    let status = std::process::Command::new("kill")
        .arg(child.id().to_string())
        .status();
    assert!(
        status.expect("kill runs").success(),
        "SIGTERM reaches the process"
    );
}

/// Small batches, so that a run has many places to be killed in, and a group that soon gives the
/// partitions of a killed member away.
pub(crate) const SMALL_BATCHES: &str = "[kafka.options]\n\"session.timeout.ms\" = 6000\n\n\
    [ingest]\nflush_rows = 700\nflush_age = \"200ms\"\n";

#[test]
fn killed_at_any_moment_the_ingestor_loses_nothing_and_doubles_nothing() {
    let lab = Lab::with_config(SMALL_BATCHES);
    let options = Options {
        sessions: 1_500,
        seed: 9,
        ..Options::default()
    };
    let mut simulation = Simulation::new(options).expect("options are in range");
    // Commits to wait for before each kill; 0 kills while it starts. The rest of what was sent is
    // then being read, encoded or committed.
    for more in [0, 1, 0, 1, 1, 1] {
        lab.send(simulation.by_ref().take(2_500));
        let before = commits(&lab);
        let mut child = lab.spawn_ingest("killed.log");
        await_commits(&lab, &mut child, more, before);
        child.kill().expect("SIGKILL reaches the process");
        child.wait().expect("the process ends");
    }
    lab.send(simulation.by_ref());
    let expected = simulation.into_truth();
    lab.ingest();
    lab.audit_closes();
    truth::records_match(&lab, &expected);
}

#[test]
fn a_terminated_ingestor_commits_what_it_read_and_exits_0() {
    let lab = Lab::with_config(SMALL_BATCHES);
    let (expected, _) = simulation::send(
        &lab,
        Options {
            sessions: 600,
            seed: 10,
            ..Options::default()
        },
    );
    let mut child = lab.spawn_ingest("terminated.log");
    await_commits(&lab, &mut child, 2, commits(&lab));
    terminate(&child);
    let status = child.wait().expect("the process ends");
    let words = std::fs::read_to_string(lab.path("terminated.log")).unwrap_or_default();
    assert!(status.success(), "{status}: {words}");
    lab.ingest();
    lab.audit_closes();
    truth::records_match(&lab, &expected);
}

#[test]
fn a_second_run_over_the_same_topics_changes_nothing() {
    let lab = Lab::new();
    let (expected, _) = simulation::send(
        &lab,
        Options {
            sessions: 200,
            seed: 11,
            ..Options::default()
        },
    );
    lab.ingest();
    let rows = lab.count("SELECT count(*) FROM events");
    lab.ingest();
    assert_eq!(rows, lab.count("SELECT count(*) FROM events"));
    lab.audit_closes();
    truth::records_match(&lab, &expected);
}

#[test]
fn duplicates_that_arrive_after_a_restart_are_still_dropped() {
    let lab = Lab::new();
    let options = Options {
        sessions: 150,
        seed: 12,
        ..Options::calm()
    };
    let messages: Vec<_> = Simulation::new(options).expect("options").collect();
    let sent = lab.send(messages.iter().cloned());
    lab.ingest();
    let rows = lab.count("SELECT count(*) FROM events");
    lab.send(messages);
    lab.ingest();
    assert_eq!(
        rows,
        lab.count("SELECT count(*) FROM events"),
        "rows after every record came again"
    );
    assert_eq!(
        lab.count("SELECT sum(duplicate) FROM ledger"),
        sent.cast_signed()
    );
    lab.audit_closes();
}

/// A signal of this name, as a person at a terminal or a supervisor sends it.
pub(crate) fn signal(child: &Child, name: &str) {
    let status = std::process::Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status();
    assert!(
        status.expect("kill runs").success(),
        "{name} reaches the process"
    );
}

#[test]
fn a_second_signal_ends_it_at_once_and_nothing_is_lost() {
    let lab = Lab::with_config(SMALL_BATCHES);
    let options = Options {
        sessions: 1_200,
        seed: 13,
        ..Options::default()
    };
    let (expected, _) = simulation::send(&lab, options);
    for _ in 0..2 {
        let mut child = lab.spawn_ingest("twice.log");
        // The table's own first entry is written before anything is read.
        await_commits(&lab, &mut child, 2, commits(&lab));
        // A process that stands still takes both signals before it can do anything about the first.
        signal(&child, "STOP");
        signal(&child, "TERM");
        signal(&child, "INT");
        signal(&child, "CONT");
        let status = child.wait().expect("the process ends");
        let words = std::fs::read_to_string(lab.path("twice.log")).unwrap_or_default();
        assert!(
            matches!(status.code(), Some(130 | 143)),
            "{status}: {words}"
        );
        assert!(words.contains("stopped at once"), "{words}");
    }
    lab.ingest();
    lab.audit_closes();
    truth::records_match(&lab, &expected);
}
