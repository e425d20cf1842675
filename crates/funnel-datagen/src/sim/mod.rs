//! The simulator: journeys, transport, truth.

mod options;

pub use options::{Disorder, Options, OptionsError};

use crate::message::Message;
use crate::truth::Truth;

/// Simulated traffic in order of delivery.
///
/// Holds the messages that are still on their way and the visitors who will come back, nothing
/// else; memory does not grow with the number of sessions already told.
#[derive(Debug)]
pub struct Simulation {
    truth: Truth,
}

impl Simulation {
    /// The same options always give the same messages, byte by byte.
    pub fn new(options: Options) -> Result<Self, OptionsError> {
        options.check()?;
        Ok(Self {
            truth: Truth {
                seed: options.seed,
                ..Truth::default()
            },
        })
    }

    /// The truth about all traffic; messages not yet taken are made and dropped.
    pub fn into_truth(mut self) -> Truth {
        while self.next().is_some() {}
        self.truth
    }

    /// The time zone of each simulated account, as the configuration of a reader must state it.
    pub fn time_zones(options: &Options) -> Vec<(String, String)> {
        let _ = options;
        Vec::new()
    }
}

impl Iterator for Simulation {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        None
    }
}
