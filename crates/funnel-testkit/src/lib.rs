//! What tests over the whole product share: a real Apache Kafka on loopback, a producer, and an S3
//! server.
//!
//! Nothing here passes by skipping: a missing JDK, Maven or Python is an error that says how to get
//! it.

mod kafka;
mod producer;
mod s3;

pub use kafka::{KafkaCluster, KafkaError};
pub use producer::{Producer, create_topics, end_of, truncate};
pub use s3::{S3Error, S3Server};

/// The four topics of `domain.md` e.1, in the order of their names there.
pub const TOPICS: [&str; 4] = [
    "lp.engagement.v1",
    "lp.click.v1",
    "lp.chat.v1",
    "lp.conversion.v1",
];
