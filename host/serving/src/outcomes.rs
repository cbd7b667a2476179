//! Outcomes: records what became of requests in the registry.
//!
//! The registry blocks, so a thread of its own records. Outcomes that wait are recorded together.
//! If the registry is away, whoever posts is told to try again: of each request the first outcome
//! counts, so that posting twice does no harm, and nothing has to be kept here.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use serde::Serialize;
use stagewright_data::Task;
use stagewright_lifecycle::model::RegisteredModel;
use stagewright_store::{MAX_OUTCOMES, MAX_OUTCOMES_AT_ONCE, NewOutcome, OutcomePosting, Registry, StoreError};
use stagewright_text::Untrusted;
use tokio::sync::oneshot;

use crate::origin::OpenRegistry;

/// The most postings that wait.
const MOST_POSTINGS: usize = 1024;

/// The most outcomes that wait.
const MOST_WAITING: usize = 5 * MAX_OUTCOMES_AT_ONCE;

/// How long a posting may take. It may still be recorded afterwards.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a registry that was away is not asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// The most versions whose classes are remembered.
const MOST_VERSIONS: usize = 1000;

/// The result of posting an outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum OutcomeResult {
    /// It was recorded.
    Recorded,
    /// The request has an outcome already, which stays.
    Duplicate,
    /// The model has no such version.
    UnknownVersion,
    /// The identifier is none that a server has made.
    MalformedId,
    /// The version does not know the label.
    UnknownLabel { message: String },
    /// It is no outcome.
    Invalid { message: String },
}

/// An outcome that was posted, or the result that it has without being recorded.
pub(crate) type Posted = Result<NewOutcome, OutcomeResult>;

/// Why outcomes are not recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum OutcomeFault {
    /// Too many wait.
    Busy,
    /// The registry is away.
    Away,
    /// The registry has no such model.
    NoModel,
    /// The registry can only be read.
    ReadOnly,
}

struct Posting {
    model: String,
    outcomes: Arc<Vec<Posted>>,
    reply: oneshot::Sender<Result<Vec<OutcomeResult>, OutcomeFault>>,
}

/// Records outcomes. Its thread ends when it is dropped.
#[derive(Debug)]
pub struct OutcomeRecorder {
    sender: SyncSender<Posting>,
    waiting: Arc<AtomicUsize>,
}

impl OutcomeRecorder {
    /// Starts the thread that records. The registry is opened when it is needed.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn start(open: Box<OpenRegistry>) -> std::io::Result<Self> {
        let (sender, postings) = sync_channel(MOST_POSTINGS);
        let waiting = Arc::new(AtomicUsize::new(0));
        let recording = Recording { open, registry: None, failed: None, tasks: Tasks::new(), waiting: waiting.clone() };
        std::thread::Builder::new().name("outcomes".into()).spawn(move || recording.run(&postings))?;
        Ok(Self { sender, waiting })
    }

    /// Records outcomes of a model. Returns the result of each, in their order.
    pub(crate) async fn post(
        &self,
        model: &str,
        outcomes: Arc<Vec<Posted>>,
    ) -> Result<Vec<OutcomeResult>, OutcomeFault> {
        let count = outcomes.len();
        if self.waiting.fetch_add(count, Ordering::Relaxed) + count > MOST_WAITING {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            return Err(OutcomeFault::Busy);
        }
        let (reply, answer) = oneshot::channel();
        if self.sender.try_send(Posting { model: model.to_owned(), outcomes, reply }).is_err() {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            return Err(OutcomeFault::Busy);
        }
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(answer)) => answer,
            // A registry that does not answer is away.
            Ok(Err(_)) | Err(_) => Err(OutcomeFault::Away),
        }
    }
}

/// The thread that records.
struct Recording {
    open: Box<OpenRegistry>,
    registry: Option<Registry>,
    /// The time at which the registry was away.
    failed: Option<Instant>,
    tasks: Tasks,
    waiting: Arc<AtomicUsize>,
}

/// The tasks of versions, which do not change, by model, number and time of the version. A model
/// that was deleted and made anew has the same numbers at other times. `None`: the version's
/// contents say nothing.
type Tasks = HashMap<(String, u32, i64), Option<Task>>;

