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
use stagewright_runtime::{Compiler, EngineOptions, Installation, Origin, Runtime, StageProcess, StubGrants, Walls};
use stagewright_store::{Home, Role, Staging};

use crate::Result;

/// The seed of every run and table.
pub(crate) const SEED: u64 = 42;

/// The target column.
pub(crate) const TARGET: &str = "Churn";

/// The folders of components, and a home for the artifacts of a benchmark.
pub struct SetUp {
    folder: tempfile::TempDir,
    /// Creates tables and blobs.
    pub staging: Staging,
    stages: PathBuf,
    guests: PathBuf,
}

impl SetUp {
    /// Opens the folders that `STAGEWRIGHT_STAGES` and `STAGEWRIGHT_GUESTS` name, which `cargo
    /// xtask bench` sets.
    ///
    /// # Errors
    ///
    /// A variable is not set, or the home cannot be created.
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

    /// Opens a runtime with these options and resolves components by name. Its instances are in
    /// this process.
    ///
    /// # Errors
    ///
    /// A component is missing or refused.
    pub fn rig(&self, options: EngineOptions, components: &[(World, &str)]) -> Result<Rig> {
        self.rig_in(None, options, components)
    }

    /// As [`SetUp::rig`], with instances in processes behind all walls.
    ///
    /// # Errors
    ///
    /// A component is missing or refused.
    pub fn rig_in_processes(&self, options: EngineOptions, components: &[(World, &str)]) -> Result<Rig> {
        let program = self.stages.with_file_name("stagewright-stage");
        self.rig_in(Some(StageProcess { program, required: Walls::ALL }), options, components)
    }

    fn rig_in(
        &self,
        process: Option<StageProcess>,
        options: EngineOptions,
        components: &[(World, &str)],
    ) -> Result<Rig> {
        let cache = self.folder.path().join("cache");
        let folders = vec![self.stages.clone(), self.guests.clone()];
        let installation = Installation { process, ..Installation::new(cache, folders, Compiler::InProcess) };
        let runtime = Runtime::open(installation, options)?;
        let resolve = |&(world, name): &(World, &str)| -> Result<_> {
            let component = runtime.resolve(world, name, &Origin::BuiltIn, StubGrants::default())?;
            Ok((name.to_owned(), Arc::new(component)))
        };
        let components = components.iter().map(resolve).collect::<Result<_>>()?;
        Ok(Rig { runtime, components, staging: self.staging.clone() })
    }
}

/// A runtime with its components.
pub struct Rig {
    /// The sandbox.
    pub runtime: Runtime,
    components: BTreeMap<String, Arc<Component>>,
    staging: Staging,
}

impl Rig {
    /// Returns the context of one stage run of a component: one worker, generous limits, a meter of
    /// its own.
    ///
    /// # Panics
    ///
    /// The rig has no such component.
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

/// The resources that a stage's instances used.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// CPU time.
    pub cpu: Duration,
    /// Bytes of columns and blobs that guests received.
    pub bytes_in: u64,
    /// Bytes of columns and blobs that guests returned.
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

/// A tracker that ignores everything.
struct Nobody;

impl Tracker for Nobody {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

/// Grants no source.
pub(crate) struct NoSources;

impl Sources for NoSources {
    fn open(&self, name: &str) -> std::result::Result<Box<dyn SourceCursor>, StageFault> {
        Err(StageFault::host(format!("benchmarks grant no source, not even `{name}`")))
    }
}
