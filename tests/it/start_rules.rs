//! Offsets that are gone: the partition halts for good, the others go on, a person decides.

use std::time::{Duration, Instant};

use funnel_datagen::{Options, Simulation};
use funnel_testkit::{end_of, truncate};
use funnel_tests::Lab;

use crate::simulation;

/// Reads everything, sends as much again, and takes 5 unread offsets of one partition away.
fn lab_with_lost_offsets() -> (Lab, String, i64) {
    let lab = Lab::new();
    simulation::send(
        &lab,
        Options {
            sessions: 100,
            seed: 41,
            ..Options::calm()
        },
    );
    lab.ingest();
    let topic = lab.topic("lp.engagement.v1");
    let stored = lab.count(&format!(
        "SELECT max(to_offset) FROM ledger WHERE kafka_topic = '{topic}' AND kafka_partition = 0"
    ));
    simulation::send(
        &lab,
        Options {
            sessions: 100,
            seed: 42,
            ..Options::calm()
        },
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .expect("a runtime")
        .block_on(truncate(lab.bootstrap(), &topic, 0, stored + 5))
        .expect("the broker truncates");
    (lab, topic, stored)
}

#[test]
fn a_truncated_partition_halts_across_restarts_and_the_others_go_on() {
    let (lab, topic, stored) = lab_with_lost_offsets();
    for start in ["first", "second"] {
        let out = lab.run(&["ingest", "--until-end"]);
        let words = String::from_utf8_lossy(&out.stderr);
        assert_eq!(
            out.status.code(),
            Some(3),
            "{start} start after the loss: {words}"
        );
        for part in [
            topic.as_str(),
            &stored.to_string(),
            &(stored + 5).to_string(),
            "record_gap",
        ] {
            assert!(
                words.contains(part),
                "{start} start: `{part}` is not in: {words}"
            );
        }
    }
    let read_to = |partition: i32| {
        lab.count(&format!(
            "SELECT max(to_offset) FROM ledger WHERE kafka_topic = '{topic}' AND kafka_partition = {partition}"
        ))
    };
    assert_eq!(read_to(0), stored, "the halted partition stands still");
    let others = lab.count(&format!(
        "SELECT count(*) FROM ledger WHERE kafka_topic = '{topic}' AND kafka_partition <> 0 AND from_offset > 0"
    ));
    assert!(others > 0, "the other partitions went on");
    drop(lab.ok(&["audit", "--offline"]));
    let with_broker = lab.run(&["audit"]);
    let words = String::from_utf8_lossy(&with_broker.stderr);
    assert_eq!(with_broker.status.code(), Some(3), "{words}");
    assert!(words.contains("broker_truncated"), "{words}");
}

#[test]
fn a_recorded_gap_lets_the_partition_go_on_and_the_audit_knows_it() {
    let (lab, topic, stored) = lab_with_lost_offsets();
    assert_eq!(lab.run(&["ingest", "--until-end"]).status.code(), Some(3));
    let decision = format!("{topic}/0=record_gap");
    drop(lab.ok(&["ingest", "--until-end", "--resume", &decision]));
    let gap = lab.sql("SELECT from_offset, to_offset, gap_reason FROM ledger WHERE kind = 'gap'");
    assert_eq!(gap.len(), 1, "{gap:?}");
    assert_eq!(gap[0]["from_offset"].as_i64(), Some(stored));
    assert_eq!(gap[0]["to_offset"].as_i64(), Some(stored + 5));
    lab.audit_closes();
    lab.ingest();
}

#[test]
fn topics_that_do_not_exist_yet_are_waited_for() {
    let lab = Lab::with_config("");
    let text = std::fs::read_to_string(lab.config()).expect("the configuration is read");
    let missing = text.replacen("topics = [", "topics = [\"not.there.yet\", ", 1);
    std::fs::write(lab.config(), missing).expect("the configuration is written");
    let messages: Vec<_> = Simulation::new(Options {
        sessions: 20,
        seed: 43,
        ..Options::calm()
    })
    .expect("options")
    .collect();
    let sent = lab.send(messages);
    let mut child = lab.spawn_ingest("waiting.log");
    crate::faults::await_commits(&lab, &mut child, 1, 1);
    crate::faults::terminate(&child);
    assert!(child.wait().expect("the process ends").success());
    let words = std::fs::read_to_string(lab.path("waiting.log")).expect("its words");
    assert!(words.contains("not.there.yet"), "{words}");
    assert!(lab.count("SELECT sum(accepted) FROM ledger") <= sent.cast_signed());
    lab.audit_closes();
}

/// Adds a line to the section `[ingest]` of the configuration, which has none so far.
fn configure(lab: &Lab, line: &str) {
    let mut text = std::fs::read_to_string(lab.config()).expect("the configuration is read");
    text.push_str(&format!("\n[ingest]\n{line}\n"));
    std::fs::write(lab.config(), text).expect("the configuration is written");
}

fn calm(seed: u64) -> Options {
    Options {
        sessions: 60,
        seed,
        ..Options::calm()
    }
}

/// Every partition has a gap from 0 for this reason, and the rest is what was sent later.
fn only_the_later_records_are_there(lab: &Lab, reason: &str, later: u64) {
    let read = "SELECT sum(to_offset - from_offset) FROM ledger WHERE kind = 'data'";
    assert_eq!(lab.count(read), later.cast_signed(), "{reason}");
    let gaps = lab.sql("SELECT DISTINCT from_offset, gap_reason FROM ledger WHERE kind = 'gap'");
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["from_offset"].as_i64(), Some(0));
    assert_eq!(gaps[0]["gap_reason"].as_str(), Some(reason));
    lab.audit_closes();
}

