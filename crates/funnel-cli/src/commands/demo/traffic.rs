//! Simulated records through the broker into the lake.

use std::collections::BTreeMap;

use funnel_datagen::{Message, Simulation, Truth};
use funnel_ingest::config::IngestConfig;
use funnel_ingest::{Ingest, Options, Progress};
use funnel_lake::Lake;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::commands::context::Context;
use crate::commands::generate::TrafficProducer;
use crate::error::{CliError, Result};

/// The broker of the demo keeps about 5 MiB per partition and forgets the oldest: producing must
/// not run ahead of reading by more than this, however the keys fall on the partitions.
const AHEAD_BYTES_MAX: usize = 2 << 20;

/// Produces everything, waits until it is committed, and says what must come out.
pub(super) async fn flow(
    context: &Context,
    simulation: Simulation,
    config: IngestConfig,
    lake: &Lake,
) -> Result<Truth> {
    let producer = TrafficProducer::connect(&config.kafka.brokers, &BTreeMap::new())?;
    let shutdown = CancellationToken::new();
    let ingest = Ingest::start(config, lake.clone(), shutdown.clone(), Options::default()).await?;
    let bar = context
        .progress()
        .counter("records through Kafka into the lake");
    let mut slices = Slices {
        producer,
        simulation,
        held: None,
        produced: 0,
    };
    let mut progress = ingest.progress();
    loop {
        // Both simulating and delivering hold a thread.
        let (back, more) = tokio::task::spawn_blocking(move || {
            let more = slices.next();
            (slices, more)
        })
        .await
        .map_err(|error| CliError::failed("could not simulate traffic").because(error))?;
        slices = back;
        let more = more?;
        if !read_up_to(&mut progress, slices.produced).await {
            // The run ended by itself: it says why.
            ingest.finished().await?;
            return Err(CliError::failed("the ingest of the demo ended early"));
        }
        bar.set_position(slices.produced);
        if !more {
            break;
        }
    }
    shutdown.cancel();
    ingest.finished().await?;
    bar.finish_and_clear();
    Ok(slices.simulation.into_truth())
}

/// Waits until so many records were read; false when the run ended before.
async fn read_up_to(progress: &mut watch::Receiver<Progress>, records: u64) -> bool {
    progress
        .wait_for(|now| now.consumed >= records)
        .await
        .is_ok()
}

struct Slices {
    producer: TrafficProducer,
    simulation: Simulation,
    held: Option<Message>,
    produced: u64,
}

impl Slices {
    /// Produces and delivers one slice; false after the last one.
    fn next(&mut self) -> Result<bool> {
        let mut bytes = 0;
        while let Some(message) = self.held.take().or_else(|| self.simulation.next()) {
            let size = message.key.len() + message.value.as_ref().map_or(0, Vec::len);
            if bytes > 0 && bytes + size > AHEAD_BYTES_MAX {
                self.held = Some(message);
                self.producer.flush()?;
                return Ok(true);
            }
            bytes += size;
            self.producer.send(&message)?;
            self.produced += 1;
        }
        self.producer.flush()?;
        Ok(false)
    }
}
