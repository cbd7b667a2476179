//! The resources that a stage has used.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::WallClock;

/// The resources that a stage has used so far, over all its instances. Counters only grow, until
/// [`Meter::restart`].
#[derive(Debug, Default)]
pub struct Meter {
    /// The CPU time of all threads that worked for the stage, in nanoseconds.
    pub cpu_ns: Arc<AtomicU64>,
    /// The largest memory of one instance, in bytes: its linear memories and the memory that the
    /// host kept for it.
    pub peak_memory: AtomicU64,
    /// Rows that went into guests.
    pub rows_in: AtomicU64,
    /// Rows that came out of guests.
    pub rows_out: AtomicU64,
    /// Bytes of batches and blobs that went into guests.
    pub bytes_in: AtomicU64,
    /// Bytes of batches and blobs that came out of guests.
    pub bytes_out: AtomicU64,
    /// Bytes copied between host and guest, on both sides.
    pub copied: AtomicU64,
    /// Bytes written to artifacts. The output limit counts them.
    pub output: AtomicU64,
    /// Bytes of log lines. The log limit counts them.
    pub log: AtomicU64,
    /// Tables and blobs that instances began to write.
    pub artifacts: AtomicU64,
    /// Log lines recorded.
    pub lines: AtomicU64,
    /// Log lines, metrics and figures that were dropped: past the limit, or not in the contract's
    /// form.
    pub log_dropped: AtomicU64,
    /// Metrics recorded.
    pub points: AtomicU64,
    /// Cells that a transformation treated, by the treatment and the column's index among the
    /// features.
    treated: Mutex<BTreeMap<String, BTreeMap<usize, u64>>>,
    /// Names of the figures added so far.
    figures: Mutex<BTreeSet<String>>,
    /// Nanoseconds that the stage waited for components of other stages. They are subtracted from
    /// its wall time.
    pub waited_ns: Arc<AtomicU64>,
    /// The stage's wall time.
    pub wall: WallClock,
    /// The walls around every call so far; `None` before the first call.
    walls: Mutex<Option<BTreeSet<&'static str>>>,
}

/// The treatments of cells that one stage may count. The contract sets this bound.
const MAX_TREATMENTS: usize = 16;

/// The treatment of a category that training never saw.
const UNSEEN: &str = "unseen";

/// All walls, from the inside out.
pub(crate) const WALLS: [&str; 4] = ["wasm", "seccomp", "landlock", "rlimits"];

/// The answer to a request for a figure's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// The name was free, and is taken from now on.
    Granted,
    /// Another figure of the stage has the name.
    Taken,
    /// The stage has reached its number of figures.
    Full,
}

/// A moment. The default is now.
#[derive(Debug, Clone, Copy)]
pub struct Started(pub std::time::Instant);

impl Default for Started {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Meter {
    /// Adds to a counter, and returns the sum.
    pub fn add(counter: &AtomicU64, amount: u64) -> u64 {
        counter.fetch_add(amount, Ordering::Relaxed) + amount
    }

    /// Returns the meter of a component that works for another stage. Its wall time runs only while
    /// it is called.
    pub fn while_called() -> Self {
        Self { wall: WallClock::while_called(), ..Self::default() }
    }

    /// Returns a meter with the same time as this one and counters of its own for everything else:
    /// of a component that falls under the same time limits.
    #[must_use]
    pub fn sharing_time(&self) -> Self {
        Self {
            cpu_ns: self.cpu_ns.clone(),
            waited_ns: self.waited_ns.clone(),
            wall: self.wall.clone(),
            ..Self::default()
        }
    }

