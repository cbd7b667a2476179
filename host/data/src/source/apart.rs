//! Reads on a thread of its own, which nobody has to wait for.
//!
//! A library that reads a file may be busy for hours within one call: one function of SQLite on two
//! long texts is enough. Nothing can stop such a call inside of this process. So whoever waits for
//! a reader waits on a channel, looks at its [`Interrupt`] meanwhile, and leaves a thread behind
//! that does not hear. That thread ends with the process.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::Arc;
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
pub(super) struct Apart {
    is_dropped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Apart {
    /// Starts a thread. Its work gets an interrupt that is set when the thread is to stop, and that
    /// charges the thread's CPU time whenever it is asked.
    pub(super) fn start(
        interrupt: &Interrupt,
        work: impl FnOnce(&Interrupt) + Send + 'static,
    ) -> Result<Self, DataError> {
        let is_dropped = Arc::new(AtomicBool::new(false));
        let (outer, dropped) = (interrupt.clone(), Arc::clone(&is_dropped));
        let run = move || {
            let charged = AtomicU64::new(0);
            let charge = outer.clone();
            let due = Arc::new(move || {
                let now = thread_cpu_ns();
                charge.charge(now.saturating_sub(charged.swap(now, Ordering::Relaxed)));
            });
            let look = Arc::clone(&due);
            let stop = Interrupt::when(move || {
                look();
                dropped.load(Ordering::Relaxed) || outer.is_set()
            });
            work(&stop);
            due();
        };
        let thread = std::thread::Builder::new()
            .name("source".to_owned())
            .spawn(run)
            .map_err(|error| DataError::plan(format!("cannot start a thread to read with: {error}"), ""))?;
        Ok(Self { is_dropped, thread: Some(thread) })
    }
}

impl Drop for Apart {
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

/// Waits for what a thread says next. `None` if it died.
///
/// # Errors
/// [`DataError::Interrupted`] if the interrupt is set first.
pub(super) fn receive<T>(messages: &Receiver<T>, interrupt: &Interrupt) -> Result<Option<T>, DataError> {
    loop {
        match messages.recv_timeout(LOOK) {
            Ok(message) => return Ok(Some(message)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) if interrupt.is_set() => return Err(DataError::Interrupted),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// Does work that reads, on a thread of its own, and returns what came of it.
///
/// # Errors
/// The work's own; [`DataError::Interrupted`] if the interrupt is set first.
pub(crate) fn apart<T: Send + 'static>(
    interrupt: &Interrupt,
    work: impl FnOnce(&Interrupt) -> Result<T, DataError> + Send + 'static,
) -> Result<T, DataError> {
    let (sender, messages) = std::sync::mpsc::sync_channel(1);
    let _thread = Apart::start(interrupt, move |stop| {
        // Nobody listens any more if this fails.
        let _ = sender.send(work(stop));
    })?;
    receive(&messages, interrupt)?.unwrap_or_else(|| Err(died()))
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
        let result = apart(&interrupt, |_| {
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
        let interrupt = Interrupt::when(move || limit.load(Ordering::Relaxed) > most)
            .charging(move |nanoseconds| {
                counter.fetch_add(nanoseconds, Ordering::Relaxed);
            });
        let result = apart(&interrupt, |stop| {
            while !stop.is_set() {}
            Err::<(), _>(DataError::Interrupted)
        });
        assert!(matches!(result, Err(DataError::Interrupted)), "{result:?}");
        assert!(used.load(Ordering::Relaxed) > most);
    }

    #[test]
    fn a_panic_of_the_work_is_an_error() {
        let result = apart::<()>(&Interrupt::never(), |_| panic!("a bug"));
        assert!(result.is_err_and(|error| error.to_string().contains("died")));
    }
}
