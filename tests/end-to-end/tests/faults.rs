#![cfg(target_os = "linux")]
//! Injects a fault at every file operation of a whole run. Nothing partial becomes visible, the
//! next start leaves nothing behind, the record says what happened, and the next run works.
//!
//! The minimal pipeline does about 270 operations in a new home and about 480 in one where a run
//! was killed. Each fault is tried at each operation where it differs. Of a series of equal
//! operations on one file (SQLite writing a transaction), the first, the second and the last are
//! taken. To stay within half a minute, some walks take every eighth point, and the next run is
//! tried after every second one. `STAGEWRIGHT_FAULTS=all` takes all points and tries the next run
//! after each.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use stagewright_end_to_end::faults::{self, Fault, Operation};
use stagewright_end_to_end::whole::{
    champion, ensure, entries, everything_is_whole, left_behind, only_what_is_known, promoted, temporary, text,
    versions,
};
use stagewright_end_to_end::{Place, least_pipeline};
use stagewright_store::{CHAMPION, Home, Registry, RunStatus, Verdict};

const MODEL: &str = "least";
const HOST_FAILED: i32 = 7;
const INTERRUPTED: i32 = 130;

/// A run to be disturbed.
struct Scenario {
    /// The manifest and the prepared home.
    place: Place,
    arguments: Vec<String>,
    /// The home with which it begins, if any.
    begins_with: Option<PathBuf>,
    runs_before: usize,
    champion_before: Option<u32>,
    /// The operations of an undisturbed run.
    operations: Vec<Operation>,
}

impl Scenario {
    /// The first run in a home, which makes its candidate champion.
    fn first_run() -> Self {
        let place = Place::new();
        let manifest = place.write("least.toml", least_pipeline("empty-training")).display().to_string();
        let arguments = ["run", &manifest, "--workers", "1"].map(str::to_owned).to_vec();
        place.run(&["run", &manifest]).expect(0);
        Self { place, arguments, begins_with: None, runs_before: 0, champion_before: None, operations: vec![] }
            .counted()
    }

    /// A run that replaces a champion, in a home where a run was killed half way. It first cleans
    /// up.
    fn after_a_killed_run() -> Self {
        let Self { place, mut arguments, .. } = Self::first_run();
        // On this split of the eight rows the model is better than the champion, a constant.
        arguments.extend(["--set", "training.component=train-logistic"].map(str::to_owned));
        let begins_with = Some(place.home());
        let whole =
            Self { place, arguments, begins_with, runs_before: 1, champion_before: Some(1), operations: vec![] };
        let whole = whole.counted();
        // It is killed before it is better than the champion, while an artifact is written.
        let is_staged =
            |it: &&Operation| it.name == "create" && it.path.to_string_lossy().contains("artifacts/staging");
        let staged: Vec<&Operation> = whole.operations.iter().filter(is_staged).collect();
        let middle = staged.get(staged.len() / 2).expect("an artifact").number;
        let home = whole.home("killed");
        let mut killed = whole.command(&home);
        faults::count(&mut killed, &home, &whole.place.path().join("operations-of-the-killed"));
        faults::inject(&mut killed, Fault::Kill, middle + 1);
        assert_eq!(killed.output().expect("it starts").status.signal(), Some(9));
        assert_ne!(entries(&home.join("artifacts/staging")), BTreeSet::new());
        Self { begins_with: Some(home), runs_before: 2, operations: vec![], ..whole }.counted()
    }

    fn counted(mut self) -> Self {
        let home = self.home("counted");
        let log = self.place.path().join("operations");
        let mut command = self.command(&home);
        faults::count(&mut command, &home, &log);
        let output = command.output().expect("it starts");
        assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
        self.operations = faults::operations(&log);
        // Another scenario may count in the same place, and logs grow.
        fs::remove_file(log).expect("a log");
        assert!(self.operations.len() > 100, "{} operations: is the binary linked dynamically?", self.operations.len());
        fs::remove_dir_all(home).expect("a home");
        self
    }

    /// Makes a home with which the scenario begins.
    fn home(&self, name: &str) -> PathBuf {
        let home = self.place.path().join(name);
        if let Some(begins_with) = &self.begins_with {
            copy(begins_with, &home);
        }
        home
    }

    fn command(&self, home: &Path) -> Command {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.place.command_in(home, &arguments)
    }

    /// Returns the operations at which a fault makes a difference.
    fn points(&self, fault: Fault) -> Vec<&Operation> {
        let all = &self.operations;
        let like = |at: usize, other: Option<usize>| {
            let other = other.and_then(|other| all.get(other));
            other.is_some_and(|other| other.name == all[at].name && other.path == all[at].path)
        };
        let in_series =
            |at: usize| like(at, at.checked_sub(1)) && like(at, at.checked_sub(2)) && like(at, Some(at + 1));
        let differs = |operation: &Operation| match fault {
            Fault::Full => operation.needs_room,
            // Unflushed bytes are lost, however many there were.
            Fault::Power => !operation.name.contains("write"),
            // At other operations a power loss is the worse fault.
            Fault::Kill => operation.name.contains("write"),
            Fault::Error | Fault::Interrupt => true,
        };
        (0..all.len()).filter(|&at| !in_series(at) && differs(&all[at])).map(|at| &all[at]).collect()
    }

