//! The runtime: an engine over an installation, and the lifecycle's [`ComponentSource`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_data::Decode;
use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::limits::Budget;
use stagewright_lifecycle::model::ModelComponent;
use stagewright_lifecycle::sandbox::{Component, ComponentSource, Level, Sources, StageContext, Tracker};
use stagewright_manifest::World;
use stagewright_store::ArtifactStore;

use crate::admission::{self, Grant};
#[cfg(feature = "compiler")]
use crate::against::WitDifference;
use crate::component::Catalog;
use crate::engine::{self, EngineOptions};
use crate::error::RuntimeError;
use crate::far::process::Purpose;
use crate::installation::{Inspection, Installation, Origin, Trust};
use crate::seat::Seat;
use crate::wasi::Stubs;

/// Stack for the host's own frames above, between and below guests: an import that checks a batch, or compiles the champion, needs some 100 KiB.
const HOST_STACK: usize = 2 << 20;

/// A tracker for calls that nobody watches.
pub(crate) struct Nobody;

impl Tracker for Nobody {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

/// Runs stages as Wasm components. Cheap to clone.
#[derive(Clone)]
pub struct Runtime(Arc<Catalog>);

/// What of WASI a component may link although it always fails.
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
    /// Starts an engine over an installation. Raises the process's soft limit on open files.
    ///
    /// # Errors
    /// The cache cannot be made or trusted, or the engine refuses its settings.
    pub fn open(installation: Installation, options: EngineOptions) -> Result<Self, RuntimeError> {
        engine::raise_file_limit();
        // What runs in processes of its own is killed, and compiled without looking at a clock.
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

    /// As [`Runtime::resolve`], if `trust` accepts the component's digest: it is asked before anything of the component is compiled or run.
    ///
    /// # Errors
    /// See [`RuntimeError`]; or what `trust` says.
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

    /// What a component of this world gets for an import, with these stubs allowed.
    pub fn grant(world: World, import: &str, stubs: StubGrants) -> Grant {
        admission::grant(world, import, stubs.into())
    }

    /// Looks at a component without compiling or running anything of it; `stubs` are those that the manifest would allow.
    ///
    /// # Errors
    /// It cannot be read, or is no component.
    pub fn inspect(&self, name: &str, origin: &Origin, stubs: StubGrants) -> Result<Inspection, RuntimeError> {
        self.0.inspect(name, origin, stubs.into())
    }

    /// Where the imports and exports of a component differ from the WIT in a folder or file.
    /// Nothing of the component is compiled or run.
    ///
    /// # Errors
    /// The component or the WIT cannot be read as one.
    #[cfg(feature = "compiler")]
    pub fn differences(&self, name: &str, origin: &Origin, wit: &Path) -> Result<Vec<WitDifference>, RuntimeError> {
        self.0.differences(name, origin, wit)
    }

    /// Compiles a component into a folder, to be copied into the cache of a host with the key in
    /// the file `key`. Returns the names of the files, which are what that host looks for: the
    /// first if its stages run in processes of their own, else the second. With `baseline` it runs
    /// on every processor of this architecture, else on those that can what this one can.
    ///
    /// # Errors
    /// It cannot be read or compiled, or the folder or key cannot be used.
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

    /// Whether a component's code is in the cache and can be used: what a host without a compiler needs. What lies there and cannot be used is reported.
    ///
    /// # Errors
    /// The component cannot be read.
    pub fn is_compiled(&self, name: &str, origin: &Origin) -> Result<bool, RuntimeError> {
        self.0.is_compiled(name, origin)
    }

    /// The walls that must stand around every call of a component; none where the engine's alone
    /// does.
    pub fn required_walls(&self) -> BTreeSet<&'static str> {
        let process = self.0.process.as_ref();
        process.map(|process| std::iter::once("wasm").chain(process.required.names()).collect()).unwrap_or_default()
    }

    /// Names and files of the built-in stages.
    pub fn built_in(&self) -> Vec<(String, PathBuf)> {
        self.0.built_in().into_iter().collect()
    }

    /// Decodes files of others where stages run: in processes of their own, or in this one.
    pub fn decoder(&self) -> Arc<dyn Decode> {
        crate::far::decoder::decoder(self.0.process.as_ref())
    }

    /// The stack of a thread that runs guests. Two may lie on one, an evaluator and a model that it asks; each may use all of its own; the rest is the host's.
    pub(crate) fn stack(&self) -> usize {
        2 * self.0.bounds.stack + HOST_STACK
    }

    /// The budget that all runs of this process share.
    pub(crate) fn budget(&self) -> &'static Budget {
        self.0.options().budget
    }

    /// A new instance for a call that its stage makes once, with the desk that answers it.
    pub(crate) fn seat(
        &self,
        context: &Arc<StageContext>,
        sources: Option<Arc<dyn Sources>>,
    ) -> Result<Seat, StageFault> {
        Seat::open(&self.0, context.clone(), sources, Purpose::Once)
    }

    /// A new instance for a purpose that comes again in a stage.
    pub(crate) fn seat_for(&self, context: &Arc<StageContext>, purpose: Purpose) -> Result<Seat, StageFault> {
        Seat::open(&self.0, context.clone(), None, purpose)
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
        // The model's own components were admitted when it was registered, and are named by digest;
        // the operator may want more.
        let trust = |digest| self.0.stored.admit(&component.name, digest);
        self.0.resolve(world, &component.name, &origin, stubs, &trust).map_err(|error| match error {
            RuntimeError::Refused { message, hint } => StageFault::Untrusted { message, hint },
            RuntimeError::Contract { name, found, wanted, .. } => {
                StageFault::Outdated { component: name, found, wanted }
            }
            error => StageFault::host(error),
        })
    }
}
