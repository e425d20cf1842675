//! Several instances side by side, joining and leaving.

use std::process::Child;

use funnel_datagen::Options;
use funnel_testkit::Producer;
use funnel_tests::Lab;

use crate::faults::{SMALL_BATCHES, await_commits, commits, terminate};
use crate::{simulation, truth};

#[test]
fn three_instances_that_join_and_leave_share_the_work_exactly() {
    let lab = Lab::with_config(SMALL_BATCHES);
    let (first, _) = simulation::send(
        &lab,
        Options {
            sessions: 1_500,
            seed: 21,
            ..Options::default()
        },
    );
    let mut one = lab.spawn_ingest("one.log");
    await_commits(&lab, &mut one, 1, 0);
    let mut two = lab.spawn_ingest("two.log");
    let mut three = lab.spawn_ingest("three.log");
    await_commits(&lab, &mut two, 2, commits(&lab));
    one.kill().expect("SIGKILL reaches the first");
    one.wait().expect("the first ends");
    await_commits(&lab, &mut three, 1, commits(&lab).saturating_sub(1));
    let mut four = lab.spawn_ingest("four.log");
    terminate(&two);
    assert!(
        two.wait().expect("the second ends").success(),
        "{}",
        words(&lab, "two.log")
    );
    for (child, log) in [(&mut three, "three.log"), (&mut four, "four.log")] {
        stop(&lab, child, log);
    }
    lab.ingest();
    lab.audit_closes();
    truth::records_match(&lab, &first);
}

fn stop(lab: &Lab, child: &mut Child, log: &str) {
    terminate(child);
    let status = child.wait().expect("the process ends");
    assert!(status.success(), "{status}: {}", words(lab, log));
}

fn words(lab: &Lab, log: &str) -> String {
    std::fs::read_to_string(lab.path(log)).unwrap_or_default()
}

#[test]
fn aborted_transactions_are_holes_and_never_events() {
    let lab = Lab::new();
    let topic = lab.topic("lp.engagement.v1");
    let session = |n: u32| {
        format!(
            r#"{{"schemaVersion":"1.0","eventType":"session_started","sourceSystem":"web_tag","sourceEvent":"MONITORING_STATE","flow":"monitored","accountId":"58213347","visitorId":"Qm7xT2dLS1eWc0vN9pKa_w","sessionId":"s{n}","eventTime":1709560800000,"eventTimeSource":"client","producedAt":1709560800180,"payload":{{"active":true}}}}"#
        )
    };
    let producer =
        Producer::transactional(lab.bootstrap(), &topic).expect("a transactional producer");
    for (numbers, commit) in [(0..30, true), (30..70, false), (70..100, true)] {
        producer.begin().expect("a transaction opens");
        for n in numbers {
            let key = format!("58213347|v{n}");
            producer
                .send(&topic, Some(key.as_bytes()), Some(session(n).as_bytes()))
                .expect("queued");
        }
        producer.flush().expect("delivered");
        producer.end(commit).expect("the transaction ends");
    }
    lab.ingest();
    lab.audit_closes();
    assert_eq!(lab.count("SELECT count(*) FROM events"), 60);
    assert_eq!(
        lab.count(
            "SELECT count(DISTINCT session_id) FROM events WHERE session_id IN ('s30', 's69')"
        ),
        0
    );
    assert!(
        lab.count("SELECT sum(holes) FROM ledger") >= 40,
        "aborted records and control markers"
    );
}