#[test]
fn a_new_job_starts_at_a_time() {
    let lab = Lab::new();
    simulation::send(&lab, calm(44));
    // Kafka's timestamps are whole milliseconds: the next one is after all that was sent.
    let now = || chrono::Utc::now().timestamp_millis();
    let start = now() + 1;
    while now() < start {
        std::hint::spin_loop();
    }
    let (_, later) = simulation::send(&lab, calm(45));
    let time = chrono::DateTime::from_timestamp_millis(start).expect("a time");
    configure(
        &lab,
        &format!("start_from = \"timestamp:{}\"", time.to_rfc3339()),
    );
    lab.ingest();
    only_the_later_records_are_there(&lab, "start_from_timestamp", later);
}

#[test]
fn a_new_job_starts_where_its_group_stands_and_only_then() {
    let lab = Lab::new();
    simulation::send(&lab, calm(46));
    lab.ingest();
    std::fs::rename(lab.lake(), lab.path("first")).expect("the first lake is put aside");
    let (_, later) = simulation::send(&lab, calm(47));
    configure(&lab, "start_from = \"group\"");
    lab.ingest();
    only_the_later_records_are_there(&lab, "start_from_group", later);
    let (_, more) = simulation::send(&lab, calm(48));
    lab.ingest();
    only_the_later_records_are_there(&lab, "start_from_group", later + more);
}

#[test]
fn a_new_job_starts_at_named_offsets_and_halts_where_there_are_none() {
    let lab = Lab::new();
    simulation::send(&lab, calm(49));
    let topic = lab.topic("lp.engagement.v1");
    configure(
        &lab,
        &format!("start_from = \"offsets:{topic}/0=5,{topic}/1=99999999\""),
    );
    let out = lab.run(&["ingest", "--until-end"]);
    let words = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(3), "{words}");
    assert!(words.contains("halted_start_ahead"), "{words}");
    let gaps = lab.sql(
        "SELECT kafka_partition, from_offset, to_offset, gap_reason FROM ledger WHERE kind = 'gap'",
    );
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert_eq!(gaps[0]["to_offset"].as_i64(), Some(5));
    assert_eq!(gaps[0]["gap_reason"].as_str(), Some("start_from_offsets"));
    let fixed = std::fs::read_to_string(lab.config())
        .expect("the configuration is read")
        .replace("=99999999", "=3");
    std::fs::write(lab.config(), fixed).expect("the configuration is written");
    let decision = format!("{topic}/1=recheck");
    drop(lab.ok(&["ingest", "--until-end", "--resume", &decision]));
    let gap = "SELECT max(to_offset) FROM ledger WHERE kind = 'gap' AND kafka_partition = 1";
    assert_eq!(lab.count(gap), 3);
    lab.audit_closes();
}

/// Waits until the words of a running process hold `text`.
fn await_words(lab: &Lab, log: &str, text: &str) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let words = std::fs::read_to_string(lab.path(log)).unwrap_or_default();
        if words.contains(text) {
            return;
        }
        assert!(Instant::now() < deadline, "`{text}` is not in: {words}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_position_lost_while_it_runs_halts_that_partition_and_the_others_go_on() {
    let lab = Lab::new();
    // Without a group, which would give the partitions anew to one that stood still.
    let text = std::fs::read_to_string(lab.config()).expect("the configuration is read");
    let fixed = text.replacen("[kafka]\n", "[kafka]\nassignment = \"static\"\n", 1);
    std::fs::write(lab.config(), fixed).expect("the configuration is written");
    simulation::send(&lab, calm(50));
    let topic = lab.topic("lp.engagement.v1");
    let mut child = lab.spawn_ingest("running.log");
    crate::faults::await_commits(&lab, &mut child, 2, 0);
    // While it stands still, its last question is answered with the first of these; the others
    // come and go unseen.
    crate::faults::signal(&child, "STOP");
    for seed in [51, 52, 53] {
        simulation::send(&lab, calm(seed));
    }
    let end = end_of(lab.bootstrap(), &topic, 0).expect("the broker tells its end");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .expect("a runtime")
        .block_on(truncate(lab.bootstrap(), &topic, 0, end))
        .expect("the broker truncates");
    crate::faults::signal(&child, "CONT");
    await_words(&lab, "running.log", "halted_truncated");
    crate::faults::terminate(&child);
    let status = child.wait().expect("the process ends");
    assert!(status.code().is_some(), "{status}");
    let out = lab.run(&["ingest", "--until-end"]);
    assert_eq!(out.status.code(), Some(3), "the halt outlives the process");
    let read_to = format!(
        "SELECT max(to_offset) FROM ledger WHERE kafka_topic = '{topic}' AND kafka_partition = 0"
    );
    assert!(lab.count(&read_to) < end, "nothing is read past the loss");
    drop(lab.ok(&["audit", "--offline"]));
    let decision = format!("{topic}/0=record_gap");
    drop(lab.ok(&["ingest", "--until-end", "--resume", &decision]));
    assert_eq!(lab.count(&read_to), end);
    lab.audit_closes();
}
