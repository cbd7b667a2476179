//! [`Runtime`]: an engine over an installation. Implements the lifecycle's [`ComponentSource`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_data::Decode;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::limits::Budget;
use stagewright_lifecycle::model::ModelComponent;
use stagewright_lifecycle::sandbox::{Component, ComponentSource, Sources, StageContext};
use stagewright_manifest::World;
use stagewright_store::ArtifactStore;

use crate::admission::{self, Grant};
use crate::catalog::Catalog;
use crate::code::Code;
use crate::engine::{self, EngineOptions};
use crate::error::RuntimeError;
use crate::installation::{Inspection, Installation, Origin, StageProcess, Trust};
use crate::process::decoder_parent::decoder;
use crate::process::stage_process::Purpose;
use crate::stage_instance::StageInstance;
use crate::wasi::stubs::Stubs;
#[cfg(feature = "compiler")]
use crate::wit_comparison::WitDifference;

/// Stack for the host's own frames above, between and below guests, in bytes. An import that checks
/// a batch or compiles the champion needs some 100 KiB.
const HOST_STACK: usize = 2 << 20;

/// Runs stages as Wasm components. Cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Catalog>);

/// The parts of WASI that a component may link although they always fail.
#[derive(Debug, Clone, Copy, Default)]
pub struct StubGrants {
    /// An empty file system.
    pub filesystem: bool,
    /// Sockets that refuse every address.
    pub sockets: bool,
}

impl From<StubGrants> for Stubs {
    fn from(StubGrants { filesystem, sockets }: StubGrants) -> Self {
        Self { filesystem, sockets }
    }
}

impl Runtime {
    /// Starts an engine over an installation, and raises the process's soft limit on open files.
    ///
    /// # Errors
    /// The cache cannot be created or trusted, or the engine refuses its settings.
    pub fn open(installation: Installation, options: EngineOptions) -> Result<Self, RuntimeError> {
        engine::raise_file_limit();
        // A stage process is killed when its time is over, so its code needs no epoch checks.
        let options = EngineOptions {
            without_interruption: options.without_interruption || installation.process.is_some(),
            ..options
        };
        let engine = if installation.process.is_some() { engine::loading(options)? } else { engine::engine(options)? };
        Ok(Self(Arc::new(Catalog::new(engine, installation, options)?)))
    }

    /// Finds, admits, compiles and describes a component, so that it can be run.
    ///
    /// # Errors
    /// See [`RuntimeError`].
    pub fn resolve(
        &self,
        world: World,
        name: &str,
        origin: &Origin,
        stubs: StubGrants,
    ) -> Result<Component, RuntimeError> {
        self.resolve_trusted(world, name, origin, stubs, &|_| Ok(()))
    }

    /// Resolves a component like [`Runtime::resolve`], if `trust` accepts its digest. `trust` is
    /// called before anything of the component is compiled or run.
    ///
    /// # Errors
    /// See [`RuntimeError`]; or the error of `trust`.
    pub fn resolve_trusted(
        &self,
        world: World,
        name: &str,
        origin: &Origin,
        stubs: StubGrants,
        trust: Trust<'_>,
    ) -> Result<Component, RuntimeError> {
        self.0.resolve(world, name, origin, stubs.into(), trust)
    }

    /// Returns what a component of this world gets for an import, with these stubs allowed.
    pub fn grant(world: World, import: &str, stubs: StubGrants) -> Grant {
        admission::grant(world, import, stubs.into())
    }

    /// Reads a component without compiling or running anything of it. `stubs` are those that the
    /// manifest would allow.
    ///
    /// # Errors
    /// The file cannot be read, or is not a component.
    pub fn inspect(&self, name: &str, origin: &Origin, stubs: StubGrants) -> Result<Inspection, RuntimeError> {
        self.0.inspect(name, origin, stubs.into())
    }

    /// Returns where the imports and exports of a component differ from the WIT in a folder or
    /// file. Nothing of the component is compiled or run.
    ///
    /// # Errors
    /// The component or the WIT cannot be read.
    #[cfg(feature = "compiler")]
    pub fn differences(&self, name: &str, origin: &Origin, wit: &Path) -> Result<Vec<WitDifference>, RuntimeError> {
        self.0.differences(name, origin, wit)
    }

    /// Compiles a component into a folder, from which the files can be copied into the cache of a
    /// host with the key in the file `key`.
    ///
    /// Returns the names of two files: the first is for a host whose stages run in processes of
    /// their own, the second for one whose stages run in its process. With `baseline` the code runs
    /// on every processor of this architecture, else on those with all features of this one.
    ///
    /// # Errors
    /// The component cannot be read or compiled, or the folder or key cannot be used.
    pub fn precompile(
        &self,
        name: &str,
        origin: &Origin,
        folder: &Path,
        key: &Path,
        baseline: bool,
    ) -> Result<[String; 2], RuntimeError> {
        self.0.precompile(name, origin, folder, key, baseline)
    }

