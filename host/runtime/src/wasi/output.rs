//! Standard output and standard error, captured as text for log lines.

use std::sync::{Arc, Mutex};

use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

/// The most bytes that are kept of a guest's output during one call.
const MAX_OUTPUT: usize = 16 << 10;

/// Captures what a guest writes to standard output and standard error during one call. The text
/// that was taken last is kept: it holds the message of a panic, which the error of the call
/// quotes.
#[derive(Debug, Clone, Default)]
pub(crate) struct CapturedOutput(Arc<Mutex<Buffer>>);

#[derive(Debug, Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// The number of lines that did not fit.
    dropped: u64,
    /// The text that was taken last.
    last: String,
}

/// The output of one call.
pub(crate) struct CallOutput {
    /// The text, up to the size of the buffer.
    pub(crate) text: String,
    /// The number of lines that did not fit.
    pub(crate) dropped: u64,
}

impl CapturedOutput {
    fn buffer(&self) -> std::sync::MutexGuard<'_, Buffer> {
        // Every change under this lock leaves the buffer consistent.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes the text that was written since the last call.
    pub(crate) fn take(&self) -> CallOutput {
        let mut buffer = self.buffer();
        let text = String::from_utf8_lossy(&std::mem::take(&mut buffer.bytes)).into_owned();
        if !text.is_empty() {
            buffer.last.clone_from(&text);
        }
        CallOutput { text, dropped: std::mem::take(&mut buffer.dropped) }
    }

    /// Clears the buffer.
    pub(crate) fn restart(&self) {
        *self.buffer() = Buffer::default();
    }

    /// Returns the text that was taken last.
    pub(crate) fn last(&self) -> String {
        self.buffer().last.trim().to_owned()
    }
}

impl OutputStream for CapturedOutput {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        let mut buffer = self.buffer();
        let room = MAX_OUTPUT.saturating_sub(buffer.bytes.len());
        let (fits, rest) = bytes.split_at(bytes.len().min(room));
        buffer.bytes.extend_from_slice(fits);
        if !rest.is_empty() {
            buffer.dropped += (rest.iter().filter(|byte| **byte == b'\n').count() as u64).max(1);
        }
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(MAX_OUTPUT)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for CapturedOutput {
    async fn ready(&mut self) {}
}

impl IsTerminal for CapturedOutput {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for CapturedOutput {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        Box::new(tokio::io::sink())
    }
}
