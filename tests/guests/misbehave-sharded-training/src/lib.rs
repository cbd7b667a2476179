//! The world `sharded-training`, misbehaving: see `misbehave`.

misbehave::export!(
    ShardedTraining, SHARDED_TRAINING:
    metadata __export_stagewright_stage_metadata_0_2_0_cabi,
    predict __export_stagewright_stage_predict_0_2_0_cabi,
    train __export_stagewright_stage_train_0_2_0_cabi,
    shards __export_stagewright_stage_shards_0_2_0_cabi
);
