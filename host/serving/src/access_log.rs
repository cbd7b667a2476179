//! The access log: a JSON line for each request.
//!
//! A line has neither bodies nor headers, and of the address its path alone, because a query may
//! have secrets. A thread of its own writes. If the reader of the log does not keep up, lines are
//! dropped and counted; requests do not wait for it.

use std::io::{BufWriter, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, TryRecvError, TrySendError, channel, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use prometheus_client::metrics::counter::Counter;
use serde::{Serialize, Serializer};

/// The most lines that wait to be written.
const MOST_WAITING: usize = 8192;

/// How long the end of a server waits for the last lines to be written. A pipe that nobody reads
/// takes none, for ever.
const LAST_LINES: Duration = Duration::from_secs(1);

/// A request that was answered.
#[derive(Debug, Serialize)]
pub(crate) struct AccessLine<'a> {
    /// The time of its arrival.
    #[serde(serialize_with = "timestamp")]
    pub(crate) time: SystemTime,
    pub(crate) request_id: &'a str,
    pub(crate) client_request_id: Option<&'a str>,
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) model: Option<&'a str>,
    pub(crate) version: Option<u32>,
    pub(crate) arm: Option<&'a str>,
    pub(crate) rows: u64,
    pub(crate) status: u16,
    #[serde(rename = "latency_us", serialize_with = "microseconds")]
    pub(crate) latency: Duration,
    pub(crate) error: Option<&'a str>,
}

fn timestamp<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = jiff::Timestamp::try_from(*time).unwrap_or_default();
    serializer.collect_str(&format_args!("{time:.6}"))
}

fn microseconds<S: Serializer>(latency: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(latency.as_micros().try_into().unwrap_or(u64::MAX))
}

/// The message of a channel that only ends.
#[derive(Debug)]
enum Never {}

/// Writes lines. Dropping it writes those that wait, as far as [`LAST_LINES`] allows.
#[derive(Debug)]
pub(crate) struct AccessLog {
    sender: Option<SyncSender<Vec<u8>>>,
    /// Disconnected when the thread has ended. Only dropping asks, and a receiver cannot be shared
    /// by threads without a lock.
    ended: Mutex<Receiver<Never>>,
    dropped: Counter,
}

impl AccessLog {
    /// Starts the thread that writes. `dropped` counts lines that are dropped.
    pub(crate) fn start(output: impl Write + Send + 'static, dropped: Counter) -> std::io::Result<Self> {
        let (sender, lines) = sync_channel(MOST_WAITING);
        let (alive, ended) = channel::<Never>();
        let run = move || {
            let _alive: Sender<Never> = alive;
            write_lines(&lines, BufWriter::new(output));
        };
        std::thread::Builder::new().name("access-log".into()).spawn(run)?;
        Ok(Self { sender: Some(sender), ended: Mutex::new(ended), dropped })
    }

    /// Writes a line, later.
    pub(crate) fn write(&self, line: &AccessLine<'_>) {
        let Ok(mut bytes) = serde_json::to_vec(line) else { return };
        bytes.push(b'\n');
        let sent = self.sender.as_ref().map(|sender| sender.try_send(bytes));
        if let Some(Err(TrySendError::Full(_) | TrySendError::Disconnected(_))) = sent {
            self.dropped.inc();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.sender = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        // A thread that is not done then is left to the end of the process.
        let _ = ended.recv_timeout(LAST_LINES);
    }
}

/// Writes lines until their senders are gone, or nobody reads them.
fn write_lines(lines: &Receiver<Vec<u8>>, mut output: impl Write) {
    while let Ok(line) = lines.recv() {
        let mut next = Ok(line);
        while let Ok(line) = next {
            if output.write_all(&line).is_err() {
                return;
            }
            next = lines.try_recv();
        }
        if output.flush().is_err() || next == Err(TryRecvError::Disconnected) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Shared(Arc<Mutex<Vec<u8>>>);

    impl Write for Shared {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().expect("a lock").write(bytes)
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn line(path: &str) -> AccessLine<'_> {
        AccessLine {
            time: SystemTime::UNIX_EPOCH + Duration::from_micros(1_500_000),
            request_id: "01J",
            client_request_id: None,
            method: "POST",
            path,
            model: Some("churn"),
            version: Some(3),
            arm: None,
            rows: 2,
            status: 200,
            latency: Duration::from_micros(41),
            error: None,
        }
    }

    #[test]
    fn a_request_is_one_line_of_json_whatever_its_path() {
        let output = Shared::default();
        let log = AccessLog::start(output.clone(), Counter::default()).expect("a thread");
        log.write(&line("/predict"));
        log.write(&line("/a\"\n{\u{7f}"));
        drop(log);
        let text = String::from_utf8(output.0.lock().expect("a lock").clone()).expect("UTF-8");
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["time"], "1970-01-01T00:00:01.500000Z");
        assert_eq!(lines[0]["latency_us"], 41);
        assert_eq!(lines[1]["path"], "/a\"\n{\u{7f}");
    }

    /// An output that takes nothing until it is told.
    struct Stuck(Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn nobody_waits_for_a_reader_that_does_not_keep_up() {
        let (release, stuck) = sync_channel::<()>(0);
        let dropped = Counter::default();
        let log = AccessLog::start(Stuck(stuck), dropped.clone()).expect("a thread");
        let long = "x".repeat(200);
        for _ in 0..2 * MOST_WAITING {
            log.write(&line(&long));
        }
        assert!(dropped.get() > 0);
        drop(release);
        drop(log);
    }

    #[test]
    fn the_end_waits_a_bounded_time_for_a_reader_that_never_reads() {
        let (release, stuck) = sync_channel::<()>(0);
        let log = AccessLog::start(Stuck(stuck), Counter::default()).expect("a thread");
        log.write(&line("/predict"));
        let (done, ended) = sync_channel(1);
        std::thread::spawn(move || {
            drop(log);
            let _ = done.send(());
        });
        assert_eq!(ended.recv_timeout(LAST_LINES / 2), Err(std::sync::mpsc::RecvTimeoutError::Timeout));
        ended.recv_timeout(10 * LAST_LINES).expect("the end waits for ever");
        drop(release);
    }
}
