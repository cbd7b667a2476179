//! From a file to something that can be instantiated: digest, admission, compilation, description.
//!
//! Admission happens before anything of the component runs: every import must be one that its world lists, or WASI in its virtual form, or a stub that the
//! manifest allows; anything else is refused by name. Precompiled code is kept in the cache, named by the component's digest and by all that
//! compilation depends on. `describe` runs once per digest, under limits.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stagewright_lifecycle::sandbox::{Cancel, Component, Description, Meter, StageContext};
use stagewright_manifest::World;
use stagewright_store::{ArtifactStore, Digest};
use wasmtime::component::{self as wasm, HasSelf, InstancePre, Linker};

use crate::bindings::exports::stagewright::stage::metadata;
use crate::bindings::stagewright::stage as host;
use crate::error::RuntimeError;
use crate::guest::Guest;
use crate::instance;
use crate::wasi::{self, Stubs};

/// The version of the contract, as it stands in the names of interfaces.
const VERSION: &str = "@0.1.0";

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

/// The folders and the caches of components.
pub(crate) struct Catalog {
    pub(crate) engine: wasmtime::Engine,
    compatibility: String,
    cache: PathBuf,
    folders: Vec<PathBuf>,
    ready: Mutex<HashMap<(Digest, World), Ready>>,
}

/// A component that was admitted.
#[derive(Clone)]
struct Ready {
    pre: InstancePre<Guest>,
    origin: Origin,
}

/// The interface that a world's components export beside `metadata`.
fn export_of(world: World) -> &'static str {
    match world {
        World::Ingestion => "ingest",
        World::Validation => "validate",
        World::Transformation => "transform",
        World::Training => "train",
        World::Evaluation => "evaluate",
        World::Promotion => "decide",
    }
}

/// The interfaces that a world's components may import, besides `types`.
fn imports_of(world: World) -> &'static [&'static str] {
    match world {
        World::Ingestion => &["tables", "sources", "tracking"],
        World::Validation => &["tables", "tracking"],
        World::Transformation | World::Training => &["tables", "blobs", "tracking"],
        World::Evaluation => &["tables", "models", "tracking"],
        World::Promotion => &["tracking"],
    }
}

fn interface(name: &str) -> String {
    format!("stagewright:stage/{name}{VERSION}")
}

