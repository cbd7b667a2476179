//! The configuration of a runtime, and what is known about a component before it runs.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use stagewright_jail::Walls;
use stagewright_manifest::{Ceilings, CompilationLimits, World};
use stagewright_store::{ArtifactStore, Digest};

use crate::admission::Grant;
use crate::compile::Compiler;
use crate::component_sections::Provenance;
use crate::error::RuntimeError;

/// The origin of a component.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A built-in stage, found by its name in the folders of the installation.
    BuiltIn,
    /// A file that the manifest names.
    File(PathBuf),
    /// The component of a registered model: a blob, which the store verifies on opening.
    Stored(Digest, ArtifactStore),
}

/// The configuration of a runtime.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The folder of compiled components. Created if missing, for its owner only.
    pub cache: PathBuf,
    /// The file of the host's key, which authenticates the cache. Created if missing.
    pub key: PathBuf,
    /// The folders of built-in stages.
    pub stages: Vec<PathBuf>,
    /// How components that are not in the cache are compiled.
    pub compiler: Compiler,
    /// The limits on compiling one component.
    pub limits: CompilationLimits,
    /// The operator's ceilings on the limits of each world. They bind `describe`, which has no
    /// limits in a manifest.
    pub ceilings: Ceilings,
    /// Which components of registered models may be used.
    pub stored: StoredTrust,
    /// The processes in which instances run; `None` runs them in this process, behind the engine's
    /// sandbox only.
    pub process: Option<StageProcess>,
}

/// Decides by name and digest whether a component of a registered model may be used.
type Judge = dyn Fn(&str, Digest) -> Result<(), RuntimeError> + Send + Sync;

/// Decides whether a component of a registered model may be used, before anything of it is compiled
/// or run. By default, all may: they were admitted when the model was registered.
#[derive(Clone, Default)]
pub struct StoredTrust(Option<Arc<Judge>>);

impl StoredTrust {
    /// Uses a function, which gets the name and the digest of the component.
    pub fn of(judge: impl Fn(&str, Digest) -> Result<(), RuntimeError> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(judge)))
    }

    /// Checks a component.
    ///
    /// # Errors
    /// Returns the error of the function.
    pub(crate) fn admit(&self, name: &str, digest: Digest) -> Result<(), RuntimeError> {
        self.0.as_ref().map_or(Ok(()), |judge| judge(name, digest))
    }
}

impl fmt::Debug for StoredTrust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "StoredTrust(asks)" } else { "StoredTrust(all)" })
    }
}

impl Installation {
    /// Creates an installation with the key `host.key` next to the cache folder and default limits,
    /// whose stages run in this process.
    ///
    /// Use another place for the key if the cache folder may come from someone else: whoever can
    /// supply both can supply native code.
    pub fn new(cache: PathBuf, stages: Vec<PathBuf>, compiler: Compiler) -> Self {
        let key = cache.with_file_name("host.key");
        let limits = CompilationLimits::default();
        let ceilings = Ceilings::default();
        Self { cache, key, stages, compiler, limits, ceilings, stored: StoredTrust::default(), process: None }
    }
}

/// Decides whether a component of this digest may be used, before anything of it is compiled.
pub type Trust<'a> = &'a dyn Fn(Digest) -> Result<(), RuntimeError>;

/// A component as its bytes describe it. It need not be admissible.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The number of its bytes.
    pub size: u64,
    /// The worlds that it implements.
    pub worlds: Vec<World>,
    /// Its imports, each with what the first of its worlds grants for it.
    pub imports: Vec<(String, Grant)>,
    /// Its exports.
    pub exports: Vec<String>,
    /// Its claims about its origin.
    pub provenance: Provenance,
}

/// The stage processes in which instances run.
#[derive(Debug, Clone)]
pub struct StageProcess {
    /// The program of a stage process. It must have this version.
    pub program: PathBuf,
    /// The walls that must stand around each process.
    pub required: Walls,
}
