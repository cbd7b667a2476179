//! The world `transformation`, misbehaving: see `misbehave`.

misbehave::export!(
    Transformation, TRANSFORMATION:
    metadata __export_stagewright_stage_metadata_0_1_0_cabi,
    transform __export_stagewright_stage_transform_0_1_0_cabi
);
