//! The diary of a run: what its steps say and how far they are, noted in the registry while they
//! run, so that the pages of a tracking server can follow it.
//!
//! A thread of its own writes what is news, twice a second. A step that ends within two seconds is
//! never noted, since its record has everything. A registry that cannot be written costs the run
//! nothing but the diary.

use std::collections::BTreeMap;
use std::mem;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use stagewright_lifecycle::RunError;
use stagewright_lifecycle::observer::Observer;
use stagewright_lifecycle::sandbox::Level;
use stagewright_lifecycle::summary::{StageSummary, Summary};
use stagewright_manifest::StepId;
use stagewright_store::{LogLine, Registry, RunId, RunningStep, StoreError};

/// The time between two entries.
const INTERVAL: Duration = Duration::from_millis(500);
/// The age of a step from which on it is noted.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most lines of a step that are noted. Its record has all of them.
const MOST_LINES: usize = 2_000;

/// The diary of a run and its children. It ends when this is dropped.
pub(crate) struct RunDiary {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
}

struct Shared {
    registry: Registry,
    pages: Mutex<Pages>,
    /// Signalled when the diary ends.
    ending: Condvar,
}

#[derive(Default)]
struct Pages {
    /// The steps that run, by their run.
    steps: BTreeMap<(RunId, String), Step>,
    is_over: bool,
}

/// A step that runs.
struct Step {
    begun: Instant,
    now: RunningStep,
    /// Whether `now` differs from what is noted.
    is_news: bool,
    /// Lines that are not noted yet.
    lines: Vec<LogLine>,
    noted: usize,
}

impl RunDiary {
    /// Begins a diary. Returns `None` if no thread can be had.
    pub(crate) fn begin(registry: &Registry) -> Option<Self> {
        let shared = Arc::new(Shared { registry: registry.clone(), pages: Mutex::default(), ending: Condvar::new() });
        let on = shared.clone();
        let writer = std::thread::Builder::new().name("diary".to_owned()).spawn(move || on.write()).ok()?;
        Some(Self { shared, writer: Some(writer) })
    }

    /// Returns an observer that notes, and passes everything on.
    pub(crate) fn observer(&self, inner: Arc<dyn Observer>) -> Arc<dyn Observer> {
        Arc::new(Noting { shared: self.shared.clone(), run: OnceLock::new(), inner })
    }
}

