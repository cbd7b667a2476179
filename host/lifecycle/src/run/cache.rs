//! Steps that were done before: found by their keys, and not executed again.
//!
//! The cache is the registry's record of stages: there is no second store that could disagree with
//! it. A result is taken over only by a run that resolved the same component a moment ago, so what
//! today's signatures, operator and lock file refuse is refused whatever is on record. Processes of
//! one home that want the same at once compute it once: the first holds the [lock of its
//! key](KeyLock).

use std::collections::{BTreeSet, HashMap};
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stagewright_evaluation::report::EvaluationReport;
use stagewright_manifest::{Step, StepId, World};
use stagewright_store::{
    ArtifactKind, ArtifactRecord, ArtifactStore, CACHED, Digest, FAILED, Home, RunId, StageRecord, StoreError,
};

use crate::artifact::{COMPONENTS, EVALUATION, Json, Readable as _};
use crate::artifact_names::ArtifactName;
use crate::bench::{Bench, now_ms};
use crate::fault::StageFault;
use crate::invocation::{Invocation, Outcome, Usage};
use crate::run::{Ended, Run, RunError};
use crate::sandbox::{Cancel, Level};
use crate::stages::evaluation::results_of;
use crate::upon;

/// Which steps of a run may take over what is on record.
#[derive(Clone, Debug, Default)]
pub struct Reuse {
    /// No step may, but for what `resumed` brought to its end.
    pub nothing: bool,
    /// Steps that are executed whatever is on record.
    pub refresh: BTreeSet<StepId>,
    /// The run that this one goes on with. Its steps are taken over even where a step keeps no
    /// cache: what was executed for a run need not be executed for it twice.
    pub resumed: Option<RunId>,
    /// The walls that must stand around a step today, and must have stood around one that is taken
    /// over.
    pub walls: BTreeSet<&'static str>,
}

/// A result on record.
pub struct Found {
    /// The run that executed the step.
    pub run: RunId,
    /// The step as it is recorded.
    pub stage: StageRecord,
}

/// Looks for a step of this key whose outputs are all there, and around which these walls stood.
///
/// # Errors
/// The registry cannot be read.
pub fn find(home: &Home, key: &Digest, walls: &BTreeSet<&str>) -> Result<Option<Found>, StoreError> {
    let found = home.registry.stage_of_key(key)?.map(|(run, stage)| found(run, stage));
    whole(home, found.filter(|found| have_stood(walls, &found.stage)))
}

/// Whether these walls stood around every call of a step.
pub(crate) fn have_stood(walls: &BTreeSet<&str>, stage: &StageRecord) -> bool {
    walls.iter().all(|wall| stage.walls.as_ref().is_some_and(|stood| stood.iter().any(|it| it == wall)))
}

/// The same, among the steps of one run.
pub(crate) fn find_in(
    home: &Home,
    run: &RunId,
    key: &Digest,
    walls: &BTreeSet<&str>,
) -> Result<Option<Found>, StoreError> {
    let is_done = |stage: &StageRecord| stage.status != FAILED && stage.dropped == 0 && have_stood(walls, stage);
    let is_same = |stage: &StageRecord| stage.key == Some(*key) && is_done(stage);
    let stage = home.registry.stages(run)?.into_iter().rfind(is_same);
    let found = stage.map(|stage| found(run.clone(), stage));
    whole(home, found)
}

fn found(run: RunId, stage: StageRecord) -> Found {
    // It may have been taken over itself.
    Found { run: stage.cached_from.clone().unwrap_or(run), stage }
}

/// Whether the outputs of a step can be had, as long as they were. Their content is compared with
/// their digests where they are opened; of a table, which is read in pieces, the structure is
/// looked at. What is at the shared place alone is verified when it is fetched.
fn is_whole(artifacts: &ArtifactStore, stage: &StageRecord) -> Result<bool, StoreError> {
    for output in &stage.outputs {
        let ArtifactRecord { kind, digest, bytes, rows, .. } = output;
        let is_there = match (artifacts.contains(*kind, digest), kind) {
            (false, _) => artifacts.reaches(*kind, digest)?,
            (true, ArtifactKind::Table) => artifacts.open_table(digest).is_ok_and(|table| Some(table.rows()) == *rows),
            (true, ArtifactKind::Blob | ArtifactKind::Document) => {
                std::fs::metadata(artifacts.path(*kind, digest)).is_ok_and(|file| file.len() == *bytes)
            }
        };
        if !is_there {
            return Ok(false);
        }
    }
    Ok(true)
}

