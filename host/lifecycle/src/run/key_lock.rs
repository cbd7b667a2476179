//! The lock of a step's key, which lets one process of a home execute the step at a time.

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use stagewright_manifest::StepId;
use stagewright_store::{Digest, Home, StoreError};

use crate::fault::StageFault;
use crate::limits::Cancel;
use crate::run_error::RunError;

/// How often a process that waits tries again: short compared with a stage, and idle for a core.
const PAUSE: Duration = Duration::from_millis(20);

/// The lock of a key. It is released when it is dropped, or when the process ends, however it ends.
///
/// While a run waits for one, it holds nothing that the holder could need before releasing it: no
/// permit, and no memory of the budget. It may hold the decision lock, because nobody waits for
/// that while executing a step.
#[derive(Debug)]
pub(crate) struct KeyLock {
    key: Digest,
    path: PathBuf,
    _file: File,
}

/// The locks of steps of a run that have ended and are recorded after other steps. They are
/// released while a step of the run waits for a key: otherwise two runs could wait for each other,
/// and a run for itself.
#[derive(Debug, Default)]
pub(crate) struct HeldLocks(Mutex<LocksAside>);

#[derive(Debug, Default)]
struct LocksAside {
    locks: HashMap<Digest, KeyLock>,
    /// The number of steps of the run that wait for a key.
    waiting: usize,
}

/// A step of a run that waits for a key.
struct WaitGuard<'a>(&'a HeldLocks);

impl HeldLocks {
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

    /// Releases all locks, and those that are added until the returned value is dropped.
    fn begin_wait(&self) -> WaitGuard<'_> {
        let mut aside = self.state();
        aside.waiting += 1;
        aside.locks.clear();
        WaitGuard(self)
    }

    fn state(&self) -> MutexGuard<'_, LocksAside> {
        // The state is consistent after each statement under this lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}

impl KeyLock {
    /// Waits until no other process of this home executes a step with this key. Meanwhile the run's
    /// `held` locks are released. `on_wait` is called once if there is such a process.
    ///
    /// # Errors
    /// The lock's file cannot be created or locked, or the run was cancelled.
    pub(crate) fn wait(
        home: &Home,
        key: &Digest,
        stage: &StepId,
        cancel: &Cancel,
        held: &HeldLocks,
        on_wait: impl FnOnce(),
    ) -> Result<Self, RunError> {
        let folder = home.cache_dir().join("keys");
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| StoreError::Io { action: "lock", path, source }
        };
        std::fs::create_dir_all(&folder).map_err(failed(&folder))?;
        let path = folder.join(key.to_hex());
        let mut on_wait = Some(on_wait);
        let mut waiting = None;
        loop {
            let file =
                OpenOptions::new().create(true).write(true).truncate(false).open(&path).map_err(failed(&path))?;
            match file.try_lock() {
                // The holder may have removed the file between the two calls.
                Ok(()) if is_at(&file, &path) => return Ok(Self { key: *key, path, _file: file }),
                Ok(()) => continue,
                Err(TryLockError::WouldBlock) if cancel.is_cancelled() => {
                    return Err(StageFault::Cancelled { stage: stage.clone() }.into());
                }
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(reason)) => return Err(failed(&path)(reason).into()),
            }
            if waiting.is_none() {
                // It may be a lock of this run, in which case there is nothing to wait for.
                waiting = Some(held.begin_wait());
                continue;
            }
            if let Some(on_wait) = on_wait.take() {
                on_wait();
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // The file is still locked. Whoever opened it meanwhile notices that it is gone. A file
        // that is left over locks nothing.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Removes the lock files of killed processes. They lock nothing.
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
            // The file is still locked: see `KeyLock`.
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

    use stagewright_manifest::World;

    use super::*;

    // invariant: as `runs_that_want_the_same_at_once_compute_it_once`
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
                            &HeldLocks::default(),
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
        let lock =
            KeyLock::wait(&home, &held, &World::Training.into(), &Cancel::default(), &HeldLocks::default(), || {})
                .expect("a lock");
        let keys = home.cache_dir().join("keys");
        std::fs::write(keys.join(left.to_hex()), "").expect("a file");
        sweep_locks(&home).expect("swept");
        let names: Vec<_> = std::fs::read_dir(&keys).expect("a folder").flatten().map(|it| it.file_name()).collect();
        assert_eq!(names, [held.to_hex().as_str()]);
        drop(lock);
    }

    // invariant: as `runs_that_want_the_same_at_once_compute_it_once`
    #[test]
    fn who_waits_for_a_key_can_be_stopped_and_other_keys_are_free() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home::open(folder.path()).expect("a home");
        let (key, cancel) = (Digest::of(b"key"), Cancel::default());
        let wait = |key: &Digest| {
            KeyLock::wait(&home, key, &World::Training.into(), &cancel, &HeldLocks::default(), || cancel.cancel())
        };
        let held = wait(&key).expect("nobody else is there");
        let waited = wait(&key);
        assert!(matches!(waited, Err(RunError::Stage(StageFault::Cancelled { .. }))));
        assert!(wait(&Digest::of(b"other")).is_ok());
        // A step does not wait for another step of its run that is recorded later, and a run holds
        // no other locks while it waits.
        let held_locks = HeldLocks::default();
        held_locks.put(Some(held));
        assert!(matches!(wait(&key), Err(RunError::Stage(_))), "it is held as before");
        let never = || unreachable!("nobody else is there");
        let taken = KeyLock::wait(&home, &key, &World::Training.into(), &Cancel::default(), &held_locks, never);
        let taken = taken.expect("the lock");
        assert!(held_locks.take(&key).is_none());
        let waiting = held_locks.begin_wait();
        held_locks.put(Some(taken));
        assert!(wait(&key).is_ok(), "it was let go of");
        drop(waiting);
        held_locks.put(Some(wait(&key).expect("nobody holds it")));
        assert!(matches!(wait(&key), Err(RunError::Stage(_))), "nobody waits any more");
        drop(held_locks.take(&key).expect("it is held"));
        assert!(wait(&key).is_ok());
    }
}
