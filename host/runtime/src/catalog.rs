//! Resolves a component: digest, trust, admission, compilation, description.
//!
//! The order is a security property. The digest of the bytes is computed first; the caller decides
//! whether this digest is trusted; the imports are read from the bytes and admitted; only then is
//! the component compiled, in a child process, or loaded from the authenticated cache. `describe`
//! runs once per digest, under limits. A file that is read twice must have the same digest both
//! times.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use stagewright_evaluation::figure::Figure;
use stagewright_lifecycle::fault::StageFault;
use stagewright_lifecycle::sandbox::{Cancel, Component, Description, Level, Meter, Shelf, StageContext, Tracker};
use stagewright_manifest::{Ceilings, Limits, World};
use stagewright_store::{ArtifactStore, Digest, open_regular, read_bounded};
use wasmtime::component as wasm;

use crate::admission::{self, Grant};
use crate::bindings::exports::stagewright::stage::metadata;
use crate::bounds::Bounds;
use crate::cache::{self, Cache, Unusable};
use crate::code::Code;
use crate::compile::Compilation;
use crate::component_sections::{self, ComponentSections, Interfaces};
use crate::description;
use crate::engine::EngineOptions;
use crate::error::RuntimeError;
use crate::export_call::{ExportCall, OptionalExports, Reply};
use crate::installation::{Inspection, Installation, Origin, StageProcess, StoredTrust, Trust};
use crate::process::stage_process::Purpose;
use crate::sealed::Sealed;
use crate::stage_host::StageHost;
use crate::stage_instance::StageInstance;
use crate::version::{self, Tool};
use crate::wasi::stubs::Stubs;
#[cfg(feature = "compiler")]
use crate::wit_comparison;

/// Finds components, and keeps what was compiled and resolved.
pub(crate) struct Catalog {
    pub(crate) engine: wasmtime::Engine,
    pub(crate) bounds: Bounds,
    ceilings: Ceilings,
    settings: String,
    cache: Cache,
    folders: Vec<PathBuf>,
    compilation: Compilation,
    /// Resolved components, by everything that decides what is linked.
    resolved: Mutex<HashMap<(Digest, World, Stubs), Resolved>>,
    /// The processes in which instances run; `None` for this process.
    pub(crate) process: Option<StageProcess>,
    pub(crate) stored: StoredTrust,
}

/// A component that was resolved.
#[derive(Clone)]
struct Resolved {
    code: Code,
    origin: Origin,
}

impl Catalog {
    pub(crate) fn new(
        engine: wasmtime::Engine,
        installation: Installation,
        options: EngineOptions,
    ) -> Result<Self, RuntimeError> {
        let Installation { cache, key, stages, compiler, limits, ceilings, stored, process } = installation;
        Ok(Self {
            engine,
            bounds: options.bounds,
            ceilings,
            settings: crate::engine::settings(options),
            cache: Cache::open(cache, &key)?,
            folders: stages,
            compilation: Compilation { compiler, limits, options, baseline: false },
            resolved: Mutex::default(),
            process,
            stored,
        })
    }

    /// Finds, admits, compiles and describes a component.
    pub(crate) fn resolve(
        &self,
        world: World,
        name: &str,
        origin: &Origin,
        stubs: Stubs,
        trust: Trust<'_>,
    ) -> Result<Component, RuntimeError> {
        let digest = self.digest(name, origin)?;
        trust(digest)?;
        let tool = || self.tool(name, digest, origin);
        let (compiled, sealed) = match self.cached(name, digest) {
            Some(compiled) => compiled,
            None => {
                let bytes = self.bytes_of(name, digest, origin)?;
                admission::admit(&self.sections(name, &bytes)?.interfaces, world, name, stubs, tool)?;
                self.compile(name, digest, &bytes)?
            }
        };
        // Cached code may come from an earlier version of this program, with another contract.
        let interfaces = interfaces(&self.engine, &compiled);
        admission::admit(&interfaces, world, name, stubs, tool)?;
        let linker = admission::linker::<StageHost>(&self.engine, world, stubs)
            .map_err(|error| RuntimeError::Engine(format!("{error:#}")))?;
        let pre = linker
            .instantiate_pre(&compiled)
            .map_err(|error| RuntimeError::Invalid { name: name.into(), reason: format!("{error:#}") })?;
        let sharded = admission::has(&interfaces.exports, "shards");
        let rebalances = admission::has(&interfaces.exports, "rebalance");
        let code = Code { pre, sealed: Arc::new(sealed), world, stubs };
        let assesses = admission::has(&interfaces.exports, "assess");
        let optional = OptionalExports { sharded, rebalances, assesses };
        let description = self.description(name, world, digest, &code, optional)?;
        self.resolved
            .lock()
            .expect("no panic holds this lock")
            .insert((digest, world, stubs), Resolved { code, origin: origin.clone() });
        let stubs = stubs.names();
        Ok(Component {
            name: name.into(),
            world,
            digest,
            description,
            sharded,
            rebalances,
            assesses,
            imports: interfaces.imports,
            stubs,
        })
    }

