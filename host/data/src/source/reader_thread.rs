//! Runs a reader on a thread that nobody must wait for.
//!
//! A library may be busy for hours within one call: one SQLite function on two long texts suffices.
//! Such a call cannot be stopped from within the process. So the consumer waits on a channel,
//! checks its [`Interrupt`] meanwhile, and abandons a thread that does not react. The thread ends
//! with the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::DataError;
use crate::interrupt::Interrupt;

/// The time between two checks of the interrupt while a reader is silent.
const LOOK: Duration = Duration::from_millis(20);
/// How long to wait for a thread that was told to stop. Readers that check the interrupt stop
/// within a few milliseconds.
const PATIENCE: Duration = Duration::from_millis(200);

/// A thread that reads. Dropping it tells the thread to stop and waits briefly for it.
#[derive(Debug)]
pub(super) struct ReaderThread {
    is_dropped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    clock: Arc<Clock>,
}

/// The CPU time of a thread. The thread charges it and, because a thread inside of one call cannot,
/// so does the consumer.
#[derive(Debug, Default)]
struct Clock {
    /// The thread's id, once it runs.
    thread: AtomicI32,
    /// Nanoseconds charged so far.
    charged: AtomicU64,
}

impl Clock {
    fn charge(&self, now: u64, interrupt: &Interrupt) {
        let before = self.charged.fetch_max(now, Ordering::Relaxed);
        interrupt.charge(now.saturating_sub(before));
    }

    /// Charges the time of another thread, as the kernel reports it.
    fn charge_from_outside(&self, interrupt: &Interrupt) {
        let path = format!("/proc/self/task/{}/schedstat", self.thread.load(Ordering::Relaxed));
        // Before the thread starts and after it ends there is no such file. Without `/proc`, the
        // thread itself charges.
        let said = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(now) = said.split_whitespace().next().and_then(|word| word.parse().ok()) {
            self.charge(now, interrupt);
        }
    }
}

impl ReaderThread {
    /// Starts a thread. Its interrupt is set when the thread must stop, and each check charges the
    /// thread's CPU time.
    pub(super) fn start(
        interrupt: &Interrupt,
        work: impl FnOnce(&Interrupt) + Send + 'static,
    ) -> Result<Self, DataError> {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let (outer, dropped) = (interrupt.clone(), Arc::clone(&is_dropped));
        let clock = Arc::new(Clock::default());
        let (own, last, end) = (Arc::clone(&clock), Arc::clone(&clock), interrupt.clone());
        let run = move || {
            own.thread.store(rustix::thread::gettid().as_raw_nonzero().get(), Ordering::Relaxed);
            let stop = Interrupt::when(move || {
                own.charge(thread_cpu_ns(), &outer);
                dropped.load(Ordering::Relaxed) || outer.is_set()
            });
            work(&stop);
            last.charge(thread_cpu_ns(), &end);
        };
        let thread = std::thread::Builder::new()
            .name("source".to_owned())
            .spawn(run)
            .map_err(|error| DataError::plan(format!("cannot start a thread to read with: {error}"), ""))?;
        Ok(Self { is_dropped, thread: Some(thread), clock })
    }

    /// Waits for the next message of the thread; `None` if it died.
    ///
    /// # Errors
    /// [`DataError::Interrupted`] if the interrupt is set first.
    pub(super) fn receive<T>(&self, messages: &Receiver<T>, interrupt: &Interrupt) -> Result<Option<T>, DataError> {
        loop {
            match messages.recv_timeout(LOOK) {
                Ok(message) => return Ok(Some(message)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) => self.clock.charge_from_outside(interrupt),
            }
            if interrupt.is_set() {
                return Err(DataError::Interrupted);
            }
        }
    }
}

impl Drop for ReaderThread {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        let until = Instant::now() + PATIENCE;
        while !thread.is_finished() && Instant::now() < until {
            std::thread::sleep(Duration::from_micros(200));
        }
        if thread.is_finished() {
            // A panic was already reported as an error.
            let _ = thread.join();
        }
    }
}

/// Runs `work` on a thread of its own and returns its result.
///
/// # Errors
/// Those of `work`; [`DataError::Interrupted`] if the interrupt is set first.
pub(crate) fn on_reader_thread<T: Send + 'static>(
    interrupt: &Interrupt,
    work: impl FnOnce(&Interrupt) -> Result<T, DataError> + Send + 'static,
) -> Result<T, DataError> {
    let (sender, messages) = std::sync::mpsc::sync_channel(1);
    let thread = ReaderThread::start(interrupt, move |stop| {
        // Fails if the receiver has given up.
        let _ = sender.send(work(stop));
    })?;
    thread.receive(&messages, interrupt)?.unwrap_or_else(|| Err(died()))
}

pub(super) fn died() -> DataError {
    DataError::plan("the thread that read the source died", "please report this: it is a bug")
}

/// Returns the CPU time of this thread, in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_react_is_abandoned() {
        let began = Instant::now();
        let interrupt = Interrupt::at(began + Duration::from_millis(50));
        let result = on_reader_thread(&interrupt, |_| {
            std::thread::sleep(Duration::from_secs(3600));
            Ok(())
        });
        assert!(matches!(result, Err(DataError::Interrupted)), "{result:?}");
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_readers_time_is_charged_while_it_reads() {
        let used = Arc::new(AtomicU64::new(0));
        let (counter, limit) = (Arc::clone(&used), Arc::clone(&used));
        let most = 30_000_000;
        let interrupt = Interrupt::when(move || limit.load(Ordering::Relaxed) > most).charging(move |nanoseconds| {
            counter.fetch_add(nanoseconds, Ordering::Relaxed);
        });
        let result = on_reader_thread(&interrupt, |stop| {
            while !stop.is_set() {}
            Err::<(), _>(DataError::Interrupted)
        });
        assert!(matches!(result, Err(DataError::Interrupted)), "{result:?}");
        assert!(used.load(Ordering::Relaxed) > most);
    }

    #[test]
    fn the_time_of_a_reader_inside_of_one_call_is_charged() {
        let used = Arc::new(AtomicU64::new(0));
        let (counter, limit) = (Arc::clone(&used), Arc::clone(&used));
        let interrupt =
            Interrupt::when(move || limit.load(Ordering::Relaxed) > 30_000_000).charging(move |nanoseconds| {
                counter.fetch_add(nanoseconds, Ordering::Relaxed);
            });
        let result = on_reader_thread::<()>(&interrupt, |_| {
            loop {
                std::hint::spin_loop();
            }
        });
        assert!(matches!(result, Err(DataError::Interrupted)), "{result:?}");
    }

    #[test]
    fn a_panic_of_the_work_is_an_error() {
        let result = on_reader_thread::<()>(&Interrupt::never(), |_| panic!("a bug"));
        assert!(result.is_err_and(|error| error.to_string().contains("died")));
    }
}
