//! JSON bodies: within a size, a time, and the memory of all of them.

use axum::body::Body;
use axum::http::HeaderMap;
use axum::http::header::CONTENT_LENGTH;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use crate::app::App;
use crate::mlflow_error::{ErrorCode, MlflowError};
use crate::stream;

/// The bytes of a body that need no share of the memory for all, so that long bodies of some
/// clients never keep short ones of others away.
const FREE: usize = 16 << 10;

/// The share that a body has of the memory for all of them. It ends when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Share(Option<OwnedSemaphorePermit>);

impl Share {
    /// Grows to what so many bytes take.
    ///
    /// # Errors
    /// The bodies of all requests take too much.
    fn grow(&mut self, app: &App, bytes: usize) -> Result<(), MlflowError> {
        let kib = if bytes > FREE { bytes.div_ceil(1 << 10) } else { 0 };
        let held = self.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        if kib <= held {
            return Ok(());
        }
        let failed = || {
            let message = "the bodies of all requests take too much memory";
            MlflowError::new(ErrorCode::TemporarilyUnavailable, message)
        };
        // Never waits: bodies that have some of the memory and wait for more would wait for each
        // other.
        let more = u32::try_from(kib - held).map_err(|_| failed())?;
        let more = app.memory.clone().try_acquire_many_owned(more).map_err(|_| failed())?;
        match &mut self.0 {
            Some(share) => share.merge(more),
            None => self.0 = Some(more),
        }
        Ok(())
    }
}

/// Reads a body of at most `most` bytes. Its share of the memory is for what has come, not for what
/// the client says will come.
///
/// # Errors
/// It is too long or too slow, or breaks off, or the bodies of all requests take too much memory.
pub(crate) async fn read(
    app: &App,
    headers: &HeaderMap,
    body: &mut Body,
    most: usize,
) -> Result<(Vec<u8>, Share), MlflowError> {
    let most = most.min(app.limits.body_bytes);
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    match declared.filter(|size| *size > most as u64) {
        Some(size) => Err(too_large(size, most)),
        None => timeout(app.limits.body_time, gather(app, body, most)).await.unwrap_or_else(|_| {
            Err(MlflowError::new(ErrorCode::RequestTimeout, "the body of the request did not come in time"))
        }),
    }
}

async fn gather(app: &App, body: &mut Body, most: usize) -> Result<(Vec<u8>, Share), MlflowError> {
    let (mut bytes, mut share) = (Vec::new(), Share::default());
    while let Some(piece) = stream::next(body, app).await? {
        let length = bytes.len() + piece.len();
        if length > most {
            return Err(too_large(length as u64, most));
        }
        if length > bytes.capacity() {
            let capacity = length.max(2 * bytes.capacity()).min(most);
            share.grow(app, capacity)?;
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok((bytes, share))
}

fn too_large(size: u64, most: usize) -> MlflowError {
    let message = format!("The body of this request has at most {most} bytes, got a request of size {size}.");
    MlflowError::new(ErrorCode::MaxBlockSizeExceeded, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::HttpLimits;

    // invariant: as `bodies_beyond_the_limits_are_refused`
    #[tokio::test]
    async fn all_bodies_together_stay_within_the_memory_and_short_ones_need_none() {
        let limits = HttpLimits { body_bytes: 64 << 10, bodies_bytes: 64 << 10, ..HttpLimits::default() };
        let (_folder, app) = App::in_new_home(limits, None);
        let read = async |size: usize| {
            super::read(&app, &HeaderMap::new(), &mut Body::from(vec![b' '; size]), usize::MAX).await
        };
        let (bytes, held) = read(48 << 10).await.expect("a body");
        assert_eq!((bytes.len(), app.memory.available_permits()), (48 << 10, 16));
        let refused = read(48 << 10).await.expect_err("no memory is left");
        assert_eq!(refused.code, ErrorCode::TemporarilyUnavailable);
        let (_, free) = read(FREE).await.expect("a short body");
        assert_eq!(app.memory.available_permits(), 16);
        drop((held, free));
        let (_, held) = read(64 << 10).await.expect("a body");
        assert_eq!(app.memory.available_permits(), 0);
        drop(held);
        assert_eq!(read((64 << 10) + 1).await.expect_err("too long").code, ErrorCode::MaxBlockSizeExceeded);
        assert_eq!(app.memory.available_permits(), 64);
    }
}
