//! Reads on a thread of its own, which nobody has to wait for.
//!
//! A library that reads a file may be busy for hours within one call: one function of SQLite on two
//! long texts is enough. Nothing can stop such a call inside of this process. So whoever waits for
//! a reader waits on a channel, looks at its [`Interrupt`] meanwhile, and leaves a thread behind
//! that does not hear. That thread ends with the process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::DataError;
use crate::interrupt::Interrupt;

/// How long a reader may keep silent before the interrupt is looked at again.
const LOOK: Duration = Duration::from_millis(20);
/// How long a thread that was told to stop is waited for. Readers that hear stop within a
/// millisecond or two.
const PATIENCE: Duration = Duration::from_millis(200);

/// A thread that reads. Dropping it tells the thread to stop, and waits for it for a moment.
#[derive(Debug)]
pub(super) struct ReaderThread {
    is_dropped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
    clock: Arc<Clock>,
}

/// The CPU time of a thread, told to whoever it is charged to by the thread itself, and by whoever
/// waits for it: a thread that is busy within one call tells nobody.
#[derive(Debug, Default)]
struct Clock {
    /// The thread, once it runs.
    thread: AtomicI32,
    /// Nanoseconds charged so far.
    charged: AtomicU64,
}

impl Clock {
    fn charge(&self, now: u64, interrupt: &Interrupt) {
        let before = self.charged.fetch_max(now, Ordering::Relaxed);
        interrupt.charge(now.saturating_sub(before));
    }

    /// Charges another thread's time, as the kernel tells it.
    fn charge_from_outside(&self, interrupt: &Interrupt) {
        let path = format!("/proc/self/task/{}/schedstat", self.thread.load(Ordering::Relaxed));
        // A thread that has not begun, or has ended, has no file; where there is none, the thread
        // itself charges.
        let said = std::fs::read_to_string(path).unwrap_or_default();
        if let Some(now) = said.split_whitespace().next().and_then(|word| word.parse().ok()) {
            self.charge(now, interrupt);
        }
    }
}

impl ReaderThread {
    /// Starts a thread. Its work gets an interrupt that is set when the thread is to stop, and that
    /// charges the thread's CPU time whenever it is asked.
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

    /// Waits for what the thread says next. `None` if it died.
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

/// Does work that reads, on a thread of its own, and returns what came of it.
///
/// # Errors
/// The work's own; [`DataError::Interrupted`] if the interrupt is set first.
pub(crate) fn on_reader_thread<T: Send + 'static>(
    interrupt: &Interrupt,
    work: impl FnOnce(&Interrupt) -> Result<T, DataError> + Send + 'static,
) -> Result<T, DataError> {
    let (sender, messages) = std::sync::mpsc::sync_channel(1);
    let thread = ReaderThread::start(interrupt, move |stop| {
        // Nobody listens any more if this fails.
        let _ = sender.send(work(stop));
    })?;
    thread.receive(&messages, interrupt)?.unwrap_or_else(|| Err(died()))
}

pub(super) fn died() -> DataError {
    DataError::plan("the thread that read the source died", "please report this: it is a bug")
}

/// This thread's CPU time, in nanoseconds.
fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_does_not_hear_is_left_behind() {
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
    fn a_readers_time_is_charged_though_it_tells_nobody() {
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
