//! Telling webhooks while a server runs: one thread looks for those that are due, and others tell
//! them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use stagewright_store::Registry;

use crate::delivery::deliver;
use crate::policy::WebhookPolicy;

/// The webhooks that are told at once. A receiver that does not answer takes one of these places
/// for the timeout, and then not before its pause is over.
const MOST_AT_ONCE: usize = 16;

/// The time between two looks for webhooks that are due.
const LOOK: Duration = Duration::from_millis(250);

/// The time after which a registry that failed is asked again.
const RETRY: Duration = Duration::from_secs(5);

/// The time between two collections of events whose webhooks are gone.
const COLLECTION: Duration = Duration::from_secs(60 * 60);

/// The time that threads have to end after they were told to. A request that is on its way is not
/// waited for: its event stays in the queue.
const ENDING: Duration = Duration::from_secs(2);

/// Threads that tell webhooks of events as they come. They end when this is dropped.
pub struct WebhookFollower {
    stop: Arc<AtomicBool>,
    /// Nothing comes. It closes with the last thread.
    ended: Receiver<()>,
}

impl WebhookFollower {
    /// Starts to tell the webhooks of a registry.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn start(registry: Registry, policy: WebhookPolicy) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, ended) = channel();
        let busy = Arc::default();
        let following = Following { registry, policy, stop: stop.clone(), busy, last: 0, told: String::new() };
        std::thread::Builder::new().name("webhooks".into()).spawn(move || following.run(&sender))?;
        Ok(Self { stop, ended })
    }
}

impl Drop for WebhookFollower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.ended.recv_timeout(ENDING);
    }
}

impl fmt::Debug for WebhookFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookFollower").finish_non_exhaustive()
    }
}

/// The webhooks that this process tells just now, by number.
type Busy = Mutex<BTreeSet<i64>>;

struct Following {
    registry: Registry,
    policy: WebhookPolicy,
    stop: Arc<AtomicBool>,
    busy: Arc<Busy>,
    /// The webhook that was begun last: the next one has the next turn.
    last: i64,
    /// The last problem that was logged.
    told: String,
}

impl Following {
    fn run(mut self, sender: &Sender<()>) {
        let mut collected: Option<Instant> = None;
        while !self.stop.load(Ordering::Relaxed) {
            if collected.is_none_or(|at| at.elapsed() > COLLECTION) {
                let done = self.registry.collect_webhook_events();
                self.note(done.err().map(|error| error.to_string()));
                collected = Some(Instant::now());
            }
            match self.registry.due_webhooks() {
                Ok(due) => {
                    self.note(None);
                    self.begin(due, sender);
                    self.sleep(LOOK);
                }
                Err(error) => {
                    self.note(Some(error.to_string()));
                    self.sleep(RETRY);
                }
            }
        }
    }

    /// Begins to tell webhooks, as far as there are places. Those after the one that was begun last
    /// come first, so that a busy one keeps no other from its turn.
    fn begin(&mut self, mut due: Vec<i64>, sender: &Sender<()>) {
        let last = self.last;
        due.sort_by_key(|number| (*number <= last, *number));
        for number in due {
            {
                let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
                if busy.len() >= MOST_AT_ONCE {
                    return;
                }
                if !busy.insert(number) {
                    continue;
                }
            }
            // Given back whatever becomes of the thread.
            let place = Place { busy: self.busy.clone(), number };
            let (registry, policy, stop, sender) =
                (self.registry.clone(), self.policy.clone(), self.stop.clone(), sender.clone());
            let tell = move || {
                let _place = place;
                if let Err(error) = deliver(&registry, number, &policy, &stop) {
                    tracing::warn!("a webhook cannot be told: {error}");
                }
                drop(sender);
            };
            if let Err(error) = std::thread::Builder::new().name("webhook".into()).spawn(tell) {
                self.note(Some(format!("a thread cannot be started: {error}")));
                return;
            }
            self.last = number;
        }
    }

    /// Logs a problem, unless it is the one that was logged last.
    fn note(&mut self, problem: Option<String>) {
        let problem = problem.unwrap_or_default();
        if !problem.is_empty() && problem != self.told {
            tracing::warn!("webhooks: {problem}");
        }
        self.told = problem;
    }

    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.stop.load(Ordering::Relaxed) && Instant::now() < end {
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
    }
}

/// A place among the webhooks that are told.
struct Place {
    busy: Arc<Busy>,
    number: i64,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}
