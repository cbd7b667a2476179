#![cfg(target_os = "linux")]
//! A run that is killed within or between stages resumes and makes the same artifacts: with the six
//! stages and with a graph of several models, with artifacts in the home and on S3.
//!
//! In the home it is killed before the publication of a stage's artifacts, between publication and
//! record, and after the record. On S3 it is killed at requests spread over the run.
//! `STAGEWRIGHT_FAULTS=all` takes every request and every write.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stagewright_end_to_end::faults::{self, Fault, Operation};
use stagewright_end_to_end::whole::{champion, ensure, everything_is_whole, left_behind, promoted, text, versions};
use stagewright_end_to_end::{Ended, Place, config, digests, graph};
use stagewright_services::s3;
use stagewright_store::{Home, RunStatus};

const MODEL: &str = "churn-classifier";

/// A pipeline, and the artifacts of an undisturbed run.
struct Scenario {
    place: Place,
    words: Vec<String>,
    made: BTreeMap<String, String>,
}

impl Scenario {
    fn six() -> Self {
        Self::of(
            &fs::read_to_string(config("churn.toml")).expect("the shipped pipeline"),
            &[
                "ingestion.component=ingest-synthetic",
                "ingestion.rows=600",
                "training.component=train-logistic",
                "gates.minimum.roc_auc=0.5",
                "gates.minimum.accuracy=0.5",
            ],
        )
    }

    fn several_models() -> Self {
        Self::of(&graph(), &["boosted.n_estimators=3"])
    }

    fn of(file: &str, changes: &[&str]) -> Self {
        let place = Place::new();
        let manifest = place.write("pipeline.toml", file).display().to_string();
        let mut words = ["run", &manifest, "--json", "--workers", "1"].map(str::to_owned).to_vec();
        words.extend(changes.iter().flat_map(|change| ["--set", change].map(str::to_owned)));
        let mut scenario = Self { place, words, made: BTreeMap::new() };
        let undisturbed = Ended::of(scenario.run_in(&scenario.place.home())).expect(0).json();
        assert_eq!(undisturbed["decision"]["verdict"], "approved");
        scenario.made = digests(&undisturbed).into_iter().collect();
        scenario
    }

    fn command(&self, home: &Path, words: &[&str]) -> Command {
        let mut command = self.place.command_in(home, words);
        command.stdin(Stdio::null());
        command
    }

    fn run_in(&self, home: &Path) -> Command {
        self.command(home, &self.words.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Resumes a killed run in a home. `sharing` sets where its artifacts are shared.
    fn goes_on(&self, home: &Path, sharing: &dyn Fn(&mut Command)) -> Result<(), String> {
        let ended = |words: &[&str]| {
            let mut command = self.command(home, words);
            sharing(&mut command);
            Ended::of(command)
        };
        let runs = ended(&["runs", "--json"]).expect(0).json();
        let run = match runs[0]["run_id"].as_str() {
            Some(id) => {
                let done = Home::open(home).map_err(text)?.registry.stages(&id.parse().map_err(text)?).map_err(text)?;
                let resumed = ended(&["resume", id, "--json"]).expect(0).json();
                let taken_over = resumed["cached"].as_u64().unwrap_or_default() as usize;
                let is_champion = resumed["is_champion_already"] == true;
                ensure(is_champion || taken_over >= done.len(), || {
                    format!("{} stages were done, and {taken_over} taken over", done.len())
                })?;
                resumed
            }
            // It was killed before it was recorded.
            None => {
                let words: Vec<&str> = self.words.iter().map(String::as_str).collect();
                ended(&words).expect(0).json()
            }
        };
        let made: BTreeMap<String, String> = digests(&run).into_iter().collect();
        // It was killed after its model became champion. That model is not judged again, and the
        // others are compared with it.
        let is_champion = run["is_champion_already"] == true;
        let differs = made.iter().filter(|(name, it)| self.made.get(*name) != Some(it));
        let differs: Vec<_> = differs.filter(|(name, _)| !(is_champion && name.starts_with("evaluation-"))).collect();
        ensure(differs.is_empty(), || format!("it made other {differs:?}"))?;
        ensure(is_champion || made.len() == self.made.len(), || format!("it made only {:?}", made.keys()))?;
        left_behind(home)?;
        let opened = Home::open(home).map_err(text)?;
        everything_is_whole(&opened)?;
        ensure(versions(&opened, MODEL)?.len() == 1, || "more than one version".to_owned())?;
        let (there, here) = (promoted(home, MODEL)?, champion(home, MODEL)?);
        ensure(there.is_some() && there == here, || format!("production has {there:?}, the champion is {here:?}"))?;
        let recorded = opened.registry.list_runs(usize::MAX).map_err(text)?;
        ensure(recorded.iter().all(|run| run.status != RunStatus::Running), || "a run is running".to_owned())
    }

    /// Returns the number of stages.
    fn steps(&self) -> usize {
        let names = self.made.keys().filter_map(|name| name.split_once('.'));
        names.map(|(stage, _)| stage).collect::<std::collections::BTreeSet<_>>().len()
    }

    /// Disturbs the run at each of these points, two at a time, and reports everything that went
    /// wrong.
    fn walk(&self, points: &[usize], disturb: impl Fn(&Path, usize) -> Result<(), String> + Sync) {
        assert!(points.len() >= 6, "{points:?}");
        let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some(&at) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                let home = self.place.path().join(format!("home-{at}"));
                if let Err(problem) = disturb(&home, at) {
                    wrong.lock().expect("no panic").push(format!("at {at}: {problem}"));
                }
                let _ = fs::remove_dir_all(home);
            }
        };
        std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
        let wrong = wrong.into_inner().expect("no panic");
        assert!(wrong.is_empty(), "{} of {} points:\n{}", wrong.len(), points.len(), wrong.join("\n"));
        println!("{} points, {} stages", points.len(), self.steps());
    }

