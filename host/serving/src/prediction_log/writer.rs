//! The thread that writes the log.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::channel::{Channel, MOST_ENTRIES};
use super::entry::Entry;
use super::name::{HOUR_MS, LogName};
use super::stream::Stream;

/// The time after which requests are in a file, which is what a killed server loses.
pub(super) const FLUSH: Duration = Duration::from_secs(5);

/// The time between two looks for files that are too old, or left by a killed server.
const TIDY: Duration = Duration::from_secs(600);

/// The pause after requests came. A writer that sleeps need not be woken by each request.
const PAUSE: Duration = Duration::from_millis(20);

/// Writes the requests of all models.
pub(super) struct Writer {
    channel: Arc<Channel>,
    /// A random number, which its files have in their names.
    number: u32,
    /// The number of the next file.
    next: u32,
    streams: Vec<Stream>,
}

impl Writer {
    pub(super) fn new(channel: Arc<Channel>) -> Self {
        Self { channel, number: fastrand::u32(..), next: 0, streams: Vec::new() }
    }

    /// Writes until the channel is closed.
    pub(super) fn run(mut self, requests: &Receiver<Option<Box<Entry>>>) {
        let mut next_flush = Instant::now() + FLUSH;
        let mut next_tidy = Instant::now() + TIDY;
        loop {
            let taken = match requests.recv_timeout(next_flush.saturating_duration_since(Instant::now())) {
                Ok(first) => self.take_waiting(first, requests),
                Err(RecvTimeoutError::Timeout) => 0,
                Err(RecvTimeoutError::Disconnected) => return self.end(now_ms()),
            };
            if self.channel.is_closed() {
                // Those that were sent while the end began.
                let last = std::iter::from_fn(|| requests.try_recv().ok()).flatten();
                let now_ms = now_ms();
                last.for_each(|entry| self.take(*entry, now_ms));
                return self.end(now_ms);
            }
            if Instant::now() >= next_flush {
                self.flush(now_ms());
                next_flush = Instant::now() + FLUSH;
            }
            if Instant::now() >= next_tidy {
                self.tidy(now_ms());
                next_tidy = Instant::now() + TIDY;
            }
            if taken < MOST_ENTRIES {
                std::thread::sleep(PAUSE);
            }
        }
    }

    /// Takes the requests that wait, but no more than may wait at once: where they come faster than
    /// they are taken, files have to be written all the same. Returns how many messages there were.
    pub(super) fn take_waiting(&mut self, first: Option<Box<Entry>>, requests: &Receiver<Option<Box<Entry>>>) -> usize {
        let now_ms = now_ms();
        let rest = std::iter::from_fn(|| requests.try_recv().ok());
        let waiting = std::iter::once(first).chain(rest).take(MOST_ENTRIES);
        waiting.map(|entry| entry.into_iter().for_each(|entry| self.take(*entry, now_ms))).count()
    }

    /// Takes a request.
    pub(super) fn take(&mut self, entry: Entry, now_ms: i64) {
        let hour = ms(entry.request.at).div_euclid(HOUR_MS);
        let columns = &entry.columns;
        let place = self.streams.iter().position(|stream| {
            let is_same = Arc::ptr_eq(&stream.files, &columns.files) && stream.name.hour == hour;
            is_same && (Arc::ptr_eq(&stream.schema, &columns.schema) || stream.schema == columns.schema)
        });
        let place = place.unwrap_or_else(|| {
            let name = LogName { hour, writer: self.number, number: self.next, piece: None };
            self.next += 1;
            self.streams.push(Stream::new(columns.files.clone(), columns.schema.clone(), name));
            self.streams.len() - 1
        });
        let freed = self.streams[place].take(entry, now_ms);
        self.channel.free(freed);
        if self.streams[place].is_full() {
            self.streams.swap_remove(place).finish();
        }
    }

    /// Writes what there is, and finishes the files of hours that are over.
    pub(super) fn flush(&mut self, now_ms: i64) {
        let hour = now_ms.div_euclid(HOUR_MS);
        for mut stream in std::mem::take(&mut self.streams) {
            self.channel.free(stream.flush(now_ms));
            if stream.is_full() || stream.name.hour < hour {
                stream.finish();
            } else {
                self.streams.push(stream);
            }
        }
    }

    /// Removes files that are too old or too many, and what killed servers left, of all models.
    pub(super) fn tidy(&self, now_ms: i64) {
        for files in self.channel.models() {
            if let Err(error) = files.clean().and_then(|()| files.make_room(0, now_ms)) {
                tracing::warn!("old predictions in `{}` are not removed: {error}", files.folder.display());
            }
        }
    }

    /// Writes and finishes everything.
    pub(super) fn end(mut self, now_ms: i64) {
        self.flush(now_ms);
        self.streams.into_iter().for_each(Stream::finish);
    }
}

fn ms(time: SystemTime) -> i64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

pub(super) fn now_ms() -> i64 {
    ms(SystemTime::now())
}
