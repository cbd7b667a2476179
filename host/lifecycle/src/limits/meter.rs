//! The use of one stage run so far.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::limits::WallClock;

/// The use of one stage run so far, over all its instances. Counters only grow.
#[derive(Debug, Default)]
pub struct Meter {
    /// Thread CPU time of all instances, nanoseconds.
    pub cpu_ns: AtomicU64,
    /// Largest memory of one instance, bytes: all of its linear memories, and what the host kept
    /// for it.
    pub peak_memory: AtomicU64,
    /// Rows that went into guests.
    pub rows_in: AtomicU64,
    /// Rows that came out of guests.
    pub rows_out: AtomicU64,
    /// Bytes of batches and blobs that went into guests.
    pub bytes_in: AtomicU64,
    /// Bytes of batches and blobs that came out of guests.
    pub bytes_out: AtomicU64,
    /// Bytes copied at the boundary, both ways, host side and guest side.
    pub copied: AtomicU64,
    /// Bytes written to artifacts; what the output limit counts.
    pub output: AtomicU64,
    /// Bytes of log lines; what the log limit counts.
    pub log: AtomicU64,
    /// Tables and blobs that its instances began.
    pub artifacts: AtomicU64,
    /// Log lines recorded.
    pub lines: AtomicU64,
    /// Log lines, points and figures dropped: past the limit, or not as the contract wants them.
    pub log_dropped: AtomicU64,
    /// Points of curves recorded.
    pub points: AtomicU64,
    /// Cells that a transformation treated, by treatment and the column's place among the features.
    treated: Mutex<BTreeMap<String, BTreeMap<usize, u64>>>,
    /// Names of the figures added so far.
    figures: Mutex<BTreeSet<String>>,
    /// Time that the stage spent waiting for sandboxes of other stages, nanoseconds; taken off its
    /// wall time.
    pub waited_ns: AtomicU64,
    /// The stage's time on the wall.
    pub wall: WallClock,
    /// The walls that stood around every call so far; none before the first.
    walls: Mutex<Option<BTreeSet<&'static str>>>,
}

/// Treatments of cells that one stage may count, as the contract says.
const MAX_TREATMENTS: usize = 16;

/// The treatment of a category that training never saw.
const UNSEEN: &str = "unseen";

/// All walls, in the order in which they are told.
pub(crate) const WALLS: [&str; 4] = ["wasm", "seccomp", "landlock", "rlimits"];

/// Whether a figure may be added under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// It may; the name is taken from now on.
    Granted,
    /// Another figure of this stage run has the name.
    Taken,
    /// The stage has as many as it may.
    Full,
}

/// A moment, by default now.
#[derive(Debug, Clone, Copy)]
pub struct Started(pub std::time::Instant);

impl Default for Started {
    fn default() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Meter {
    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, amount: u64) -> u64 {
        counter.fetch_add(amount, Ordering::Relaxed) + amount
    }

    /// The meter of a component that works for another stage: its time on the wall counts while it
    /// is called.
    pub fn while_called() -> Self {
        Self { wall: WallClock::while_called(), ..Self::default() }
    }

    /// Returns a meter that continues this one's time and counts everything else anew. It is for
    /// work that falls under the same limits on time and is no part of the stage's own work.
    /// [`Meter::settle`] takes over what it counted.
    #[must_use]
    pub fn aside(&self) -> Self {
        Self {
            cpu_ns: Self::get(&self.cpu_ns).into(),
            waited_ns: Self::get(&self.waited_ns).into(),
            wall: self.wall.clone(),
            ..Self::default()
        }
    }

    /// Takes over the time and the greatest memory of a meter that was set [aside](Meter::aside)
    /// when this one showed `cpu_ns`.
    pub fn settle(&self, aside: &Self, cpu_ns: u64) {
        Self::add(&self.cpu_ns, Self::get(&aside.cpu_ns).saturating_sub(cpu_ns));
        self.peak_memory.fetch_max(Self::get(&aside.peak_memory), Ordering::Relaxed);
        let stood = aside.walls.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stood.into_iter().for_each(|stood| self.stood(stood));
    }

    /// Time on the wall, less what the stage spent waiting for other stages' sandboxes;
    /// nanoseconds.
    pub fn wall_ns(&self) -> u64 {
        (self.wall.elapsed().as_nanos() as u64).saturating_sub(Self::get(&self.waited_ns))
    }

    /// Does what the stage waits for: other stages' sandboxes have time limits of their own.
    pub fn waiting<T>(&self, work: impl FnOnce() -> T) -> T {
        let begin = std::time::Instant::now();
        let result = work();
        Self::add(&self.waited_ns, begin.elapsed().as_nanos() as u64);
        result
    }

    /// Adds to the count of cells of a column that were treated in some way; 0 says that the column
    /// is watched. Returns `false` if the treatment is one too many.
    pub fn count_cells(&self, treatment: &str, column: usize, rows: u64) -> bool {
        // Every change under this lock is a single addition.
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

    /// Returns the counts of rows with a category that training never saw, by the column's place
    /// among the features.
    pub fn unseen(&self) -> BTreeMap<usize, u64> {
        let treated = self.treated.lock().unwrap_or_else(PoisonError::into_inner);
        treated.get(UNSEEN).cloned().unwrap_or_default()
    }

    /// Records the walls that stood around a call: `wasm`, and those of a process.
    pub fn stood(&self, walls: impl IntoIterator<Item = &'static str>) {
        let walls: BTreeSet<_> = walls.into_iter().collect();
        // Every change under this lock is a single assignment.
        let mut stood = self.walls.lock().unwrap_or_else(PoisonError::into_inner);
        *stood = Some(stood.take().map_or_else(|| walls.clone(), |stood| &stood & &walls));
    }

    /// The walls that stood around every call that these meters saw, in one order.
    pub fn walls<'a>(meters: impl IntoIterator<Item = &'a Self>) -> Vec<String> {
        let all = Self::default();
        for meter in meters {
            let stood = meter.walls.lock().unwrap_or_else(PoisonError::into_inner).clone();
            stood.into_iter().for_each(|stood| all.stood(stood));
        }
        let stood = all.walls.into_inner().unwrap_or_else(PoisonError::into_inner).unwrap_or_default();
        WALLS.into_iter().filter(|wall| stood.contains(wall)).map(str::to_owned).collect()
    }

    /// Takes a figure's name, of which a stage run may have `most`.
    pub fn claim_figure(&self, name: &str, most: u64) -> Claim {
        // Every change under this lock is a single insertion.
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
