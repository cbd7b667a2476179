//! Decides what a component may import and must export, by the names of the interfaces, before
//! anything of the component is compiled or run.
//!
//! Every import must be an interface of the component's world, an interface of the virtual WASI, or
//! a stub that the manifest allows. Another import is refused by its name, and another version of
//! the contract or of WASI by its version.

use stagewright_lifecycle::fault::guest_name;
use stagewright_manifest::World;
use wasmtime::component::types::{self, ComponentItem};
use wasmtime::component::{HasSelf, Linker, LinkerInstance, Resource, ResourceType};

use crate::bindings::stagewright::stage as contract;
use crate::component_sections::Interfaces;
use crate::error::RuntimeError;
use crate::import_call::Host;
use crate::resource_types::{Blob, BlobWriter, Table, TableWriter};
use crate::store_data::StoreData;
use crate::version::{self, Name, Tool, interface};
use crate::wasi::linker::link_wasi;
use crate::wasi::stubs::{self, Stubs};

/// The grant of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// An interface of its world.
    World,
    /// An interface of WASI, virtual and empty, as every stage gets it.
    Wasi,
    /// An interface whose functions always fail, which the manifest allows by this name.
    Stub(&'static str),
    /// Nothing: the component is refused.
    Refused,
}

impl Grant {
    /// Returns the name of the grant for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Wasi => "virtual WASI",
            Self::Stub(_) => "failing stub",
            Self::Refused => "refused",
        }
    }
}

/// Returns the stub that would allow an import.
fn stub_of(import: &str) -> Option<&'static str> {
    let only = |stub: &&str| stubs::grants(import, Stubs::named(&[(*stub).to_owned()]));
    if stubs::grants(import, Stubs::default()) { None } else { ["filesystem", "sockets"].into_iter().find(only) }
}

/// Returns what a component of a world gets for an import.
pub(crate) fn grant(world: World, import: &str, stubs: Stubs) -> Grant {
    let name = Name::parse(import);
    let is = |interface: &&str| name.as_ref().is_some_and(|name| name.is_ours(interface));
    if world.contract().imports.iter().chain(&["types"]).any(is) {
        return Grant::World;
    }
    match stub_of(import) {
        _ if !stubs::grants(import, stubs) => Grant::Refused,
        Some(stub) => Grant::Stub(stub),
        None => Grant::Wasi,
    }
}

/// Returns whether these names contain an interface of the contract.
pub(crate) fn has(names: &[String], interface: &str) -> bool {
    names.iter().filter_map(|name| Name::parse(name)).any(|name| name.is_ours(interface))
}

/// Returns the worlds that a component implements, judged by the first export of each world.
pub(crate) fn worlds(exports: &[String]) -> Vec<World> {
    let implements = |world: &World| world.contract().exports.first().is_some_and(|first| has(exports, first));
    World::all().filter(implements).collect()
}

/// Checks that a component has the versions of the contract and of WASI that this host answers,
/// exports all interfaces of its world, and imports only what the world grants. `tool` is called
/// only if the author has to rebuild the component.
///
/// # Errors
/// [`RuntimeError::Contract`], [`RuntimeError::Wasi`], [`RuntimeError::World`],
/// [`RuntimeError::Import`].
pub(crate) fn admit(
    interfaces: &Interfaces,
    world: World,
    name: &str,
    stubs: Stubs,
    tool: impl FnOnce() -> Tool,
) -> Result<(), RuntimeError> {
    version::same_contract(interfaces, name, tool)?;
    if let Some(import) = interfaces.imports.iter().find(|import| stubs::is_of_another_version(import)) {
        return Err(RuntimeError::Wasi { name: name.into(), import: guest_name(import) });
    }
    let mut wanted = ["metadata"].into_iter().chain(world.contract().exports.iter().copied());
    let missing = wanted.find(|wanted| !has(&interfaces.exports, wanted));
    if let Some(missing) = missing.map(interface) {
        return Err(RuntimeError::World { name: name.into(), world, missing, fits: worlds(&interfaces.exports) });
    }
    let refused = interfaces.imports.iter().find(|import| grant(world, import, stubs) == Grant::Refused);
    refused.map_or(Ok(()), |import| {
        let hint = |stub| format!("if its language runtime links it without need, write `stubs = [\"{stub}\"]` under [components.{name}]: it gets an empty, always failing one");
        let grant = stub_of(import).map(hint).or_else(|| version::newer_patch(import));
        Err(RuntimeError::Import { name: name.into(), world, import: import.clone(), grant })
    })
}

