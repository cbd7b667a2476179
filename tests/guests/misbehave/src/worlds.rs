//! The exports of every world, well-behaved except for what is ordered.
//!
//! Each part of the lifecycle has a file. `handles` has what several parts do with tables and
//! blobs.

mod data;
mod handles;
mod judging;
mod training;
mod transformation;

use std::marker::PhantomData;

use stagewright_kit::ANY_TASK;
use stagewright_kit::bindings::exports::stagewright::stage::metadata;

use crate::Orders;

/// The imports of a world. Code behind a constant that is false is removed before the component is
/// made, and with it the import.
pub trait World: 'static {
    /// Whether the world has `tables`.
    const TABLES: bool;
    /// Whether the world has `blobs`.
    const BLOBS: bool = false;
    /// Whether the world has `sources`.
    const SOURCES: bool = false;
}

/// The components, by world.
macro_rules! world {
    ($(#[$doc:meta])* $name:ident: $($constant:ident = $value:literal),*) => {
        $(#[$doc])*
        pub struct $name;
        impl World for $name { $(const $constant: bool = $value;)* }
    };
}

world!(#[doc = "The world `ingestion`."] Ingestion: TABLES = true, SOURCES = true);
world!(#[doc = "The world `preparation`."] Preparation: TABLES = true);
world!(#[doc = "The world `validation`."] Validation: TABLES = true);
world!(#[doc = "The world `transformation`."] Transformation: TABLES = true, BLOBS = true);
world!(#[doc = "The world `training`."] Training: TABLES = true, BLOBS = true);
world!(#[doc = "The world `sharded-training`."] ShardedTraining: TABLES = true, BLOBS = true);
world!(#[doc = "The world `evaluation`."] Evaluation: TABLES = true);
world!(#[doc = "The world `promotion`."] Promotion: TABLES = false);

/// A component of a world.
pub struct Stage<W>(PhantomData<W>);

impl<W: World> metadata::Guest for Stage<W> {
    fn describe() -> metadata::Description {
        metadata::Description {
            name: "misbehave".into(),
            version: "0.1.0".into(),
            summary: "Does one misdeed in one export".into(),
            parameters: stagewright_kit::parameters::schema::<Orders>(),
            tasks: ANY_TASK.to_vec(),
        }
    }
}

/// Exports interfaces of a world and adds the section that describes it.
#[macro_export]
macro_rules! export {
    ($world:ident, $section:ident: $($interface:ident $export:ident),*) => {
        // Native code has no component to export from, and the linker refuses the `@` in the names.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::Stage<$crate::$world>;
            $(stagewright_kit::bindings::exports::stagewright::stage::$interface::$export!(
                Exported with_types_in stagewright_kit::bindings::exports::stagewright::stage::$interface
            );)*
            const SECTION: &[u8] = stagewright_kit::bindings::sections::$section;
            #[unsafe(link_section = ::std::concat!("component-type:stagewright:", ::std::stringify!($section)))]
            static WORLD: [u8; SECTION.len()] = stagewright_kit::bindings::sections::bytes(SECTION);
        };
    };
}