impl Catalog {
    pub(crate) fn new(engine: wasmtime::Engine, cache: PathBuf, folders: Vec<PathBuf>) -> Result<Self, RuntimeError> {
        let failed = |reason| RuntimeError::Cache { path: cache.clone(), reason };
        // Precompiled code is native code: nobody but its owner may write it, or even look.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&cache).map_err(failed)?;
        fs::set_permissions(&cache, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        let compatibility = crate::engine::compatibility(&engine);
        Ok(Self { engine, compatibility, cache, folders, ready: Mutex::default() })
    }

    /// Finds, admits, compiles and describes a component.
    pub(crate) fn resolve(
        &self,
        world: World,
        name: &str,
        origin: &Origin,
        stubs: Stubs,
    ) -> Result<Component, RuntimeError> {
        let (digest, bytes) = match origin {
            Origin::BuiltIn => self.read(name, &self.find(name)?)?,
            Origin::File(path) => self.read(name, path)?,
            Origin::Stored(digest, _) => (*digest, Vec::new()),
        };
        let compiled = self.compiled(name, digest, bytes, origin)?;
        let (imports, sharded) = admit(&self.engine, &compiled, world, name, stubs)?;
        let linker = linker(&self.engine, world, stubs).map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let pre = linker
            .instantiate_pre(&compiled)
            .map_err(|error| RuntimeError::Invalid { name: name.into(), reason: format!("{error:#}") })?;
        let description = self.description(name, world, digest, &pre)?;
        self.ready
            .lock()
            .expect("no panic holds this lock")
            .insert((digest, world), Ready { pre, origin: origin.clone() });
        Ok(Component { name: name.into(), world, digest, description, sharded, imports })
    }

    /// What `resolve` made ready.
    pub(crate) fn ready(&self, component: &Component) -> Option<InstancePre<Guest>> {
        self.found(component).map(|ready| ready.pre)
    }

    fn found(&self, component: &Component) -> Option<Ready> {
        self.ready.lock().expect("no panic holds this lock").get(&(component.digest, component.world)).cloned()
    }

    /// The bytes of a component that `resolve` made ready, for keeping with a model.
    pub(crate) fn bytes(&self, component: &Component) -> Result<Vec<u8>, RuntimeError> {
        let name = &component.name;
        let found = self
            .found(component)
            .ok_or_else(|| RuntimeError::Engine(format!("component `{name}` was not resolved")))?;
        let (digest, bytes) = match &found.origin {
            Origin::BuiltIn => self.read(name, &self.find(name)?)?,
            Origin::File(path) => self.read(name, path)?,
            Origin::Stored(digest, artifacts) => (*digest, stored(name, digest, artifacts)?),
        };
        if digest != component.digest {
            return Err(RuntimeError::Invalid { name: name.clone(), reason: "its file changed while it ran".into() });
        }
        Ok(bytes)
    }

    /// Names of the built-in stages.
    pub(crate) fn built_in(&self) -> BTreeMap<String, PathBuf> {
        let files = self.folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
        let named = files.filter_map(|file| {
            let path = file.path();
            let name = path.file_name()?.to_str()?.strip_suffix(".wasm")?.to_owned();
            Some((name, path))
        });
        named.collect()
    }

    fn find(&self, name: &str) -> Result<PathBuf, RuntimeError> {
        let found = self.folders.iter().map(|folder| folder.join(format!("{name}.wasm"))).find(|path| path.is_file());
        found.ok_or_else(|| RuntimeError::Unknown { name: name.into(), searched: self.folders.clone() })
    }

    fn read(&self, name: &str, path: &Path) -> Result<(Digest, Vec<u8>), RuntimeError> {
        let bytes =
            fs::read(path).map_err(|reason| RuntimeError::Read { name: name.into(), path: path.into(), reason })?;
        Ok((Digest::of(&bytes), bytes))
    }

    fn compiled(
        &self,
        name: &str,
        digest: Digest,
        bytes: Vec<u8>,
        origin: &Origin,
    ) -> Result<wasm::Component, RuntimeError> {
        let path = self.cache.join(format!("{}-{}.cwasm", hex(digest), self.compatibility));
        if path.is_file() {
            // SAFETY: the file lies in a directory that only its owner can write, was written whole by `keep` below from code that this
            // engine's compiler made, and its name binds it to this engine's compatibility hash; wasmtime checks that hash again.
            match unsafe { wasm::Component::deserialize_file(&self.engine, &path) } {
                Ok(component) => return Ok(component),
                Err(reason) => {
                    tracing::warn!(%reason, path = %path.display(), "recompiling a cached component that does not load")
                }
            }
        }
        let bytes = match origin {
            Origin::Stored(digest, artifacts) => stored(name, digest, artifacts)?,
            _ => bytes,
        };
        let invalid =
            |error: wasmtime::Error| RuntimeError::Invalid { name: name.into(), reason: format!("{error:#}") };
        tracing::info!(component = name, "compiling (once; the result is kept)");
        let code = self.engine.precompile_component(&bytes).map_err(invalid)?;
        self.keep(&path, &code)?;
        // SAFETY: as above; the file was written by this process a moment ago.
        unsafe { wasm::Component::deserialize_file(&self.engine, &path) }.map_err(invalid)
    }

    /// Writes a cache file whole or not at all.
    fn keep(&self, path: &Path, bytes: &[u8]) -> Result<(), RuntimeError> {
        let write = || -> std::io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(&self.cache)?;
            file.write_all(bytes)?;
            file.persist(path).map_err(|error| error.error)?;
            Ok(())
        };
        write().map_err(|reason| RuntimeError::Cache { path: path.into(), reason })
    }

    fn description(
        &self,
        name: &str,
        world: World,
        digest: Digest,
        pre: &InstancePre<Guest>,
    ) -> Result<Description, RuntimeError> {
        let path = self.cache.join(format!("{}-{}.json", hex(digest), world.as_str()));
        if let Some(description) = fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()) {
            return Ok(description);
        }
        let refused = |reason: String| RuntimeError::Description { name: name.into(), reason };
        let context = Arc::new(describing(name, world, digest));
        let said = describe(&self.engine, pre, context).map_err(|fault| refused(fault.to_string()))?;
        let description = Description {
            parameters: serde_json::from_str(&said.parameters)
                .map_err(|reason| refused(format!("its parameters' schema is not JSON: {reason}")))?,
            name: said.name,
            version: said.version,
            summary: said.summary,
            produces: said.produces.into_iter().map(|product| (product.name, kind(product.kind).to_owned())).collect(),
        };
        let json = serde_json::to_vec(&description).map_err(|reason| refused(reason.to_string()))?;
        self.keep(&path, &json)?;
        Ok(description)
    }
}

