//! The home and the runtime that a command works with.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_lifecycle::limits::{Budget, cores};
use stagewright_lifecycle::sandbox::Component;
use stagewright_manifest::{
    ComponentSection, InstanceLimits, MAX_WORKERS, Manifest, Operator, Problem, StageSection, StepId, Stub,
};
use stagewright_runtime::{
    Bounds, EngineOptions, Installation, Origin, Runtime, RuntimeError, StoredTrust, StubGrants,
};
use stagewright_store::Home;

use crate::environment;
use crate::error_code::ErrorCode;
use crate::home::HomeLocation;
use crate::installation;
use crate::trust::{ModelSignatures, Policy};
use crate::usage_error::UsageError;

/// A runtime on the folder of a home. It needs no registry.
pub(crate) struct Sandbox {
    pub(crate) runtime: Runtime,
    /// The number of instances that may run at once.
    workers: usize,
    /// The signatures of models' components.
    pub(crate) trusted: Arc<ModelSignatures>,
    /// The file of the key that authenticates this host's compile cache.
    key: PathBuf,
}

impl Sandbox {
    /// Starts the engine. `folder` is that of a home.
    pub(crate) fn open(
        folder: &Path,
        operator: &Operator,
        workers: Option<usize>,
        options: EngineOptions,
    ) -> anyhow::Result<Self> {
        let workers = self::workers(workers, operator)?;
        let cache = environment::own("STAGEWRIGHT_CACHE").map_or_else(|| folder.join("cache"), PathBuf::from);
        let mut installation =
            Installation::new(cache.join("components"), installation::stage_folders(), installation::compiler());
        installation.limits = operator.compilation;
        installation.ceilings = operator.ceilings.clone();
        installation.process = installation::stage_program(operator)?;
        if let Some(key) = installation::host_key() {
            installation.key = key;
        }
        let trusted = Arc::new(ModelSignatures::of(operator, folder)?);
        let asked = trusted.clone();
        installation.stored = StoredTrust::of(move |name, digest| asked.admit(name, digest));
        let key = installation.key.clone();
        let options =
            EngineOptions { bounds: bounds(&operator.instances), budget: budget(operator, workers), ..options };
        let runtime = Runtime::open(installation, options)?;
        Ok(Self { runtime, workers, trusted, key })
    }
}

/// A home with a runtime on it.
pub(crate) struct Project {
    pub(crate) home: Home,
    pub(crate) runtime: Runtime,
    /// The number of instances that may run at once.
    pub(crate) workers: usize,
    /// The signatures of models' components.
    trusted: Arc<ModelSignatures>,
    /// The file of the key that authenticates this host's compile cache.
    pub(crate) key: PathBuf,
}

impl Project {
    /// Opens a home, creates it if it does not exist, and starts the engine.
    pub(crate) fn open(location: &HomeLocation, operator: &Operator) -> anyhow::Result<Self> {
        Self::open_with(location, operator, None)
    }

    /// Does what [`Project::open`] does, with a number of workers.
    pub(crate) fn open_with(
        location: &HomeLocation,
        operator: &Operator,
        workers: Option<usize>,
    ) -> anyhow::Result<Self> {
        Self::with(location, operator, workers, EngineOptions::default())
    }

    /// Does what [`Project::open`] does, with the engine options of a manifest.
    pub(crate) fn open_for(location: &HomeLocation, operator: &Operator, manifest: &Manifest) -> anyhow::Result<Self> {
        let canonicalize_nans = manifest.canonicalize_nans;
        let workers = manifest.workers.map(usize::from);
        Self::with(location, operator, workers, EngineOptions { canonicalize_nans, ..EngineOptions::default() })
    }

    /// Does what [`Project::open_with`] does, for steps that ran with or without canonical NaNs.
    pub(crate) fn open_to_repeat(
        location: &HomeLocation,
        operator: &Operator,
        workers: Option<usize>,
        canonicalize_nans: bool,
    ) -> anyhow::Result<Self> {
        Self::with(location, operator, workers, EngineOptions { canonicalize_nans, ..EngineOptions::default() })
    }

    fn with(
        location: &HomeLocation,
        operator: &Operator,
        workers: Option<usize>,
        options: EngineOptions,
    ) -> anyhow::Result<Self> {
        let home = location.open()?;
        let Sandbox { runtime, workers, trusted, key } = Sandbox::open(home.path(), operator, workers, options)?;
        Ok(Self { home, runtime, workers, key, trusted })
    }

