//! The budget of a process, which all its runs share: the threads at work, and the memory of
//! guests.
//!
//! Work that is divided needs a [`Permit`] for each thread. [`Budget::enter`] waits for the first
//! permit and takes as many others as are free, so work always begins and never exceeds the budget.
//! No result depends on the number of permits. A thread that holds a permit must not wait for
//! another one; this rules out a deadlock.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use crate::sandbox::Cancel;

/// How often a thread that waits for a permit checks for cancellation.
const LOOK: Duration = Duration::from_millis(20);

/// The share of the memory of the machine, or of its control group, that guests may take before no
/// further thread begins, in percent. The rest is for the host and the system.
const SHARE: u64 = 80;

/// The permits and the memory of a process. There is one for its whole life.
#[derive(Debug)]
pub struct Budget {
    permits: usize,
    memory: u64,
    /// The guests' memory now, in bytes.
    live: AtomicU64,
    state: Mutex<State>,
    freed: Condvar,
}

#[derive(Debug)]
struct State {
    /// The permits that nobody holds.
    free: usize,
    /// The threads that wait for a permit, in order of arrival.
    waiting: VecDeque<u64>,
    arrivals: u64,
}

impl Budget {
    /// Creates a budget of `permits` threads, at least one. No further thread begins while guests
    /// have more than `memory` bytes.
    pub fn new(permits: usize, memory: u64) -> Self {
        let permits = permits.max(1);
        let state = State { free: permits, waiting: VecDeque::new(), arrivals: 0 };
        Self { permits, memory, live: AtomicU64::new(0), state: Mutex::new(state), freed: Condvar::new() }
    }

    /// Returns the default budget: a thread for each core, and [`Budget::usual_memory`].
    pub fn of_machine() -> &'static Self {
        static BUDGET: OnceLock<Budget> = OnceLock::new();
        BUDGET.get_or_init(|| Self::new(cores(), Self::usual_memory()))
    }

    /// Returns the default bound on the guests' memory, in bytes: 80 percent of the memory of the
    /// machine, or of its control group.
    pub fn usual_memory() -> u64 {
        let text = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let machine = machine_memory(&text("/proc/meminfo"));
        let group = group_memory(Path::new("/sys/fs/cgroup"), &text("/proc/self/cgroup"));
        machine.min(group).saturating_mul(SHARE) / 100
    }

    /// Returns the number of threads that may work at once.
    pub fn permits(&self) -> usize {
        self.permits
    }

    /// Returns the guests' memory now, in bytes.
    pub fn live(&self) -> u64 {
        self.live.load(Ordering::Relaxed)
    }

    /// Waits for a permit, in order of arrival, and returns it with as many further ones as are
    /// free, up to `most`. Returns `None` if `cancel` was cancelled meanwhile.
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
                // Another thread may be the first in the queue now.
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

    /// Returns a further permit if one is free, nobody waits for it, and the guests' memory is
    /// within its bound.
    fn more(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        let is_free = state.free > 0 && state.waiting.is_empty() && self.live() <= self.memory;
        is_free.then(|| {
            state.free -= 1;
            Permit(self)
        })
    }

    /// Begins to count the memory of one guest. It is counted until the value is dropped.
    pub fn guest(&'static self) -> GuestMemory {
        GuestMemory { budget: self, bytes: 0 }
    }

    /// No thread panics while it holds this lock.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Permission for one thread to work. Dropping it returns it.
#[derive(Debug)]
pub struct Permit<'a>(&'a Budget);

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.state().free += 1;
        self.0.freed.notify_all();
    }
}

/// The memory of one guest, as a part of the guests' memory.
#[derive(Debug)]
pub struct GuestMemory {
    budget: &'static Budget,
    bytes: u64,
}

impl GuestMemory {
    /// Counts `bytes` more.
    pub fn grow(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.budget.live.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Returns the budget that counts this memory.
    pub fn budget(&self) -> &'static Budget {
        self.budget
    }
}

impl Drop for GuestMemory {
    fn drop(&mut self) {
        self.budget.live.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Returns the number of threads that the machine runs at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Returns the machine's memory in bytes, from the text of `/proc/meminfo`; `u64::MAX` if it does
/// not say.
fn machine_memory(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|rest| rest.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kibibytes.map_or(u64::MAX, |kibibytes| kibibytes.saturating_mul(1024))
}

/// Returns the lowest memory limit of a control group and its ancestors, in cgroup v1 or v2;
/// `u64::MAX` if there is none. `own` is the text of `/proc/self/cgroup`.
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
        // Inside a container the path may be the machine's; then only the root group exists.
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

    // invariant: The runs of one process together use no more threads than the operator permits.
    // Waiting work always proceeds, and exhaustion is reported as the operator's limit.
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

    // invariant: as `never_more_work_at_once_than_there_are_permits_and_all_of_it_ends`
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

    // invariant: as `never_more_work_at_once_than_there_are_permits_and_all_of_it_ends`
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
