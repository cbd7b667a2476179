//! The budget of this process, for all runs in it: threads at work, and guests' memory.
//!
//! Whoever divides work asks here for a [`Permit`] for each thread. It waits for the first and
//! takes as many more as are free, so that work always begins and never takes more than there is.
//! Nothing depends on how many it gets. Whoever holds a permit must not wait for another: so nobody
//! waits for ever.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::sandbox::Cancel;

/// How long a wish to stop may go unnoticed by somebody who waits.
const LOOK: Duration = Duration::from_millis(20);

/// Percent of the machine's memory, or of its control group's, that guests may take together before
/// no further thread begins; the rest is the host's and the system's.
const SHARE: u64 = 80;

/// Permits and memory. One for a process, for as long as it lives.
#[derive(Debug)]
pub struct Budget {
    permits: usize,
    memory: u64,
    /// Bytes of memory that guests have now.
    live: AtomicU64,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    /// Permits that nobody has.
    free: usize,
    /// Who waits, in order of arrival.
    waiting: VecDeque<u64>,
    arrivals: u64,
}

impl Budget {
    /// So many threads at once, at least one; no further one begins while guests have more than
    /// `memory` bytes.
    pub fn new(permits: usize, memory: u64) -> Self {
        let permits = permits.max(1);
        let state = State { free: permits, waiting: VecDeque::new(), arrivals: 0 };
        Self { permits, memory, live: AtomicU64::new(0), state: Mutex::new(state), freed: Condvar::new() }
    }

    /// That of programs which say nothing: a thread for each core, and [`Budget::usual_memory`].
    pub fn of_machine() -> &'static Self {
        static BUDGET: OnceLock<Budget> = OnceLock::new();
        BUDGET.get_or_init(|| Self::new(cores(), Self::usual_memory()))
    }

    /// Bytes of memory that guests may take together if nobody says: four fifths of the machine's,
    /// or of what its control group has.
    pub fn usual_memory() -> u64 {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let machine = machine_memory(&text("/proc/meminfo"));
        let group = group_memory(Path::new("/sys/fs/cgroup"), &text("/proc/self/cgroup"));
        machine.min(group).saturating_mul(SHARE) / 100
    }

    /// How many threads may work at once.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Bytes of memory that guests have now.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Permits for work that falls into `most` parts at most: one, for which it waits in order of
    /// arrival, and of the others those that are free. `None` if somebody asked to stop meanwhile.
    ///
    /// The caller must not hold a permit.
    pub fn enter(&self, most: usize, cancel: &Cancel) -> Option<Vec<Permit<'_>>> {
        let mut permits = vec![self.wait(cancel)?];
        while permits.len() < most
            && let Some(permit) = self.more()
        {
            permits.push(permit);
        }
        Some(permits)
    }

    fn wait(&self, cancel: &Cancel) -> Option<Permit<'_>> {
        let mut state = self.state();
        let own = state.arrivals;
        state.arrivals += 1;
        state.waiting.push_back(own);
        loop {
            if cancel.is_cancelled() {
                state.waiting.retain(|waiting| *waiting != own);
                // Another one may be the first now.
                self.freed.notify_all();
                return None;
            }
            if state.free > 0 && state.waiting.front() == Some(&own) {
                state.waiting.pop_front();
                state.free -= 1;
                self.freed.notify_all();
                return Some(Permit(self));
            }
            (state, _) = self.freed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A further permit, if one is free, nobody waits for it, and guests have not too much memory.
    fn more(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        let is_free = state.free > 0 && state.waiting.is_empty() && self.live() <= self.memory;
        is_free.then(|| {
            state.free -= 1;
            Permit(self)
        })
    }

    /// Counts the memory of one guest, for as long as the value lives.
    pub fn guest(&'static self) -> GuestMemory {
        GuestMemory { budget: self, bytes: 0 }
    }

    /// Nothing that holds this lock can panic half way.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets one thread work. It is given back when it is dropped.
#[derive(Debug)]
pub struct Permit<'a>(&'a Budget);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state().free += 1;
        self.0.freed.notify_all();
    }
}

/// The memory of one guest, as a part of what all have.
#[derive(Debug)]
pub struct GuestMemory {
    budget: &'static Budget,
    bytes: u64,
}

impl GuestMemory {
    /// The guest has so many bytes more.
    pub fn grow(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.budget.live.fetch_add(bytes, Ordering::Relaxed);
    }

