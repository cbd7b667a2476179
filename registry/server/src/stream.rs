//! Artifacts on their way: pieces of bounded size between a connection and the store, none of which
//! holds a thread while it waits for the client.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use stagewright_store::Upload;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::app::App;
use crate::mlflow_error::{ErrorCode, MlflowError};

/// Bytes that are read or written at once.
const PIECE: usize = 1 << 20;

/// The most bytes of a refused body that are read. The connection ends before a longer one.
const MOST_DISCARDED: u64 = 64 << 20;

/// Returns the next bytes of a body; `None` at its end.
///
/// # Errors
/// The client is too slow, or went away.
pub(crate) async fn next(body: &mut Body, app: &App) -> Result<Option<Bytes>, MlflowError> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let Ok(frame) = timeout(app.limits.body_time, frame).await else {
            return Err(MlflowError::new(ErrorCode::RequestTimeout, "the body of the request did not come in time"));
        };
        match frame {
            None => return Ok(None),
            Some(Err(error)) => {
                let message = format!("the body of the request cannot be read: {error}");
                return Err(MlflowError::new(ErrorCode::MalformedRequest, message));
            }
            Some(Ok(frame)) => {
                // Trailers are of no use here.
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// Reads the rest of the body of a request that is refused, if it is not too long. A client that
/// still sends would see a broken connection in place of the answer, and would begin again.
pub(crate) async fn discard(body: &mut Body, app: &App) {
    let mut left = MOST_DISCARDED;
    if body.size_hint().lower() > left {
        return;
    }
    while let Ok(Some(bytes)) = next(body, app).await {
        left = left.saturating_sub(bytes.len() as u64);
        if left == 0 {
            return;
        }
    }
}

/// Stores the body of a request as a file. It appears when all of it has come.
///
/// # Errors
/// The client or the store failed, or the body is too large.
pub(crate) async fn receive(app: &Arc<App>, path: String, body: &mut Body) -> Result<(), MlflowError> {
    let artifacts = app.artifacts.clone();
    let mut upload = app.pool.run(move || Ok(artifacts.upload()?)).await?;
    let mut gathered = BytesMut::new();
    loop {
        let bytes = next(body, app).await?;
        let is_last = bytes.is_none();
        gathered.extend_from_slice(&bytes.unwrap_or_default());
        if upload.bytes() + gathered.len() as u64 > app.limits.artifact_bytes {
            let message = format!("an artifact has at most {} bytes", app.limits.artifact_bytes);
            return Err(MlflowError::new(ErrorCode::MaxBlockSizeExceeded, message));
        }
        if is_last || gathered.len() >= PIECE {
            let piece = gathered.split().freeze();
            let write = move || {
                upload.write(&piece)?;
                Ok::<Upload, MlflowError>(upload)
            };
            upload = app.pool.run(write).await?;
        }
        if is_last {
            break;
        }
    }
    let registry = app.registry.clone();
    let finish = move || {
        upload.finish(&registry, &path)?;
        Ok(())
    };
    app.pool.run(finish).await
}

/// Returns the bytes of a file of this size as the body of an answer.
pub(crate) fn send(app: Arc<App>, size: u64, mut file: Box<dyn Read + Send>) -> Body {
    // One piece waits here while the next is read.
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let mut left = size;
        while left > 0 {
            let length = left.min(PIECE as u64) as usize;
            let read = move || {
                let mut piece = vec![0; length];
                let result = file.read_exact(&mut piece).map(|()| Bytes::from(piece));
                Ok((file, result))
            };
            let piece = match app.pool.run(read).await {
                Ok((same, piece)) => {
                    file = same;
                    piece
                }
                Err(_) => return,
            };
            let failed = piece.is_err();
            if let Err(error) = &piece {
                tracing::error!("an artifact cannot be read: {error}");
            }
            // A client that does not read, or has gone, ends it.
            match timeout(app.limits.body_time, sender.send(piece)).await {
                Ok(Ok(())) if !failed => left -= length as u64,
                _ => return,
            }
        }
    });
    Body::new(Pieces { receiver, left: size })
}

/// A body whose pieces come from a task. If they end before it does, the connection is cut, so that
/// the client sees that something is missing.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    left: u64,
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.receiver.poll_recv(context).map(|piece| match piece {
            Some(Ok(bytes)) => {
                self.left = self.left.saturating_sub(bytes.len() as u64);
                Some(Ok(Frame::data(bytes)))
            }
            Some(Err(error)) => Some(Err(error)),
            None => Some(Err(io::Error::from(io::ErrorKind::UnexpectedEof))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
