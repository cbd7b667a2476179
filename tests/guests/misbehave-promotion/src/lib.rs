//! The world `promotion`, misbehaving: see `misbehave`.

misbehave::export!(
    Promotion, PROMOTION:
    metadata __export_stagewright_stage_metadata_0_2_0_cabi,
    decide __export_stagewright_stage_decide_0_2_0_cabi
);
