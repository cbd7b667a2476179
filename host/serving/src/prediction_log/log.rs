//! The log of a server, of a model and of a version.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use stagewright_data::{Signature, Task};

use super::channel::Channel;
use super::columns::Columns;
use super::entry::Entry;
use super::folder::{LogCounts, ModelFiles, create_private};
use super::mask::MaskKey;
use super::policy::LogPolicy;
use super::request::LoggedRequest;
use super::writer::{Writer, now_ms};

/// How long the end of a server waits for the last rows to be written. A disk may never take them.
const LAST_ROWS: Duration = Duration::from_secs(10);

/// The most requests that fail and are logged in a second. A client that sends nothing but
/// mistakes would else fill the log with them, and its oldest files, which are worth more, would
/// go.
const MOST_FAILURES: u64 = 1000;

/// The bits of the count in [`Failures`]; the others have the second.
const COUNT_BITS: u32 = 16;

/// The message of a channel that only ends.
#[derive(Debug)]
enum Never {}

/// The log of a server. Dropping it writes what waits, within ten seconds.
#[derive(Debug)]
pub struct PredictionLog {
    folder: PathBuf,
    /// The file of the key of masked values.
    key: PathBuf,
    channel: Arc<Channel>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<Never>>,
    mask: OnceLock<Arc<MaskKey>>,
}

impl PredictionLog {
    /// Starts the log of a server that keeps its files in `serving`, a folder of the home: logs in
    /// `predictions/MODEL`, and the key of masked values in `mask.key`.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(serving: &Path) -> io::Result<Self> {
        let (channel_of_log, requests) = Channel::open();
        let channel_of_log = Arc::new(channel_of_log);
        let (alive, ended) = channel::<Never>();
        let writer = Writer::new(channel_of_log.clone());
        let run = move || {
            let _alive: Sender<Never> = alive;
            writer.run(&requests);
        };
        std::thread::Builder::new().name("prediction-log".into()).spawn(run)?;
        Ok(Self {
            folder: folder(serving),
            key: serving.join("mask.key"),
            channel: channel_of_log,
            ended: Mutex::new(ended),
            mask: OnceLock::new(),
        })
    }

    /// Returns the log of a model, whose files are checked and tidied now.
    ///
    /// # Errors
    /// The folder or the key cannot be written or read.
    pub fn of_model(&self, model: &str, policy: LogPolicy, counts: LogCounts) -> io::Result<ModelLog> {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
        if !model.bytes().all(is_name) || model.bytes().all(|byte| byte == b'.') {
            // No registry has such a model, and its folder could be anywhere.
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no name of a model"));
        }
        let folder = self.folder.join(model);
        create_private(&folder)?;
        let files = ModelFiles { folder, most_bytes: policy.most_bytes, keep: policy.keep, counts };
        files.clean()?;
        files.make_room(0, now_ms())?;
        let files = Arc::new(files);
        self.channel.add(files.clone());
        let mask = match policy.mask.is_empty() {
            true => None,
            false => Some(self.mask()?),
        };
        let failures = Arc::new(Failures::default());
        Ok(ModelLog { model: model.to_owned(), policy, files, channel: self.channel.clone(), mask, failures })
    }

    fn mask(&self) -> io::Result<Arc<MaskKey>> {
        if let Some(mask) = self.mask.get() {
            return Ok(mask.clone());
        }
        let mask = Arc::new(MaskKey::open(&self.key)?);
        Ok(self.mask.get_or_init(|| mask).clone())
    }
}

impl Drop for PredictionLog {
    fn drop(&mut self) {
        self.channel.close();
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if matches!(ended.recv_timeout(LAST_ROWS), Err(RecvTimeoutError::Timeout)) {
            tracing::warn!("the last predictions are not logged: the disk did not take them in {LAST_ROWS:?}");
        }
    }
}

/// Returns the folder of logs in the folder that servers use.
pub(super) fn folder(serving: &Path) -> PathBuf {
    serving.join("predictions")
}