    /// Reads a component without compiling it.
    pub(crate) fn inspect(&self, name: &str, origin: &Origin, stubs: Stubs) -> Result<Inspection, RuntimeError> {
        let digest = self.digest(name, origin)?;
        let bytes = self.bytes_of(name, digest, origin)?;
        let ComponentSections { interfaces: Interfaces { imports, exports }, provenance } =
            self.sections(name, &bytes)?;
        let worlds = admission::worlds(&exports);
        let grant =
            |import: &String| worlds.first().map_or(Grant::Refused, |world| admission::grant(*world, import, stubs));
        let imports = imports.iter().map(|import| (import.clone(), grant(import))).collect();
        Ok(Inspection { digest, size: bytes.len() as u64, worlds, imports, exports, provenance })
    }

    /// Returns the differences between a component and the WIT at a path.
    #[cfg(feature = "compiler")]
    pub(crate) fn differences(
        &self,
        name: &str,
        origin: &Origin,
        wit: &Path,
    ) -> Result<Vec<wit_comparison::WitDifference>, RuntimeError> {
        let folder = wit_comparison::folder(wit).map_err(|reason| RuntimeError::Wit { path: wit.into(), reason })?;
        let bytes = self.bytes_of(name, self.digest(name, origin)?, origin)?;
        self.sections(name, &bytes)?;
        wit_comparison::differences(&bytes, &folder)
            .map_err(|reason| RuntimeError::Invalid { name: name.into(), reason })
    }

    /// Compiles a component for the cache of a host with this key, for any processor of this
    /// architecture if `baseline`, and returns the names of the two files. A host whose stages run
    /// in stage processes needs other code than one whose stages run in its own process, and which
    /// of them the host does is not known here.
    pub(crate) fn precompile(
        &self,
        name: &str,
        origin: &Origin,
        folder: &Path,
        key: &Path,
        baseline: bool,
    ) -> Result<[String; 2], RuntimeError> {
        let digest = self.digest(name, origin)?;
        let bytes = self.bytes_of(name, digest, origin)?;
        let ComponentSections { interfaces, provenance } = self.sections(name, &bytes)?;
        version::same_contract(&interfaces, name, || Tool::of(&provenance))?;
        let Compilation { compiler, limits, options, .. } = &self.compilation;
        let compile = |without_interruption| {
            let options = EngineOptions { without_interruption, ..*options };
            let compilation = Compilation { compiler: compiler.clone(), limits: *limits, options, baseline };
            let code = compilation.compile(name, &bytes)?;
            let file = file(digest, &crate::engine::settings(options));
            let reading = |reason| RuntimeError::Cache { path: folder.join(&file), reason };
            cache::export(folder, key, &file, &mut code.reader().map_err(reading)?)?;
            Ok(file)
        };
        Ok([compile(true)?, compile(false)?])
    }

    pub(crate) fn is_compiled(&self, name: &str, origin: &Origin) -> Result<bool, RuntimeError> {
        Ok(self.cached(name, self.digest(name, origin)?).is_some())
    }

    /// Returns the code of a component that [`Catalog::resolve`] resolved.
    pub(crate) fn code(&self, component: &Component) -> Option<Code> {
        self.resolved(component).map(|resolved| resolved.code)
    }

    /// Returns how components are compiled and run.
    pub(crate) fn options(&self) -> EngineOptions {
        self.compilation.options
    }

    fn resolved(&self, component: &Component) -> Option<Resolved> {
        let key = (component.digest, component.world, Stubs::named(&component.stubs));
        self.resolved.lock().expect("no panic holds this lock").get(&key).cloned()
    }

    /// Returns the bytes of a resolved component, to be stored with a model.
    pub(crate) fn bytes(&self, component: &Component) -> Result<Vec<u8>, RuntimeError> {
        let name = &component.name;
        let found = self
            .resolved(component)
            .ok_or_else(|| RuntimeError::Engine(format!("component `{name}` was not resolved")))?;
        self.bytes_of(name, component.digest, &found.origin)
    }

