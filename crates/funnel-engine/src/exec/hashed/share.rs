//! Work that all partitions of an output wait for, done once for all of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use datafusion::common::{DataFusionError, Result};
use futures::future::{BoxFuture, FutureExt, Shared};

type Work<T> = Shared<BoxFuture<'static, Result<Arc<T>, Arc<DataFusionError>>>>;

/// Begun by the first partition that is asked for. It is kept until the last of them was asked for:
/// one may be read to its end before the next is begun, and the input cannot be read again.
#[derive(Debug)]
pub(super) struct Share<T>(Arc<Mutex<Option<Begun<T>>>>);

#[derive(Debug)]
struct Begun<T> {
    work: Work<T>,
    /// By partition: was it asked for?
    asked: Vec<bool>,
    /// Of those, how many are read.
    reading: usize,
}

/// The place of one partition. The work ends with the last of them, if it was not done by then.
#[derive(Debug)]
pub(super) struct Place<T> {
    work: Work<T>,
    share: Share<T>,
}

impl<T> Clone for Share<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<T> Default for Share<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Send + Sync + 'static> Share<T> {
    /// For partition `partition` of `partitions`. One that was asked for before begins anew.
    pub(super) fn place(
        &self,
        partition: usize,
        partitions: usize,
        work: impl FnOnce() -> BoxFuture<'static, Result<Arc<T>>>,
    ) -> Place<T> {
        let mut held = self.lock();
        let known = held.take().filter(|begun| !begun.asked[partition]);
        let mut begun = known.unwrap_or_else(|| Begun {
            work: work().map(|done| done.map_err(Arc::new)).boxed().shared(),
            asked: vec![false; partitions],
            reading: 0,
        });
        begun.asked[partition] = true;
        begun.reading += 1;
        let work = begun.work.clone();
        // Nobody else comes for it: it is held by those who read.
        *held = Some(begun).filter(|begun| begun.asked.contains(&false));
        let share = self.clone();
        Place { work, share }
    }
}

impl<T> Share<T> {
    fn lock(&self) -> MutexGuard<'_, Option<Begun<T>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Send + Sync + 'static> Place<T> {
    /// What the work came to.
    pub(super) async fn done(&self) -> Result<Arc<T>> {
        let done = self.work.clone().await;
        done.map_err(DataFusionError::Shared)
    }
}

impl<T> Drop for Place<T> {
    fn drop(&mut self) {
        let mut held = self.share.lock();
        let Some(begun) = held.as_mut().filter(|begun| begun.work.ptr_eq(&self.work)) else {
            return;
        };
        begun.reading -= 1;
        let is_left = begun.reading == 0 && begun.work.peek().is_none();
        let left = if is_left { held.take() } else { None };
        drop(held);
        drop(left);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts how often it was done.
    fn place(share: &Share<usize>, partition: usize, times: &Arc<AtomicUsize>) -> Place<usize> {
        let times = Arc::clone(times);
        share.place(partition, 3, || {
            async move { Ok(Arc::new(times.fetch_add(1, Ordering::SeqCst))) }.boxed()
        })
    }

    #[tokio::test]
    async fn it_is_done_once_for_all_whoever_comes_when() {
        let (share, times) = (Share::default(), Arc::default());
        for partition in [2, 0, 1] {
            let place = place(&share, partition, &times);
            assert_eq!(*place.done().await.unwrap(), 0);
        }
        assert!(share.lock().is_none(), "nobody else comes for it");
        assert_eq!(*place(&share, 0, &times).done().await.unwrap(), 1);
        assert_eq!(*place(&share, 0, &times).done().await.unwrap(), 2);
        assert_eq!(*place(&share, 1, &times).done().await.unwrap(), 2);
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_ends() {
        let share = Share::<()>::default();
        let held = Arc::new(());
        let work = || {
            let held = Arc::clone(&held);
            async move {
                futures::future::pending::<()>().await;
                Ok(held)
            }
            .boxed()
        };
        let places = [0, 1].map(|partition| share.place(partition, 3, work));
        assert_eq!(Arc::strong_count(&held), 2);
        let [one, other] = places;
        drop(one);
        assert_eq!(Arc::strong_count(&held), 2);
        drop(other);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
