//! Hashing chunks on other threads while their writer goes on.
//!
//! One pool serves all writers of the process. Its size affects speed alone, because digests are
//! put in order of chunk and column before they are combined. A writer that waits, for room or for
//! the end, hashes in the meantime, but only its own chunks, since the CPU time is charged to it.
//! At most [`MAX_WAITING_CHUNKS`] chunks of a writer are held in memory. A job that panics fails
//! its writer and no other.
//!
//! Why not a crate's pool? See docs/decisions/own-pools.md.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use arrow_array::RecordBatch;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::schema::Schema;
use crate::table::column_digest::column_digests;

/// Chunks of one writer that are being hashed or wait for it. Two keep a thread busy; the third
/// evens out columns of different cost.
const MAX_WAITING_CHUNKS: usize = 3;

/// Columns hashed by one job: as many as the widest hashing has lanes, and few enough to share a
/// chunk among threads.
const JOB_COLUMNS: usize = 16;

/// More threads than this would take memory bandwidth from the stages.
const MAX_THREADS: usize = 4;

/// A job of one writer. It does not panic.
struct Job {
    owner: Arc<Shared>,
    /// Its argument is whether a thread of the pool runs it.
    work: Box<dyn FnOnce(bool) + Send>,
}

struct Pool {
    jobs: Mutex<VecDeque<Job>>,
    added: Condvar,
}

/// Locks a mutex. No panic can happen while one of these locks is held and its data is half
/// changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn get() -> &'static Self {
        static POOL: OnceLock<&'static Pool> = OnceLock::new();
        POOL.get_or_init(|| {
            let pool: &'static Self = Box::leak(Box::new(Self { jobs: Mutex::default(), added: Condvar::new() }));
            let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MAX_THREADS);
            for number in 0..threads {
                // Without threads, writers hash everything themselves.
                let _ = thread::Builder::new().name(format!("digest-{number}")).spawn(move || pool.work());
            }
            pool
        })
    }

    fn work(&self) -> ! {
        loop {
            let mut jobs = locked(&self.jobs);
            let job = loop {
                match jobs.pop_front() {
                    Some(job) => break job,
                    None => jobs = self.added.wait(jobs).unwrap_or_else(PoisonError::into_inner),
                }
            };
            drop(jobs);
            (job.work)(true);
        }
    }

    fn add(&self, job: Job) {
        locked(&self.jobs).push_back(job);
        self.added.notify_one();
    }

    /// Takes a writer's next job that no thread has begun.
    fn take(&self, owner: &Arc<Shared>) -> Option<Job> {
        let mut jobs = locked(&self.jobs);
        let own = jobs.iter().position(|job| Arc::ptr_eq(&job.owner, owner))?;
        jobs.remove(own)
    }
}

/// The hashing of a table's columns, chunk by chunk, as they arrive.
pub(super) struct Hashing {
    schema: Schema,
    shared: Arc<Shared>,
    jobs: u64,
    /// Bytes of the last chunks that were added.
    held: VecDeque<u64>,
}

/// A job panicked, so that the digest will never be known: a bug of the host.
#[derive(Debug)]
pub(super) struct Panicked;

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// CPU time that the pool's threads spent on this writer's jobs, since it was last taken.
    pool_cpu_ns: AtomicU64,
}

/// Returns this thread's CPU time, in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

struct State {
    /// The hash over the digests of jobs `0..next`.
    hasher: Sha256,
    next: u64,
    /// Digests of jobs that finished before an earlier one.
    early: BTreeMap<u64, Vec<Digest>>,
    waiting: usize,
    panicked: bool,
}

