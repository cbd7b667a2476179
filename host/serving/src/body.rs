//! Reads bodies of requests: within a size, a time, and the memory of all of them.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes of a body that need no share of the memory for all.
const FREE: usize = 16 << 10;

/// The unit of shares, in bytes.
const UNIT: usize = 1 << 10;

/// How long the rest of a body that is refused is read and thrown away. A client that still sends
/// while its connection is closed may not see the answer.
const DISCARD: Duration = Duration::from_secs(1);

/// Why a body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It is longer than allowed.
    TooLong,
    /// It takes too long to arrive.
    TooSlow,
    /// The bodies of all requests take too much memory.
    NoMemory,
    /// The client stopped, or sent what is no body.
    Broken,
}

/// A body, with its share of the memory for all bodies.
#[derive(Debug)]
pub(crate) struct HeldBody {
    pub(crate) bytes: Bytes,
    pub(crate) share: Option<OwnedSemaphorePermit>,
}

/// Reads bodies, so that all of them together stay within a budget.
#[derive(Debug)]
pub(crate) struct BodyReader {
    most_bytes: usize,
    within: Duration,
    memory: Arc<Semaphore>,
    /// All units of the memory.
    units: usize,
}

impl BodyReader {
    /// Creates a reader of bodies of at most `most_bytes`, each of which has to arrive within a
    /// time, and all of which together take at most `memory` bytes beyond [`FREE`] each.
    pub(crate) fn new(most_bytes: usize, within: Duration, memory: usize) -> Self {
        let units = memory.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self { most_bytes, within, memory: Arc::new(Semaphore::new(units)), units }
    }

    /// Takes a share of the memory for an answer of this length; none for a short one. One that is
    /// longer than half of the memory counts as half, so that it can be sent at all.
    pub(crate) fn share_of_answer(&self, bytes: usize) -> Result<Option<OwnedSemaphorePermit>, BodyFault> {
        if bytes <= FREE {
            return Ok(None);
        }
        let units = bytes.div_ceil(UNIT).min(self.units / 2);
        let units = u32::try_from(units).map_err(|_| BodyFault::NoMemory)?;
        self.memory.clone().try_acquire_many_owned(units).map(Some).map_err(|_| BodyFault::NoMemory)
    }

    /// Reads a body.
    pub(crate) async fn read(&self, mut body: Incoming) -> Result<HeldBody, BodyFault> {
        if body.is_end_stream() {
            return Ok(HeldBody { bytes: Bytes::new(), share: None });
        }
        let too_long = body.size_hint().lower() > self.most_bytes as u64;
        let read = async { if too_long { Err(BodyFault::TooLong) } else { self.collect(&mut body).await } };
        let result = tokio::time::timeout(self.within, read).await.unwrap_or(Err(BodyFault::TooSlow));
        if let Err(BodyFault::TooLong | BodyFault::NoMemory) = result {
            discard(body);
        }
        result
    }

    async fn collect(&self, body: &mut Incoming) -> Result<HeldBody, BodyFault> {
        let mut first = Bytes::new();
        let mut rest = Vec::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        while let Some(data) = next_data(body).await? {
            if first.is_empty() {
                first = data;
            } else {
                rest.extend_from_slice(&data);
            }
            let length = first.len() + rest.len();
            if length > self.most_bytes {
                return Err(BodyFault::TooLong);
            }
            // A vector that grows has up to twice its length, and is copied once.
            let units = if length > FREE { (first.len() + rest.capacity()).div_ceil(UNIT) } else { 0 };
            let held = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            if units > held {
                let more = u32::try_from(units - held).map_err(|_| BodyFault::TooLong)?;
                let more = self.memory.clone().try_acquire_many_owned(more).map_err(|_| BodyFault::NoMemory)?;
                match &mut share {
                    Some(share) => share.merge(more),
                    None => share = Some(more),
                }
            }
        }
        let bytes = if rest.is_empty() { first } else { Bytes::from([first.as_ref(), &rest].concat()) };
        Ok(HeldBody { bytes, share })
    }
}

/// Returns the next data of a body; `None` at its end. Trailers are left out.
async fn next_data(body: &mut Incoming) -> Result<Option<Bytes>, BodyFault> {
    loop {
        if body.is_end_stream() {
            return Ok(None);
        }
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(BodyFault::Broken),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(Some(data));
                }
            }
        }
    }
}

/// Reads the rest of a body for a while, and throws it away.
pub(crate) fn discard(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(tokio::time::timeout(DISCARD, async move { while let Ok(Some(_)) = next_data(&mut body).await {} }));
}
