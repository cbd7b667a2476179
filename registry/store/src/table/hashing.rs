//! Hashes chunks on other threads while their writer goes on.
//!
//! One pool serves all writers of the process; its size changes how long hashing takes and nothing else, because digests
//! are put in order of chunk and column before they are combined. A writer that has to wait, for room or for the end,
//! hashes in the meantime. So at most [`MAX_WAITING_CHUNKS`] chunks of a writer are held in memory.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZero;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use arrow_array::RecordBatch;
use sha2::{Digest as _, Sha256};

use crate::digest::Digest;
use crate::schema::Schema;
use crate::table::column_digest::column_digests;

/// Chunks of one writer that are hashed or wait for it. Two keep a thread busy; the third covers uneven columns.
const MAX_WAITING_CHUNKS: usize = 3;

/// Columns hashed by one job: as many as the widest hashing has lanes, and fine enough to share a chunk out.
const JOB_COLUMNS: usize = 16;

/// More threads than this would only take memory bandwidth from the stages.
const MAX_THREADS: usize = 4;

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    jobs: Mutex<VecDeque<Job>>,
    added: Condvar,
}

/// Nothing that holds one of these locks can panic half way.
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
                // Without threads the writers hash everything themselves.
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
            job();
        }
    }

    fn add(&self, job: Job) {
        locked(&self.jobs).push_back(job);
        self.added.notify_one();
    }

    fn take(&self) -> Option<Job> {
        locked(&self.jobs).pop_front()
    }
}

/// The digests of a table's columns, chunk by chunk, as they come in.
pub(super) struct Hashing {
    schema: Schema,
    shared: Arc<Shared>,
    jobs: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// Over the digests of jobs `0..next`.
    hasher: Sha256,
    next: u64,
    /// Digests of jobs that were done before an earlier one.
    early: BTreeMap<u64, Vec<Digest>>,
    waiting: usize,
}

impl Hashing {
    pub(super) fn new(schema: &Schema) -> Self {
        let state = State { hasher: Sha256::new(), next: 0, early: BTreeMap::new(), waiting: 0 };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
        Self { schema: schema.clone(), shared: Arc::new(shared), jobs: 0 }
    }

    /// Hands over a chunk as it is stored. Waits while too many are waiting.
    pub(super) fn add(&mut self, chunk: &RecordBatch) {
        let per_chunk = self.schema.len().div_ceil(JOB_COLUMNS);
        // A table without columns has no jobs, and nothing to wait for.
        self.wait(|waiting| waiting <= (MAX_WAITING_CHUNKS - 1) * per_chunk);
        locked(&self.shared.state).waiting += per_chunk;
        for first in (0..self.schema.len()).step_by(JOB_COLUMNS) {
            let columns = first..(first + JOB_COLUMNS).min(self.schema.len());
            let (number, shared, schema, chunk) =
                (self.jobs, Arc::clone(&self.shared), self.schema.clone(), chunk.clone());
            self.jobs += 1;
            Pool::get().add(Box::new(move || {
                let digests = column_digests(&schema.fields()[columns.clone()], &chunk.columns()[columns]);
                drop(chunk);
                shared.done(number, digests);
            }));
        }
    }

    /// SHA-256 over the digests of all columns of all chunks. Waits until the last is there.
    pub(super) fn finish(self) -> Digest {
        self.wait(|waiting| waiting == 0);
        let hasher = std::mem::take(&mut locked(&self.shared.state).hasher);
        Digest::from_bytes(hasher.finalize().into())
    }

    /// Waits until the number of this writer's jobs satisfies `enough`, doing any writer's jobs meanwhile.
    fn wait(&self, enough: impl Fn(usize) -> bool) {
        loop {
            if enough(locked(&self.shared.state).waiting) {
                return;
            }
            match Pool::get().take() {
                Some(job) => job(),
                None => {
                    // Every job of ours is being done by a thread, which will say so.
                    let state = locked(&self.shared.state);
                    let until = self.shared.changed.wait_while(state, |state| !enough(state.waiting));
                    drop(until.unwrap_or_else(PoisonError::into_inner));
                    return;
                }
            }
        }
    }
}

impl Shared {
    fn done(&self, number: u64, digests: Vec<Digest>) {
        let mut state = locked(&self.state);
        let state = &mut *state;
        state.early.insert(number, digests);
        while let Some(digests) = state.early.remove(&state.next) {
            digests.iter().for_each(|digest| state.hasher.update(digest.as_bytes()));
            state.next += 1;
        }
        state.waiting -= 1;
        self.changed.notify_all();
    }
}
