//! Compaction beside a running ingestor, on a real Kafka.

use std::time::{Duration, Instant};

use funnel_datagen::{Options, Simulation};
use funnel_tests::Lab;

use crate::truth;

#[test]
fn days_are_sorted_while_they_are_still_written_and_nothing_is_lost() {
    let lab = Lab::with_config("[ingest]\nflush_age = \"100ms\"\nflush_rows = 500\n");
    let options = Options {
        sessions: 1_500,
        seed: 77,
        ..Options::default()
    };
    let mut simulation = Simulation::new(options).expect("options are in range");
    let ingestor = lab.spawn_ingest("ingest.log");
    let mut sorted = 0;
    loop {
        let sent = lab.send(simulation.by_ref().take(1_000));
        if sent == 0 {
            break;
        }
        // The lake is there once the ingestor has made it.
        if lab.lake().join("_lake.json").is_file() {
            sorted += sorted_days(&lab);
        }
    }
    // What is still on its way.
    let truth = simulation.into_truth();
    let total = i64::try_from(truth.entries.events).expect("a count");
    let deadline = Instant::now() + Duration::from_secs(60);
    while lab.count("SELECT count(*) FROM events") < total && Instant::now() < deadline {
        sorted += sorted_days(&lab);
    }
    drop(ingestor);
    lab.ingest();
    sorted += sorted_days(&lab);
    assert!(sorted > 1, "{sorted} days were sorted");
    lab.audit_closes();
    truth::records_match(&lab, &truth);
    let plan = "EXPLAIN SELECT account_id FROM events ORDER BY account_id, visitor_id, event_time";
    let plan = lab.ok(&["sql", "-c", plan]);
    assert!(!plan.contains("SortExec"), "{plan}");
}

fn sorted_days(lab: &Lab) -> usize {
    let rows = lab.json(&["maintain", "compact", "--open", "--late"]);
    rows.as_array().expect("a row per day").len()
}
