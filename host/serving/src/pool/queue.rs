//! The requests that wait for a session.
//!
//! They wait in the order of their arrival, also those that come back after a failed call. A
//! request whose client leaves is withdrawn at once: it is not predicted, and holds no memory.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow_array::RecordBatch;
use tokio::sync::oneshot;

use super::fault::{Overloaded, PoolFault};

/// How long a request waits before the thread that stands by takes it.
const STANDBY_AFTER: Duration = Duration::from_millis(3);

/// The answer of a thread to a request.
type Answer = Result<Predicted, PoolFault>;

/// The values of the rows of a request, and the rows.
///
/// The rows go back to who made them, to be freed there. The allocator frees memory of another
/// thread far more slowly, and each column of a row is a piece of memory.
pub(super) struct Predicted {
    pub(super) values: Vec<f64>,
    pub(super) rows: RecordBatch,
}

/// How much may wait, and how much is taken at once.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// The most rows of several requests that are taken at once.
    pub(super) gathered_rows: usize,
    /// The most rows that may wait.
    pub(super) queued_rows: usize,
    /// The most bytes of rows that may wait.
    pub(super) queued_bytes: usize,
}

/// The requests that wait, and the threads that wait for them.
pub(super) struct Queue {
    bounds: Bounds,
    state: Mutex<State>,
    /// Wakes a thread that waits for requests.
    filled: Condvar,
    /// Wakes the thread that stands by.
    overdue: Condvar,
    /// Wakes threads that pause.
    closed: Condvar,
}

#[derive(Default)]
struct State {
    /// In the order of their places.
    jobs: VecDeque<Job>,
    rows: usize,
    bytes: usize,
    /// The place of the next request.
    next: u64,
    /// Threads that wait for work.
    idle: usize,
    /// Whether the thread that stands by waits for the oldest request to be overdue.
    is_armed: bool,
    is_closed: bool,
}

/// A request that waits.
struct Job {
    rows: RecordBatch,
    ticket: Ticket,
}

/// A request without its rows.
pub(super) struct Ticket {
    /// Takes its answer.
    pub(super) reply: oneshot::Sender<Answer>,
    /// The bytes of its rows.
    bytes: usize,
    arrived: Instant,
    /// Its place in the order of arrival.
    place: u64,
    /// Whether it is predicted by itself, since a call with other requests has failed.
    is_alone: bool,
}

/// Requests that are predicted in one call, in the order of their arrival.
#[derive(Default)]
pub(super) struct Gathered {
    /// The rows of each.
    pub(super) rows: Vec<RecordBatch>,
    /// The ticket of each.
    pub(super) tickets: Vec<Ticket>,
}

/// A request that waits for its answer. It is withdrawn if this is dropped before the answer comes.
pub(super) struct Waiting<'a> {
    queue: &'a Queue,
    place: u64,
    answer: oneshot::Receiver<Answer>,
    is_answered: bool,
}

impl Waiting<'_> {
    /// Waits for the values.
    ///
    /// # Errors
    /// See [`PoolFault`].
    pub(super) async fn values(mut self) -> Result<Vec<f64>, PoolFault> {
        let answer = (&mut self.answer).await;
        self.is_answered = true;
        let Predicted { values, rows } = answer.unwrap_or(Err(PoolFault::Unavailable))?;
        drop(rows);
        Ok(values)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            // Closed first, so that a thread which is about to put the request back sees it.
            self.answer.close();
            self.queue.withdraw(self.place);
        }
    }
}

impl State {
    /// Lets a request wait at its place.
    fn add(&mut self, job: Job) {
        self.rows += job.rows.num_rows();
        self.bytes += job.ticket.bytes;
        let index = self.jobs.partition_point(|other| other.ticket.place < job.ticket.place);
        self.jobs.insert(index, job);
    }

    fn remove(&mut self, index: usize) -> Option<Job> {
        let job = self.jobs.remove(index)?;
        self.rows -= job.rows.num_rows();
        self.bytes -= job.ticket.bytes;
        Some(job)
    }
}

impl Queue {
    /// Creates an empty queue.
    pub(super) fn new(bounds: Bounds) -> Self {
        let (filled, overdue, closed) = Default::default();
        Self { bounds, state: Mutex::default(), filled, overdue, closed }
    }