/// A result, if it is whole.
fn whole(home: &Home, found: Option<Found>) -> Result<Option<Found>, StoreError> {
    match found {
        Some(found) if is_whole(&home.artifacts, &found.stage)? => Ok(Some(found)),
        _ => Ok(None),
    }
}

impl Found {
    /// The record of a step that takes this over, begun at `began_ms`.
    pub(crate) fn taken_over(&self, began_ms: i64, now_ms: i64, invocation: serde_json::Value) -> StageRecord {
        StageRecord {
            status: CACHED.to_owned(),
            started_ms: began_ms,
            ended_ms: now_ms,
            invocation: Some(invocation),
            cached_from: Some(self.run.clone()),
            ..self.stage.clone()
        }
    }
}

impl Run {
    /// The result on record of a step, if it may be taken over; else the lock under which the step
    /// is executed, if others may take that over.
    pub(crate) fn on_record(
        &self,
        step: &Step,
        key: &Digest,
        bench: &Bench,
    ) -> Result<(Option<Found>, Option<KeyLock>), RunError> {
        loop {
            let (found, lock) = self.look_up(step, key, bench)?;
            let Some(found) = found else { return Ok((None, lock)) };
            // No collection of garbage takes it from now on.
            let outputs = found.stage.outputs.iter().map(|output| (output.kind, output.digest));
            if self.request.home.artifacts.renew(&outputs.collect::<Vec<_>>())? {
                return Ok((Some(found), None));
            }
            // It went a moment ago. It is not found again, and the key is locked before it is made:
            // others may want it too.
        }
    }

    fn look_up(&self, step: &Step, key: &Digest, bench: &Bench) -> Result<(Option<Found>, Option<KeyLock>), RunError> {
        let Self { request, .. } = self;
        let (home, stage) = (&request.home, request.manifest.stage_of(step));
        if request.reuse.refresh.contains(&step.stage) {
            return Ok((None, None));
        }
        let walls = &request.reuse.walls;
        for resumed in upon::resumed(home, request.reuse.resumed.clone())? {
            if let Some(found) = find_in(home, &resumed, key, walls)? {
                return Ok((Some(found), None));
            }
        }
        if request.reuse.nothing || !stage.cache {
            return Ok((None, None));
        }
        if let Some(found) = find(home, key, walls)? {
            return Ok((Some(found), None));
        }
        let waits = || {
            let message = "another run does the same at this moment: what it makes is waited for";
            request.observer.log(&step.id, Level::Info, message);
        };
        let lock =
            bench.waiting(|| KeyLock::wait(home, key, &step.stage, &bench.session.cancel, &self.aside, waits))?;
        // Somebody may have come to the end of it in between.
        Ok(match find(home, key, walls)? {
            Some(found) => (Some(found), None),
            None => (None, Some(lock)),
        })
    }

    /// Records a step that somebody did before as this run's, with all that it said and measured.
    pub(crate) fn take_over(
        &self,
        step: &Step,
        found: &Found,
        invocation: Invocation,
        mut bench: Bench,
    ) -> Result<Ended, RunError> {
        bench.settled(Ok(())).map_err(|error| self.named(step, error))?;
        let value = serde_json::to_value(&invocation).map_err(StageFault::host)?;
        let mut record = found.taken_over(bench.began_ms, now_ms(), value);
        // A step of another name may have done the same.
        record.name = step.id.to_string();
        self.take_components_over(step, &mut record, &mut bench)?;
        // An answer of a server or an imported split that was brought for the invocation.
        bench.publish()?;
        let results = self.results(step, &record)?;
        let outcome = Outcome {
            outputs: record.outputs.clone(),
            usage: used(&record),
            results,
            metrics: record.metrics.clone(),
            logs: record.logs.clone(),
            walls: record.walls.clone().unwrap_or_default(),
            fault: None,
        };
        let (step, invocation, tried) = (step.clone(), Some(invocation), Vec::new());
        Ok(Ended { step, record, outcome, invocation, error: None, tried, lock: None })
    }

