//! Kafka to batches to the lake, exactly once.
