INSERT INTO experiments (id, name, created_ms, updated_ms) VALUES (1, 'churn', 50, 50);
INSERT INTO runs (id, run_id, experiment, pipeline, seed, manifest, config, status, started_ms, ended_ms, owner, name, actor) VALUES
    (1, 'aa00000000000000000000000000000f', 1, 'churn', -1, '[pipeline]', '{"a":1}', 'finished', 100, 400, '1-old', 'aa000000', 'ada');
INSERT INTO registered_models (id, name, created_ms, updated_ms, last_version) VALUES (1, 'churn', 1000, 1040, 4);
INSERT INTO registered_model_tags VALUES (1, 'owner', 'ada');
INSERT INTO versions (id, model, version, semantic_version, run_id, created_ms, updated_ms, actor, contents, verdict, reason, judged_ms, stage, stage_ms, followed) VALUES
    (1, 1, 1, '1.0.0', 'aa00000000000000000000000000000f', 1010, 1013, 'ada', '{"model":1}', 'approved', 'every gate passed', 1011, 'archived', 1023, 9),
    (2, 1, 2, '1.0.1', NULL, 1020, 1023, 'ada', '{"model":2}', 'approved', 'better', 1021, 'production', 1023, NULL),
    (3, 1, 3, '1.0.2', NULL, 1030, 1031, 'ada', '{"model":3}', 'rejected', 'roc_auc 0.7 < 0.8', 1031, 'staging', 1030, NULL),
    (4, 1, 4, '1.0.3', NULL, 1040, 1040, 'ada', '{"model":4}', NULL, NULL, NULL, 'none', NULL, NULL);
INSERT INTO version_artifacts VALUES
    (1, 'model', 'blob', 'sha256:abababababababababababababababababababababababababababababababab', 7, 1),
    (1, 'evaluation.report', 'document', 'sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd', 9, 0),
    (2, 'model', 'blob', 'sha256:efefefefefefefefefefefefefefefefefefefefefefefefefefefefefefefef', 7, 1);
INSERT INTO version_metrics VALUES (1, 'brier', NULL), (1, 'roc_auc', 0.8), (2, 'roc_auc', 0.85), (4, 'roc_auc', 0.5);
INSERT INTO version_parameters VALUES (1, 'depth', '3');
INSERT INTO version_tags VALUES (4, 'stagewright.source', 'file:///elsewhere#churn/1');
INSERT INTO version_aliases VALUES (1, 'candidate', 3);
INSERT INTO promotions (id, model, version, expected, rollback, destination, state, owner, actor, reason, began_ms, ended_ms, completed) VALUES
    ('00000000000000000000000000000001', 1, 1, NULL, 0, 'file:///production', 'finished', '1-old', 'ada', 'every gate passed', 1012, 1014, 5),
    ('00000000000000000000000000000002', 1, 2, 1, 0, 'file:///production', 'current', '1-old', 'ada', 'better', 1022, NULL, 10);
INSERT INTO audit VALUES
    (1, 1000, 'ada', 'model.registered', 'churn', NULL, NULL, NULL, '', '5fe57bf6384b60f05218da35da8c1ac0c6c081a8245c63455a9f6e80ea8bca6b'),
    (2, 1010, 'ada', 'version.registered', 'churn', 1, NULL, NULL, '', '7301e4aefa2e436eca82386378f479e8aaae13104c1e3472999eb68e1a2c325b'),
    (3, 1011, 'ada', 'version.judged', 'churn', 1, NULL, 'approved', 'every gate passed', '8983885a894c7243edcfcbb87d1f7965a1dacdfccb7d2b052fbf11394c7127b9'),
    (4, 1012, 'ada', 'promotion.intended', 'churn', 1, NULL, '00000000000000000000000000000001', 'every gate passed', 'a2908528303b118290ca4ec79946413f002f25ebcfccf0d099916166622f5e7b'),
    (5, 1013, 'ada', 'version.transitioned', 'churn', 1, 'none', 'production', 'every gate passed', 'cfe284d668fee1a29b1c81c803f9938c9826f3b46d17cc93ab55c7b4521d6822'),
    (6, 1020, 'ada', 'version.registered', 'churn', 2, NULL, NULL, '', '454299ca17d40873439207734f6ba3ce6d0e550b27c5848924dde2f0b9421d6c'),
    (7, 1021, 'ada', 'version.judged', 'churn', 2, NULL, 'approved', 'better', 'a508ecdac6cb4a8d71ca48fa7c3dc0ddb4a90c0a942dfcf0837825d539759cd3'),
    (8, 1022, 'ada', 'promotion.intended', 'churn', 2, NULL, '00000000000000000000000000000002', 'better', '005578f18edd019af2d66821d275553675ad090a8cffd1f59326b4a41bee7e7a'),
    (9, 1023, 'ada', 'version.transitioned', 'churn', 1, 'production', 'archived', 'version 2 followed', 'eb5265bcfa0319b90f209ca2e51658300f15698edf2a1cb166dd46bb7b97ab7f'),
    (10, 1023, 'ada', 'version.transitioned', 'churn', 2, 'none', 'production', 'better', 'b1e1e2db72022304132832855b5536f9ec15a1b2692dfeeeadd0b3ad14ff294f'),
    (11, 1030, 'ada', 'version.registered', 'churn', 3, NULL, NULL, '', '4bda3e3ef197b0710121a815f87de0885672b96e6dba7e0281bb02fe4eb0b0b4'),
    (12, 1031, 'grace', 'version.judged', 'churn', 3, NULL, 'rejected', 'roc_auc 0.7 < 0.8', '2132e49bca2befd55fcc3d79554602cc46409207236d1c5653a6d09bd1349fa9'),
    (13, 1040, 'ada', 'version.registered', 'churn', 4, NULL, NULL, 'file:///elsewhere#churn/1', '7cf71ab8ade339a7b8b6943db3fec75d73cbdb57b0f7eb0575faf2ecfe330d43');
UPDATE audit_head SET seq = 13, hash = '7cf71ab8ade339a7b8b6943db3fec75d73cbdb57b0f7eb0575faf2ecfe330d43';
