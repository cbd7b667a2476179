//! The world `ingestion`, misbehaving: see `misbehave`.

misbehave::export!(
    Ingestion, INGESTION:
    metadata __export_stagewright_stage_metadata_0_2_0_cabi,
    ingest __export_stagewright_stage_ingest_0_2_0_cabi
);