    /// Lets a request wait.
    ///
    /// # Errors
    /// [`PoolFault::Overloaded`], and [`PoolFault::Unavailable`] if the queue is closed.
    pub(super) fn push(&self, rows: RecordBatch) -> Result<Waiting<'_>, PoolFault> {
        let bytes = rows.get_array_memory_size();
        let (reply, answer) = oneshot::channel();
        let mut state = self.state();
        if state.is_closed {
            return Err(PoolFault::Unavailable);
        }
        self.admit(&state, rows.num_rows(), bytes)?;
        let place = state.next;
        state.next += 1;
        state.add(Job { rows, ticket: Ticket { reply, bytes, arrived: Instant::now(), place, is_alone: false } });
        let (is_idle, is_armed) = (state.idle > 0, state.is_armed);
        drop(state);
        if is_idle {
            self.filled.notify_one();
        } else if !is_armed {
            self.overdue.notify_one();
        }
        Ok(Waiting { queue: self, place, answer, is_answered: false })
    }

    fn admit(&self, state: &State, rows: usize, bytes: usize) -> Result<(), Overloaded> {
        let Bounds { queued_rows, queued_bytes, .. } = self.bounds;
        // A request that alone is beyond a bound is accepted by an empty queue.
        if state.jobs.is_empty() {
            Ok(())
        } else if state.rows + rows > queued_rows {
            Err(Overloaded::Rows { waiting: state.rows, allowed: queued_rows })
        } else if state.bytes + bytes > queued_bytes {
            Err(Overloaded::Bytes { waiting: state.bytes, allowed: queued_bytes })
        } else {
            Ok(())
        }
    }

    /// Lets requests wait again whose common call has failed. Each will be taken by itself, by any
    /// thread.
    pub(super) fn put_back(&self, mut gathered: Gathered) {
        for ticket in &mut gathered.tickets {
            ticket.is_alone = true;
        }
        self.give_back(gathered);
    }

    /// Lets requests wait again that were not asked for yet, or in vain. They were let in before,
    /// so that no bound refuses them.
    pub(super) fn give_back(&self, gathered: Gathered) {
        let mut state = self.state();
        if state.is_closed {
            return;
        }
        for (rows, ticket) in gathered.rows.into_iter().zip(gathered.tickets) {
            // The client may have left meanwhile.
            if !ticket.reply.is_closed() {
                state.add(Job { rows, ticket });
            }
        }
        drop(state);
        self.filled.notify_all();
        self.overdue.notify_one();
    }

    /// Removes a request, unless a thread has taken it.
    fn withdraw(&self, place: u64) {
        let mut state = self.state();
        let index = state.jobs.binary_search_by_key(&place, |job| job.ticket.place);
        let withdrawn = index.ok().and_then(|index| state.remove(index));
        drop(state);
        // Its memory is freed while other threads use the queue.
        drop(withdrawn);
    }

    /// Waits for requests and takes as many as are predicted in one call. Returns `None` once the
    /// queue is closed.
    pub(super) fn take(&self, stands_by: bool) -> Option<Gathered> {
        let mut state = self.state();
        loop {
            if state.is_closed {
                return None;
            }
            let oldest = state.jobs.front().map(|job| job.ticket.arrived);
            state = match oldest {
                Some(_) if !stands_by => return Some(self.gather(&mut state)),
                Some(arrived) => match STANDBY_AFTER.checked_sub(arrived.elapsed()) {
                    None => return Some(self.gather(&mut state)),
                    Some(left) => {
                        state.is_armed = true;
                        let waited = self.overdue.wait_timeout(state, left);
                        let mut state = waited.unwrap_or_else(PoisonError::into_inner).0;
                        state.is_armed = false;
                        state
                    }
                },
                None if stands_by => self.overdue.wait(state).unwrap_or_else(PoisonError::into_inner),
                None => {
                    state.idle += 1;
                    let mut state = self.filled.wait(state).unwrap_or_else(PoisonError::into_inner);
                    state.idle -= 1;
                    state
                }
            };
        }
    }

    fn gather(&self, state: &mut State) -> Gathered {
        let mut gathered = Gathered::default();
        let mut rows = 0;
        while let Some(next) = state.jobs.front() {
            let more = next.rows.num_rows();
            let joins =
                |first: &Ticket| !first.is_alone && !next.ticket.is_alone && rows + more <= self.bounds.gathered_rows;
            if !gathered.tickets.first().is_none_or(joins) {
                break;
            }
            rows += more;
            if let Some(job) = state.remove(0) {
                gathered.rows.push(job.rows);
                gathered.tickets.push(job.ticket);
            }
        }
        // The requests that are left wait for this call, unless it takes too long.
        if !state.jobs.is_empty() && !state.is_armed {
            self.overdue.notify_one();
        }
        gathered
    }

    /// Closes the queue. Requests that wait are dropped, and nothing more is taken.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.is_closed = true;
        let dropped = std::mem::take(&mut state.jobs);
        (state.rows, state.bytes) = (0, 0);
        drop(state);
        self.filled.notify_all();
        self.overdue.notify_all();
        self.closed.notify_all();
        drop(dropped);
    }

    /// Waits for this time, or until the queue is closed.
    pub(super) fn pause(&self, time: Duration) {
        // A condition of its own: a thread that pauses must not use up the call for one that waits.
        drop(self.closed.wait_timeout_while(self.state(), time, |state| !state.is_closed));
    }

    /// Returns whether the queue is closed.
    pub(super) fn is_closed(&self) -> bool {
        self.state().is_closed
    }

    /// Returns the rows that wait.
    pub(super) fn rows(&self) -> usize {
        self.state().rows
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each critical section leaves the state consistent.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