    /// Returns a meter that continues this one's time and starts all other counters at zero. It is
    /// for work that falls under the same time limits but is not the stage's own. [`Meter::settle`]
    /// adds its counts to this meter.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self {
            cpu_ns: Arc::new(Self::get(&self.cpu_ns).into()),
            waited_ns: Arc::new(Self::get(&self.waited_ns).into()),
            wall: self.wall.clone(),
            ..Self::default()
        }
    }

    /// Adds the time and the peak memory of a meter from [`Meter::aside`]. `cpu_ns` is the CPU time
    /// that this meter showed then.
    pub fn settle(&self, aside: &Self, cpu_ns: u64) {
        Self::add(&self.cpu_ns, Self::get(&aside.cpu_ns).saturating_sub(cpu_ns));
        self.peak_memory.fetch_max(Self::get(&aside.peak_memory), Ordering::Relaxed);
        let stood = aside.walls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stood.into_iter().for_each(|stood| self.stood(stood));
    }

    /// Starts the counts of time, log lines and metrics at zero, for a component whose limits count
    /// per call. A call in progress counts from here on.
    pub fn restart(&self) {
        self.wall.restart();
        for counter in [&*self.cpu_ns, &*self.waited_ns, &self.log, &self.lines, &self.points] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// Returns the wall time in nanoseconds, without the time that the stage waited for other
    /// stages.
    pub fn wall_ns(&self) -> u64 {
        (self.wall.elapsed().as_nanos() as u64).saturating_sub(Self::get(&self.waited_ns))
    }

    /// Runs `work`, and subtracts its time from the stage's wall time. Components of other stages
    /// have time limits of their own.
    pub fn waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        let begin = std::time::Instant::now();
        let result = work();
        Self::add(&self.waited_ns, begin.elapsed().as_nanos() as u64);
        result
    }

    /// Adds `rows` to the number of cells of a column that had this treatment; 0 declares that the
    /// column is counted. Returns `false` if there are too many treatments.
    pub fn count_cells(&self, treatment: &str, column: usize, rows: u64) -> bool {
        // The only change under this lock is one addition.
        let mut treated = self.treated.lock().unwrap_or_else(PoisonError::into_inner);
        if !treated.contains_key(treatment) {
            if treated.len() >= MAX_TREATMENTS {
                return false;
            }
            treated.insert(treatment.to_owned(), BTreeMap::new());
        }
        if let Some(columns) = treated.get_mut(treatment) {
            let count = columns.entry(column).or_default();
            *count = count.saturating_add(rows);
        }
        true
    }

    /// Returns the number of rows with a category that training did not see, by the column's index
    /// among the features.
    pub fn unseen(&self) -> BTreeMap<usize, u64> {
        let treated = self.treated.lock().unwrap_or_else(PoisonError::into_inner);
        treated.get(UNSEEN).cloned().unwrap_or_default()
    }

    /// Records the walls around a call: `wasm`, and the walls of a process.
    pub fn stood(&self, walls: impl IntoIterator<Item = &'static str>) {
        let walls: BTreeSet<_> = walls.into_iter().collect();
        // The only change under this lock is one assignment.
        let mut stood = self.walls.lock().unwrap_or_else(PoisonError::into_inner);
        *stood = Some(stood.take().map_or_else(|| walls.clone(), |stood| &stood & &walls));
    }

    /// Returns the walls around every call that these meters recorded, from the inside out.
    pub fn walls<'a>(meters: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let all = Self::default();
        for meter in meters {
            let stood = meter.walls.lock().unwrap_or_else(PoisonError::into_inner).clone();
            stood.into_iter().for_each(|stood| all.stood(stood));
        }
        let stood = all.walls.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or_default();
        WALLS.into_iter().filter(|wall| stood.contains(wall)).map(str::to_owned).collect()
    }

    /// Takes a name for a figure. A stage may have `most` figures.
    pub fn claim_figure(&self, name: &str, most: u64) -> Claim {
        // The only change under this lock is one insertion.
        let mut names = self.figures.lock().unwrap_or_else(PoisonError::into_inner);
        if names.contains(name) {
            Claim::Taken
        } else if names.len() as u64 >= most {
            Claim::Full
        } else {
            names.insert(name.to_owned());
            Claim::Granted
        }
    }

    /// Reads a counter.
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_meters_share_their_time_and_what_counts_per_call_starts_again_with_each_call() {
        let one = Meter::while_called();
        let other = one.sharing_time();
        other.wall.enter();
        assert!(one.wall.is_running(), "a call of one is a call of the other");
        let counters = |meter: &Meter| {
            let Meter { cpu_ns, waited_ns, log, lines, points, .. } = meter;
            [&**cpu_ns, &**waited_ns, log, lines, points].map(Meter::get)
        };
        for counter in [&*one.cpu_ns, &*one.waited_ns, &one.log, &one.lines, &one.points] {
            Meter::add(counter, 7);
        }
        assert_eq!((counters(&one), counters(&other)), ([7; 5], [7, 7, 0, 0, 0]));
        one.restart();
        assert_eq!((counters(&one), counters(&other)), ([0; 5], [0; 5]));
    }
}