    /// Disturbs the run at every `step`th point and reports everything that went wrong.
    fn walk(&self, fault: Fault, step: usize) {
        let step = if all() { 1 } else { step };
        let points: Vec<&Operation> = self.points(fault).into_iter().step_by(step).collect();
        let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = || {
            while let Some(operation) = points.get(next.fetch_add(1, Ordering::Relaxed)) {
                let home = self.home(&format!("{fault:?}-{}", operation.number));
                if let Err(problem) = self.disturb(&home, fault, operation.number) {
                    wrong.lock().expect("no panic").push(format!("{fault:?} at {}: {problem}", operation.number));
                }
                fs::remove_dir_all(home).expect("a home");
            }
        };
        std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
        let wrong = wrong.into_inner().expect("no panic");
        assert!(wrong.is_empty(), "{} of {} points:\n{}", wrong.len(), points.len(), wrong.join("\n"));
        println!("{fault:?}: {} points of {} operations", points.len(), self.operations.len());
    }

    fn disturb(&self, home: &Path, fault: Fault, at: usize) -> Result<(), String> {
        let mut command = self.command(home);
        let log = home.with_extension("log");
        faults::count(&mut command, home, &log);
        faults::inject(&mut command, fault, at);
        let ended = command.output().expect("it starts");
        let operations = faults::operations(&log);
        fs::remove_file(log).expect("a log");
        let operation = operations.get(at - 1);
        self.check_ending(fault, operation, &ended)
            .and_then(|()| self.check_home(home, fault, operation, &ended))
            .map_err(|problem| {
                format!("{operation:?}: {problem}; {}\n{}", ended.status, String::from_utf8_lossy(&ended.stderr))
            })?;
        if at % 2 == 1 && !all() {
            return Ok(());
        }
        // A clean run makes the same model. It promotes the model or finds it champion already.
        let clean = self.command(home).output().expect("it starts");
        let code = clean.status.code();
        ensure(code == Some(0), || format!("the next run: {code:?}: {}", String::from_utf8_lossy(&clean.stderr)))?;
        left_behind(home)?;
        // Unfinished promotions are finished by now: production points to the champion and has no
        // temporary file.
        let (promoted, champion) = (promoted(home, MODEL)?, champion(home, MODEL)?);
        ensure(promoted == champion, || format!("production has {promoted:?}, the champion is {champion:?}"))?;
        let aside: Vec<String> = entries(&home.join("production/.stagewright")).into_iter().collect();
        ensure(aside.iter().all(|name| name == "lock"), || format!("left in production: {aside:?}"))
    }

    fn check_ending(&self, fault: Fault, operation: Option<&Operation>, ended: &Output) -> Result<(), String> {
        if operation.is_none() {
            // Random names make some runs a few operations shorter (SQLite's pages). Then no fault
            // happened.
            return ensure(ended.status.code() == Some(0), || "it went wrong by itself".to_owned());
        }
        let (code, signal) = (ended.status.code(), ended.status.signal());
        let text = String::from_utf8_lossy(&ended.stderr);
        match fault {
            Fault::Kill | Fault::Power => ensure(signal == Some(9), || "it was not killed".to_owned()),
            // Before the handler is installed, the signal ends the process.
            Fault::Interrupt => ensure(matches!(code, Some(0 | INTERRUPTED)) || matches!(signal, Some(2 | 15)), || {
                "its ending".to_owned()
            }),
            Fault::Error | Fault::Full => {
                ensure(matches!(code, Some(0 | HOST_FAILED)), || "its ending".to_owned())?;
                let told = code == Some(0) || text.lines().any(|line| line.starts_with("error[SW"));
                ensure(told, || "no error is told".to_owned())?;
                let hint = fault != Fault::Full
                    || code == Some(0)
                    || (text.contains("free some space") || text.contains("free space"));
                ensure(hint, || "no hint".to_owned())
            }
        }
    }

    fn check_home(
        &self,
        home: &Path,
        fault: Fault,
        operation: Option<&Operation>,
        ended: &Output,
    ) -> Result<(), String> {
        let died = ended.status.code().is_none();
        // A file that cannot be removed stays until the next start.
        let refused = fault == Fault::Error && operation.is_some_and(|it| it.name == "unlink");
        if !died && !refused {
            let before = self.begins_with.as_deref().map(temporary).unwrap_or_default();
            let left = temporary(home);
            ensure(left.is_subset(&before), || format!("left by a process that lived: {left:?}"))?;
        }
        let opened = Home::open(home).map_err(|error| format!("the next start: {error}"))?;
        left_behind(home)?;
        only_what_is_known(home)?;
        everything_is_whole(&opened)?;
        // A commit whose flush failed may still have reached the disk.
        let unsure = fault == Fault::Error && operation.is_some_and(|it| it.name == "fsync");
        self.check_runs(&opened.registry, ended.status.code(), unsure)?;
        self.check_versions(&opened, ended.status.code())
    }