/// Creates a linker with the imports of a world, and nothing else.
pub(crate) fn linker<H: Host>(
    engine: &wasmtime::Engine,
    world: World,
    stubs: Stubs,
) -> wasmtime::Result<Linker<StoreData<H>>> {
    let mut linker = Linker::new(engine);
    link_wasi(&mut linker, stubs)?;
    for interface in world.contract().imports {
        match *interface {
            "tables" => contract::tables::add_to_linker::<_, HasSelf<StoreData<H>>>(&mut linker, |data| data)?,
            "blobs" => contract::blobs::add_to_linker::<_, HasSelf<StoreData<H>>>(&mut linker, |data| data)?,
            "sources" => contract::sources::add_to_linker::<_, HasSelf<StoreData<H>>>(&mut linker, |data| data)?,
            "models" => contract::models::add_to_linker::<_, HasSelf<StoreData<H>>>(&mut linker, |data| data)?,
            "tracking" => contract::tracking::add_to_linker::<_, HasSelf<StoreData<H>>>(&mut linker, |data| data)?,
            other => wasmtime::bail!("nothing answers the interface `{other}`"),
        }
    }
    Ok(linker)
}

/// Creates a linker with the imports of a component that predictions need; see
/// [`link_predictions`]. Every other import traps when it is called. So `fit`, `rebalance` and
/// `train`, which need tables and write blobs, trap: a model in a model process cannot learn. Where
/// a model is served in the host's process (`sandbox-only`), it has the linker of its world, and
/// only the host's code sees to it that these exports are not called.
pub(crate) fn serving_linker<H: Host>(
    engine: &wasmtime::Engine,
    component: &wasmtime::component::Component,
    stubs: Stubs,
) -> wasmtime::Result<Linker<StoreData<H>>> {
    let mut linker: Linker<StoreData<H>> = Linker::new(engine);
    link_predictions(&mut linker, stubs)?;
    for (name, item) in component.component_type().imports(engine) {
        let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
        if Name::parse(name).is_some_and(|name| name.is_ours("tables") || name.is_ours("blobs")) {
            link_traps(&mut linker.instance(name)?, name, &interface, engine)?;
        }
    }
    Ok(linker)
}

/// Links what predictions need: WASI, reading a state, and `tracking`.
fn link_predictions<H: Host>(linker: &mut Linker<StoreData<H>>, stubs: Stubs) -> wasmtime::Result<()> {
    link_wasi(linker, stubs)?;
    // `blob-writer` is left out: a prediction makes no blobs.
    let mut blobs = linker.instance(&interface("blobs"))?;
    blobs.resource("blob", ResourceType::host::<Blob>(), |mut store, blob| {
        Ok(store.data_mut().host.drop_blob(blob)?)
    })?;
    blobs.func_wrap("[method]blob.size", |mut store, (blob,): (Resource<Blob>,)| {
        Ok((store.data_mut().host.blob_size(blob.rep())?,))
    })?;
    blobs.func_wrap("[method]blob.read", |mut store, (blob, offset, length): (Resource<Blob>, u64, u32)| {
        Ok((store.data_mut().host.read_blob(blob.rep(), offset, length)?,))
    })?;
    contract::tracking::add_to_linker::<_, HasSelf<StoreData<H>>>(linker, |data| data)
}

/// The functions and resources of `blobs` that predictions need.
const READING_BLOBS: [&str; 3] = ["blob", "[method]blob.size", "[method]blob.read"];