fn stored(name: &str, digest: &Digest, artifacts: &ArtifactStore) -> Result<Vec<u8>, RuntimeError> {
    let read = artifacts.open_blob(digest).and_then(|blob| blob.read_all());
    read.map_err(|reason| RuntimeError::Invalid {
        name: name.into(),
        reason: format!("its bytes cannot be read: {reason}"),
    })
}

/// A digest fit for a file's name.
fn hex(digest: Digest) -> String {
    digest.to_string().trim_start_matches("sha256:").to_owned()
}

fn kind(kind: metadata::ArtifactKind) -> &'static str {
    match kind {
        metadata::ArtifactKind::Table => "table",
        metadata::ArtifactKind::Blob => "blob",
        metadata::ArtifactKind::Document => "document",
    }
}

/// Runs `describe` with no staging, no sources and nobody listening.
fn describe(
    engine: &wasmtime::Engine,
    pre: &InstancePre<Guest>,
    context: Arc<StageContext>,
) -> Result<metadata::Description, stagewright_lifecycle::fault::StageFault> {
    let mut store = crate::guest::store(engine, context, None, crate::engine::EngineOptions::default());
    let instance = instance::start(&mut store, pre)?;
    let indices = metadata::GuestIndices::new(pre);
    instance::call(&mut store, "describe", |mut store| {
        let guest = indices?.load(&mut store, &instance)?;
        Ok(Ok(guest.call_describe(&mut store)?))
    })
}

/// The context of a `describe` call: default limits of the world, of which a description needs little.
fn describing(name: &str, world: World, digest: Digest) -> StageContext {
    let description = Description {
        name: name.into(),
        version: String::new(),
        summary: String::new(),
        parameters: serde_json::Value::Null,
        produces: Vec::new(),
    };
    let mut limits = stagewright_manifest::Limits::defaults(world);
    limits.cpu = std::time::Duration::from_secs(10);
    limits.wall = std::time::Duration::from_secs(30);
    StageContext {
        world,
        component: Arc::new(Component {
            name: name.into(),
            world,
            digest,
            description,
            sharded: false,
            imports: Vec::new(),
        }),
        parameters: "{}".into(),
        seed: 0,
        roles: HashMap::new(),
        as_of: 0,
        limits,
        staging: None,
        meter: Arc::<Meter>::default(),
        tracker: Arc::new(crate::runtime::Nobody),
        workers: 1,
        cancel: Cancel::default(),
    }
}

/// Checks imports and exports by name; returns the imports and whether `shards` is exported.
fn admit(
    engine: &wasmtime::Engine,
    component: &wasm::Component,
    world: World,
    name: &str,
    stubs: Stubs,
) -> Result<(Vec<String>, bool), RuntimeError> {
    let kind = component.component_type();
    let exports: Vec<String> = kind.exports(engine).map(|(name, _)| name.to_owned()).collect();
    let has = |wanted: &str| exports.contains(&interface(wanted));
    for wanted in ["metadata", export_of(world)].into_iter().chain((world == World::Training).then_some("predict")) {
        if !has(wanted) {
            let fits = World::ALL.into_iter().filter(|world| has(export_of(*world))).collect();
            return Err(RuntimeError::World { name: name.into(), world, missing: interface(wanted), fits });
        }
    }
    let imports: Vec<String> = kind.imports(engine).map(|(name, _)| name.to_owned()).collect();
    let ours: Vec<String> = imports_of(world).iter().chain(["types"].iter()).map(|name| interface(name)).collect();
    for import in &imports {
        if !ours.contains(import) && !wasi::grants(import, stubs) {
            let stub = ["filesystem", "sockets"].into_iter().find(|stub| import.starts_with(&format!("wasi:{stub}/")));
            let grant = stub.map(|stub| {
                format!("if its language runtime links it without need, write `stubs = [\"{stub}\"]` under [components.{name}]: it gets an empty, always failing one")
            });
            return Err(RuntimeError::Import { name: name.into(), world, import: import.clone(), grant });
        }
    }
    Ok((imports, has("shards")))
}

/// A linker with what a world may import, and nothing else.
fn linker(engine: &wasmtime::Engine, world: World, stubs: Stubs) -> wasmtime::Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    wasi::link(&mut linker, stubs)?;
    for interface in imports_of(world) {
        match *interface {
            "tables" => host::tables::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?,
            "blobs" => host::blobs::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?,
            "sources" => host::sources::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?,
            "models" => host::models::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?,
            _ => host::tracking::add_to_linker::<_, HasSelf<Guest>>(&mut linker, |guest| guest)?,
        }
    }
    Ok(linker)
}
