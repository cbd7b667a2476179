//! Sends `kill -9` at every message between a run and the processes of its stages. No process is
//! left, nothing partial is visible, and the next run makes what the killed one would have made.
//!
//! A messenger stands between the two (src/bin/messenger.rs); both programs are the shipped ones.
//! The minimal pipeline passes about 190 messages of 30 kinds: the call of each export, a question
//! for each import, a notification, an answer, the end of a call. A process is killed before and
//! after a message. The first and the last message of each kind are taken, and with built-in stages
//! the first of each kind that the minimal ones lack. `STAGEWRIGHT_FAULTS=all` takes every message
//! of both.
#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use stagewright_end_to_end::whole::{
    champion, ensure, everything_is_whole, left_behind, only_what_is_known, promoted, text, versions,
};
use stagewright_end_to_end::{Ended, Place, binary, config, digests, least_pipeline};
use stagewright_store::{Home, RunStatus};

/// The exit code for a stage that crashed.
const STAGE_FAILED: i32 = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whom {
    Parent,
    Child,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Before,
    After,
}

/// A message of a run, counted from 1, with its name.
#[derive(Clone, Debug)]
struct Moment {
    number: usize,
    name: String,
    when: When,
}

/// A run to be disturbed.
struct Scenario {
    place: Place,
    arguments: Vec<String>,
    model: &'static str,
    /// The artifacts that it makes, by name.
    made: BTreeMap<String, String>,
    /// The names of its messages.
    messages: Vec<String>,
}

/// A folder with the binary, where the messenger takes the place of the program of stages.
struct Post(PathBuf);

impl Post {
    fn new(folder: PathBuf) -> Self {
        fs::create_dir(&folder).expect("a folder");
        let shipped = binary();
        for (from, name) in [
            (shipped.as_path(), "stagewright"),
            (Path::new(env!("CARGO_BIN_EXE_messenger")), "stagewright-stage"),
            (&shipped.with_file_name("stagewright-stage"), "inner"),
        ] {
            // A hard link, because each program looks for files beside itself.
            if fs::hard_link(from, folder.join(name)).is_err() {
                fs::copy(from, folder.join(name)).expect("a program");
            }
        }
        std::os::unix::fs::symlink(shipped.with_file_name("stages"), folder.join("stages")).expect("a link");
        Self(folder)
    }

    fn binary(&self) -> PathBuf {
        self.0.join("stagewright")
    }

    /// Begins a new log and writes the plan.
    fn plan(&self, plan: Option<(Whom, &Moment)>) {
        let _ = fs::remove_file(self.0.join("log"));
        let text = plan.map(|(whom, Moment { when, number, .. })| format!("{whom:?} {when:?} {number}").to_lowercase());
        match text {
            Some(text) => fs::write(self.0.join("plan"), text).expect("a plan"),
            None => drop(fs::remove_file(self.0.join("plan"))),
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.0.join("log")).unwrap_or_default()
    }

    /// Returns the names of the messages that passed.
    fn messages(&self) -> Vec<String> {
        let log = self.log();
        let numbered = log.lines().filter(|line| !line.starts_with("processes ") && *line != "renewed");
        numbered.map(str::to_owned).collect()
    }

