//! The world `evaluation`, misbehaving: see `misbehave`.

misbehave::export!(
    Evaluation, EVALUATION:
    metadata __export_stagewright_stage_metadata_0_2_0_cabi,
    evaluate __export_stagewright_stage_evaluate_0_2_0_cabi
);