impl Recording {
    fn run(mut self, postings: &Receiver<Posting>) {
        let mut left: VecDeque<Posting> = VecDeque::new();
        while let Some(first) = left.pop_front().or_else(|| postings.recv().ok()) {
            let mut together = vec![first];
            let mut count = together[0].outcomes.len();
            // One transaction for all that wait of a model: most of the time of a small one is that
            // of the disk.
            while left.is_empty()
                && let Ok(next) = postings.try_recv()
            {
                if next.model == together[0].model && count + next.outcomes.len() <= MAX_OUTCOMES_AT_ONCE {
                    count += next.outcomes.len();
                    together.push(next);
                } else {
                    left.push_back(next);
                }
            }
            let recorded = self.record(&together);
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            let mut results = recorded.map(Vec::into_iter);
            for Posting { outcomes, reply, .. } in together {
                let own = match &mut results {
                    Ok(results) => Ok(results.by_ref().take(outcomes.len()).collect()),
                    Err(fault) => Err(fault.clone()),
                };
                // The client may have gone.
                let _ = reply.send(own);
            }
        }
    }

    /// Records outcomes of one model.
    fn record(&mut self, postings: &[Posting]) -> Result<Vec<OutcomeResult>, OutcomeFault> {
        let model = &postings[0].model;
        if self.failed.is_some_and(|failed| failed.elapsed() < PAUSE) {
            return Err(OutcomeFault::Away);
        }
        let tried = self.try_record(model, postings);
        self.failed = None;
        tried.map_err(|error| match error {
            StoreError::NoModel { .. } => OutcomeFault::NoModel,
            StoreError::ReadOnly { .. } => OutcomeFault::ReadOnly,
            error => {
                tracing::warn!("outcomes of `{model}` are not recorded: {error}");
                (self.registry, self.failed) = (None, Some(Instant::now()));
                OutcomeFault::Away
            }
        })
    }

    fn try_record(&mut self, model: &str, postings: &[Posting]) -> Result<Vec<OutcomeResult>, StoreError> {
        let registry = match self.registry.take() {
            Some(registry) => registry,
            None => (self.open)()?,
        };
        let registry = self.registry.insert(registry);
        // Read once: whoever posts chooses the versions that outcomes name.
        let versions: BTreeMap<u32, i64> = registry.version_numbers(model)?.into_iter().collect();
        let mut results: Vec<Option<OutcomeResult>> = Vec::new();
        let (mut places, mut fresh) = (Vec::new(), Vec::new());
        for posted in postings.iter().flat_map(|posting| posting.outcomes.iter()) {
            let checked = match (posted, posted.as_ref().map(|outcome| versions.get(&outcome.version))) {
                (Ok(outcome), Ok(Some(made_ms))) => {
                    check(task(registry, &mut self.tasks, (model, outcome.version, *made_ms))?, outcome)
                }
                (Err(result), _) => Some(result.clone()),
                (Ok(_), _) => Some(OutcomeResult::UnknownVersion),
            };
            if let (None, Ok(outcome)) = (&checked, posted) {
                places.push(results.len());
                fresh.push(outcome.clone());
            }
            results.push(checked);
        }
        let recorded = match fresh.is_empty() {
            true => Vec::new(),
            false => registry.post_outcomes(model, &fresh, MAX_OUTCOMES)?,
        };
        places.iter().zip(recorded).for_each(|(place, result)| results[*place] = Some(told(result)));
        let unrecorded = || OutcomeResult::Invalid { message: "it was not recorded".to_owned() };
        Ok(results.into_iter().map(|result| result.unwrap_or_else(unrecorded)).collect())
    }
}

fn told(posting: OutcomePosting) -> OutcomeResult {
    match posting {
        OutcomePosting::Recorded => OutcomeResult::Recorded,
        OutcomePosting::Duplicate => OutcomeResult::Duplicate,
        OutcomePosting::UnknownVersion => OutcomeResult::UnknownVersion,
    }
}