/// The log of a model.
#[derive(Debug, Clone)]
pub struct ModelLog {
    model: String,
    policy: LogPolicy,
    files: Arc<ModelFiles>,
    channel: Arc<Channel>,
    mask: Option<Arc<MaskKey>>,
    failures: Arc<Failures>,
}

impl ModelLog {
    /// Returns what the operator lets be logged.
    pub fn policy(&self) -> &LogPolicy {
        &self.policy
    }

    /// Returns the log of a version.
    pub(crate) fn of_version(&self, version: u32, task: &Task, signature: &Signature) -> VersionLog {
        let (files, mask) = (self.files.clone(), self.mask.clone());
        let columns = Columns::new(files, (&self.model, version), task.clone(), signature, &self.policy, mask);
        VersionLog {
            columns: Arc::new(columns),
            channel: self.channel.clone(),
            rate: self.policy.rate,
            failures: self.failures.clone(),
        }
    }
}

/// The log of a version.
#[derive(Debug, Clone)]
pub struct VersionLog {
    columns: Arc<Columns>,
    channel: Arc<Channel>,
    rate: f64,
    failures: Arc<Failures>,
}

impl VersionLog {
    /// Returns whether a request is logged though it does not fail. Its identifier alone decides,
    /// so that everybody who knows it can tell.
    pub(crate) fn samples(&self, request_id: &str) -> bool {
        is_sampled(request_id, self.rate)
    }

    /// Logs a request, later. Never waits: if the log does not keep up, the request is dropped and
    /// counted.
    pub(crate) fn write(&self, request: LoggedRequest) {
        let is_taken = request.error.is_none() || self.failures.admit(seconds(SystemTime::now()));
        let entry = Entry::new(self.columns.clone(), request);
        match is_taken {
            true => self.channel.send(entry),
            false => {
                self.columns.files.counts.dropped.inc_by(entry.rows() as u64);
            }
        }
    }
}

/// The failures of a model in the second that passes.
#[derive(Debug, Default)]
struct Failures(AtomicU64);

impl Failures {
    /// Counts a failure of a second. Returns whether it is one of the first of it.
    fn admit(&self, second: u64) -> bool {
        let next = |packed: u64| match packed >> COUNT_BITS == second {
            true if packed & ((1 << COUNT_BITS) - 1) >= MOST_FAILURES => None,
            true => Some(packed + 1),
            false => Some(second << COUNT_BITS | 1),
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Returns whether the hash of an identifier lies in the share of hashes that `rate` is of all.
fn is_sampled(request_id: &str, rate: f64) -> bool {
    // FNV-1a, and the end of SplitMix64, which spreads it over all bits. Identifiers are random
    // and made by the server.
    let hash = request_id
        .bytes()
        .fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    // 53 bits are exact in a double.
    let place = ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
    place < rate
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::request_id::RequestId;

    #[test]
    fn a_rate_takes_its_share_and_the_identifier_alone_decides() {
        let ids: Vec<String> = (0..20_000).map(|_| RequestId::new(3, None).to_string()).collect();
        let taken = |rate| ids.iter().filter(|id| is_sampled(id, rate)).count();
        assert_eq!((taken(0.0), taken(1.0)), (0, ids.len()));
        // Ten standard deviations of a binomial number.
        let tenth = taken(0.1);
        assert!((1576..=2424).contains(&tenth), "{tenth} of 20,000");
        assert!(ids.iter().all(|id| !is_sampled(id, 0.1) || is_sampled(id, 0.2)), "a higher rate takes more");
    }
    #[test]
    fn failures_are_logged_up_to_a_number_in_each_second() {
        let failures = Failures::default();
        let admitted = |second| (0..3 * MOST_FAILURES).filter(|_| failures.admit(second)).count() as u64;
        assert_eq!([admitted(7), admitted(7), admitted(8)], [MOST_FAILURES, 0, MOST_FAILURES]);
    }
}