    /// The figures that the host found, as the documents of a step tell them.
    fn results(&self, step: &Step, record: &StageRecord) -> Result<Vec<(String, Option<f64>)>, RunError> {
        let ArtifactName { world, name } = EVALUATION.name;
        let evaluated = record.outputs.iter().find(|output| step.world == world && output.name == name);
        let Some(ArtifactRecord { digest, .. }) = evaluated else { return Ok(Vec::new()) };
        let evaluated = Json::<EvaluationReport>::open(&self.request.home.artifacts, digest, EVALUATION.name)?;
        Ok(results_of(&evaluated))
    }

    /// The components that are kept with a model are no output of its training: those of the run
    /// that trained it may be others than this run's.
    fn take_components_over(&self, step: &Step, record: &mut StageRecord, bench: &mut Bench) -> Result<(), RunError> {
        if step.world != World::Training {
            return Ok(());
        }
        let is_kept = |name: &str| COMPONENTS.iter().any(|(_, artifact)| artifact.name.name == name);
        let mut wanted = Vec::with_capacity(COMPONENTS.len());
        for (world, _) in &COMPONENTS {
            wanted.push(self.part(step, *world)?.digest);
        }
        if record.outputs.iter().filter(|output| is_kept(&output.name)).map(|output| output.digest).eq(wanted) {
            return Ok(());
        }
        self.keep_components(step, bench)?;
        record.outputs.retain(|output| !is_kept(&output.name));
        record.outputs.extend(bench.outputs().iter().cloned());
        Ok(())
    }
}

/// The usage of the execution that a record tells of.
fn used(record: &StageRecord) -> Usage {
    Usage {
        wall_ms: record.wall_ms,
        cpu_ms: record.cpu_ms,
        peak_memory_bytes: record.peak_memory_bytes,
        rows_in: record.rows_in,
        rows_out: record.rows_out,
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        bytes_copied: record.copies_bytes,
        output_bytes: 0,
        log_bytes: 0,
        log_lines_dropped: record.dropped,
    }
}

/// How often a process that waits looks again: short beside a stage, and idle beside a core.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of a key. It ends when this is dropped, or when the process ends, however it ends.
///
/// A run waits for it while it holds nothing that another run could want before it lets go of the
/// key: no permit, no memory of the budget. The turn to decide may be held; whoever executes a step
/// waits for no turn meanwhile.
#[derive(Debug)]
pub(crate) struct KeyLock {
    key: Digest,
    path: PathBuf,
    _file: File,
}

/// Locks of steps of a run that have ended and are recorded after others of it. While one of its
/// steps waits for a key there are none: two runs that wait for each other's would wait for ever,
/// and so would a run for its own.
#[derive(Debug, Default)]
pub(crate) struct Aside(Mutex<LocksAside>);

#[derive(Debug, Default)]
struct LocksAside {
    locks: HashMap<Digest, KeyLock>,
    /// How many steps of the run wait for a key.
    waiting: usize,
}

/// A step of a run that waits for a key.
struct Waits<'a>(&'a Aside);

impl Aside {
    /// Keeps a lock until its step is recorded, unless a step of the run waits.
    pub(crate) fn put(&self, lock: Option<KeyLock>) {
        let mut aside = self.state();
        if aside.waiting == 0 {
            aside.locks.extend(lock.map(|lock| (lock.key, lock)));
        }
    }

    pub(crate) fn take(&self, key: &Digest) -> Option<KeyLock> {
        self.state().locks.remove(key)
    }

