//! Artifacts on their way: pieces of bounded size between a connection and the store, none of which
//! holds a thread while it waits for the client.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use stagewright_store::{StoreError, check_upload_path};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

use crate::app::App;
use crate::mlflow_error::{ErrorCode, MlflowError};

/// Bytes that are read or written at once.
const PIECE: usize = 256 << 10;

/// The length from which a frame is kept as it came. It is in a buffer of at most 64 KiB.
const SHORT: usize = 16 << 10;

/// Returns the next bytes of a body; `None` at its end.
///
/// # Errors
/// The client is too slow, or went away.
pub(crate) async fn next(body: &mut Body, app: &App) -> Result<Option<Bytes>, MlflowError> {
    loop {
        let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context));
        let Ok(frame) = timeout(app.limits.body_time, frame).await else { return Err(too_slow()) };
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

/// Returns the same body, which keeps something until its end.
pub(crate) fn holding<T: Send + Unpin + 'static>(body: Body, held: T) -> Body {
    Body::new(Holding { body, _held: held })
}

struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Send + Unpin + 'static> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Some bytes of a body.
#[derive(Debug, Default)]
pub(crate) struct Piece {
    /// The bytes but for the last ones, in frames as they came: copying each would cost as much as
    /// writing it.
    frames: Vec<Bytes>,
    /// The last bytes, if they came in short frames.
    short: BytesMut,
    pub(crate) bytes: u64,
    /// Whether nothing comes after them.
    pub(crate) is_last: bool,
}

impl Piece {
    /// Adds a frame. Short ones are copied together, since each would keep the whole buffer that it
    /// came in.
    fn push(&mut self, frame: Bytes) {
        self.bytes += frame.len() as u64;
        if frame.len() < SHORT {
            self.short.extend_from_slice(&frame);
            return;
        }
        if !self.short.is_empty() {
            self.frames.push(self.short.split().freeze());
        }
        self.frames.push(frame);
    }

    /// Passes its bytes on, in some calls.
    ///
    /// # Errors
    /// That of `write`.
    pub(crate) fn write(&self, write: impl FnMut(&[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        let all = self.frames.iter().map(Bytes::as_ref).chain([self.short.as_ref()]);
        all.filter(|bytes| !bytes.is_empty()).try_for_each(write)
    }
}

/// Returns the next piece of a body: [`PIECE`] bytes or some more, or the last ones.
///
/// # Errors
/// The client is too slow, however often it sends a little, or went away.
pub(crate) async fn next_piece(body: &mut Body, app: &App) -> Result<Piece, MlflowError> {
    let gather = async {
        let mut piece = Piece::default();
        while piece.bytes < PIECE as u64 {
            match next(body, app).await? {
                Some(frame) => piece.push(frame),
                None => return Ok(Piece { is_last: true, ..piece }),
            }
        }
        Ok(piece)
    };
    timeout(app.limits.body_time, gather).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> MlflowError {
    MlflowError::new(ErrorCode::RequestTimeout, "the body of the request did not come in time")
}

/// Stores the body of a request as a file. It appears when all of it has come.
///
/// # Errors
/// The client or the store failed, the path is not one of a client's file, the body is too large,
/// or too many others are on their way.
pub(crate) async fn receive(app: &Arc<App>, path: String, body: &mut Body) -> Result<(), MlflowError> {
    // Before the bytes come, of which there may be many.
    check_upload_path(&path)?;
    check_size(app, body.size_hint().lower())?;
    let _transfer = app.transfer().await?;
    let artifacts = app.artifacts.clone();
    let mut upload = app.pool.run(move || Ok(artifacts.upload()?)).await?;
    let mut piece = next_piece(body, app).await?;
    loop {
        check_size(app, upload.bytes() + piece.bytes)?;
        let is_last = piece.is_last;
        let write = app.pool.run(move || {
            piece.write(|bytes| upload.write(bytes))?;
            Ok(upload)
        });
        if is_last {
            upload = write.await?;
            break;
        }
        // The next piece comes while this one is written.
        let (written, next) = tokio::join!(write, next_piece(body, app));
        (upload, piece) = (written?, next?);
    }
    let registry = app.registry.clone();
    let finish = move || {
        upload.finish(&registry, &path)?;
        Ok(())
    };
    app.pool.run(finish).await
}

fn check_size(app: &App, bytes: u64) -> Result<(), MlflowError> {
    if bytes <= app.limits.artifact_bytes {
        return Ok(());
    }
    let message = format!("an artifact has at most {} bytes", app.limits.artifact_bytes);
    Err(MlflowError::new(ErrorCode::MaxBlockSizeExceeded, message))
}

/// Returns the bytes of a file of this size as the body of an answer. `transfer` is given back when
/// they have gone.
pub(crate) fn send(app: Arc<App>, transfer: OwnedSemaphorePermit, size: u64, mut file: Box<dyn Read + Send>) -> Body {
    // One piece waits here while the next is read.
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(1);
    tokio::spawn(async move {
        let _transfer = transfer;
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

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::app::HttpLimits;

    /// A body of which a byte comes every few milliseconds, without an end.
    pub(crate) struct Trickle(Pin<Box<tokio::time::Sleep>>);

    impl Trickle {
        const PAUSE: Duration = Duration::from_millis(5);

        pub(crate) fn body() -> Body {
            Body::new(Self(Box::pin(tokio::time::sleep(Self::PAUSE))))
        }
    }

    impl HttpBody for Trickle {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
            self.0.as_mut().poll(context).map(|()| {
                self.0.as_mut().reset(tokio::time::Instant::now() + Self::PAUSE);
                Some(Ok(Frame::data(Bytes::from_static(b"x"))))
            })
        }
    }

    // invariant: as `bodies_beyond_the_limits_are_refused`
    #[tokio::test]
    async fn a_body_that_trickles_is_given_up() {
        let limits = HttpLimits { body_time: Duration::from_millis(100), transfers: 1, ..HttpLimits::default() };
        let (_folder, app) = App::in_new_home(limits, None);
        let patience = Duration::from_secs(60);
        let received = timeout(patience, receive(&app, "1/a.bin".into(), &mut Trickle::body())).await;
        assert_eq!(received.expect("an end").expect_err("too slow").code, ErrorCode::RequestTimeout);

        // An answer that nobody reads is given up too.
        let transfer = app.transfer().await.expect("a transfer");
        let unread = send(app.clone(), transfer, 10 << 20, Box::new(io::repeat(1)));
        let freed = async { while app.transfer().await.is_err() {} };
        timeout(patience, freed).await.expect("the transfer is given back");
        drop(unread);
    }
}