    /// Resolves the components of all stages in parallel, and checks all parameters.
    ///
    /// # Errors
    /// A component cannot be used; else one error with all problems of parameters.
    pub(crate) fn components(
        &self,
        manifest: &Manifest,
        policy: &Policy<'_>,
    ) -> anyhow::Result<BTreeMap<StepId, Arc<Component>>> {
        let built_in = self.runtime.built_in();
        let names: Vec<&str> = built_in.iter().map(|(name, _)| name.as_str()).collect();
        let missing = manifest.check_components(&names);
        if !missing.is_empty() {
            return Err(manifest.error(missing).into());
        }
        // Stages may share a component.
        let mut used: Vec<&StageSection> = Vec::new();
        for stage in &manifest.stages {
            if used.iter().all(|known| known.component != stage.component) {
                used.push(stage);
            }
        }
        let resolved: Vec<(&StageSection, Result<Component, RuntimeError>)> = std::thread::scope(|scope| {
            let resolving: Vec<_> =
                used.iter().map(|&stage| scope.spawn(move || (stage, self.resolve(manifest, stage, policy)))).collect();
            resolving.into_iter().map(|thread| thread.join().expect("resolving does not panic")).collect()
        });
        let mut by_name = BTreeMap::new();
        for (stage, result) in resolved {
            let component = result?;
            self.keep_signatures(&origin(manifest.component_of(stage)), &component);
            by_name.insert(stage.component.as_str(), Arc::new(component));
        }
        let mut components = BTreeMap::new();
        let mut problems: Vec<Problem> = Vec::new();
        for stage in &manifest.stages {
            let component = &by_name[stage.component.as_str()];
            problems.extend(manifest.check_parameters(stage, &component.description.parameters));
            components.insert(stage.name.clone(), component.clone());
            // Several children may have the same problem.
            for child in &manifest.children {
                let Some(stage) = child.manifest.stages.iter().find(|it| it.name == stage.name) else { continue };
                let found = child.manifest.check_parameters(stage, &component.description.parameters);
                problems.extend(found.into_iter().filter(|it| !problems.contains(it)).collect::<Vec<_>>());
            }
        }
        if problems.is_empty() { Ok(components) } else { Err(manifest.error(problems).into()) }
    }

    /// Copies the signatures beside a component into the home: a registered model is used without
    /// the folder that they are in.
    fn keep_signatures(&self, origin: &Origin, component: &Component) {
        let path = match origin {
            Origin::File(path) => Some(path.clone()),
            _ => installation::stages_override().and_then(|_| installation::built_in(&component.name).ok()),
        };
        let kept = path.map(|path| self.trusted.keep_beside(&path, component.digest));
        if let Some(Err(error)) = kept {
            tracing::warn!("the signatures of component `{}` are not kept: {error}", component.name);
        }
    }

    fn resolve(
        &self,
        manifest: &Manifest,
        stage: &StageSection,
        policy: &Policy<'_>,
    ) -> Result<Component, RuntimeError> {
        let section = manifest.component_of(stage);
        let name = stage.component.as_str();
        let admit = |digest| policy.admit(stage, digest);
        self.runtime.resolve_trusted(stage.world, name, &origin(section), stubs(section), &admit)
    }
}

/// Returns where a manifest's component comes from.
pub(crate) fn origin(section: &ComponentSection) -> Origin {
    section.path.clone().map_or(Origin::BuiltIn, Origin::File)
}

/// Converts the operator's limits to the runtime's; a limit that the file does not name keeps its
/// default.
fn bounds(instances: &InstanceLimits) -> Bounds {
    let count = |figure: u64| usize::try_from(figure).unwrap_or(usize::MAX);
    Bounds {
        handles: count(instances.handles),
        table_elements: count(instances.table_elements),
        instances: count(instances.instances),
        rows: instances.rows,
        stack: count(instances.stack),
        ..Bounds::default()
    }
}

/// Returns the stubs of a component: interfaces that it may link although no function is behind
/// them.
pub(crate) fn stubs(section: &ComponentSection) -> StubGrants {
    let stubs = &section.stubs;
    StubGrants { filesystem: stubs.contains(&Stub::Filesystem), sockets: stubs.contains(&Stub::Sockets) }
}

/// Returns how many instances may run at once: the number that was asked for, else one for each
/// core that the operator allows.
///
/// # Errors
/// The number is above the operator's limit, or out of range.
pub(crate) fn workers(asked: Option<usize>, operator: &Operator) -> anyhow::Result<usize> {
    let count = |figure: u64| usize::try_from(figure).unwrap_or(usize::MAX);
    let permits = operator.machine.permits.map_or(usize::MAX, count);
    match asked {
        Some(asked) if !(1..=count(MAX_WORKERS)).contains(&asked) => Err(UsageError::error(
            ErrorCode::Argument,
            format!("`--workers {asked}` is out of range"),
            format!("choose from 1 to {MAX_WORKERS}"),
        )),
        Some(asked) if asked > permits => {
            let file = operator.file.as_ref().map_or("the operator's file".into(), |file| file.display().to_string());
            let hint = format!("choose at most {permits}, or have `permits` under [machine] raised in {file}");
            Err(UsageError::error(
                ErrorCode::OperatorBound,
                format!("`--workers {asked}` is above the operator's `permits`"),
                hint,
            ))
        }
        Some(asked) => Ok(asked),
        None => Ok(cores().min(permits)),
    }
}

/// Creates the budget that all runs of this process share. It lives as long as the process.
fn budget(operator: &Operator, workers: usize) -> &'static Budget {
    let permits = operator.machine.permits.map_or_else(|| cores().max(workers), |permits| permits as usize);
    let memory = operator.machine.memory.unwrap_or_else(Budget::usual_memory);
    Box::leak(Box::new(Budget::new(permits, memory)))
}
