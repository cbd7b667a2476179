//! The world `training`, misbehaving: see `misbehave`.

misbehave::export!(
    Training, TRAINING:
    metadata __export_stagewright_stage_metadata_0_2_0_cabi,
    predict __export_stagewright_stage_predict_0_2_0_cabi,
    train __export_stagewright_stage_train_0_2_0_cabi
);
