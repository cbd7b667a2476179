//! The world `preparation`, misbehaving: see `misbehave`.

misbehave::export!(
    Preparation, PREPARATION:
    metadata __export_stagewright_stage_metadata_0_2_0_cabi,
    prepare __export_stagewright_stage_prepare_0_2_0_cabi
);