    /// Kills the run at operations in the home.
    fn is_killed_at_file_operations(&self) {
        let (home, log) = (self.place.path().join("counted"), self.place.path().join("operations"));
        let mut command = self.run_in(&home);
        faults::count(&mut command, &home, &log);
        Ended::of(command).expect(0);
        let points = points(&faults::operations(&log), &home.join("artifacts"));
        self.walk(&points, |home, at| {
            let mut command = self.run_in(home);
            faults::count(&mut command, home, &home.with_extension("log"));
            faults::inject(&mut command, Fault::Kill, at);
            let status = command.output().map_err(text)?.status;
            ensure(status.signal() == Some(9), || format!("it was not killed: {status}"))?;
            self.goes_on(home, &|_| {})
        });
    }

    /// Kills the run at requests to the server of its artifacts.
    fn is_killed_at_requests(&self) {
        let server = s3::Server::start("mlflow", s3::Options::default());
        let sharing = |command: &mut Command| {
            let uri = format!("s3://mlflow/team?endpoint={}&path-style=true", server.endpoint());
            command.envs(server.variables()).env("STAGEWRIGHT_ARTIFACTS", uri);
        };
        let mut command = self.run_in(&self.place.path().join("counted"));
        sharing(&mut command);
        let run = Ended::of(command).expect(0).json();
        let made: BTreeMap<String, String> = digests(&run).into_iter().collect();
        assert_eq!(made, self.made, "where artifacts are shared changes none of them");
        let requests = server.log().len();
        let step = if all() { 1 } else { requests.div_ceil(9) };
        let points: Vec<usize> = (1..requests).step_by(step).collect();
        // One after the other, because requests are counted.
        let (turn, killed) = (Mutex::new(()), AtomicUsize::new(0));
        self.walk(&points, |home, at| {
            let _turn = turn.lock().expect("no panic");
            for key in server.keys() {
                server.remove(&key);
            }
            server.plan(s3::Plan::Faultless);
            let mut command = self.run_in(home);
            sharing(&mut command);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().map_err(text)?;
            while server.log().len() < at && child.try_wait().map_err(text)?.is_none() {
                std::thread::sleep(Duration::from_micros(500));
            }
            child.kill().map_err(text)?;
            let ended = child.wait().map_err(text)?;
            killed.fetch_add(usize::from(ended.signal() == Some(9)), Ordering::Relaxed);
            self.goes_on(home, &sharing)
        });
        assert!(killed.into_inner() * 2 >= points.len(), "most runs ended before they were killed");
    }
}

/// Returns whether to take every point.
fn all() -> bool {
    std::env::var_os("STAGEWRIGHT_FAULTS").is_some_and(|it| it == "all")
}

/// Returns for each publication the moment before it, the one after it, and the middle of what
/// follows.
fn points(operations: &[Operation], artifacts: &Path) -> Vec<usize> {
    let publishes: Vec<bool> =
        operations.iter().map(|it| it.name == "rename" && it.path.parent() == Some(artifacts)).collect();
    let mut points = Vec::new();
    let mut after = None;
    for (at, &is) in publishes.iter().enumerate() {
        let before = at > 0 && publishes[at - 1];
        if is && !before {
            points.extend(after.map(|after| usize::midpoint(after, at)));
            points.push(at);
        } else if before && !is {
            points.push(at);
            after = Some(at);
        }
    }
    points.extend(after.map(|after| usize::midpoint(after, publishes.len())));
    if all() {
        let writes = operations.iter().enumerate().filter(|(_, it)| it.name.contains("write"));
        points.extend(writes.map(|(at, _)| at));
    }
    points.sort_unstable();
    points.dedup();
    // Operations are counted from 1.
    points.into_iter().map(|at| operations[at].number).collect()
}

// invariant: as `a_run_that_was_killed_in_any_stage_goes_on_where_it_was_and_makes_the_same`
#[test]
fn six_stages_killed_around_every_publication_go_on_and_make_the_same() {
    Scenario::six().is_killed_at_file_operations();
}

// invariant: as `a_run_that_was_killed_in_any_stage_goes_on_where_it_was_and_makes_the_same`
#[test]
fn a_graph_of_several_models_killed_around_every_publication_goes_on_and_makes_the_same() {
    Scenario::several_models().is_killed_at_file_operations();
}

// invariant: as `a_run_that_was_killed_in_any_stage_goes_on_where_it_was_and_makes_the_same`
#[test]
fn a_run_killed_at_any_request_of_its_artifacts_goes_on_and_makes_the_same() {
    Scenario::six().is_killed_at_requests();
    Scenario::several_models().is_killed_at_requests();
}