/// Returns the task of a version of a model that was made at a time; `None` if its contents say
/// nothing, or it has gone.
fn task<'t>(
    registry: &Registry,
    tasks: &'t mut Tasks,
    (model, version, made_ms): (&str, u32, i64),
) -> Result<Option<&'t Task>, StoreError> {
    let key = (model.to_owned(), version, made_ms);
    if !tasks.contains_key(&key) {
        let contents = match registry.version(model, version) {
            Ok(version) => version.contents,
            Err(StoreError::NoVersion { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        if tasks.len() >= MOST_VERSIONS {
            tasks.clear();
        }
        let contents = serde_json::from_value::<RegisteredModel>(contents);
        tasks.insert(key.clone(), contents.ok().map(|contents| contents.task));
    }
    Ok(tasks.get(&key).and_then(Option::as_ref))
}

/// Checks an outcome by the task of its version. Returns its result if it cannot be recorded.
fn check(task: Option<&Task>, outcome: &NewOutcome) -> Option<OutcomeResult> {
    let Some(task) = task else { return Some(OutcomeResult::UnknownVersion) };
    let misfit = misfit(task, outcome);
    // One that the registry refuses would have it refuse all that it is posted with.
    misfit.or_else(|| outcome.check().err().map(|message| OutcomeResult::Invalid { message }))
}

/// Returns why an outcome is none that the task may have.
fn misfit(task: &Task, outcome: &NewOutcome) -> Option<OutcomeResult> {
    let label = outcome.label.as_deref()?;
    let shown = Untrusted::new(label).cut(100).to_string();
    let classes: Vec<&str> = match task {
        Task::Regression => {
            let message = format!("the model predicts a number and has no label `{shown}`: post a `value`");
            return Some(OutcomeResult::UnknownLabel { message });
        }
        Task::Binary { negative, positive } => vec![negative, positive],
        Task::MultiClass { classes } => classes.iter().map(String::as_str).collect(),
    };
    if classes.contains(&label) {
        return None;
    }
    const SHOWN: usize = 10;
    let first = classes.iter().take(SHOWN).map(|class| format!("`{}`", Untrusted::new(class).cut(50)));
    let listed = first.collect::<Vec<_>>().join(", ");
    let more = if classes.len() > SHOWN { ", ..." } else { "" };
    let message = format!("`{shown}` is no class of version {}: its classes are {listed}{more}", outcome.version);
    Some(OutcomeResult::UnknownLabel { message })
}

#[cfg(test)]
mod tests {
    use stagewright_store::{ArtifactStore, NewVersion, OpenMode, Page};
    use std::sync::atomic::AtomicBool;

    use super::*;

    fn outcome(request: &str, version: u32, label: Option<&str>) -> NewOutcome {
        let label = label.map(str::to_owned);
        let value = label.is_none().then_some(1.5);
        NewOutcome { request_id: request.into(), version, arm: None, label, value, at_ms: 1_000 }
    }

    /// A registry whose model `churn` has two versions without contents.
    fn registry(folder: &std::path::Path) -> std::path::PathBuf {
        let path = folder.join("stagewright.db");
        let registry = Registry::open(&path).expect("a registry");
        let artifacts = ArtifactStore::open(folder.join("artifacts")).expect("a store");
        registry.create_version(&artifacts, "churn", &NewVersion::default(), &|_| None).expect("a version");
        path
    }

    #[test]
    fn labels_are_classes_of_the_task_and_numbers_have_none() {
        let binary = Task::Binary { negative: "No".into(), positive: "Yes".into() };
        let many = Task::MultiClass { classes: (0..30).map(|class| format!("class {class}")).collect() };
        let message = |task: &Task, label: &str| match misfit(task, &outcome("r", 2, Some(label))) {
            Some(OutcomeResult::UnknownLabel { message }) => Some(message),
            _ => None,
        };
        assert_eq!((message(&binary, "Yes"), message(&many, "class 29")), (None, None));
        assert_eq!(
            message(&binary, "yes").as_deref(),
            Some("`yes` is no class of version 2: its classes are `No`, `Yes`")
        );
        assert!(message(&many, "x\ny").is_some_and(|told| told.ends_with("`class 9`, ...") && !told.contains('\n')));
        assert!(message(&Task::Regression, "Yes").is_some_and(|told| told.contains("post a `value`")));
        assert_eq!(misfit(&Task::Regression, &outcome("r", 2, None)), None);
    }

    // invariant: An outcome that a registry does not take is posted again, and counts once.
    #[tokio::test]
    async fn a_registry_that_is_away_loses_nothing_because_clients_try_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = registry(folder.path());
        let is_away = Arc::new(AtomicBool::new(true));
        let (away, place) = (is_away.clone(), path.clone());
        let open = Box::new(move || match away.load(Ordering::Relaxed) {
            true => Registry::open_as(place.join("nowhere"), OpenMode::Serving),
            false => Registry::open_as(&place, OpenMode::Serving),
        });
        let recorder = OutcomeRecorder::start(open).expect("a thread");
        // A version whose contents say nothing is as good as none; see the end-to-end tests for
        // others.
        let posted =
            Arc::new(vec![Ok(outcome("a", 1, None)), Err(OutcomeResult::MalformedId), Ok(outcome("b", 7, None))]);
        assert_eq!(recorder.post("churn", posted.clone()).await, Err(OutcomeFault::Away));
        is_away.store(false, Ordering::Relaxed);
        assert_eq!(recorder.post("churn", posted.clone()).await, Err(OutcomeFault::Away), "it is not asked at once");
        tokio::time::sleep(PAUSE).await;
        let results = recorder.post("churn", posted).await.expect("results");
        assert_eq!(results[1..], [OutcomeResult::MalformedId, OutcomeResult::UnknownVersion]);
        assert_eq!(recorder.post("other", Arc::new(vec![Ok(outcome("a", 1, None))])).await, Err(OutcomeFault::NoModel));
        assert_eq!(recorder.waiting.load(Ordering::Relaxed), 0);
        let registry = Registry::open(&path).expect("a registry");
        let page = Page { limit: 10, offset: 0 };
        assert_eq!(registry.outcomes("churn", 0, page).expect("outcomes"), []);
    }

    // invariant: An outcome that is wrong costs no other one that is posted with it, and versions
    // that a client makes up are not looked for one by one.
    #[test]
    fn outcomes_are_told_one_by_one_and_a_model_made_anew_has_versions_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let opened = Registry::open_as(registry(folder.path()), OpenMode::Serving).expect("a registry");
        let made_ms = opened.version_numbers("churn").expect("numbers")[0].1;
        let binary = Task::Binary { negative: "No".into(), positive: "Yes".into() };
        let mut recording = Recording {
            open: Box::new(|| panic!("it is open")),
            registry: Some(opened),
            failed: None,
            // That of a model of the same name, which was deleted.
            tasks: Tasks::from([(("churn".into(), 1, made_ms - 1), Some(binary.clone()))]),
            waiting: Arc::default(),
        };
        let posted = vec![
            Ok(outcome("a", 1, Some("Yes"))),
            Ok(outcome("b", 1, Some("Maybe"))),
            Ok(NewOutcome { value: Some(1e300), ..outcome("c", 1, None) }),
            Err(OutcomeResult::MalformedId),
            Ok(outcome("d", 77, Some("Yes"))),
            Ok(outcome("e", 1, Some("No"))),
        ];
        let record = |recording: &mut Recording| {
            let (reply, _) = oneshot::channel();
            let posting = Posting { model: "churn".into(), outcomes: Arc::new(posted.clone()), reply };
            recording.record(&[posting]).expect("results")
        };
        assert_eq!(record(&mut recording)[0], OutcomeResult::UnknownVersion, "its contents say nothing");
        recording.tasks.insert(("churn".into(), 1, made_ms), Some(binary));
        let results = record(&mut recording);
        let whole = [0, 3, 4, 5].map(|place| results[place].clone());
        use OutcomeResult::{Invalid, MalformedId, Recorded, UnknownLabel, UnknownVersion};
        assert_eq!(whole, [Recorded, MalformedId, UnknownVersion, Recorded]);
        assert!(matches!(&results[1..3], [UnknownLabel { .. }, Invalid { message }] if message.contains("1e100")));
    }

    #[tokio::test]
    async fn more_outcomes_than_may_wait_are_refused() {
        let open = Box::new(|| -> Result<Registry, StoreError> {
            std::thread::sleep(Duration::from_secs(30));
            Registry::open_as("/nowhere", OpenMode::Serving)
        });
        let recorder = OutcomeRecorder::start(open).expect("a thread");
        let many = Arc::new(vec![Err(OutcomeResult::MalformedId); MOST_WAITING + 1]);
        assert_eq!(recorder.post("churn", many).await, Err(OutcomeFault::Busy));
        assert_eq!(recorder.waiting.load(Ordering::Relaxed), 0);
    }
}