impl Hashing {
    pub(super) fn new(schema: &Schema) -> Self {
        let state = State { hasher: Sha256::new(), next: 0, early: BTreeMap::new(), waiting: 0, panicked: false };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new(), pool_cpu_ns: AtomicU64::new(0) };
        Self { schema: schema.clone(), shared: Arc::new(shared), jobs: 0, held: VecDeque::new() }
    }

    /// Returns the bytes of chunks that may still be held: those of the last [`MAX_WAITING_CHUNKS`]
    /// that were added. Some may be hashed already, but a figure that is charged to a stage must
    /// not depend on the speed of threads.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held.iter().sum()
    }

    /// Takes the CPU time, in nanoseconds, that other threads spent on hashing for this writer
    /// since the last call.
    pub(super) fn take_pool_cpu_ns(&self) -> u64 {
        self.shared.pool_cpu_ns.swap(0, Ordering::Relaxed)
    }

    /// Adds a chunk of so many bytes, as it is stored. Waits while too many are waiting.
    pub(super) fn add(&mut self, chunk: &RecordBatch, bytes: u64) -> Result<(), Panicked> {
        let per_chunk = self.schema.len().div_ceil(JOB_COLUMNS);
        // A table without columns has no jobs, and nothing to wait for.
        self.wait(|waiting| waiting <= (MAX_WAITING_CHUNKS - 1) * per_chunk)?;
        if self.held.len() == MAX_WAITING_CHUNKS {
            self.held.pop_front();
        }
        self.held.push_back(bytes);
        for first in (0..self.schema.len()).step_by(JOB_COLUMNS) {
            let columns = first..(first + JOB_COLUMNS).min(self.schema.len());
            let (schema, chunk) = (self.schema.clone(), chunk.clone());
            self.submit(move || column_digests(&schema.fields()[columns.clone()], &chunk.columns()[columns]));
        }
        Ok(())
    }

    /// Adds a job. Its digests follow those of the jobs before it.
    fn submit(&mut self, digests: impl FnOnce() -> Vec<Digest> + Send + 'static) {
        let (number, shared) = (self.jobs, Arc::clone(&self.shared));
        self.jobs += 1;
        locked(&self.shared.state).waiting += 1;
        // After a panic the digests are gone, and nothing looks at the job's data again.
        let work = move |in_pool: bool| {
            let begin = thread_cpu_ns();
            let digests = catch_unwind(AssertUnwindSafe(digests)).ok();
            if in_pool {
                shared.pool_cpu_ns.fetch_add(thread_cpu_ns().saturating_sub(begin), Ordering::Relaxed);
            }
            shared.done(number, digests);
        };
        Pool::get().add(Job { owner: Arc::clone(&self.shared), work: Box::new(work) });
    }

    /// Returns the SHA-256 over the digests of all columns of all chunks, after waiting for the
    /// last.
    pub(super) fn finish(&self) -> Result<Digest, Panicked> {
        self.wait(|waiting| waiting == 0)?;
        let hasher = std::mem::take(&mut locked(&self.shared.state).hasher);
        Ok(Digest::from_bytes(hasher.finalize().into()))
    }

    /// Waits until `enough` holds of the number of this writer's jobs, running some of them
    /// meanwhile.
    fn wait(&self, enough: impl Fn(usize) -> bool) -> Result<(), Panicked> {
        let over = |state: &State| state.panicked || enough(state.waiting);
        while !over(&locked(&self.shared.state)) {
            match Pool::get().take(&self.shared) {
                Some(job) => (job.work)(false),
                None => {
                    // Threads run all jobs of this writer, and notify it.
                    let state = locked(&self.shared.state);
                    let until = self.shared.changed.wait_while(state, |state| !over(state));
                    drop(until.unwrap_or_else(PoisonError::into_inner));
                }
            }
        }
        if locked(&self.shared.state).panicked { Err(Panicked) } else { Ok(()) }
    }
}

/// Drops the jobs of a table that is thrown away, which hold its chunks in memory.
impl Drop for Hashing {
    fn drop(&mut self) {
        while Pool::get().take(&self.shared).is_some() {}
    }
}

