//! The installation that a runtime works with, and what can be asked of a component before it runs.

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

/// Where a component comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// A built-in stage, found by name in the folders of the installation.
    BuiltIn,
    /// A file that the manifest names.
    File(PathBuf),
    /// The component of a registered model: a blob that the store verifies when it is opened.
    Stored(Digest, ArtifactStore),
}

/// The installation that a runtime works with.
#[derive(Debug, Clone)]
pub struct Installation {
    /// The folder of compiled components; made if it is missing, for its owner alone.
    pub cache: PathBuf,
    /// The file of the host's key, under which the cache is authenticated; made if it is missing.
    pub key: PathBuf,
    /// Folders of built-in stages.
    pub stages: Vec<PathBuf>,
    /// Who compiles what is not in the cache.
    pub compiler: Compiler,
    /// The limits of compiling one component.
    pub limits: CompilationLimits,
    /// The most that a component of each world may use. It binds `describe`,
    /// which no manifest knows of.
    pub ceilings: Ceilings,
    /// Which components of registered models may be used.
    pub stored: StoredTrust,
    /// Where instances run; `None`: in this process, behind the engine's wall alone.
    pub process: Option<StageProcess>,
}

/// Says of a component of a registered model, by its name and digest, whether it may be used.
type Judge = dyn Fn(&str, Digest) -> Result<(), RuntimeError> + Send + Sync;

/// Whether a component of a registered model may be used; asked before anything of it is compiled
/// or run. By default what was admitted when the model was registered may.
#[derive(Clone, Default)]
pub struct StoredTrust(Option<Arc<Judge>>);

impl StoredTrust {
    /// Asks somebody.
    pub fn of(judge: impl Fn(&str, Digest) -> Result<(), RuntimeError> + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(judge)))
    }

    /// # Errors
    /// The refusal of whoever is asked.
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
    /// An installation whose key lies beside its cache: for a cache that nobody else brings.
    /// Whoever can bring both can bring native code.
    pub fn new(cache: PathBuf, stages: Vec<PathBuf>, compiler: Compiler) -> Self {
        let key = cache.with_file_name("host.key");
        let limits = CompilationLimits::default();
        let ceilings = Ceilings::default();
        Self { cache, key, stages, compiler, limits, ceilings, stored: StoredTrust::default(), process: None }
    }
}

/// Whether a component of this digest may be used; asked before anything of it is compiled.
pub type Trust<'a> = &'a dyn Fn(Digest) -> Result<(), RuntimeError>;

/// A component as its bytes show it, compiled or not, admitted or not.
#[derive(Debug, Clone)]
pub struct Inspection {
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// The worlds that it implements.
    pub worlds: Vec<World>,
    /// Its imports, each with what its first world grants for it; stubs only where the manifest may
    /// allow them.
    pub imports: Vec<(String, Grant)>,
    /// Its exports.
    pub exports: Vec<String>,
    /// Who made it of what.
    pub provenance: Provenance,
}

/// The processes in which instances run, if not in this one.
#[derive(Debug, Clone)]
pub struct StageProcess {
    /// The program of a stage's process, of this version.
    pub program: PathBuf,
    /// The walls that must stand around each.
    pub required: Walls,
}
