//! The whole ingestor over librdkafka's mock cluster and over files, into a lake on disk.

mod files;
mod mock;
mod support;
