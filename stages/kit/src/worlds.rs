//! One trait for each world, which the author of a stage implements, and the macro that makes a
//! component of the stage.
//!
//! The traits mirror the WIT functions. [`Stage`] adapts them to the generated `Guest` traits: it
//! parses parameters, wraps resources and finishes blobs.

use std::marker::PhantomData;

use crate::bindings::exports::stagewright::stage::metadata::{Description, Guest, TaskKind};

mod evaluation;
mod ingestion;
mod preparation;
mod promotion;
mod sharding;
mod training;
mod transformation;
mod validation;

pub use evaluation::{Evaluation, Model};
pub use ingestion::Ingestion;
pub use preparation::{Inputs, Preparation};
pub use promotion::Promotion;
pub use sharding::Sharding;
pub use training::{Contributions, LoadedModel, Scale, Training};
pub use transformation::{LoadedTransformation, Rebalancing, Transformation};
pub use validation::{Assessing, Validation};

/// Name, version and summary of a component. The world's macro implements this with the Cargo
/// package's name, version and description.
pub trait Described {
    /// The component's name: lower case, digits and `-`.
    const NAME: &'static str;
    /// Its semantic version.
    const VERSION: &'static str;
    /// One sentence about it.
    const SUMMARY: &'static str;
}

/// Adapts a stage to the generated bindings. Only the macros use it.
pub struct Stage<T>(PhantomData<T>);

/// All kinds of tasks, for stages that work with any.
pub const ANY_TASK: &[TaskKind] = &[TaskKind::Binary, TaskKind::MultiClass, TaskKind::Regression];

/// The parts of a stage's metadata that [`Described`] does not have.
#[doc(hidden)]
pub trait HasMetadata {
    /// The parameter type.
    type Parameters: schemars::JsonSchema;
    /// The tasks that it supports.
    const TASKS: &'static [TaskKind];
}

impl<T: HasMetadata + Described> Guest for Stage<T> {
    fn describe() -> Description {
        Description {
            name: T::NAME.to_owned(),
            version: T::VERSION.to_owned(),
            summary: T::SUMMARY.to_owned(),
            parameters: crate::parameters::schema::<T::Parameters>(),
            tasks: T::TASKS.to_vec(),
        }
    }
}

/// Implements [`Described`] and [`HasMetadata`], and exports interfaces of a world.
#[doc(hidden)]
#[macro_export]
macro_rules! export_stage {
    ($stage:ty: $trait:ident, $section:ident, $($interface:ident $export:ident),*) => {
        impl $crate::Described for $stage {
            const NAME: &'static str = ::std::env!("CARGO_PKG_NAME");
            const VERSION: &'static str = ::std::env!("CARGO_PKG_VERSION");
            const SUMMARY: &'static str = ::std::env!("CARGO_PKG_DESCRIPTION");
        }
        impl $crate::HasMetadata for $stage {
            type Parameters = <$stage as $crate::$trait>::Parameters;
            const TASKS: &'static [$crate::TaskKind] = <$stage as $crate::$trait>::TASKS;
        }
        // Natively, there is no component to export from, and the linker refuses the `@` in the
        // names.
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

/// Makes a component of the world `ingestion` from a type that implements
/// [`Ingestion`](crate::Ingestion).
#[macro_export]
macro_rules! ingestion {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Ingestion, INGESTION,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            ingest __export_stagewright_stage_ingest_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `preparation` from a type that implements
/// [`Preparation`](crate::Preparation).
#[macro_export]
macro_rules! preparation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Preparation, PREPARATION,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            prepare __export_stagewright_stage_prepare_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `validation` from a type that implements
/// [`Validation`](crate::Validation).
#[macro_export]
macro_rules! validation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Validation, VALIDATION,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            validate __export_stagewright_stage_validate_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `assessing-validation` from a type that implements
/// [`Validation`](crate::Validation) and [`Assessing`](crate::Assessing).
#[macro_export]
macro_rules! assessing_validation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Validation, ASSESSING_VALIDATION,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            validate __export_stagewright_stage_validate_0_2_0_cabi,
            assess __export_stagewright_stage_assess_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `transformation` from a type that implements
/// [`Transformation`](crate::Transformation).
#[macro_export]
macro_rules! transformation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Transformation, TRANSFORMATION,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            transform __export_stagewright_stage_transform_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `rebalancing-transformation` from a type that implements
/// [`Transformation`](crate::Transformation) and [`Rebalancing`](crate::Rebalancing).
#[macro_export]
macro_rules! rebalancing_transformation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Transformation, REBALANCING_TRANSFORMATION,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            transform __export_stagewright_stage_transform_0_2_0_cabi,
            rebalance __export_stagewright_stage_rebalance_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `training` from a type that implements
/// [`Training`](crate::Training).
#[macro_export]
macro_rules! training {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Training, TRAINING,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            predict __export_stagewright_stage_predict_0_2_0_cabi,
            train __export_stagewright_stage_train_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `sharded-training` from a type that implements
/// [`Training`](crate::Training) and [`Sharding`](crate::Sharding).
#[macro_export]
macro_rules! sharded_training {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Training, SHARDED_TRAINING,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            predict __export_stagewright_stage_predict_0_2_0_cabi,
            train __export_stagewright_stage_train_0_2_0_cabi,
            shards __export_stagewright_stage_shards_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `evaluation` from a type that implements
/// [`Evaluation`](crate::Evaluation).
#[macro_export]
macro_rules! evaluation {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Evaluation, EVALUATION,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            evaluate __export_stagewright_stage_evaluate_0_2_0_cabi
        );
    };
}

/// Makes a component of the world `promotion` from a type that implements
/// [`Promotion`](crate::Promotion).
#[macro_export]
macro_rules! promotion {
    ($stage:ty) => {
        $crate::export_stage!(
            $stage: Promotion, PROMOTION,
            metadata __export_stagewright_stage_metadata_0_2_0_cabi,
            decide __export_stagewright_stage_decide_0_2_0_cabi
        );
    };
}
