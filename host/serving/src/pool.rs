//! The queue of a served version, and the threads that answer it.
//!
//! Each thread has a session of its own. A thread takes all requests that wait, up to a number of
//! rows, and predicts them in one call: a call costs far more than a row. If that call fails, each
//! of its requests is predicted again by itself, so that only the one at fault fails.
//!
//! One more thread stands by. It takes requests that have waited for some milliseconds, as they do
//! when another thread is stuck in a long call or replaces its session.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::ModelSession;
use tokio::sync::oneshot;

/// How long a request waits before the thread that stands by takes it.
const STANDBY_AFTER: Duration = Duration::from_millis(3);

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
    /// The number of calls after which a session is replaced.
    pub calls_per_session: u64,
}

impl Default for PoolOptions {
    fn default() -> Self {
        Self { workers: 1, gathered_rows: 64, queued_rows: 100_000, calls_per_session: 10_000 }
    }
}

/// Too many rows wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{waiting} rows wait, and {allowed} may")]
pub struct Overloaded {
    /// The rows that wait.
    pub waiting: usize,
    /// The rows that may wait.
    pub allowed: usize,
}

/// Why rows were not predicted.
#[derive(Debug, thiserror::Error)]
pub enum PoolFault {
    /// Too many rows wait.
    #[error(transparent)]
    Overloaded(#[from] Overloaded),
    /// The model failed, or passed a limit.
    #[error(transparent)]
    Model(StageFault),
    /// The pool is closing, or no session can be opened.
    #[error("no session of the model is available")]
    Unavailable,
}

/// The sessions of one version, and the requests that wait for them.
///
/// Dropping the pool answers the requests that wait, then ends its threads.
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
    queue: Mutex<Queue>,
    filled: Condvar,
    overdue: Condvar,
    options: PoolOptions,
    width: usize,
    open: Box<OpenSession>,
    counts: PoolCounts,
    /// Sessions that can answer.
    ready: AtomicUsize,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    rows: usize,
    /// Threads that wait for work.
    idle: usize,
    /// Whether the thread that stands by waits for the oldest request to be overdue.
    is_armed: bool,
    is_closed: bool,
}

struct Job {
    rows: RecordBatch,
    arrived: Instant,
    reply: oneshot::Sender<Result<Vec<f64>, PoolFault>>,
}

