//! The context of a stage's instances: their settings, and the host's objects that they use.

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

/// Receives the messages of a stage. The methods are called often, from the stage's thread, and
/// must not block. Text is already cut and its control characters are escaped.
pub trait Tracker: Send + Sync {
    /// A line for the run's log.
    fn log(&self, level: Level, message: &str);
    /// The current call has completed `done` of `total` units.
    fn progress(&self, done: u64, total: u64);
    /// A point of a metric over steps.
    fn metric(&self, name: &str, value: f64, step: u64);
    /// A figure, already validated.
    fn figure(&self, figure: Figure);
}

/// A cursor over the decoded rows of one source.
pub trait SourceCursor: Send {
    /// Returns the columns.
    fn schema(&self) -> &Schema;
    /// Returns the next rows, at most `rows`; `None` at the end.
    ///
    /// # Errors
    /// A value does not fit its type, or the source cannot be read.
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

/// The domain of this use of SHA-256.
const SEED_DOMAIN: &[u8] = b"stagewright.stage-seed.v1\0";

/// Returns the seed of one stage, derived from the seed of its run. The seeds of stages differ, and
/// no stage knows the run's: the random numbers of one stage cannot be drawn in another.
pub fn stage_seed(run: u64, world: World) -> u64 {
    step_seed(run, &world.into())
}

/// Returns the same seed for a step that is not named as its world.
pub fn step_seed(run: u64, step: &StepId) -> u64 {
    let message = [SEED_DOMAIN, &run.to_le_bytes(), step.as_str().as_bytes()].concat();
    let mut head = [0; 8];
    head.copy_from_slice(&Digest::of(&message).as_bytes()[..8]);
    u64::from_le_bytes(head)
}

/// The context of one stage, which all its instances share.
pub struct StageContext {
    /// The stage's world.
    pub world: World,
    /// The component.
    pub component: Arc<Component>,
    /// Its parameters, as one JSON object.
    pub parameters: String,
    /// The seed of its randomness: see [`stage_seed`].
    pub seed: u64,
    /// The roles of columns in the tables that it makes, by name. Other columns are features.
    pub roles: HashMap<String, Role>,
    /// The time at which its clocks start, in microseconds since the epoch.
    pub as_of: i64,
    /// Its limits.
    pub limits: Limits,
    /// The place for its artifacts; `None` where it may make none, as for a prediction.
    pub staging: Option<Staging>,
    /// Its use of resources.
    pub meter: Arc<Meter>,
    /// The receiver of its messages.
    pub tracker: Arc<dyn Tracker>,
    /// The number of instances that may run at once.
    pub workers: usize,
    /// The token that cancels it.
    pub cancel: Cancel,
    /// Objects that the sandbox keeps from one call to the next.
    pub shelf: Shelf,
}

/// Objects that a sandbox keeps between the calls of one stage, such as idle instances. Only the
/// sandbox knows their types. They are dropped with the stage's context, so that nothing of a stage
/// outlives it.
#[derive(Default)]
pub struct Shelf(Mutex<Vec<Box<dyn Any + Send>>>);

impl Shelf {
    /// Adds an object.
    pub fn put(&self, thing: impl Any + Send) {
        self.things().push(Box::new(thing));
    }

    /// Removes and returns the newest object of this type for which `is_wanted` holds.
    pub fn take<T: Any>(&self, is_wanted: impl Fn(&T) -> bool) -> Option<T> {
        let mut things = self.things();
        let place = things.iter().rposition(|thing| thing.downcast_ref().is_some_and(&is_wanted))?;
        things.remove(place).downcast().ok().map(|thing| *thing)
    }

    /// Drops all objects. Their use is in the stage's meter afterwards.
    pub fn clear(&self) {
        // Dropping an object may take a while. It happens without the lock, so that no other thread
        // waits for it.
        let things = std::mem::take(&mut *self.things());
        drop(things);
    }

    fn things(&self) -> std::sync::MutexGuard<'_, Vec<Box<dyn Any + Send>>> {
        // Each critical section makes one change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StageContext {
    /// Returns this context with other limits and another meter, and with a shelf of its own.
    #[must_use]
    pub fn with(&self, limits: Limits, meter: Arc<Meter>) -> Self {
        Self {
            world: self.world,
            component: self.component.clone(),
            parameters: self.parameters.clone(),
            seed: self.seed,
            roles: self.roles.clone(),
            as_of: self.as_of,
            limits,
            staging: self.staging.clone(),
            meter,
            tracker: self.tracker.clone(),
            workers: self.workers,
            cancel: self.cancel.clone(),
            shelf: Shelf::default(),
        }
    }

    /// Fails if the stage is past a time limit or cancelled.
    ///
    /// # Errors
    /// [`StageFault::Limit`] or [`StageFault::Cancelled`].
    pub fn check_time(&self) -> Result<(), StageFault> {
        self.meter.check_time(self.world, &self.limits, &self.cancel)
    }

    /// Runs work of the host for the stage, and charges its time to the stage.
    ///
    /// # Errors
    /// The error of the work, or a limit that the stage is past.
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
        // The run's seed and the split's seed may be the same number. No stage has it.
        assert!(!seeds.contains(&run));
        assert!(World::all().all(|world| !seeds.contains(&stage_seed(run + 1, world))));
        // This value must never change: a recorded run is reproduced from its seed.
        assert_eq!(stage_seed(42, World::Training), SEED_OF_TRAINING_42);
    }

    // invariant: as `a_process_that_has_seen_the_target_is_not_asked_to_transform`
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
