//! Real-Kafka launcher, producers and golden scenario for tests.