    /// Returns the names and files of the built-in stages.
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

    /// Returns the digest of a component's bytes. The bytes are not kept: most components are in
    /// the cache, and some have 30 MB.
    fn digest(&self, name: &str, origin: &Origin) -> Result<Digest, RuntimeError> {
        let path = match origin {
            Origin::BuiltIn => &self.find(name)?,
            Origin::File(path) => path,
            Origin::Stored(digest, _) => return Ok(*digest),
        };
        let failed = |reason| RuntimeError::Read { name: name.into(), path: path.clone(), reason };
        let file = open_regular(path).map_err(failed)?;
        // Checked before hashing: a sparse file can be longer than any disk.
        self.compilation.within_size(name, file.metadata().map_err(failed)?.len())?;
        Digest::of_reader(file).map_err(failed)
    }

    /// Reads the bytes of a component, which must have the digest `expected`.
    fn bytes_of(&self, name: &str, expected: Digest, origin: &Origin) -> Result<Vec<u8>, RuntimeError> {
        let path = match origin {
            Origin::BuiltIn => &self.find(name)?,
            Origin::File(path) => path,
            Origin::Stored(digest, artifacts) => return stored(name, digest, artifacts),
        };
        let failed = |reason| RuntimeError::Read { name: name.into(), path: path.clone(), reason };
        let file = open_regular(path).map_err(failed)?;
        self.compilation.within_size(name, file.metadata().map_err(failed)?.len())?;
        let bytes = read_bounded(file, self.compilation.limits.size).map_err(failed)?;
        match Digest::of(&bytes) {
            found if found != expected => Err(RuntimeError::Changed { name: name.into(), expected, found }),
            _ => Ok(bytes),
        }
    }

    /// Returns the tool that made a component, for the hint of a refusal.
    fn tool(&self, name: &str, digest: Digest, origin: &Origin) -> Tool {
        let sections = self.bytes_of(name, digest, origin).and_then(|bytes| self.sections(name, &bytes));
        sections.map_or(Tool::Other, |sections| Tool::of(&sections.provenance))
    }

    fn sections(&self, name: &str, bytes: &[u8]) -> Result<ComponentSections, RuntimeError> {
        component_sections::read(bytes).map_err(|reason| RuntimeError::Invalid { name: name.into(), reason })
    }

    /// Returns the name of the cache file of a component's code.
    fn file(&self, digest: Digest) -> String {
        file(digest, &self.settings)
    }

    /// Loads a component's code from the cache, if this host wrote it and this engine can load it.
    /// A file that cannot be used is reported, and the caller compiles again.
    fn cached(&self, name: &str, digest: Digest) -> Option<(wasm::Component, Sealed)> {
        let file = self.file(digest);
        let loaded = self.cache.sealed(&file).map_err(|reason| match reason {
            Unusable::Missing => None,
            reason => Some(reason.to_string()),
        });
        match loaded.and_then(|code| self.load(code).map_err(|reason| Some(format!("{reason:#}")))) {
            Ok(component) => Some(component),
            Err(reason) => {
                if let Some(reason) = reason {
                    let path = self.cache.path(&file);
                    tracing::warn!("the compiled code of `{name}` is not used: {reason} ({})", path.display());
                }
                None
            }
        }
    }

    fn compile(&self, name: &str, digest: Digest, bytes: &[u8]) -> Result<(wasm::Component, Sealed), RuntimeError> {
        tracing::info!(component = name, "compiling (once; the result is kept)");
        let code = self.compilation.compile(name, bytes)?;
        let file = self.file(digest);
        if let Err(reason) = code.reader().and_then(|mut code| self.cache.keep(&file, &mut code)) {
            tracing::warn!(
                "the compiled code of `{name}` cannot be kept: {reason} ({})",
                self.cache.path(&file).display()
            );
        }
        self.load(code).map_err(|reason| RuntimeError::Invalid { name: name.into(), reason: format!("{reason:#}") })
    }

    fn load(&self, code: Sealed) -> wasmtime::Result<(wasm::Component, Sealed)> {
        // SAFETY: this program's compiler made the bytes for an admitted component: either just
        // now, or earlier, in which case they were verified under the host's key. They are sealed,
        // so nobody can change them while they are mapped. wasmtime itself checks that they fit
        // this engine.
        let component = unsafe { wasm::Component::deserialize_file(&self.engine, code.path()) }?;
        Ok((component, code))
    }