    /// Waits until all processes that it started are gone.
    fn is_left(&self) -> Result<(), String> {
        let log = self.log();
        let numbers = log.lines().filter_map(|line| line.strip_prefix("processes ")).flat_map(|it| it.split(' '));
        let begin = Instant::now();
        for number in numbers {
            // Another process may have the number by now, but has another name.
            let lives = || {
                let status = fs::read_to_string(format!("/proc/{number}/status")).unwrap_or_default();
                let ours = ["Name:\tstagewright-sta\n", "Name:\tinner\n"].iter().any(|name| status.starts_with(name));
                ours && !status.contains("\nState:\tZ")
            };
            while lives() {
                ensure(begin.elapsed() < Duration::from_secs(60), || format!("process {number} is left"))?;
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(())
    }
}

impl Scenario {
    /// The minimal stages.
    fn least() -> Self {
        let place = Place::new();
        let manifest = place.write("least.toml", least_pipeline("empty-training")).display().to_string();
        Self::of(place, "least", vec![manifest])
    }

    /// Built-in stages on a few customers, with a champion to compare with.
    fn shipped() -> Self {
        let place = Place::new();
        let arguments = [
            &config("churn.toml"),
            "--set",
            "ingestion.component=ingest-synthetic",
            "--set",
            "ingestion.rows=400",
            "--set",
            "gates.minimum={}",
        ];
        Self::of(place, "churn-classifier", arguments.map(str::to_owned).into())
    }

    fn of(place: Place, model: &'static str, mut arguments: Vec<String>) -> Self {
        arguments.extend(["--json", "--workers", "1"].map(str::to_owned));
        arguments.insert(0, "run".into());
        let mut scenario = Self { place, arguments, model, made: BTreeMap::new(), messages: Vec::new() };
        // Components are compiled and described first.
        Ended::of(scenario.command(&binary(), &scenario.place.home())).expect(0);
        let post = Post::new(scenario.place.path().join("counts"));
        post.plan(None);
        let run = Ended::of(scenario.command(&post.binary(), &scenario.place.path().join("counted"))).expect(0).json();
        scenario.made = digests(&run).into_iter().collect();
        scenario.messages = post.messages();
        let plain = Ended::of(scenario.command(&binary(), &scenario.place.path().join("plain"))).expect(0).json();
        let plain: BTreeMap<String, String> = digests(&plain).into_iter().collect();
        assert_eq!(scenario.made, plain, "the messenger changes nothing");
        assert!(scenario.messages.len() > 50, "{:?}", scenario.messages);
        scenario
    }

    fn command(&self, binary: &Path, home: &Path) -> Command {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.place.command_of(binary, home, &arguments)
    }

    /// Returns both sides of the messages that a condition selects by their index.
    fn moments(&self, is_meant: impl Fn(&[String], usize) -> bool) -> Vec<Moment> {
        let chosen = (0..self.messages.len()).filter(|&at| all() || is_meant(&self.messages, at));
        let both = chosen.flat_map(|at| [When::Before, When::After].map(|when| (at, when)));
        let moments = both.map(|(at, when)| Moment { number: at + 1, name: self.messages[at].clone(), when });
        // The run may end a process that has returned before it is killed. The moment before the
        // next message covers this.
        moments.filter(|moment| moment.name != "returned" || moment.when == When::Before).collect()
    }

    /// Kills at each of these moments and reports everything that went wrong.
    fn walk(&self, whom: Whom, moments: &[Moment]) {
        assert!(!moments.is_empty(), "no message is of a kind that is to be met");
        let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let work = |worker: usize| {
            let post = Post::new(self.place.path().join(format!("{whom:?}-{worker}")));
            while let Some(moment) = moments.get(next.fetch_add(1, Ordering::Relaxed)) {
                let home = self.place.path().join(format!("home-{whom:?}-{worker}"));
                if let Err(problem) = self.disturb(&post, &home, whom, moment) {
                    let told = format!("{whom:?} {:?} {} `{}`: {problem}", moment.when, moment.number, moment.name);
                    wrong.lock().expect("no panic").push(told);
                }
                fs::remove_dir_all(home).expect("a home");
            }
        };
        std::thread::scope(|scope| (0..2).for_each(|worker| drop(scope.spawn(move || work(worker)))));
        let wrong = wrong.into_inner().expect("no panic");
        assert!(wrong.is_empty(), "{} of {} moments:\n{}", wrong.len(), moments.len(), wrong.join("\n"));
        let kinds: BTreeSet<&String> = moments.iter().map(|moment| &moment.name).collect();
        println!("{whom:?}: {} moments of {} messages: {kinds:?}", moments.len(), self.messages.len());
    }

    fn disturb(&self, post: &Post, home: &Path, whom: Whom, moment: &Moment) -> Result<(), String> {
        post.plan(Some((whom, moment)));
        let ended = self.command(&post.binary(), home).output().map_err(text)?;
        self.check(post, home, whom, moment, &ended)
            .map_err(|problem| format!("{problem}; {}\n{}", ended.status, String::from_utf8_lossy(&ended.stderr)))?;
        let next = self.command(&binary(), home).output().map_err(text)?;
        let told = || format!("the next run: {}\n{}", next.status, String::from_utf8_lossy(&next.stderr));
        ensure(next.status.code() == Some(0), told)?;
        let run = serde_json::from_slice(&next.stdout).map_err(text)?;
        let made: BTreeMap<String, String> = digests(&run).into_iter().collect();
        let differs: Vec<&String> =
            self.made.iter().filter(|(name, it)| made.get(*name) != Some(it)).map(|it| it.0).collect();
        ensure(differs.is_empty() && made.len() == self.made.len(), || format!("the next run made other {differs:?}"))?;
        left_behind(home)?;
        let (promoted, champion) = (promoted(home, self.model)?, champion(home, self.model)?);
        ensure(promoted == champion && champion == Some(1), || {
            format!("production has {promoted:?}, the champion is {champion:?}")
        })
    }

    fn check(&self, post: &Post, home: &Path, whom: Whom, moment: &Moment, ended: &Output) -> Result<(), String> {
        let (code, passed) = (ended.status.code(), post.messages());
        let named = passed.get(moment.number - 1);
        ensure(named == Some(&moment.name), || format!("it is `{named:?}`"))?;
        // A process may work for a moment before the signal reaches it. A run may also ask other
        // processes before it looks at the dead one again.
        let alone = moment.when == When::Before;
        ensure(!alone || passed.len() == moment.number, || format!("{} after it", passed.len() - moment.number))?;
        post.is_left()?;
        let status = match whom {
            Whom::Parent => {
                ensure(ended.status.signal() == Some(9), || "it was not killed".into())?;
                // A dead process leaves unfinished artifacts, which the next start removes.
                RunStatus::Killed
            }
            Whom::Child => {
                // The messenger has no filter, so the stage could have ended itself.
                ensure(code == Some(STAGE_FAILED), || "its ending".into())?;
                let told = String::from_utf8_lossy(&ended.stdout);
                ensure(told.contains("by the signal `SIGKILL`"), || format!("it told {told}"))?;
                left_behind(home)?;
                RunStatus::Failed
            }
        };
        let home = Home::open(home).map_err(text)?;
        left_behind(home.path())?;
        only_what_is_known(home.path())?;
        everything_is_whole(&home)?;
        let runs = home.registry.list_runs(usize::MAX).map_err(text)?;
        let recorded: Vec<RunStatus> = runs.iter().map(|run| run.status).collect();
        ensure(recorded == [status], || format!("recorded as {recorded:?}"))?;
        let stages = home.registry.stages(&runs[0].run_id).map_err(text)?;
        let unfinished = stages.iter().filter(|stage| stage.status != "finished").count();
        ensure(unfinished <= 1, || format!("{unfinished} stages are not finished"))?;
        let versions = versions(&home, self.model)?;
        ensure(versions.len() <= 1, || format!("{} versions", versions.len()))?;
        // Nothing is promoted before the last message of the last stage.
        let (promoted, champion) = (promoted(home.path(), self.model)?, champion(home.path(), self.model)?);
        ensure(promoted.is_none() && champion.is_none(), || format!("promoted {promoted:?}, champion {champion:?}"))
    }
}

/// Returns whether to take every message.
fn all() -> bool {
    std::env::var_os("STAGEWRIGHT_FAULTS").is_some_and(|it| it == "all")
}

fn is_first(messages: &[String], at: usize) -> bool {
    !messages[..at].contains(&messages[at])
}

fn is_last(messages: &[String], at: usize) -> bool {
    !messages[at + 1..].contains(&messages[at])
}

fn kill_at_messages(whom: Whom) {
    let least = Scenario::least();
    least.walk(whom, &least.moments(|messages, at| is_first(messages, at) || is_last(messages, at)));
    let shipped = Scenario::shipped();
    shipped
        .walk(whom, &shipped.moments(|messages, at| is_first(messages, at) && !least.messages.contains(&messages[at])));
}

// invariant: Killing a run, or the process of one of its stages, at any message leaves no process
// and nothing partial. The next run makes the same artifacts.
#[test]
fn a_run_killed_at_any_message_leaves_no_process_and_nothing_partial() {
    kill_at_messages(Whom::Parent);
}

// invariant: as `a_run_killed_at_any_message_leaves_no_process_and_nothing_partial`
#[test]
fn a_stages_process_killed_at_any_message_is_its_stages_fault_and_leaves_nothing_partial() {
    kill_at_messages(Whom::Child);
}
