//! The guest's side of the contract, generated from `wit/` by wit-bindgen.
//!
//! This is generated once, for a world that has every interface, so that a `Batch`, a `Failure` or
//! a `train::Guest` is one Rust type wherever it appears; a `generate!` per world would give each
//! world its own types, and macros of the same names. `export_stage!` exports the interfaces of a
//! stage's world and adds the custom section that describes this world (made by `build.rs`). The
//! component encoder drops the imports that a stage never calls. So a component exports exactly
//! what its world lists, and imports no more.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::allow_attributes,
    clippy::undocumented_unsafe_blocks,
    unsafe_op_in_unsafe_fn,
    reason = "generated code; its documentation is the WIT's"
)]

wit_bindgen::generate!({
    path: "../../wit",
    inline: "
        package stagewright:kit;
        world everything {
            import stagewright:stage/types@0.2.0;
            import stagewright:stage/tables@0.2.0;
            import stagewright:stage/blobs@0.2.0;
            import stagewright:stage/sources@0.2.0;
            import stagewright:stage/models@0.2.0;
            import stagewright:stage/tracking@0.2.0;
            export stagewright:stage/metadata@0.2.0;
            export stagewright:stage/ingest@0.2.0;
            export stagewright:stage/prepare@0.2.0;
            export stagewright:stage/validate@0.2.0;
            export stagewright:stage/assess@0.2.0;
            export stagewright:stage/transform@0.2.0;
            export stagewright:stage/rebalance@0.2.0;
            export stagewright:stage/predict@0.2.0;
            export stagewright:stage/train@0.2.0;
            export stagewright:stage/shards@0.2.0;
            export stagewright:stage/evaluate@0.2.0;
            export stagewright:stage/decide@0.2.0;
        }
    ",
    generate_all,
    generate_unused_types: true,
    additional_derives: [PartialEq],
    // `plan` holds a handle, which is not comparable.
    additional_derives_ignore: ["plan"],
    pub_export_macro: true,
    export_macro_name: "export_everything",
    default_bindings_module: "stagewright_kit::bindings",
});

/// The custom sections that describe the worlds to the component encoder.
pub mod sections {
    /// Defines the section of one world.
    macro_rules! section {
        ($name:ident, $file:literal) => {
            #[doc = concat!("The section in `", $file, "`.")]
            pub const $name: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/", $file));
        };
    }
    section!(INGESTION, "ingestion.bin");
    section!(PREPARATION, "preparation.bin");
    section!(VALIDATION, "validation.bin");
    section!(ASSESSING_VALIDATION, "assessing-validation.bin");
    section!(TRANSFORMATION, "transformation.bin");
    section!(REBALANCING_TRANSFORMATION, "rebalancing-transformation.bin");
    section!(TRAINING, "training.bin");
    section!(SHARDED_TRAINING, "sharded-training.bin");
    section!(EVALUATION, "evaluation.bin");
    section!(PROMOTION, "promotion.bin");

    /// Returns a section's bytes as an array, as a `static` needs.
    pub const fn bytes<const LENGTH: usize>(section: &[u8]) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes.copy_from_slice(section);
        bytes
    }
}