    /// Lets go of all locks, and of those that come until the end of this.
    fn waits(&self) -> Waits<'_> {
        let mut aside = self.state();
        aside.waiting += 1;
        aside.locks.clear();
        Waits(self)
    }

    fn state(&self) -> MutexGuard<'_, LocksAside> {
        // Every change under this lock is whole after each statement.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl KeyLock {
    /// Waits until nobody else of this home executes a step of this key, meanwhile without the
    /// locks that its run put `aside`. `waits` is called once if somebody does.
    ///
    /// # Errors
    /// The lock's file cannot be made or locked, or somebody asks to stop.
    pub(crate) fn wait(
        home: &Home,
        key: &Digest,
        stage: &StepId,
        cancel: &Cancel,
        aside: &Aside,
        waits: impl FnOnce(),
    ) -> Result<Self, RunError> {
        let folder = home.cache_dir().join("keys");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { action: "lock", path, source }
        };
        std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let path = folder.join(key.to_hex());
        let mut waits = Some(waits);
        let mut waiting = None;
        loop {
            let file =
                OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(failed(&path))?;
            match file.try_lock() {
                // Whoever held it may have removed the file between the two calls.
                Ok(()) if is_at(&file, &path) => return Ok(Self { key: *key, path, _file: file }),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) if cancel.is_cancelled() => {
                    return Err(StageFault::Cancelled { stage: stage.clone() }.into());
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(reason)) => return Err(failed(&path)(reason).into()),
            }
            if waiting.is_none() {
                // It may be this run's own lock: then nobody else is waited for.
                waiting = Some(aside.waits());
                continue;
            }
            if let Some(waits) = waits.take() {
                waits();
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // Still locked: whoever opened it meanwhile finds that it is gone. A file that is left
        // locks nothing.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes the files of locks that processes left which were killed. They lock nothing.
///
/// # Errors
/// The folder cannot be listed.
pub fn sweep_locks(home: &Home) -> Result<(), StoreError> {
    let folder = home.cache_dir().join("keys");
    let failed = |source| StoreError::Io { action: "list", path: folder.clone(), source };
    let entries = match std::fs::read_dir(&folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let Ok(file) = File::open(&path) else { continue };
        if file.try_lock().is_ok() && is_at(&file, &path) {
            // Still locked: see `KeyLock`.
            let _ = std::fs::remove_file(&path);
        }
    }
    Ok(())
}

fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(open), Ok(there)) = (file.metadata(), std::fs::metadata(path)) else { return false };
    (open.dev(), open.ino()) == (there.dev(), there.ino())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn one_at_a_time_holds_a_key_and_the_file_does_not_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let (inside, most, done) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..5 {
                        let key = Digest::of(b"key");
                        let lock = KeyLock::wait(
                            &home,
                            &key,
                            &World::Training.into(),
                            &Cancel::default(),
                            &Aside::default(),
                            || {},
                        );
                        let lock = lock.expect("a lock");
                        most.fetch_max(inside.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        inside.fetch_sub(1, Ordering::SeqCst);
                        done.fetch_add(1, Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
        assert_eq!((most.into_inner(), done.into_inner()), (1, 40));
        assert_eq!(std::fs::read_dir(home.cache_dir().join("keys")).expect("a folder").count(), 0);
    }

    #[test]
    fn what_a_killed_process_left_is_swept_and_what_is_held_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        sweep_locks(&home).expect("nothing is there");
        let (held, left) = (Digest::of(b"held"), Digest::of(b"left"));
        let lock = KeyLock::wait(&home, &held, &World::Training.into(), &Cancel::default(), &Aside::default(), || {})
            .expect("a lock");
        let keys = home.cache_dir().join("keys");
        std::fs::write(keys.join(left.to_hex()), "").expect("a file");
        sweep_locks(&home).expect("swept");
        let names: Vec<_> = std::fs::read_dir(&keys).expect("a folder").flatten().map(|it| it.file_name()).collect();
        assert_eq!(names, [held.to_hex().as_str()]);
        drop(lock);
    }

    #[test]
    fn who_waits_for_a_key_can_be_stopped_and_other_keys_are_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let (key, cancel) = (Digest::of(b"key"), Cancel::default());
        let wait = |key: &Digest| {
            KeyLock::wait(&home, key, &World::Training.into(), &cancel, &Aside::default(), || cancel.cancel())
        };
        let held = wait(&key).expect("nobody else is there");
        let waited = wait(&key);
        assert!(matches!(waited, Err(RunError::Stage(StageFault::Cancelled { .. }))));
        assert!(wait(&Digest::of(b"other")).is_ok());
        // A step of the same run does not wait for one that is recorded after it, and a run holds
        // nothing aside while it waits.
        let aside = Aside::default();
        aside.put(Some(held));
        assert!(matches!(wait(&key), Err(RunError::Stage(_))), "it is held as before");
        let never = || unreachable!("nobody else is there");
        let taken = KeyLock::wait(&home, &key, &World::Training.into(), &Cancel::default(), &aside, never);
        let taken = taken.expect("the lock");
        assert!(aside.take(&key).is_none());
        let waiting = aside.waits();
        aside.put(Some(taken));
        assert!(wait(&key).is_ok(), "it was let go of");
        drop(waiting);
        aside.put(Some(wait(&key).expect("nobody holds it")));
        assert!(matches!(wait(&key), Err(RunError::Stage(_))), "nobody waits any more");
        drop(aside.take(&key).expect("it is aside"));
        assert!(wait(&key).is_ok());
    }
}