impl Shared {
    /// Takes the digests of a job; `None` if it panicked.
    fn done(&self, number: u64, digests: Option<Vec<Digest>>) {
        let mut state = locked(&self.state);
        let state = &mut *state;
        state.panicked |= digests.is_none();
        state.early.insert(number, digests.unwrap_or_default());
        while let Some(digests) = state.early.remove(&state.next) {
            digests.iter().for_each(|digest| state.hasher.update(digest.as_bytes()));
            state.next += 1;
        }
        state.waiting -= 1;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use arrow_array::{Float64Array, Int64Array};

    use super::*;
    use crate::schema::{DataType, Field};

    fn schema() -> Schema {
        Schema::new(vec![Field::new("x", DataType::Int64).with_nullable(false)]).expect("a schema")
    }

    fn chunk(values: Vec<i64>) -> RecordBatch {
        RecordBatch::try_new(schema().to_arrow(), vec![Arc::new(Int64Array::from(values))]).expect("a batch")
    }

    #[test]
    fn a_job_that_panics_fails_its_writer_and_nobody_else() {
        let mut failing = Hashing::new(&schema());
        // More jobs than the pool has threads: if a panic ended a thread, later jobs would not run.
        (0..2 * MAX_THREADS).for_each(|_| failing.submit(|| panic!("a bug")));
        assert!(failing.wait(|waiting| waiting == 0).is_err());
        assert!(failing.add(&chunk(vec![1]), 8).is_err(), "a digest of what is left would be wrong");
        assert!(failing.finish().is_err());
        let digest = || {
            let mut hashing = Hashing::new(&schema());
            (0..10).for_each(|value| hashing.add(&chunk(vec![value]), 8).expect("no panic"));
            hashing.finish().expect("no panic")
        };
        assert_eq!(digest(), digest());
    }

    #[test]
    fn a_job_that_cannot_hash_its_chunk_panics_and_its_writer_fails() {
        let mut hashing = Hashing::new(&schema());
        let other = Schema::new(vec![Field::new("x", DataType::Float64)]).expect("a schema");
        let floats = RecordBatch::try_new(other.to_arrow(), vec![Arc::new(Float64Array::from(vec![1.0]))]);
        hashing.add(&floats.expect("a batch"), 8).expect("it is hashed later");
        assert!(hashing.finish().is_err());
    }

    #[test]
    fn a_writer_does_no_other_writers_jobs() {
        let (mut slow, mut quick) = (Hashing::new(&schema()), Hashing::new(&schema()));
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        // These occupy every thread of the pool, and any writer that would take one of them, until
        // they are released.
        for _ in 0..2 * MAX_THREADS {
            let held = Arc::clone(&held);
            slow.submit(move || {
                let _ = locked(&held).recv_timeout(Duration::from_secs(60));
                Vec::new()
            });
        }
        let (sender, finished) = mpsc::channel();
        std::thread::spawn(move || {
            quick.add(&chunk(vec![1]), 8).expect("no panic");
            sender.send(quick.finish().is_ok()).expect("somebody waits");
        });
        assert_eq!(finished.recv_timeout(Duration::from_secs(30)), Ok(true), "it waits for another writer's jobs");
        drop(hold);
        assert!(slow.finish().is_ok());
    }

    #[test]
    fn chunks_of_a_dropped_writer_are_dropped() {
        let (mut slow, mut dropped) = (Hashing::new(&schema()), Hashing::new(&schema()));
        let (hold, held) = mpsc::channel::<()>();
        let held = Arc::new(Mutex::new(held));
        for _ in 0..2 * MAX_THREADS {
            let held = Arc::clone(&held);
            slow.submit(move || {
                let _ = locked(&held).recv_timeout(Duration::from_secs(60));
                Vec::new()
            });
        }
        let chunk = chunk(vec![1]);
        let column = Arc::downgrade(chunk.column(0));
        dropped.add(&chunk, 8).expect("no panic");
        drop(chunk);
        assert!(column.upgrade().is_some(), "it waits");
        drop(dropped);
        assert!(column.upgrade().is_none(), "it still waits");
        drop(hold);
        assert!(slow.finish().is_ok());
    }

    #[test]
    fn chunks_that_may_wait_are_counted_and_no_more_of_them() {
        let mut hashing = Hashing::new(&schema());
        let held: Vec<u64> = (1..=5)
            .map(|bytes| {
                hashing.add(&chunk(vec![1]), bytes).expect("no panic");
                hashing.held_bytes()
            })
            .collect();
        assert_eq!(held, [1, 3, 6, 9, 12]);
    }
}
