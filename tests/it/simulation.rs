//! Simulated traffic through a real Kafka: every number equals the simulator's truth.

use funnel_datagen::{Options, Simulation};
use funnel_tests::Lab;

use crate::truth;

/// Sends a simulation; gives its truth and how many records it was.
pub(crate) fn send(lab: &Lab, options: Options) -> (funnel_datagen::Truth, u64) {
    let mut simulation = Simulation::new(options).expect("options are in range");
    let sent = lab.send(simulation.by_ref());
    (simulation.into_truth(), sent)
}

/// The accounts' time zones as sections of the configuration.
fn time_zones(options: &Options) -> String {
    let section = |(id, zone)| format!("[accounts.{id}]\ntime_zone = \"{zone}\"\n");
    Simulation::time_zones(options)
        .into_iter()
        .map(section)
        .collect()
}

#[test]
fn two_hundred_thousand_records_give_every_number_of_the_truth() {
    let options = Options {
        sessions: 24_000,
        seed: 20_240_304,
        accounts: 1,
        ..Options::default()
    };
    let lab = Lab::with_config(&time_zones(&options));
    let (expected, sent) = send(&lab, options);
    assert!(sent >= 200_000, "{sent} records are too few for this claim");
    assert_eq!(sent, expected.records.produced);
    lab.ingest();
    lab.audit_closes();
    truth::records_match(&lab, &expected);
    truth::funnels_match(&lab, &expected);
}
