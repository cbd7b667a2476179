//! One trait per world: what a stage's author implements, and the macro that makes a component of it.
//!
//! The traits mirror the WIT functions. [`Stage`] adapts them to the generated `Guest` traits: it parses parameters,
//! wraps resources and finishes blobs, and holds no logic of its own.

use std::marker::PhantomData;

use crate::bindings::exports::stagewright::stage::metadata::{ArtifactKind, Description, Guest, Product};

mod evaluation;
mod ingestion;
mod promotion;
mod sharding;
mod training;
mod transformation;
mod validation;

pub use evaluation::{Evaluation, Model};
pub use ingestion::Ingestion;
pub use promotion::Promotion;
pub use sharding::Sharding;
pub use training::Training;
pub use transformation::Transformation;
pub use validation::Validation;

/// What a component is called. The world's macro implements it with the Cargo package's name, version and description.
pub trait Described {
    /// The component's name: lower case, digits and `-`.
    const NAME: &'static str;
    /// Its semantic version.
    const VERSION: &'static str;
    /// One sentence for people.
    const SUMMARY: &'static str;
}

/// Adapts a stage to the generated bindings. Named by the macros only.
pub struct Stage<T>(PhantomData<T>);

/// What the `metadata` export of a stage returns: its world adds what it makes.
#[doc(hidden)]
pub trait Products {
    /// The parameter type.
    type Parameters: schemars::JsonSchema;
    /// Name and kind of each artifact.
    const PRODUCTS: &'static [(&'static str, ArtifactKind)];
}

impl<T: Products + Described> Guest for Stage<T> {
    fn describe() -> Description {
        let produces = T::PRODUCTS.iter().map(|&(name, kind)| Product { name: name.to_owned(), kind }).collect();
        Description {
            name: T::NAME.to_owned(),
            version: T::VERSION.to_owned(),
            summary: T::SUMMARY.to_owned(),
            parameters: crate::parameters::schema::<T::Parameters>(),
            produces,
        }
    }
}

/// Implements [`Described`] and [`Products`], and exports interfaces of a world.
#[doc(hidden)]
#[macro_export]
macro_rules! export_stage {
    ($stage:ty: $trait:ident, $section:ident, [$(($product:literal, $kind:ident)),*], $($interface:ident $export:ident),*) => {
        impl $crate::Described for $stage {
            const NAME: &'static str = ::std::env!("CARGO_PKG_NAME");
            const VERSION: &'static str = ::std::env!("CARGO_PKG_VERSION");
            const SUMMARY: &'static str = ::std::env!("CARGO_PKG_DESCRIPTION");
        }
        impl $crate::Products for $stage {
            type Parameters = <$stage as $crate::$trait>::Parameters;
            const PRODUCTS: &'static [(&'static str, $crate::ArtifactKind)] =
                &[$(($product, $crate::ArtifactKind::$kind)),*];
        }
        // Natively there is no component to export from, and the linker refuses the `@` in the names.
        #[cfg(target_arch = "wasm32")]
        const _: () = {
            type Exported = $crate::Stage<$stage>;
            $($crate::bindings::exports::stagewright::stage::$interface::$export!(
                Exported with_types_in $crate::bindings::exports::stagewright::stage::$interface
            );)*
            const SECTION: &[u8] = $crate::bindings::sections::$section;
            #[unsafe(link_section = ::std::concat!("component-type:stagewright:", ::std::stringify!($section)))]
            static WORLD: [u8; SECTION.len()] = $crate::bindings::sections::bytes(SECTION);
        };
    };
}

/// Makes a component of the world `ingestion` of a type that implements [`Ingestion`](crate::Ingestion).
#[macro_export]
macro_rules! ingestion {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Ingestion, INGESTION, [("table", Table)],
            metadata __export_stagewright_stage_metadata_0_1_0_cabi,
            ingest __export_stagewright_stage_ingest_0_1_0_cabi
        );
    };
}

/// Makes a component of the world `validation` of a type that implements [`Validation`](crate::Validation).
#[macro_export]
macro_rules! validation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Validation, VALIDATION, [("findings", Document)],
            metadata __export_stagewright_stage_metadata_0_1_0_cabi,
            validate __export_stagewright_stage_validate_0_1_0_cabi
        );
    };
}

/// Makes a component of the world `transformation` of a type that implements [`Transformation`](crate::Transformation).
#[macro_export]
macro_rules! transformation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Transformation, TRANSFORMATION, [("state", Blob), ("features", Table)],
            metadata __export_stagewright_stage_metadata_0_1_0_cabi,
            transform __export_stagewright_stage_transform_0_1_0_cabi
        );
    };
}

/// Makes a component of the world `training` of a type that implements [`Training`](crate::Training).
#[macro_export]
macro_rules! training {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Training, TRAINING, [("model", Blob)],
            metadata __export_stagewright_stage_metadata_0_1_0_cabi,
            predict __export_stagewright_stage_predict_0_1_0_cabi,
            train __export_stagewright_stage_train_0_1_0_cabi
        );
    };
}

/// Makes a component of the world `sharded-training` of a type that implements [`Training`](crate::Training) and [`Sharding`](crate::Sharding).
#[macro_export]
macro_rules! sharded_training {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Training, SHARDED_TRAINING, [("model", Blob)],
            metadata __export_stagewright_stage_metadata_0_1_0_cabi,
            predict __export_stagewright_stage_predict_0_1_0_cabi,
            train __export_stagewright_stage_train_0_1_0_cabi,
            shards __export_stagewright_stage_shards_0_1_0_cabi
        );
    };
}

/// Makes a component of the world `evaluation` of a type that implements [`Evaluation`](crate::Evaluation).
#[macro_export]
macro_rules! evaluation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Evaluation, EVALUATION, [("metrics", Document)],
            metadata __export_stagewright_stage_metadata_0_1_0_cabi,
            evaluate __export_stagewright_stage_evaluate_0_1_0_cabi
        );
    };
}

/// Makes a component of the world `promotion` of a type that implements [`Promotion`](crate::Promotion).
#[macro_export]
macro_rules! promotion {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Promotion, PROMOTION, [("decision", Document)],
            metadata __export_stagewright_stage_metadata_0_1_0_cabi,
            decide __export_stagewright_stage_decide_0_1_0_cabi
        );
    };
}
