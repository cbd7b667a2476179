//! The world `validation`, misbehaving: see `misbehave`.

misbehave::export!(
    Validation, VALIDATION:
    metadata __export_stagewright_stage_metadata_0_2_0_cabi,
    validate __export_stagewright_stage_validate_0_2_0_cabi
);
