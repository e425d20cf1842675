//! What tests over the whole product share: a real Apache Kafka on loopback and a producer.
//!
//! Nothing here passes by skipping: a missing JDK or Maven is an error that says how to get it.

mod kafka;
mod producer;

pub use kafka::{KafkaCluster, KafkaError};
pub use producer::{Producer, create_topics, end_of, truncate};

/// The four topics of `domain.md` e.1, in the order of their names there.
pub const TOPICS: [&str; 4] = [
    "lp.engagement.v1",
    "lp.click.v1",
    "lp.chat.v1",
    "lp.conversion.v1",
];
