//! One home under load: processes that run pipelines whose steps are partly the same, others that
//! are killed, and collections of garbage, all at once.
//!
//! Seven seconds in the ordinary suite; `STAGEWRIGHT_SHARED_CACHE_SECONDS=60` takes a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use stagewright_end_to_end::whole::{entries, every_file_is_whole, left_behind, only_what_is_known};
use stagewright_end_to_end::{Place, config, digests};
use stagewright_store::{Digest, FINISHED, Home, RunStatus, StageRecord};

/// Younger artifacts stay. Longer than a run takes from a stage's artifacts to their record, also
/// on a machine that is busy.
const GRACE: &str = "5s";

/// The size that collections keep the home under: some artifacts always go.
const MOST: &str = "256 KiB";

/// How much longer a slow machine may take until a run takes something over.
const PATIENCE: Duration = Duration::from_secs(120);

/// How many processes run pipelines at once.
const RUNNERS: usize = 4;

/// Numbers that look like chance, and are the same in each test: Knuth's MMIX.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        let at = self.below(all.len() as u64);
        all[usize::try_from(at).expect("a place")]
    }
}

/// A pipeline that somebody wants: its changes to `config/churn.toml`, in the words of the command
/// line.
fn wanted(chance: &mut Chance) -> Vec<String> {
    let mut changes = vec![
        "ingestion.component=ingest-synthetic".to_owned(),
        "gates.minimum.roc_auc=0.5".to_owned(),
        "gates.minimum.accuracy=0.5".to_owned(),
        "training.component=train-forest".to_owned(),
        chance.of(&["ingestion.rows=300", "ingestion.rows=400"]).to_owned(),
        chance.of(&["training.n_estimators=1", "training.n_estimators=2", "training.n_estimators=3"]).to_owned(),
    ];
    if chance.below(4) == 0 {
        changes.push("training.limits.cpu=9 min".to_owned());
    }
    let mut arguments = vec!["run".to_owned(), config("churn.toml"), "--json".to_owned()];
    arguments.extend(changes.into_iter().flat_map(|change| ["--set".to_owned(), change]));
    arguments.extend(["--seed".to_owned(), (1 + chance.below(2)).to_string()]);
    if chance.below(2) == 0 {
        arguments.extend(["--until", "training"].map(str::to_owned));
    }
    arguments
}

/// The observations while the home was under load.
#[derive(Default)]
struct Seen {
    /// Runs that came to their end: what was asked for, and what they said.
    runs: Mutex<Vec<(Vec<String>, Value)>>,
    /// The digests that each collection removed.
    removed: Mutex<Vec<BTreeSet<String>>>,
    killed: AtomicUsize,
    wrong: Mutex<Vec<String>>,
}

impl Seen {
    fn wrong(&self, problem: String) {
        self.wrong.lock().expect("no panic").push(problem);
    }

    /// Whether some run took over what another one made.
    fn is_shared(&self) -> bool {
        self.runs
            .lock()
            .expect("no panic")
            .iter()
            .any(|(_, run)| run["cached"].as_u64().is_some_and(|cached| cached > 0))
    }
}

fn text(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Runs a command to its end, or kills it after a while.
fn ended(mut command: Command, kill_after: Option<Duration>) -> io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    if let Some(while_) = kill_after {
        std::thread::sleep(while_);
        child.kill()?;
    }
    child.wait_with_output()
}

/// Runs one pipeline after another: until `until`, and on a slow machine until something was taken
/// over.
fn run_pipelines(place: &Place, seen: &Seen, until: Instant, number: u64) {
    let mut chance = Chance(number + 1);
    while Instant::now() < until || (Instant::now() < until + PATIENCE && !seen.is_shared()) {
        let arguments = wanted(&mut chance);
        let kill_after = (chance.below(4) == 0).then(|| Duration::from_millis(20 + chance.below(600)));
        let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let output = ended(place.command(&words), kill_after).expect("the binary starts");
        match output.status.code() {
            // Gates may refuse it.
            Some(0 | 4) => match serde_json::from_slice(&output.stdout) {
                Ok(run) => seen.runs.lock().expect("no panic").push((arguments, run)),
                Err(error) => seen.wrong(format!("{error}: {}", text(&output))),
            },
            // Garbage is collected in production at this moment.
            Some(7) if String::from_utf8_lossy(&output.stderr).contains("garbage is being collected") => {}
            None if kill_after.is_some() => drop(seen.killed.fetch_add(1, Ordering::Relaxed)),
            _ => seen.wrong(format!("{}: {}", output.status, text(&output))),
        }
    }
}

