//! The world `rebalancing-transformation`, misbehaving: see `misbehave`.

misbehave::export!(
    Transformation, REBALANCING_TRANSFORMATION:
    metadata __export_stagewright_stage_metadata_0_2_0_cabi,
    transform __export_stagewright_stage_transform_0_2_0_cabi,
    rebalance __export_stagewright_stage_rebalance_0_2_0_cabi
);
