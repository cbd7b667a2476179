//! What a component may import, and what it must export: decided by names, before anything of it is
//! compiled or run.
//!
//! Every import must be an interface that its world lists, or WASI in its virtual form, or a stub
//! that the manifest allows; anything else is refused by name, and another version of the contract
//! or of WASI by its version.

use stagewright_lifecycle::fault::guest_name;
use stagewright_manifest::World;
use wasmtime::component::{HasSelf, Linker};

use crate::bindings::stagewright::stage as contract;
use crate::component_sections::Interfaces;
use crate::error::RuntimeError;
use crate::import_call::Host;
use crate::store_data::StoreData;
use crate::version::{self, Name, Tool, interface};
use crate::wasi::linker::link_wasi;
use crate::wasi::stubs::{self, Stubs};

/// Why a component gets what it imports; or that it does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grant {
    /// An interface of its world.
    World,
    /// WASI as every stage gets it: virtual and empty.
    Wasi,
    /// An interface with nothing behind it, which the manifest allows by name.
    Stub(&'static str),
    /// Nothing: the component is refused.
    Refused,
}

impl Grant {
    /// The word for people and programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::World => "world",
            Self::Wasi => "virtual WASI",
            Self::Stub(_) => "failing stub",
            Self::Refused => "refused",
        }
    }
}

/// The stub that would let an import link.
fn stub_of(import: &str) -> Option<&'static str> {
    let only = |stub: &&str| stubs::grants(import, Stubs::named(&[(*stub).to_owned()]));
    if stubs::grants(import, Stubs::default()) { None } else { ["filesystem", "sockets"].into_iter().find(only) }
}

/// What a component of a world gets for an import.
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

/// Whether an interface of the contract is among these names.
pub(crate) fn has(names: &[String], interface: &str) -> bool {
    names.iter().filter_map(|name| Name::parse(name)).any(|name| name.is_ours(interface))
}

/// The worlds whose interface a component exports.
pub(crate) fn worlds(exports: &[String]) -> Vec<World> {
    let told = |world: &World| world.contract().exports.first().is_some_and(|first| has(exports, first));
    World::all().filter(told).collect()
}

/// Refuses a component of another version of the contract or of WASI, or that lacks an export of
/// its world, or imports what the world does not have. Who made it is asked only if its author has
/// to rebuild it.
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

/// A linker with what a world may import, and nothing else.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineOptions, engine};

    #[test]
    fn every_import_that_the_table_of_worlds_names_is_answered() {
        let engine = engine(EngineOptions::default()).expect("an engine");
        for world in World::all() {
            let linked = linker::<crate::stage_host::StageHost>(&engine, world, Stubs::default());
            assert!(linked.is_ok(), "{world}: {:?}", linked.err());
        }
    }
}
