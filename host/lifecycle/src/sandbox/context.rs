//! The context that one stage run hands to its instances, and whom they ask and tell.

use std::any::Any;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow_array::RecordBatch;
use stagewright_evaluation::figure::Figure;
use stagewright_manifest::{Limits, StepId, World};
use stagewright_store::{Digest, Role, Schema, Staging};

use super::component::Component;
use crate::fault::StageFault;
use crate::limits::{Cancel, CpuMark, Meter};
use crate::observer::Level;

/// Receives what a stage tells people. Called from the stage's thread, often; must not block.
/// Text is cut and its control characters are escaped before it gets here.
pub trait Tracker: Send + Sync {
    /// A line for the run's log.
    fn log(&self, level: Level, message: &str);
    /// `done` of `total` units of the current call are done.
    fn progress(&self, done: u64, total: u64);
    /// A point of a curve.
    fn metric(&self, name: &str, value: f64, step: u64);
    /// A figure, already checked.
    fn figure(&self, figure: Figure);
}

/// A reading of one source, already decoded.
pub trait SourceCursor: Send {
    /// The columns.
    fn schema(&self) -> &Schema;
    /// The next rows, at most `rows`; `None` at the end.
    ///
    /// # Errors
    /// A value that does not fit its type, or a source that cannot be read.
    fn next(&mut self, rows: usize) -> Result<Option<RecordBatch>, StageFault>;
}

/// The sources that one stage was granted.
pub trait Sources: Send + Sync {
    /// Opens a source by name.
    ///
    /// # Errors
    /// [`StageFault::Denied`] for a name that was not granted.
    fn open(&self, name: &str) -> Result<Box<dyn SourceCursor>, StageFault>;
}

/// Separates this use of SHA-256 from every other.
const SEED_DOMAIN: &[u8] = b"stagewright.stage-seed.v1\0";

/// The seed of one stage, from the seed of its run. Each stage has another, and none knows the
/// run's: what one stage draws, no other stage can draw again.
pub fn stage_seed(run: u64, world: World) -> u64 {
    step_seed(run, &world.into())
}

/// The same of a step that is not named as its world.
pub fn step_seed(run: u64, step: &StepId) -> u64 {
    let message = [SEED_DOMAIN, &run.to_le_bytes(), step.as_str().as_bytes()].concat();
    let mut head = [0; 8];
    head.copy_from_slice(&Digest::of(&message).as_bytes()[..8]);
    u64::from_le_bytes(head)
}

/// Everything that one stage run hands to its instances.
pub struct StageContext {
    /// The stage, as it is called in errors and tables.
    pub world: World,
    /// The component.
    pub component: Arc<Component>,
    /// Its parameters, one JSON object.
    pub parameters: String,
    /// Seeds its random choices: [`stage_seed`].
    pub seed: u64,
    /// The manifest's roles by column name, for the tables that it makes; other columns are
    /// features.
    pub roles: HashMap<String, Role>,
    /// Where its clocks start, microseconds since the epoch.
    pub as_of: i64,
    /// The limits of its use.
    pub limits: Limits,
    /// Where its artifacts are made. `None` where it may make none (prediction).
    pub staging: Option<Staging>,
    /// The use so far.
    pub meter: Arc<Meter>,
    /// Whom it tells.
    pub tracker: Arc<dyn Tracker>,
    /// How many instances may run at once.
    pub workers: usize,
    /// Stops it.
    pub cancel: Cancel,
    /// Whatever the sandbox keeps from one call to the next.
    pub shelf: Shelf,
}

/// Things that a sandbox keeps for the calls of one stage run, of types that only it knows. They go
/// with the stage's context, so that nothing of a stage is there after it.
#[derive(Default)]
pub struct Shelf(Mutex<Vec<Box<dyn Any + Send>>>);

impl Shelf {
    /// Puts a thing there.
    pub fn put(&self, thing: impl Any + Send) {
        self.things().push(Box::new(thing));
    }

    /// Takes out a thing of this type that is wanted, the one that was put there last.
    pub fn take<T: Any>(&self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        let mut things = self.things();
        let place = things.iter().rposition(|thing| thing.downcast_ref().is_some_and(&is_wanted))?;
        things.remove(place).downcast().ok().map(|thing| *thing)
    }

    /// Lets go of everything: what it used is in the stage's meter afterwards.
    pub fn clear(&self) {
        // A thing may take a while to go. Nobody who puts another one there waits for that.
        let things = std::mem::take(&mut *self.things());
        drop(things);
    }

    fn things(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Any + Send>>> {
        // Every change under this lock is a single one.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StageContext {
    /// Says whether a limit on time or a wish to stop ends the stage.
    ///
    /// # Errors
    /// [`StageFault::Limit`] or [`StageFault::Cancelled`].
    pub fn check_time(&self) -> Result<(), StageFault> {
        self.meter.check_time(self.world, &self.limits, &self.cancel)
    }

    /// Does work of the host on the stage's behalf, and charges it to the stage.
    ///
    /// # Errors
    /// The work's own, or a limit that the stage is past.
    pub fn on_behalf<T>(&self, work: impl FnOnce() -> Result<T, StageFault>) -> Result<T, StageFault> {
        let mut mark = CpuMark::now();
        self.meter.wall.enter();
        let result = work();
        self.meter.wall.leave();
        Meter::add(&self.meter.cpu_ns, mark.take());
        let value = result?;
        self.check_time()?;
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_split_is_not_for_stages_to_compute() {
        let run = 80_424;
        let seeds: BTreeSet<u64> = World::all().map(|world| stage_seed(run, world)).collect();
        assert_eq!(seeds.len(), World::all().len(), "each stage has a seed of its own");
        // Neither the run's seed nor the split's, which may be the same number, is any stage's.
        assert!(!seeds.contains(&run));
        assert!(World::all().all(|world| !seeds.contains(&stage_seed(run + 1, world))));
        // Fixed for good: a recorded run is made again from its seed.
        assert_eq!(stage_seed(42, World::Training), SEED_OF_TRAINING_42);
    }

    #[test]
    fn what_is_on_a_shelf_is_taken_once_by_its_type_and_goes_with_the_rest() {
        let (shelf, alive) = (Shelf::default(), Arc::new(()));
        let thing = |number: u32| (number, alive.clone());
        [1, 2, 2].into_iter().for_each(|number| shelf.put(thing(number)));
        shelf.put("of another type");
        let take = |wanted: u32| shelf.take(|(number, _): &(u32, Arc<()>)| *number == wanted).map(|(number, _)| number);
        assert_eq!([take(2), take(3), take(2), take(2)], [Some(2), None, Some(2), None]);
        assert_eq!(Arc::strong_count(&alive), 2);
        shelf.clear();
        assert_eq!((Arc::strong_count(&alive), take(1)), (1, None));
    }

    const SEED_OF_TRAINING_42: u64 = 11_603_330_710_632_408_016;
}