/// Links functions that trap for everything in an interface of the contract that predictions do not
/// need.
fn link_traps<H: Host>(
    linker: &mut LinkerInstance<'_, StoreData<H>>,
    interface: &str,
    found: &types::ComponentInstance,
    engine: &wasmtime::Engine,
) -> wasmtime::Result<()> {
    for (name, item) in found.exports(engine).filter(|(name, _)| !READING_BLOBS.contains(name)) {
        match item.ty {
            // The types of exports that are never called name these types, too.
            ComponentItem::Resource(_) => {
                let resource = match name {
                    "table" => ResourceType::host::<Table>(),
                    "table-writer" => ResourceType::host::<TableWriter>(),
                    _ => ResourceType::host::<BlobWriter>(),
                };
                linker.resource(name, resource, |_, _| Ok(()))?;
            }
            ComponentItem::ComponentFunc(_) => {
                let function = format!("{interface}#{name}");
                linker.func_new(name, move |_, _, _, _| {
                    Err(wasmtime::Error::msg(format!("serving does not link `{function}`")))
                })?;
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[cfg(feature = "compiler")]
    use std::collections::BTreeSet;

    #[cfg(feature = "compiler")]
    use wasmtime::component::Component;

    use super::*;
    use crate::engine::{EngineOptions, engine};
    #[cfg(feature = "compiler")]
    use crate::process::remote_host::RemoteHost;

    #[test]
    fn the_imports_of_every_world_are_linked() {
        let engine = engine(EngineOptions::default()).expect("an engine");
        for world in World::all() {
            let linked = linker::<crate::stage_host::StageHost>(&engine, world, Stubs::default());
            assert!(linked.is_ok(), "{world}: {:?}", linked.err());
        }
    }

    /// Returns which of a component's imported functions of the contract are linked for
    /// predictions, and which are not, as `interface#function`.
    #[cfg(feature = "compiler")]
    fn linked_for_predictions(engine: &wasmtime::Engine, component: &Component) -> [BTreeSet<String>; 2] {
        let (mut linked, mut left_out) = (BTreeSet::new(), BTreeSet::new());
        for (name, item) in component.component_type().imports(engine) {
            let ComponentItem::ComponentInstance(interface) = item.ty else { continue };
            let Some(own) = ["tables", "blobs", "tracking"].into_iter().find(|own| has(&[name.to_owned()], own)) else {
                continue;
            };
            for (function, item) in interface.exports(engine) {
                let ComponentItem::ComponentFunc(_) = item.ty else { continue };
                let mut linker: Linker<StoreData<RemoteHost>> = Linker::new(engine);
                link_predictions(&mut linker, Stubs::default()).expect("a linker");
                // A function cannot be linked twice.
                let again = linker.instance(name).expect("a name").func_new(function, |_, _, _, _| Ok(()));
                if again.is_err() { &mut linked } else { &mut left_out }.insert(format!("{own}#{function}"));
            }
        }
        [linked, left_out]
    }

    // invariant: A served model cannot learn: what learning needs is not linked.
    #[cfg(feature = "compiler")]
    #[test]
    fn serving_links_reading_a_state_and_tracking_and_nothing_else() {
        let engine = engine(EngineOptions::default()).expect("an engine");
        for world in [World::Transformation, World::Training] {
            let component = crate::guests::component(&engine, &format!("misbehave-{world}"));
            let [linked, left_out] = linked_for_predictions(&engine, &component);
            let (tracking, blobs): (Vec<_>, Vec<_>) = linked.iter().partition(|name| name.starts_with("tracking#"));
            assert_eq!(blobs, ["blobs#[method]blob.read", "blobs#[method]blob.size"], "{world}");
            assert!(tracking.contains(&&"tracking#log".to_owned()), "{world}: {tracking:?}");
            assert!(left_out.iter().all(|name| !name.starts_with("tracking#")), "{world}: {left_out:?}");
            for learning in [
                "tables#[method]table.fields",
                "tables#[method]table.read",
                "blobs#[constructor]blob-writer",
                "blobs#[method]blob-writer.write",
                "blobs#[static]blob-writer.finish",
            ] {
                assert!(left_out.contains(learning), "{world}: {learning} is not in {left_out:?}");
            }
            let linker = serving_linker::<RemoteHost>(&engine, &component, Stubs::default()).expect("a linker");
            let pre = linker.instantiate_pre(&component);
            assert!(pre.is_ok(), "{world}: {:?}", pre.err());
        }
    }
}