impl Drop for RunDiary {
    fn drop(&mut self) {
        self.shared.pages().is_over = true;
        self.shared.ending.notify_all();
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

impl Shared {
    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes what is news, again and again, until the diary ends.
    fn write(&self) {
        loop {
            let pages = self.pages();
            let waited = self.ending.wait_timeout_while(pages, INTERVAL, |pages| !pages.is_over);
            let (mut pages, _) = waited.unwrap_or_else(PoisonError::into_inner);
            if pages.is_over {
                return;
            }
            let news = pages.news();
            drop(pages);
            if let Err(error) = self.note(news) {
                tracing::debug!("what the steps say cannot be noted, and is not any more: {error}");
                self.pages().end();
                return;
            }
        }
    }

    fn note(&self, news: News) -> Result<(), StoreError> {
        news.iter().try_for_each(|(run, (steps, lines))| self.registry.note_running_steps(run, steps, lines))
    }
}

/// Steps and lines to note, by their run.
type News = BTreeMap<RunId, (Vec<RunningStep>, Vec<(String, LogLine)>)>;

impl Pages {
    /// Ends the diary. Who follows a run counts the lines that were noted, and has the rest from
    /// the step's record. Lines after some that are missing would be told twice, and others never.
    fn end(&mut self) {
        self.is_over = true;
        self.steps.clear();
    }

    fn news(&mut self) -> News {
        let mut news = News::new();
        for ((run, name), step) in &mut self.steps {
            if (!step.is_news && step.lines.is_empty()) || step.begun.elapsed() < PATIENCE {
                continue;
            }
            let (steps, lines) = news.entry(run.clone()).or_default();
            steps.push(step.now.clone());
            step.is_news = false;
            let left = MOST_LINES.saturating_sub(step.noted);
            step.noted += step.lines.len();
            lines.extend(mem::take(&mut step.lines).into_iter().take(left).map(|line| (name.clone(), line)));
        }
        news
    }
}

/// Notes the events of one run.
struct Noting {
    shared: Arc<Shared>,
    run: OnceLock<RunId>,
    inner: Arc<dyn Observer>,
}

impl Noting {
    /// Changes what is known of a step, if it runs.
    fn of_step(&self, step: &StepId, change: impl FnOnce(&mut Step)) {
        let Some(run) = self.run.get() else { return };
        if let Some(step) = self.shared.pages().steps.get_mut(&(run.clone(), step.as_str().to_owned())) {
            change(step);
        }
    }

    fn ended(&self, step: &StepId) {
        if let Some(run) = self.run.get() {
            self.shared.pages().steps.remove(&(run.clone(), step.as_str().to_owned()));
        }
    }
}

impl Observer for Noting {
    fn run_started(&self, run: &RunId) {
        let _ = self.run.set(run.clone());
        self.inner.run_started(run);
    }

    fn stage_started(&self, step: &StepId, component: &str) {
        if let Some(run) = self.run.get() {
            let name = step.as_str().to_owned();
            let now = RunningStep {
                name: name.clone(),
                component: component.to_owned(),
                began_ms: now_ms(),
                done: 0,
                total: 0,
            };
            let begun = Step { begun: Instant::now(), now, is_news: true, lines: Vec::new(), noted: 0 };
            let mut pages = self.shared.pages();
            if !pages.is_over {
                pages.steps.insert((run.clone(), name), begun);
            }
        }
        self.inner.stage_started(step, component);
    }

    fn progress(&self, step: &StepId, done: u64, total: u64) {
        self.of_step(step, |step| {
            step.is_news = (step.now.done, step.now.total) != (done, total) || step.is_news;
            (step.now.done, step.now.total) = (done, total);
        });
        self.inner.progress(step, done, total);
    }

    fn log(&self, step: &StepId, level: Level, message: &str) {
        self.of_step(step, |step| {
            if step.noted + step.lines.len() < MOST_LINES {
                step.lines.push(LogLine { level: level.name().to_owned(), message: message.to_owned() });
            }
        });
        self.inner.log(step, level, message);
    }

    fn run_ended(&self, summary: &Summary, error: Option<&RunError>) {
        self.inner.run_ended(summary, error);
    }

    fn of_child(&self, name: &str) -> Arc<dyn Observer> {
        Arc::new(Self { shared: self.shared.clone(), run: OnceLock::new(), inner: self.inner.of_child(name) })
    }

    fn stage_finished(&self, step: &StepId, summary: &StageSummary) {
        self.ended(step);
        self.inner.stage_finished(step, summary);
    }

    fn stage_failed(&self, step: &StepId, error: &RunError) {
        self.ended(step);
        self.inner.stage_failed(step, error);
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use stagewright_lifecycle::observer::Unwatched;
    use stagewright_store::Home;

    use super::*;

    fn step(name: &str) -> StepId {
        StepId::new(name).expect("a name")
    }

    #[test]
    fn a_diary_ends_with_the_first_note_that_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let diary = RunDiary::begin(&home.registry).expect("a thread");
        let observer = diary.observer(Arc::new(Unwatched));
        // The registry has no such run.
        observer.run_started(&"0".repeat(32).parse().expect("a number of a run"));
        observer.stage_started(&step("train"), "train");
        observer.log(&step("train"), Level::Info, "a line");
        let began = Instant::now();
        while !diary.shared.pages().is_over {
            assert!(began.elapsed() < Duration::from_secs(60), "the diary does not end");
            std::thread::sleep(Duration::from_millis(20));
        }
        // What is said from then on is not gathered.
        observer.stage_started(&step("evaluate"), "evaluate");
        observer.log(&step("train"), Level::Info, "another line");
        assert!(diary.shared.pages().steps.is_empty());
    }
}
