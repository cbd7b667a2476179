//! The threads that wait for the registry and for files.
//!
//! Most requests take them for milliseconds. A promotion, which copies a model to another place,
//! the export of a table, the completion of an upload in parts, or the trial of a webhook takes one
//! for minutes: a few at once, beside the others ([`Pool::at_length`]), so that a dozen of them
//! keep no short request waiting.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::mlflow_error::{ErrorCode, MlflowError};

/// The most pieces of long work at once.
const MOST_LONG: usize = 4;
/// The most requests that wait to begin long work. Each holds a thread.
const MOST_WAITING: usize = 64;
/// How long they wait.
const PATIENCE: Duration = Duration::from_secs(60);

/// A bounded number of threads. Requests beyond them wait in the order in which they came.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    slots: Arc<Semaphore>,
    long: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

thread_local! {
    /// The slot of the work of this thread.
    static SLOT: RefCell<Option<OwnedSemaphorePermit>> = const { RefCell::new(None) };
}

impl Pool {
    pub(crate) fn new(threads: usize) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self { slots: semaphore(threads), long: semaphore(MOST_LONG), waiting: semaphore(MOST_WAITING) }
    }

    /// Does something that may block.
    ///
    /// # Errors
    /// That of `work`. It panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, MlflowError> + Send + 'static,
    ) -> Result<T, MlflowError> {
        let failed = || MlflowError::new(ErrorCode::InternalError, "the server failed; its log tells more");
        let slot = self.slots.clone().acquire_owned().await.map_err(|_| failed())?;
        let done = tokio::task::spawn_blocking(move || {
            // Given back when the work ends, even if the client has gone by then.
            let _given = Given;
            SLOT.set(Some(slot));
            work()
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!("a request failed: {error}");
            Err(failed())
        })
    }

    /// Does something long in the midst of the work of [`Pool::run`], whose place it gives to
    /// others. It waits until few others do something long.
    ///
    /// # Errors
    /// That of `work`. Others took too long.
    pub(crate) fn at_length<T>(&self, work: impl FnOnce() -> Result<T, MlflowError>) -> Result<T, MlflowError> {
        let busy = || {
            let message = "the server does too much that takes long; try again later";
            MlflowError::new(ErrorCode::TemporarilyUnavailable, message)
        };
        // Without a runtime there is nobody else.
        let Ok(runtime) = Handle::try_current() else { return work() };
        let waiting = self.waiting.try_acquire().map_err(|_| busy())?;
        SLOT.take();
        let acquired = runtime.block_on(async { timeout(PATIENCE, self.long.acquire()).await });
        let Ok(Ok(_long)) = acquired else { return Err(busy()) };
        drop(waiting);
        work()
    }
}

/// Gives back the slot of this thread when it is dropped, also in a panic.
struct Given;

impl Drop for Given {
    fn drop(&mut self) {
        SLOT.take();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    // invariant: Long work keeps no short request waiting.
    #[tokio::test(flavor = "multi_thread")]
    async fn short_work_is_done_while_much_long_work_waits() {
        let pool = Pool::new(2);
        let patience = Duration::from_secs(60);
        let (end, ended) = mpsc::channel::<()>();
        let ended = Arc::new(std::sync::Mutex::new(ended));
        let (begin, begun) = mpsc::channel();
        let long: Vec<_> = (0..MOST_LONG + 3)
            .map(|_| {
                let (pool, ended, begin) = (pool.clone(), ended.clone(), begin.clone());
                tokio::spawn(async move {
                    let within = pool.clone();
                    let work = move || {
                        within.at_length(|| {
                            begin.send(()).expect("somebody counts");
                            // One after the other; that is enough to hold the places.
                            let _ = ended.lock().expect("no panic").recv();
                            Ok(())
                        })
                    };
                    pool.run(work).await
                })
            })
            .collect();
        for _ in 0..MOST_LONG {
            begun.recv_timeout(patience).expect("some begin");
        }
        // All long places are taken and others wait for one. Short work is done all the same.
        for _ in 0..10 {
            let short = timeout(patience, pool.run(|| Ok(7))).await;
            assert_eq!(short.expect("an end").expect("no error"), 7);
        }
        assert!(begun.try_recv().is_err(), "more than the most at once");
        drop(end);
        for work in long {
            timeout(patience, work).await.expect("an end").expect("no panic").expect("no error");
        }
    }

    #[tokio::test]
    async fn a_slot_is_given_back_after_a_panic() {
        let pool = Pool::new(1);
        let panicked = pool.run(|| -> Result<(), MlflowError> { panic!("a fault of the program") }).await;
        assert_eq!(panicked.expect_err("an error").code, ErrorCode::InternalError);
        let after = timeout(Duration::from_secs(60), pool.run(|| Ok(1))).await;
        assert_eq!(after.expect("an end").expect("no error"), 1);
    }
}
