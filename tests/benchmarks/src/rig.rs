//! A home in a temporary folder, and runtimes over it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{
    Cancel, Component, Level, Meter, Shelf, SourceCursor, Sources, StageContext, Tracker,
};
use stagewright_manifest::{Limits, World};
use stagewright_runtime::{Compiler, EngineOptions, Installation, Origin, Runtime, StubGrants};
use stagewright_store::{Home, Role, Staging};

use crate::Result;

/// The seed of everything.
pub(crate) const SEED: u64 = 42;

/// The column to predict.
pub(crate) const TARGET: &str = "Churn";

/// Where components are, and where artifacts go until the benchmark ends.
pub struct SetUp {
    folder: tempfile::TempDir,
    /// Makes tables and blobs.
    pub staging: Staging,
    stages: PathBuf,
    guests: PathBuf,
}

impl SetUp {
    /// Finds the components by `STAGEWRIGHT_STAGES` and `STAGEWRIGHT_GUESTS`, which `cargo xtask
    /// bench` sets.
    ///
    /// # Errors
    /// They are not set, or the home cannot be made.
    pub fn new() -> Result<Self> {
        let named = |variable: &str| {
            std::env::var_os(variable)
                .map(PathBuf::from)
                .ok_or_else(|| format!("{variable} is not set: run `cargo xtask bench`"))
        };
        let (stages, guests) = (named("STAGEWRIGHT_STAGES")?, named("STAGEWRIGHT_GUESTS")?);
        let folder = tempfile::tempdir()?;
        let home = Home::open(folder.path().join("home"))?;
        Ok(Self { staging: home.artifacts.stage(), folder, stages, guests })
    }

    /// A runtime with these options and the components of these names.
    ///
    /// # Errors
    /// A component is missing or refused.
    pub fn rig(&self, options: EngineOptions, components: &[(World, &str)]) -> Result<Rig> {
        let cache = self.folder.path().join("cache");
        let folders = vec![self.stages.clone(), self.guests.clone()];
        let runtime = Runtime::open(Installation::new(cache, folders, Compiler::InProcess), options)?;
        let resolve = |&(world, name): &(World, &str)| -> Result<_> {
            let component = runtime.resolve(world, name, &Origin::BuiltIn, StubGrants::default())?;
            Ok((name.to_owned(), Arc::new(component)))
        };
        let components = components.iter().map(resolve).collect::<Result<_>>()?;
        Ok(Rig { runtime, components, staging: self.staging.clone() })
    }
}

/// A runtime and its components.
pub struct Rig {
    /// The sandbox.
    pub runtime: Runtime,
    components: BTreeMap<String, Arc<Component>>,
    staging: Staging,
}

impl Rig {
    /// What one stage run of a component gets: one worker, generous limits, a meter of its own.
    ///
    /// # Panics
    /// If the component is not among the rig's.
    pub fn context(&self, component: &str, parameters: &str) -> Arc<StageContext> {
        let component = self.components[component].clone();
        let hours = Duration::from_secs(4 * 3600);
        Arc::new(StageContext {
            world: component.world,
            parameters: parameters.into(),
            seed: SEED,
            roles: HashMap::from([(TARGET.to_owned(), Role::Target)]),
            as_of: 0,
            limits: Limits { cpu: hours, wall: hours, ..component.world.default_limits() },
            component,
            staging: Some(self.staging.clone()),
            meter: Arc::<Meter>::default(),
            tracker: Arc::new(Nobody),
            workers: 1,
            cancel: Cancel::default(),
            shelf: Shelf::default(),
        })
    }
}

/// What a stage's instances have used.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// CPU time.
    pub cpu: Duration,
    /// Bytes of columns and blobs that went into guests.
    pub bytes_in: u64,
    /// Bytes of columns and blobs that came out of guests.
    pub bytes_out: u64,
}

impl Used {
    pub(crate) fn of(context: &StageContext) -> Self {
        let meter = &context.meter;
        Self {
            cpu: Duration::from_nanos(Meter::get(&meter.cpu_ns)),
            bytes_in: Meter::get(&meter.bytes_in),
            bytes_out: Meter::get(&meter.bytes_out),
        }
    }
}

/// Nobody watches.
struct Nobody;

impl Tracker for Nobody {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

/// No source is granted.
pub(crate) struct NoSources;

impl Sources for NoSources {
    fn open(&self, name: &str) -> std::result::Result<Box<dyn SourceCursor>, StageFault> {
        Err(StageFault::host(format!("benchmarks grant no source, not even `{name}`")))
    }
}
