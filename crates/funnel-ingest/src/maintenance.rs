//! Work on the tables that has time: away from the commits, and never a reason to stop.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, NaiveDate};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::clock::Clock;
use crate::committer::chain;
use crate::store::Store;

const EVERY: Duration = Duration::from_secs(30);
/// The last turn must not hold up a shutdown.
const LAST_TURN_MAX: Duration = Duration::from_secs(10);

/// What is to be done, and on which tables.
pub(crate) struct Maintenance {
    pub(crate) store: Arc<dyn Store>,
    /// Versions between checkpoints of the Delta logs.
    pub(crate) checkpoint_every: u64,
    /// How long refused records keep their bytes.
    pub(crate) rejects_retention: Duration,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Maintenance {
    /// Works in turns until `stop`, and once more then: runs that are over before the first turn
    /// need their checkpoints too.
    pub(crate) async fn run(self, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(EVERY) => self.turn().await,
            }
        }
        if tokio::time::timeout(LAST_TURN_MAX, self.turn())
            .await
            .is_err()
        {
            warn!("maintenance of the tables took too long, the next run goes on with it");
        }
    }

    async fn turn(&self) {
        if let Err(error) = self.store.checkpoint(self.checkpoint_every).await {
            warn!(
                error = chain(&error),
                "no checkpoint was written, trying again later"
            );
        }
        let Some(day) = first_day_kept(self.clock.wall_us(), self.rejects_retention) else {
            return;
        };
        match self.store.empty_rejects_before(day).await {
            Ok(0) => {}
            Ok(rows) => info!(rows, %day, "refused records from before this day lost their bytes"),
            Err(error) => {
                warn!(
                    error = chain(&error),
                    "old refused records keep their bytes, trying again later"
                );
            }
        }
    }
}

/// The first UTC day whose refused records keep their bytes.
fn first_day_kept(now_us: i64, retention: Duration) -> Option<NaiveDate> {
    let kept = i64::try_from(retention.as_micros()).ok()?;
    Some(DateTime::from_timestamp_micros(now_us.checked_sub(kept)?)?.date_naive())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_kept_until_all_of_it_is_older_than_the_retention() {
        let noon = DateTime::parse_from_rfc3339("2026-05-20T12:00:00Z").expect("a time");
        let two_weeks = Duration::from_secs(14 * 86_400);
        let first = first_day_kept(noon.timestamp_micros(), two_weeks).expect("a day");
        assert_eq!(first.to_string(), "2026-05-06");
        assert_eq!(first_day_kept(noon.timestamp_micros(), Duration::MAX), None);
    }
}
