//! The threads that wait for the registry and for files.

use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::mlflow_error::{ErrorCode, MlflowError};

/// A bounded number of threads. Requests beyond them wait in the order in which they came.
#[derive(Clone, Debug)]
pub(crate) struct Pool(Arc<Semaphore>);

impl Pool {
    pub(crate) fn new(threads: usize) -> Self {
        Self(Arc::new(Semaphore::new(threads)))
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
        let slot = self.0.clone().acquire_owned().await.map_err(|_| failed())?;
        let done = tokio::task::spawn_blocking(move || {
            // Given back when the work ends, even if the client has gone by then.
            let _slot = slot;
            work()
        });
        done.await.unwrap_or_else(|error| {
            tracing::error!("a request failed: {error}");
            Err(failed())
        })
    }
}
