//! The host's side of the contract, generated from `wit/`.
//!
//! One world that imports and exports everything, so that a type is one Rust type in all of them; which of it a component gets is decided
//! at admission, not here.

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
    // What an instance in another process is asked, and what it answers.
    additional_derives: [serde::Serialize, serde::Deserialize],
    with: {
        "stagewright:stage/tables.table": crate::imports::Table,
        "stagewright:stage/tables.table-writer": crate::imports::TableWriter,
        "stagewright:stage/blobs.blob": crate::imports::Blob,
        "stagewright:stage/blobs.blob-writer": crate::imports::BlobWriter,
        "stagewright:stage/sources.cursor": crate::imports::Cursor,
        "stagewright:stage/models.model": crate::imports::Model,
    },
});

/// `shards` alone: what it returns holds a resource, which cannot cross to another process as the
/// other values do.
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
