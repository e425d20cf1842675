//! The whole ingestor over librdkafka's mock cluster and over files, into a lake on disk.

#[cfg(test)]
mod files;
#[cfg(test)]
mod mock;
#[cfg(test)]
mod support;
