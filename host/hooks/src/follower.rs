//! Hooks of a program that stays: a thread for each, which is woken by changes of models.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use stagewright_manifest::HookSection;
use stagewright_store::{Registry, RegistryWatch, StoreError};

use crate::delivery::{Delivery, Patience, Problem, Report};
use crate::hooks::Hooks;
use crate::secret::Variables;

/// Opens the registry.
pub type OpenRegistry = dyn Fn() -> Result<Registry, StoreError> + Send + Sync;

/// The time between two attempts to open the registry, and between two looks at what this process
/// lacks.
const RETRY: Duration = Duration::from_secs(5);

/// The time between two looks at what another process does. There may be many servers, and the
/// registry is everybody's.
const OTHERS: Duration = Duration::from_secs(1);

/// The time between two looks at whether the program ends.
const LOOK: Duration = Duration::from_millis(500);

/// The time that threads have to end after they were told to. A request that is on its way is not
/// waited for.
const ENDING: Duration = Duration::from_secs(2);

/// Threads that tell hooks of changes of champions as they come. They end when this is dropped.
pub struct HookFollower {
    stop: Arc<AtomicBool>,
    /// Nothing comes. It closes with the last thread.
    ended: Receiver<()>,
}

/// A thread's share.
struct Following {
    section: HookSection,
    variables: Arc<Variables>,
    open: Arc<OpenRegistry>,
    stop: Arc<AtomicBool>,
    /// The last problem that was logged.
    told: String,
}

impl HookFollower {
    /// Starts a thread for each hook.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(hooks: &Hooks, open: Arc<OpenRegistry>) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, ended) = channel();
        for section in hooks.sections() {
            let following = Following {
                section: section.clone(),
                variables: hooks.variables(),
                open: open.clone(),
                stop: stop.clone(),
                told: String::new(),
            };
            let sender: Sender<()> = sender.clone();
            let run = move || {
                following.run();
                drop(sender);
            };
            std::thread::Builder::new().name("hook".into()).spawn(run)?;
        }
        Ok(Self { stop, ended })
    }
}

impl Drop for HookFollower {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.ended.recv_timeout(ENDING);
    }
}

impl fmt::Debug for HookFollower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HookFollower").finish_non_exhaustive()
    }
}

impl Following {
    fn run(mut self) {
        while !self.is_over() {
            let opened = (self.open)().and_then(|registry| {
                registry.begin_hooks(&[&self.section.name], None)?;
                let watch = registry.watch()?;
                Ok((registry, watch))
            });
            match opened {
                Ok((registry, watch)) => self.follow(&registry, watch),
                Err(error) => self.note(&error.to_string()),
            }
            self.sleep(RETRY);
        }
    }

    /// Tells the hook of changes until the registry fails.
    fn follow(&mut self, registry: &Registry, mut watch: RegistryWatch) {
        while !self.is_over() {
            let patience = Patience { until: Instant::now(), is_eager: false, stop: &self.stop };
            let delivery = Delivery { section: &self.section, registry, variables: &*self.variables };
            let report = delivery.deliver(&patience);
            let pause = self.look_at(report);
            let Some(pause) = pause else { return };
            let due = Instant::now() + pause;
            while !self.is_over() && Instant::now() < due {
                let left = due.saturating_duration_since(Instant::now());
                match watch.wait(left.min(LOOK)) {
                    Ok(true) => break,
                    Ok(false) => {}
                    Err(error) => return self.note(&error.to_string()),
                }
            }
        }
    }

    /// Logs what came of it. Returns the time until the next look; `None` if the registry failed.
    fn look_at(&mut self, report: Report) -> Option<Duration> {
        match report.problem {
            None => {
                self.told.clear();
                // More may be left, if it took one event.
                Some(if report.delivered.is_empty() { Duration::from_secs(3600) } else { Duration::ZERO })
            }
            Some(Problem::Registry(error)) => {
                self.note(&error.to_string());
                None
            }
            Some(problem) => {
                let pause = match problem {
                    Problem::Held | Problem::Settling { .. } => OTHERS,
                    _ => problem.pause().unwrap_or(RETRY),
                };
                if !matches!(problem, Problem::Held | Problem::Later { .. } | Problem::Settling { .. }) {
                    self.note(&problem.to_string());
                }
                Some(pause)
            }
        }
    }

    /// Logs a problem, unless it is the one that was logged last.
    fn note(&mut self, problem: &str) {
        if self.told != problem {
            tracing::warn!("hook `{}`: {problem}", self.section.name);
            problem.clone_into(&mut self.told);
        }
    }

    fn is_over(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn sleep(&self, time: Duration) {
        let end = Instant::now() + time;
        while !self.is_over() && Instant::now() < end {
            std::thread::sleep(LOOK.min(end.saturating_duration_since(Instant::now())));
        }
    }
}

#[cfg(test)]
mod tests {
    use stagewright_manifest::{HookCommand, HookTarget};

    use super::*;

    #[test]
    fn what_another_process_does_is_looked_at_each_second() {
        let command = HookCommand { program: "/bin/true".into(), arguments: Vec::new(), variables: Vec::new() };
        let section = HookSection {
            name: "ci".into(),
            target: HookTarget::Command(command),
            events: Vec::new(),
            models: Vec::new(),
            timeout: Duration::from_secs(60),
        };
        let mut following = Following {
            section,
            variables: Arc::new(|_: &str| None),
            open: Arc::new(|| Err(StoreError::NoRegistry { place: "/nowhere".into() })),
            stop: Arc::default(),
            told: String::new(),
        };
        let mut pause =
            |problem| following.look_at(Report { name: "ci".into(), delivered: Vec::new(), problem: Some(problem) });
        assert_eq!(pause(Problem::Held), Some(OTHERS));
        assert_eq!(pause(Problem::Settling { event: "promoted churn/1".into() }), Some(OTHERS));
        let soon = Duration::from_millis(500);
        assert_eq!(pause(Problem::Later { pause: soon }), Some(soon));
    }
}
