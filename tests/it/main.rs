//! The whole product on real parts: Apache Kafka, an S3 server, the binary, and readers that we did
//! not write.
#![cfg(test)]

mod bad_input;
mod clickhouse;
mod compaction;
mod faults;
mod golden;
mod group;
mod independent;
mod s3;
mod simulation;
mod slt;
mod start_rules;
mod truth;
