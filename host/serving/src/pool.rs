//! The queue of a served version, and the threads that answer it.
//!
//! Each thread has a session of its own. A thread takes all requests that wait, up to a number of
//! rows, and predicts them in one call: a call costs far more than a row. If that call fails, its
//! requests wait again, each to be predicted by itself by any thread. Thus only the one at fault
//! fails, and the others do not wait until it has failed. A session that died between two calls
//! costs no request: it is replaced first, and the requests wait for it or for another thread.
//!
//! One more thread stands by. It takes requests that have waited for some milliseconds, as they do
//! when another thread is stuck in a long call or replaces its session.
//!
//! - `queue`: the requests that wait
//! - `fault`: why rows are not predicted

mod fault;
mod queue;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::ModelSession;

pub use fault::{Overloaded, PoolFault};
use queue::{Bounds, Gathered, Predicted, Queue};

/// The pause after a session could not be opened; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(50);

/// The longest pause between two attempts to open a session.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// The upper bounds of the buckets of [`PoolCounts::gathered`].
pub const GATHERED_ROWS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Opens a session of the pool's version.
pub type OpenSession = dyn Fn() -> Result<Box<dyn ModelSession>, StageFault> + Send + Sync;

/// The settings of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PoolOptions {
    /// The number of threads, besides the one that stands by.
    pub workers: usize,
    /// The most rows of several requests that are predicted in one call; 1 predicts each request by
    /// itself. A request with more rows is predicted by itself.
    pub gathered_rows: usize,
    /// The most rows that may wait.
    pub queued_rows: usize,
    /// The most bytes of memory that the rows which wait may take.
    pub queued_bytes: usize,
    /// The number of calls after which a session is replaced.
    pub calls_per_session: u64,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { workers: 1, gathered_rows: 64, queued_rows: 100_000, queued_bytes: 256 << 20, calls_per_session: 10_000 }
    }
}

/// The sessions of one version, and the requests that wait for them.
///
/// Dropping the pool ends its threads as soon as the calls that run have ended. Nobody waits for an
/// answer then, since [`Pool::predict`] borrows the pool.
pub struct Pool {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// Counts of a pool, which only grow.
#[derive(Debug, Default)]
pub struct PoolCounts {
    /// Calls of sessions.
    pub calls: AtomicU64,
    /// Rows that were predicted.
    pub rows: AtomicU64,
    /// Rows of all calls, those that failed as well.
    pub asked: AtomicU64,
    /// Calls by their rows: up to each of [`GATHERED_ROWS`], and more.
    pub gathered: [AtomicU64; GATHERED_ROWS.len() + 1],
    /// Sessions that were replaced because of a fault.
    pub faulted: AtomicU64,
    /// Sessions that were replaced because of their age.
    pub renewed: AtomicU64,
}

struct Shared {
    queue: Queue,
    calls_per_session: u64,
    width: usize,
    open: Box<OpenSession>,
    counts: PoolCounts,
    /// Sessions that can answer.
    ready: AtomicUsize,
}

impl Shared {
    fn new(open: Box<OpenSession>, width: usize, options: PoolOptions, ready: usize) -> Self {
        let PoolOptions { gathered_rows, queued_rows, queued_bytes, calls_per_session, .. } = options;
        Self {
            queue: Queue::new(Bounds { gathered_rows, queued_rows, queued_bytes }),
            calls_per_session,
            width,
            open,
            counts: PoolCounts::default(),
            ready: AtomicUsize::new(ready),
        }
    }
}

impl Pool {
    /// Opens the sessions and starts the threads. `width` is the number of values of each row.
    ///
    /// # Errors
    /// A session cannot be opened.
    pub fn start(open: Box<OpenSession>, width: usize, options: PoolOptions) -> Result<Self, StageFault> {
        let workers = options.workers.max(1);
        let sessions = (0..=workers).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
        let shared = Arc::new(Shared::new(open, width, options, sessions.len()));
        // Dropped if a thread cannot be started, which ends the others.
        let mut pool = Self { shared, threads: Vec::new() };
        for (place, session) in sessions.into_iter().enumerate() {
            let worker = Worker {
                shared: pool.shared.clone(),
                session: Some(session),
                calls: 0,
                successor: None,
                stands_by: place == workers,
            };
            let thread = std::thread::Builder::new().name(format!("predict-{place}"));
            pool.threads.push(thread.spawn(move || worker.run()).map_err(StageFault::host)?);
        }
        Ok(pool)
    }

    /// Predicts rows, and returns the values of each row. Rows that wait are not predicted if the
    /// future is dropped.
    ///
    /// # Errors
    /// See [`PoolFault`].
    pub async fn predict(&self, rows: RecordBatch) -> Result<Vec<f64>, PoolFault> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        self.shared.queue.push(rows)?.values().await
    }

    /// Returns the rows that wait.
    pub fn waiting_rows(&self) -> usize {
        self.shared.queue.rows()
    }

    /// Returns the counts.
    pub fn counts(&self) -> &PoolCounts {
        &self.shared.counts
    }

    /// Returns the number of sessions.
    pub fn sessions(&self) -> usize {
        self.threads.len()
    }