/// Collects garbage past a size that is never kept, again and again.
fn collect(place: &Place, seen: &Seen, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let arguments = ["gc", "--max-size", MOST, "--grace", GRACE, "--json"];
        let output = ended(place.command(&arguments), None).expect("the binary starts");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        // Before the first run; and nothing is collected in production while something is promoted.
        let is_early = ["there is no home", "knows no run and no model"].iter().any(|it| told.contains(it));
        let is_done = output.status.code() == Some(0) || told.contains("is not finished");
        if is_done {
            let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let removed = found["removed"].as_array().expect("a list").iter();
            let removed = removed.filter_map(|it| it["name"].as_str()).map(str::to_owned).collect();
            seen.removed.lock().expect("no panic").push(removed);
        } else if !is_early {
            seen.wrong(format!("gc: {}: {}", output.status, text(&output)));
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// Looks whether everything that can be seen is whole, again and again.
fn look(home: &Path, seen: &Seen, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        if home.join("artifacts").is_dir()
            && let Err(problem) = every_file_is_whole(&home.join("artifacts"))
        {
            seen.wrong(format!("while others work: {problem}"));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The executions of each key on record, in order of their beginnings.
fn executions(home: &Home) -> BTreeMap<Digest, Vec<StageRecord>> {
    let mut found: BTreeMap<Digest, Vec<StageRecord>> = BTreeMap::new();
    for run in home.registry.list_runs(usize::MAX).expect("runs") {
        for stage in home.registry.stages(&run.run_id).expect("stages") {
            if let (Some(key), FINISHED) = (stage.key, stage.status.as_str()) {
                found.entry(key).or_default().push(stage);
            }
        }
    }
    found.values_mut().for_each(|stages| stages.sort_by_key(|stage| stage.started_ms));
    found
}

/// Each key was executed once, and once more for each collection that took something of it.
fn each_key_was_executed_once(home: &Home, removed: &[BTreeSet<String>]) -> usize {
    let executions = executions(home);
    for (key, stages) in &executions {
        let outputs: BTreeSet<String> =
            stages.iter().flat_map(|stage| &stage.outputs).map(|output| output.digest.to_string()).collect();
        let taken = removed.iter().filter(|removed| !removed.is_disjoint(&outputs)).count();
        let name = &stages[0].name;
        assert!(
            stages.len() <= 1 + taken,
            "`{name}` ({key}) was executed {} times, and {taken} collections took something of it",
            stages.len()
        );
        for pair in stages.windows(2) {
            assert!(pair[0].ended_ms <= pair[1].started_ms, "`{name}` ({key}) was executed twice at once");
            let made = |stage: &StageRecord| {
                stage.outputs.iter().map(|output| (output.name.clone(), output.digest)).collect::<Vec<_>>()
            };
            assert_eq!(made(&pair[0]), made(&pair[1]), "`{name}` ({key}) made something else");
        }
    }
    executions.values().map(Vec::len).sum()
}

/// The stages of a run with what they made, by key.
fn made_by_key(run: &Value) -> BTreeMap<String, Value> {
    let stages = run["stages"].as_array().expect("stages").iter();
    stages.filter_map(|stage| Some((stage["key"].as_str()?.to_owned(), stage["artifacts"].clone()))).collect()
}

/// Whoever took a key over has what whoever executed it made.
fn nothing_is_stale(runs: &[(Vec<String>, Value)]) {
    let mut made: BTreeMap<String, Value> = BTreeMap::new();
    for (_, run) in runs {
        for (key, artifacts) in made_by_key(run) {
            let before = made.entry(key.clone()).or_insert_with(|| artifacts.clone());
            assert_eq!(*before, artifacts, "{key}");
        }
    }
}

/// A sample of what was taken over is executed anew, by a home that knows none of it.
fn a_sample_is_computed_again(runs: &[(Vec<String>, Value)]) -> usize {
    let mut sample: BTreeMap<&Vec<String>, &Value> = BTreeMap::new();
    for (arguments, run) in runs.iter().rev() {
        if run["cached"].as_u64().is_some_and(|cached| cached >= 4) {
            sample.entry(arguments).or_insert(run);
        }
    }
    let until = |arguments: &[String]| arguments.iter().any(|it| it == "--until");
    let compared = sample.iter().filter(|(arguments, _)| until(arguments)).take(4);
    compared
        .map(|(arguments, run)| {
            let words: Vec<&str> = arguments.iter().map(String::as_str).chain(["--no-cache"]).collect();
            let again = Place::new().run(&words).expect(0).json();
            assert_eq!(again["cached"], 0);
            assert_eq!(digests(&again), digests(run), "{arguments:?}");
        })
        .count()
}

/// The latest runs that are whole are executed again from their records.
fn the_latest_runs_are_reproduced(place: &Place, home: &Home) -> usize {
    let is_there = |stage: &StageRecord| {
        let mut outputs = stage.outputs.iter();
        outputs.all(|output| home.artifacts.contains(output.kind, &output.digest))
    };
    let finished = home.registry.list_runs(usize::MAX).expect("runs").into_iter();
    let whole = finished.filter(|run| {
        run.status == RunStatus::Finished && home.registry.stages(&run.run_id).expect("stages").iter().all(&is_there)
    });
    whole
        .take(3)
        .map(|run| {
            let again = place.run(&["reproduce", run.run_id.as_str(), "--json"]).expect(0).json();
            assert_eq!((&again["identical"], &again["first_difference"]), (&Value::Bool(true), &Value::Null));
        })
        .count()
}

// invariant: Processes under load, with kills and garbage collection, execute each key once and
// never see a partial or stale result.
#[test]
fn processes_under_load_compute_each_key_once_and_show_nothing_partial_or_stale() {
    let seconds = std::env::var("STAGEWRIGHT_SHARED_CACHE_SECONDS").ok();
    let seconds = seconds.map_or(7, |text| text.parse().expect("STAGEWRIGHT_SHARED_CACHE_SECONDS is a number"));
    let place = Place::new();
    let (seen, done) = (Seen::default(), AtomicBool::new(false));
    let until = Instant::now() + Duration::from_secs(seconds);
    std::thread::scope(|scope| {
        let (place, seen, done) = (&place, &seen, &done);
        let runners: Vec<_> =
            (0..RUNNERS as u64).map(|number| scope.spawn(move || run_pipelines(place, seen, until, number))).collect();
        scope.spawn(|| collect(place, seen, done));
        scope.spawn(|| look(&place.home(), seen, done));
        let ended: Vec<_> = runners.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(Result::is_ok), "a runner failed");
    });
    let wrong = seen.wrong.into_inner().expect("no panic");
    assert!(wrong.is_empty(), "{} things went wrong:\n{}", wrong.len(), wrong.join("\n"));

    // The next process clears what was killed. Its run is whole: no collection works beside it.
    let last = wanted(&mut Chance(0));
    let words: Vec<&str> = last.iter().map(String::as_str).collect();
    let output = place.command(&words).output().expect("the binary starts");
    assert!(matches!(output.status.code(), Some(0 | 4)), "{}: {}", output.status, text(&output));
    // A collection clears the locks of those that were killed.
    place.run(&["gc", "--json"]).expect(0);
    left_behind(&place.home()).expect("nothing is left");
    only_what_is_known(&place.home()).expect("nothing else is there");
    every_file_is_whole(&place.home().join("artifacts")).expect("every file is whole");
    let home = Home::open(place.home()).expect("the home");
    home.registry.verify_audit().expect("the audit is whole");
    assert_eq!(entries(&place.home().join("cache/keys")).len(), 0, "a key is locked");
    let runs = seen.runs.into_inner().expect("no panic");
    let removed = seen.removed.into_inner().expect("no panic");
    let executed = each_key_was_executed_once(&home, &removed);
    nothing_is_stale(&runs);
    let (computed, reproduced) = (a_sample_is_computed_again(&runs), the_latest_runs_are_reproduced(&place, &home));
    let taken: usize = removed.iter().map(BTreeSet::len).sum();
    let taken_over: u64 = runs.iter().filter_map(|(_, run)| run["cached"].as_u64()).sum();
    println!(
        "{} runs and {} killed ones, {executed} stages executed and {taken_over} taken over; {} collections took \
         {taken} artifacts; {computed} compared anew, {reproduced} reproduced",
        runs.len(),
        seen.killed.into_inner(),
        removed.len()
    );
    assert!(runs.len() > 1 && taken_over > 0 && computed + reproduced > 0, "it was not under load");
}
