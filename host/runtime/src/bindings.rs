//! The host's side of the contract, generated from `wit/`.
//!
//! One world imports and exports everything, so that each WIT type is one Rust type. Which of the
//! interfaces a component gets is decided at admission.

use self::stagewright::stage::types::Failure;

/// The result of a function whose failure is returned to the guest.
pub(crate) type GuestResult<T> = Result<T, Failure>;

wasmtime::component::bindgen!({
    path: "../../wit",
    inline: "
        package stagewright:host;
        world host {
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
            export stagewright:stage/evaluate@0.2.0;
            export stagewright:stage/decide@0.2.0;
        }
    ",
    world: "stagewright:host/host",
    imports: { default: trappable },
    // Calls and their results cross to stage processes.
    additional_derives: [serde::Serialize, serde::Deserialize],
    with: {
        "stagewright:stage/tables.table": crate::resource_types::Table,
        "stagewright:stage/tables.table-writer": crate::resource_types::TableWriter,
        "stagewright:stage/blobs.blob": crate::resource_types::Blob,
        "stagewright:stage/blobs.blob-writer": crate::resource_types::BlobWriter,
        "stagewright:stage/sources.cursor": crate::resource_types::Cursor,
        "stagewright:stage/models.model": crate::resource_types::Model,
    },
});

/// Bindings of `shards` alone: its result holds a resource, for which `serde` cannot be derived.
pub(crate) mod sharded {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package stagewright:host;
            world sharded {
                import stagewright:stage/types@0.2.0;
                import stagewright:stage/tables@0.2.0;
                import stagewright:stage/blobs@0.2.0;
                export stagewright:stage/shards@0.2.0;
            }
        ",
        world: "stagewright:host/sharded",
        imports: { default: trappable },
        with: {
            "stagewright:stage/types": super::stagewright::stage::types,
            "stagewright:stage/tables": super::stagewright::stage::tables,
            "stagewright:stage/blobs": super::stagewright::stage::blobs,
        },
    });
}