    /// Returns the limits of `describe`, which are at most the operator's ceilings.
    fn describe_limits(&self, world: World) -> Limits {
        let cpu = self.bounds.describe_cpu;
        // `describe` never waits, but other processes may use the machine.
        let wall = cpu + std::time::Duration::from_secs(60);
        Limits { cpu, wall, ..world.default_limits() }.at_most(self.ceilings.of(world))
    }

    fn description(
        &self,
        name: &str,
        world: World,
        digest: Digest,
        code: &Code,
        optional: OptionalExports,
    ) -> Result<Description, RuntimeError> {
        let file = format!("{}-{}.description", digest.to_hex(), world.as_str());
        match self.cache.bytes(&file) {
            Ok(bytes) => match serde_json::from_slice(&bytes) {
                Ok(description) => return Ok(description),
                // Another version of this program wrote the file.
                Err(reason) => tracing::debug!("the description of `{name}` is asked for again: {reason}"),
            },
            Err(Unusable::Missing) => {}
            Err(reason) => {
                let path = self.cache.path(&file);
                tracing::warn!("the kept description of `{name}` is not used: {reason} ({})", path.display());
            }
        }
        let refused = |reason: String| RuntimeError::Description { name: name.into(), reason };
        let context = Arc::new(describing(name, world, digest, self.describe_limits(world)));
        let description = self.describe(code, context, optional).map_err(|fault| refused(fault.to_string()))?;
        let description = description::checked(description, &self.bounds).map_err(refused)?;
        let json = serde_json::to_vec(&description).map_err(|reason| refused(reason.to_string()))?;
        if let Err(reason) = self.cache.keep(&file, &mut &json[..]) {
            tracing::warn!(
                "the description of `{name}` cannot be kept: {reason} ({})",
                self.cache.path(&file).display()
            );
        }
        Ok(description)
    }

    /// Checks the types of all exports and calls `describe`, without staging, sources or a tracker.
    fn describe(
        &self,
        code: &Code,
        context: Arc<StageContext>,
        optional: OptionalExports,
    ) -> Result<metadata::Description, StageFault> {
        let process = self.process.as_ref();
        let mut instance = StageInstance::new(code, process, self.options(), context, None, Purpose::Once)?;
        match instance.call(ExportCall::Describe { world: code.world, optional })? {
            Reply::Description(description) => Ok(description),
            _ => Err(instance.unexpected_reply("describe")),
        }
    }
}

/// Returns the name of a file of compiled code, which has everything that the code depends on.
fn file(digest: Digest, settings: &str) -> String {
    format!("{}-{settings}.cwasm", digest.to_hex())
}

/// Returns the imports and exports of compiled code.
fn interfaces(engine: &wasmtime::Engine, component: &wasm::Component) -> Interfaces {
    let kind = component.component_type();
    Interfaces {
        imports: kind.imports(engine).map(|(name, _)| name.to_owned()).collect(),
        exports: kind.exports(engine).map(|(name, _)| name.to_owned()).collect(),
    }
}

fn stored(name: &str, digest: &Digest, artifacts: &ArtifactStore) -> Result<Vec<u8>, RuntimeError> {
    let read = artifacts.open_blob(digest).and_then(|blob| blob.read_all());
    read.map_err(|reason| RuntimeError::Invalid {
        name: name.into(),
        reason: format!("its bytes cannot be read: {reason}"),
    })
}

/// Ignores everything that `describe` reports.
struct NullTracker;

impl Tracker for NullTracker {
    fn log(&self, _: Level, _: &str) {}
    fn progress(&self, _: u64, _: u64) {}
    fn metric(&self, _: &str, _: f64, _: u64) {}
    fn figure(&self, _: Figure) {}
}

/// Returns the context of a `describe` call.
fn describing(name: &str, world: World, digest: Digest, limits: Limits) -> StageContext {
    let description = Description {
        name: name.into(),
        version: String::new(),
        summary: String::new(),
        parameters: serde_json::Value::Null,
        tasks: Vec::new(),
    };
    StageContext {
        world,
        component: Arc::new(Component {
            name: name.into(),
            world,
            digest,
            description,
            sharded: false,
            rebalances: false,
            assesses: false,
            imports: Vec::new(),
            stubs: Vec::new(),
        }),
        parameters: "{}".into(),
        seed: 0,
        roles: HashMap::new(),
        as_of: 0,
        limits,
        staging: None,
        meter: Arc::<Meter>::default(),
        tracker: Arc::new(NullTracker),
        workers: 1,
        cancel: Cancel::default(),
        shelf: Shelf::default(),
    }
}

#[cfg(all(test, feature = "compiler"))]
mod tests;