    /// Returns the number of sessions that can answer. The others are being replaced.
    pub fn ready_sessions(&self) -> usize {
        self.shared.ready.load(Ordering::Relaxed)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.queue.close();
        for thread in self.threads.drain(..) {
            // A thread that panicked has answered nobody; its requests see a closed channel.
            let _ = thread.join();
        }
    }
}

/// A thread of a pool.
struct Worker {
    shared: Arc<Shared>,
    session: Option<Box<dyn ModelSession>>,
    /// The calls of the session.
    calls: u64,
    /// The session that will replace this one, being opened by another thread.
    successor: Option<Receiver<Result<Box<dyn ModelSession>, StageFault>>>,
    stands_by: bool,
}

impl Worker {
    fn run(mut self) {
        while self.has_session() {
            let Some(gathered) = self.shared.queue.take(self.stands_by) else { return };
            if self.session.as_ref().is_some_and(|session| session.is_alive()) {
                self.answer(gathered);
            } else {
                // It died since its last call, which is the fault of none of these requests.
                self.lose_session();
                self.shared.queue.give_back(gathered);
            }
            self.renew_when_old();
        }
    }

    /// Drops the session, which cannot be used again.
    fn lose_session(&mut self) {
        self.session = None;
        self.shared.counts.faulted.fetch_add(1, Ordering::Relaxed);
        self.shared.ready.fetch_sub(1, Ordering::Relaxed);
    }

    /// Predicts the rows of all requests in one call. If that fails, they wait again.
    fn answer(&mut self, gathered: Gathered) {
        match self.call(&gathered.rows) {
            Ok(values) => {
                let mut values = values.into_iter();
                for (rows, ticket) in gathered.rows.into_iter().zip(gathered.tickets) {
                    let values = values.by_ref().take(rows.num_rows() * self.shared.width).collect();
                    // The client may have gone.
                    let _ = ticket.reply.send(Ok(Predicted { values, rows }));
                }
            }
            Err(_) if gathered.tickets.len() > 1 => self.shared.queue.put_back(gathered),
            Err(fault) => {
                if let Some(ticket) = gathered.tickets.into_iter().next() {
                    let _ = ticket.reply.send(Err(fault));
                }
            }
        }
    }

    fn call(&mut self, batches: &[RecordBatch]) -> Result<Vec<f64>, PoolFault> {
        let Some(session) = &mut self.session else { return Err(PoolFault::Unavailable) };
        self.calls += 1;
        let counts = &self.shared.counts;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let bucket = GATHERED_ROWS.iter().position(|bound| rows <= *bound).unwrap_or(GATHERED_ROWS.len());
        counts.calls.fetch_add(1, Ordering::Relaxed);
        counts.asked.fetch_add(rows as u64, Ordering::Relaxed);
        counts.gathered[bucket].fetch_add(1, Ordering::Relaxed);
        match session.predict(batches) {
            Ok(values) => {
                counts.rows.fetch_add(rows as u64, Ordering::Relaxed);
                Ok(values)
            }
            Err(fault) => {
                if !session.is_alive() {
                    self.lose_session();
                }
                Err(PoolFault::Model(fault))
            }
        }
    }

    /// Opens a session if there is none, however long it takes. Returns whether there is one; there
    /// is none only if the pool is closed.
    fn has_session(&mut self) -> bool {
        let mut pause = FIRST_PAUSE;
        while self.session.is_none() {
            if self.shared.queue.is_closed() {
                return false;
            }
            match (self.shared.open)() {
                Ok(session) => {
                    self.session = Some(session);
                    self.shared.ready.fetch_add(1, Ordering::Relaxed);
                    self.calls = 0;
                }
                Err(fault) => {
                    tracing::warn!("a session cannot be opened, and is tried again in {pause:?}: {fault}");
                    self.shared.queue.pause(pause);
                    pause = (2 * pause).min(LONGEST_PAUSE);
                }
            }
        }
        true
    }

    /// Replaces a session that has answered its number of calls. Another thread opens the new one,
    /// so that no request waits for it.
    fn renew_when_old(&mut self) {
        match &self.successor {
            None if self.calls >= self.shared.calls_per_session => {
                let (sender, receiver) = sync_channel(1);
                let shared = self.shared.clone();
                let opener = std::thread::Builder::new().name("renew".into());
                // A pool that was dropped meanwhile takes no session; the new one is dropped.
                let opened = opener.spawn(move || drop(sender.send((shared.open)())));
                if opened.is_ok() {
                    self.successor = Some(receiver);
                }
            }
            None => {}
            Some(receiver) => match receiver.try_recv() {
                Ok(Ok(session)) => {
                    // The old session may have ended in the call before, and is not counted then.
                    if self.session.replace(session).is_none() {
                        self.shared.ready.fetch_add(1, Ordering::Relaxed);
                    }
                    self.calls = 0;
                    self.successor = None;
                    self.shared.counts.renewed.fetch_add(1, Ordering::Relaxed);
                }
                Err(TryRecvError::Empty) => {}
                // Tried again after the next call.
                Ok(Err(_)) | Err(TryRecvError::Disconnected) => self.successor = None,
            },
        }
    }
}

#[cfg(test)]
mod tests;
