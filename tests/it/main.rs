//! The whole product on real parts: Apache Kafka, the binary, and readers that we did not write.
#![cfg(test)]

mod bad_input;
mod clickhouse;
mod compaction;
mod faults;
mod golden;
mod group;
mod independent;
mod simulation;
mod slt;
mod start_rules;
mod truth;