    fn check_runs(&self, registry: &Registry, code: Option<i32>, unsure: bool) -> Result<(), String> {
        let runs = registry.list_runs(usize::MAX).map_err(text)?;
        let new = runs.len() - self.runs_before;
        ensure(new <= 1, || format!("{new} new runs"))?;
        for run in &runs {
            ensure(run.status != RunStatus::Running, || "a dead run is running".to_owned())?;
            let stages = registry.stages(&run.run_id).map_err(text)?;
            let finished = stages.iter().filter(|stage| ["finished", "cached"].contains(&&*stage.status)).count();
            ensure(run.status != RunStatus::Finished || finished == 6, || format!("finished after {finished} stages"))?;
            ensure(stages.len() <= 6 && stages.len() - finished <= 1, || "stages after a failed one".to_owned())?;
        }
        let status = (new == 1).then(|| runs[0].status);
        let fits = match code {
            Some(0) => status == Some(RunStatus::Finished),
            Some(INTERRUPTED) => status == Some(RunStatus::Killed),
            // A run whose end could not be recorded counts as killed.
            Some(_) => matches!(status, None | Some(RunStatus::Failed | RunStatus::Killed)),
            None => matches!(status, None | Some(RunStatus::Finished | RunStatus::Killed)),
        };
        ensure(fits || unsure, || format!("the run is recorded as {status:?}"))
    }

    /// Checks that versions are consecutive, judged and complete, that the champion is approved,
    /// and that production has it or the one before it, complete.
    fn check_versions(&self, home: &Home, code: Option<i32>) -> Result<(), String> {
        let mut approved = vec![None];
        for version in versions(home, MODEL)? {
            let number = version.version;
            // A version is registered when it is trained. A run that ended also judged it.
            let is_judged = version.verdict.is_some() || !matches!(code, Some(0 | 4));
            ensure(is_judged, || format!("version {number} is not judged"))?;
            if version.verdict == Some(Verdict::Approved) {
                approved.push(Some(number));
            }
        }
        let champion = home.registry.alias(MODEL, CHAMPION).map_err(text)?;
        ensure(approved.contains(&champion), || format!("champion {champion:?}, approved {approved:?}"))?;
        ensure(champion >= self.champion_before, || format!("champion {champion:?} after {:?}", self.champion_before))?;
        let promoted = promoted(home.path(), MODEL)?;
        let fits = promoted == champion || promoted == self.champion_before;
        ensure(fits, || format!("production has {promoted:?}, the champion is {champion:?}"))?;
        ensure(code != Some(0) || champion > self.champion_before, || "nothing was promoted".to_owned())
    }
}

/// Returns whether to take every point and to try the next run after each.
fn all() -> bool {
    std::env::var_os("STAGEWRIGHT_FAULTS").is_some_and(|it| it == "all")
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("a file");
        }
    }
}

// invariant: A fault, kill or loss of power at any file operation of a run leaves nothing partial.
// The record says what happened, and the next run works.
#[test]
fn a_disk_that_is_full_from_any_operation_on_leaves_nothing_partial() {
    Scenario::first_run().walk(Fault::Full, 1);
    Scenario::after_a_killed_run().walk(Fault::Full, 8);
}

// invariant: as `a_disk_that_is_full_from_any_operation_on_leaves_nothing_partial`
#[test]
fn a_failure_of_any_operation_leaves_nothing_partial() {
    Scenario::first_run().walk(Fault::Error, 1);
    Scenario::after_a_killed_run().walk(Fault::Error, 8);
}

// invariant: as `a_disk_that_is_full_from_any_operation_on_leaves_nothing_partial`
// invariant: as `a_process_that_is_killed_anywhere_leaves_one_champion`
#[test]
fn a_process_killed_at_any_operation_leaves_nothing_partial() {
    Scenario::first_run().walk(Fault::Kill, 1);
    Scenario::after_a_killed_run().walk(Fault::Kill, 8);
}

// invariant: as `a_disk_that_is_full_from_any_operation_on_leaves_nothing_partial`
#[test]
fn a_loss_of_power_at_any_operation_loses_nothing_that_was_recorded() {
    Scenario::first_run().walk(Fault::Power, 1);
    Scenario::after_a_killed_run().walk(Fault::Power, 8);
}

// invariant: as `a_disk_that_is_full_from_any_operation_on_leaves_nothing_partial`
#[test]
fn an_interruption_at_any_operation_leaves_nothing_partial() {
    Scenario::first_run().walk(Fault::Interrupt, 8);
    Scenario::after_a_killed_run().walk(Fault::Interrupt, 8);
}