    /// Returns whether a component's code is in the cache and can be used, as a host without a
    /// compiler needs. A file that cannot be used is reported as a warning.
    ///
    /// # Errors
    /// The component cannot be read.
    pub fn is_compiled(&self, name: &str, origin: &Origin) -> Result<bool, RuntimeError> {
        self.0.is_compiled(name, origin)
    }

    /// Returns the walls that must stand around every call of a component. The set is empty if
    /// stages run in this process, where the engine's sandbox is the only wall.
    pub fn required_walls(&self) -> BTreeSet<&'static str> {
        let process = self.0.process.as_ref();
        process.map(|process| std::iter::once("wasm").chain(process.required.names()).collect()).unwrap_or_default()
    }

    /// Returns the names and files of the built-in stages.
    pub fn built_in(&self) -> Vec<(String, PathBuf)> {
        self.0.built_in().into_iter().collect()
    }

    /// Returns a decoder of untrusted files, which runs where stages run: in processes of its own,
    /// or in this one.
    pub fn decoder(&self) -> Arc<dyn Decode> {
        decoder(self.0.process.as_ref())
    }

    /// Returns the stack size of a thread that runs guests. A thread may run two guests at once, an
    /// evaluator and a model that it asks; the rest is for the host.
    pub(crate) fn stack(&self) -> usize {
        2 * self.0.bounds.stack + HOST_STACK
    }

    /// Returns the budget that all runs of this process share.
    pub(crate) fn budget(&self) -> &'static Budget {
        self.0.options().budget
    }

    /// Returns the settings of the engine.
    pub(crate) fn options(&self) -> EngineOptions {
        self.0.options()
    }

    /// Returns the processes in which instances run; `None` if they run in this process.
    pub(crate) fn process(&self) -> Option<&StageProcess> {
        self.0.process.as_ref()
    }

    /// Returns the compiled code of a stage's component.
    ///
    /// # Errors
    /// The component was not resolved.
    pub(crate) fn code(&self, context: &StageContext) -> Result<Code, StageFault> {
        let component = &context.component;
        let code = self.0.code(component);
        code.ok_or_else(|| StageFault::host(format!("component `{}` was not resolved", component.name)))
    }

    /// Creates an instance for a call that is made once in a stage run.
    ///
    /// # Errors
    /// The component was not resolved, or its process cannot be started.
    pub(crate) fn instance(
        &self,
        context: &Arc<StageContext>,
        sources: Option<Arc<dyn Sources>>,
    ) -> Result<StageInstance, StageFault> {
        self.new_instance(context, sources, Purpose::Once)
    }

    /// Creates an instance for a purpose that occurs several times in a stage run.
    ///
    /// # Errors
    /// As for [`Runtime::instance`].
    pub(crate) fn instance_for(
        &self,
        context: &Arc<StageContext>,
        purpose: Purpose,
    ) -> Result<StageInstance, StageFault> {
        self.new_instance(context, None, purpose)
    }

    fn new_instance(
        &self,
        context: &Arc<StageContext>,
        sources: Option<Arc<dyn Sources>>,
        purpose: Purpose,
    ) -> Result<StageInstance, StageFault> {
        let code = self.code(context)?;
        StageInstance::new(&code, self.0.process.as_ref(), self.0.options(), context.clone(), sources, purpose)
    }
}

impl ComponentSource for Runtime {
    fn component_bytes(&self, component: &Component) -> Result<Vec<u8>, StageFault> {
        self.0.bytes(component).map_err(StageFault::host)
    }

    fn restore(
        &self,
        world: World,
        component: &ModelComponent,
        artifacts: &ArtifactStore,
    ) -> Result<Component, StageFault> {
        let stubs = Stubs::named(&component.stubs);
        let origin = Origin::Stored(component.digest, artifacts.clone());
        // The components of a model were admitted when it was registered, and are identified by
        // digest. The operator may require more.
        let trust = |digest| self.0.stored.admit(&component.name, digest);
        self.0.resolve(world, &component.name, &origin, stubs, &trust).map_err(|error| match error {
            RuntimeError::Refused { message, hint, .. } => StageFault::Untrusted { message, hint },
            RuntimeError::Contract { name, found, wanted, .. } => {
                StageFault::Outdated { component: name, found, wanted }
            }
            error => StageFault::host(error),
        })
    }
}