impl Pool {
    /// Opens the sessions and starts the threads. `width` is the number of values of each row.
    ///
    /// # Errors
    /// A session cannot be opened.
    pub fn start(open: Box<OpenSession>, width: usize, options: PoolOptions) -> Result<Self, StageFault> {
        let options = PoolOptions { workers: options.workers.max(1), ..options };
        let sessions = (0..=options.workers).map(|_| open()).collect::<Result<Vec<_>, _>>()?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            overdue: Condvar::new(),
            options,
            width,
            open,
            counts: PoolCounts::default(),
            ready: AtomicUsize::new(sessions.len()),
        });
        let mut threads = Vec::new();
        for (place, session) in sessions.into_iter().enumerate() {
            let worker = Worker {
                shared: shared.clone(),
                session: Some(session),
                calls: 0,
                successor: None,
                stands_by: place == options.workers,
            };
            let thread = std::thread::Builder::new().name(format!("predict-{place}"));
            threads.push(thread.spawn(move || worker.run()).map_err(StageFault::host)?);
        }
        Ok(Self { shared, threads })
    }

    /// Predicts rows, and returns the values of each row.
    ///
    /// # Errors
    /// See [`PoolFault`].
    pub async fn predict(&self, rows: RecordBatch) -> Result<Vec<f64>, PoolFault> {
        if rows.num_rows() == 0 {
            return Ok(Vec::new());
        }
        let (reply, answer) = oneshot::channel();
        self.shared.push(Job { rows, arrived: Instant::now(), reply })?;
        answer.await.unwrap_or(Err(PoolFault::Unavailable))
    }

    /// Returns the rows that wait.
    pub fn waiting_rows(&self) -> usize {
        self.shared.queue().rows
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
        self.shared.queue().is_closed = true;
        self.shared.filled.notify_all();
        self.shared.overdue.notify_all();
        for thread in self.threads.drain(..) {
            // A thread that panicked has answered nobody; its requests see a closed channel.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Each critical section leaves the queue consistent.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, job: Job) -> Result<(), PoolFault> {
        let mut queue = self.queue();
        if queue.is_closed {
            return Err(PoolFault::Unavailable);
        }
        let (waiting, allowed) = (queue.rows, self.options.queued_rows);
        // A request that alone has more rows than may wait is accepted by an empty queue.
        if waiting > 0 && waiting + job.rows.num_rows() > allowed {
            return Err(Overloaded { waiting, allowed }.into());
        }
        queue.rows += job.rows.num_rows();
        queue.jobs.push_back(job);
        let (is_idle, is_armed) = (queue.idle > 0, queue.is_armed);
        drop(queue);
        if is_idle {
            self.filled.notify_one();
        } else if !is_armed {
            self.overdue.notify_one();
        }
        Ok(())
    }

    /// Waits for requests and takes as many as are predicted in one call. Returns `None` once the
    /// pool is closed and nothing waits.
    fn take(&self, stands_by: bool) -> Option<Vec<Job>> {
        let mut queue = self.queue();
        loop {
            let oldest = queue.jobs.front().map(|job| job.arrived);
            queue = match oldest {
                Some(_) if !stands_by || queue.is_closed => return Some(self.gather(&mut queue)),
                None if queue.is_closed => return None,
                Some(arrived) => match STANDBY_AFTER.checked_sub(arrived.elapsed()) {
                    None => return Some(self.gather(&mut queue)),
                    Some(left) => {
                        queue.is_armed = true;
                        let waited = self.overdue.wait_timeout(queue, left);
                        let mut queue = waited.unwrap_or_else(PoisonError::into_inner).0;
                        queue.is_armed = false;
                        queue
                    }
                },
                None if stands_by => self.overdue.wait(queue).unwrap_or_else(PoisonError::into_inner),
                None => {
                    queue.idle += 1;
                    let mut queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
                    queue.idle -= 1;
                    queue
                }
            };
        }
    }

    fn gather(&self, queue: &mut Queue) -> Vec<Job> {
        let mut jobs = Vec::new();
        let mut rows = 0;
        while let Some(job) = queue.jobs.front() {
            let more = job.rows.num_rows();
            if !jobs.is_empty() && rows + more > self.options.gathered_rows {
                break;
            }
            rows += more;
            jobs.extend(queue.jobs.pop_front());
        }
        queue.rows -= rows;
        // The requests that are left wait for this call, unless it takes too long.
        if !queue.jobs.is_empty() && !queue.is_armed {
            self.overdue.notify_one();
        }
        jobs
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
            let Some(jobs) = self.shared.take(self.stands_by) else { return };
            self.answer(jobs);
            self.renew_when_old();
        }
    }

    /// Predicts the rows of all jobs in one call; if that fails, job by job.
    fn answer(&mut self, jobs: Vec<Job>) {
        let batches: Vec<_> = jobs.iter().map(|job| job.rows.clone()).collect();
        let mut result = self.call(&batches);
        match (&mut result, jobs.len()) {
            (Ok(values), _) => {
                let mut values = std::mem::take(values).into_iter();
                for job in jobs {
                    let own = values.by_ref().take(job.rows.num_rows() * self.shared.width).collect();
                    // The client may have gone.
                    let _ = job.reply.send(Ok(own));
                }
            }
            (Err(_), 1) => {
                for job in jobs {
                    let _ = job.reply.send(std::mem::replace(&mut result, Err(PoolFault::Unavailable)));
                }
            }
            (Err(_), _) => {
                for job in jobs {
                    let result =
                        if self.has_session() { self.call(std::slice::from_ref(&job.rows)) } else { unavailable() };
                    let _ = job.reply.send(result);
                }
            }
        }
    }

    fn call(&mut self, batches: &[RecordBatch]) -> Result<Vec<f64>, PoolFault> {
        let Some(session) = &mut self.session else { return unavailable() };
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
                    counts.faulted.fetch_add(1, Ordering::Relaxed);
                    self.session = None;
                    self.shared.ready.fetch_sub(1, Ordering::Relaxed);
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
            match (self.shared.open)() {
                Ok(session) => {
                    self.session = Some(session);
                    self.shared.ready.fetch_add(1, Ordering::Relaxed);
                    self.calls = 0;
                }
                Err(fault) => {
                    tracing::warn!("a session cannot be opened, and is tried again in {pause:?}: {fault}");
                    let queue = self.shared.queue();
                    if queue.is_closed {
                        return false;
                    }
                    drop(queue);
                    std::thread::sleep(pause);
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
            None if self.calls >= self.shared.options.calls_per_session => {
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
                    self.session = Some(session);
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

fn unavailable<T>() -> Result<T, PoolFault> {
    Err(PoolFault::Unavailable)
}

#[cfg(test)]
mod tests;
