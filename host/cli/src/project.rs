//! What a command works with: the home, the sandbox, the user's wish to stop.

use std::collections::BTreeMap;
use std::path::PathBuf;
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

/// The home folder and the runtime over it.
pub(crate) struct Project {
    pub(crate) home: Home,
    pub(crate) runtime: Runtime,
    /// How many instances may run at once.
    pub(crate) workers: usize,
    /// Signatures of models' components.
    trusted: Arc<ModelSignatures>,
    /// The file of the key that this host's cache is authenticated with.
    pub(crate) key: PathBuf,
}

impl Project {
    /// Opens (or makes) a home and starts the engine.
    pub(crate) fn open(location: &HomeLocation, operator: &Operator) -> anyhow::Result<Self> {
        Self::open_with(location, operator, None)
    }

    /// The same, with so many workers.
    pub(crate) fn open_with(
        location: &HomeLocation,
        operator: &Operator,
        workers: Option<usize>,
    ) -> anyhow::Result<Self> {
        Self::with(location, operator, workers, EngineOptions::default())
    }

    /// The same, with the engine as the manifest wants it.
    pub(crate) fn open_for(location: &HomeLocation, operator: &Operator, manifest: &Manifest) -> anyhow::Result<Self> {
        let canonicalize_nans = manifest.canonicalize_nans;
        let workers = manifest.workers.map(usize::from);
        Self::with(location, operator, workers, EngineOptions { canonicalize_nans, ..EngineOptions::default() })
    }

    /// The same, with so many workers, for steps that ran in an engine of this kind.
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
        let workers = self::workers(workers, operator)?;
        let home = location.open()?;
        let cache = environment::own("STAGEWRIGHT_CACHE").map_or_else(|| home.cache_dir(), PathBuf::from);
        let mut installation =
            Installation::new(cache.join("components"), installation::stage_folders(), installation::compiler());
        installation.limits = operator.compilation;
        installation.ceilings = operator.ceilings.clone();
        installation.process = installation::stage_program(operator)?;
        if let Some(key) = installation::host_key() {
            installation.key = key;
        }
        let trusted = Arc::new(ModelSignatures::of(operator, &home)?);
        let asked = trusted.clone();
        installation.stored = StoredTrust::of(move |name, digest| asked.admit(name, digest));
        let key = installation.key.clone();
        let options =
            EngineOptions { bounds: bounds(&operator.instances), budget: budget(operator, workers), ..options };
        let runtime = Runtime::open(installation, options)?;
        Ok(Self { home, runtime, workers, key, trusted })
    }

    /// Resolves the component of every stage at once, and checks all parameters: all problems are told together, before anything runs.
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
            // The same problem may be one of several children.
            for child in &manifest.children {
                let Some(stage) = child.manifest.stages.iter().find(|it| it.name == stage.name) else { continue };
                let found = child.manifest.check_parameters(stage, &component.description.parameters);
                problems.extend(found.into_iter().filter(|it| !problems.contains(it)).collect::<Vec<_>>());
            }
        }
        if problems.is_empty() { Ok(components) } else { Err(manifest.error(problems).into()) }
    }

    /// A model is registered without the folder that its components' signatures lie in.
    fn keep_signatures(&self, origin: &Origin, component: &Component) {
        let path = match origin {
            Origin::File(path) => Some(path.clone()),
            _ => installation::stages_elsewhere().and_then(|_| installation::built_in(&component.name).ok()),
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

/// Where a component is.
pub(crate) fn origin(section: &ComponentSection) -> Origin {
    section.path.clone().map_or(Origin::BuiltIn, Origin::File)
}

/// The operator's figures in the runtime's words; what the file does not name keeps its default.
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

/// The stubs: parts that the manifest lets a component link although nothing is behind it.
pub(crate) fn stubs(section: &ComponentSection) -> StubGrants {
    let stubs = &section.stubs;
    StubGrants { filesystem: stubs.contains(&Stub::Filesystem), sockets: stubs.contains(&Stub::Sockets) }
}

/// How many instances may run at once: as many as were asked for, or one for each core that the
/// operator allows.
///
/// # Errors
/// More are asked for than the operator allows, or than any machine could use.
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

/// The budget that all runs of this process share. It lives as long as the process.
fn budget(operator: &Operator, workers: usize) -> &'static Budget {
    let permits = operator.machine.permits.map_or_else(|| cores().max(workers), |permits| permits as usize);
    let memory = operator.machine.memory.unwrap_or_else(Budget::usual_memory);
    Box::leak(Box::new(Budget::new(permits, memory)))
}