    /// The budget that it is a part of.
    pub fn budget(&self) -> &'static Budget {
        self.budget
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.budget.live.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// How many threads the machine runs at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Bytes of memory by `/proc/meminfo`; all that there can be where it does not say.
fn machine_memory(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kibibytes.map_or(u64::MAX, |kibibytes| kibibytes.saturating_mul(1024))
}

/// The least limit on memory of a control group and of those around it, of either version; all that
/// there can be where there is none. `own` is `/proc/self/cgroup`.
fn group_memory(root: &Path, own: &str) -> u64 {
    let mut least = u64::MAX;
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            v1 if v1.split(',').any(|it| it == "memory") => (root.join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // Inside a container the path may be that of the machine: then only the root is there.
        for group in Path::new(path.trim_start_matches('/')).ancestors() {
            let limit = std::fs::read_to_string(root.join(group).join(file));
            let limit = limit.ok().and_then(|text| text.trim().parse().ok());
            least = least.min(limit.unwrap_or(u64::MAX));
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    use super::*;

    fn taken(budget: &Budget, most: usize) -> Vec<Permit<'_>> {
        budget.enter(most, &Cancel::default()).expect("nobody stops it")
    }

    fn until(is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < Duration::from_secs(60), "it never comes");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn work_takes_what_is_free_and_gives_it_back() {
        let budget = Budget::new(3, u64::MAX);
        assert_eq!(taken(&budget, 0).len(), 1, "one always");
        let two = taken(&budget, 2);
        let rest = taken(&budget, 8);
        assert_eq!((two.len(), rest.len()), (2, 1));
        drop(two);
        assert_eq!(taken(&budget, 8).len(), 2);
        drop(rest);
        assert_eq!(taken(&budget, 8).len(), 3);
        assert_eq!(Budget::new(0, 0).permits(), 1);
    }

    #[test]
    fn never_more_work_at_once_than_there_are_permits_and_all_of_it_ends() {
        let budget = Budget::new(2, u64::MAX);
        let (at_work, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..50 {
                        let permits = taken(&budget, 2);
                        let now = at_work.fetch_add(permits.len(), Ordering::SeqCst) + permits.len();
                        most.fetch_max(now, Ordering::SeqCst);
                        std::thread::yield_now();
                        at_work.fetch_sub(permits.len(), Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(most.load(Ordering::SeqCst), 2);
        assert_eq!(taken(&budget, 9).len(), 2, "all of them are back");
    }

    #[test]
    fn who_waits_longest_is_next_and_who_gives_up_holds_nobody_up() {
        let budget = Budget::new(1, u64::MAX);
        let (order, stopped) = (Mutex::new(Vec::new()), Cancel::default());
        let waiting = |count| until(|| budget.state().waiting.len() == count);
        std::thread::scope(|scope| {
            let all = taken(&budget, 1);
            scope.spawn(|| assert!(budget.enter(1, &stopped).is_none(), "it was stopped"));
            waiting(1);
            for number in 0..3 {
                let (budget, order) = (&budget, &order);
                scope.spawn(move || {
                    let permit = taken(budget, 1);
                    order.lock().expect("no panic").push(number);
                    drop(permit);
                });
                waiting(2 + number);
            }
            stopped.cancel();
            waiting(3);
            drop(all);
        });
        assert_eq!(order.into_inner().expect("no panic"), [0, 1, 2]);
    }

    #[test]
    fn no_further_thread_begins_while_guests_have_too_much_memory() {
        let budget: &'static Budget = Box::leak(Box::new(Budget::new(4, 100)));
        let (mut one, mut other) = (budget.guest(), budget.guest());
        one.grow(60);
        other.grow(40);
        assert_eq!((budget.live(), taken(budget, 4).len()), (100, 4));
        one.grow(1);
        assert_eq!(taken(budget, 4).len(), 1, "work begins all the same");
        drop(other);
        assert_eq!((budget.live(), taken(budget, 4).len()), (61, 4));
        drop(one);
        assert_eq!(budget.live(), 0);
    }

    #[test]
    fn the_machine_and_every_group_around_bound_the_memory() {
        assert_eq!(machine_memory("MemTotal:        2048 kB\nMemFree: 1 kB\n"), 2 << 20);
        assert_eq!(machine_memory("nothing"), u64::MAX);
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
            std::fs::write(path, text).expect("room");
        };
        write("a/b/memory.max", "max\n");
        write("a/memory.max", "5000\n");
        write("memory/c/memory.limit_in_bytes", "4000\n");
        write("memory/memory.limit_in_bytes", "9223372036854771712\n");
        let memory = |own| group_memory(root.path(), own);
        assert_eq!(memory("0::/a/b\n"), 5000);
        assert_eq!(memory("0::/elsewhere\n"), u64::MAX);
        assert_eq!(memory("5:cpu:/a\n4:memory,hugetlb:/c\n0::/\n"), 4000);
        assert!((1 << 20..u64::MAX).contains(&Budget::usual_memory()), "this machine has some");
    }
}
