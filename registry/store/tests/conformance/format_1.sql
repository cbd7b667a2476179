INSERT INTO experiments VALUES (1, 'churn', 50), (2, 'other', 60);
INSERT INTO runs VALUES
    (1, 'aa00000000000000000000000000000f', 1, 'churn', -1, '[pipeline]', '{"a":1}', 'finished', 100, 400, NULL, '1-old'),
    (2, 'bb00000000000000000000000000000f', 2, 'other', 7, '', '{}', 'failed', 500, 600, '{"stage":"training"}', '1-old'),
    (3, 'cc00000000000000000000000000000f', 1, 'churn', 7, '', '{}', 'running', 700, NULL, NULL, '1-gone');
INSERT INTO parameters VALUES (1, 'depth', '3');
INSERT INTO stages VALUES
    (1, 1, 'training', 'train', 'sha256:abababababababababababababababababababababababababababababababab', 'finished', 150, 200, 1.5, 1.25, 9, 10, 0, 80, 7, 160, NULL,
        '[{"level":"info","message":"round 1"}]'),
    (2, 1, 'evaluation', 'evaluate', 'sha256:abababababababababababababababababababababababababababababababab', 'finished', 250, 300, 1.5, 1.25, 9, 10, 0, 80, 7, 160, NULL, '[]');
INSERT INTO stage_inputs VALUES (1, 0, 'train', 'sha256:abababababababababababababababababababababababababababababababab');
INSERT INTO stage_outputs VALUES (1, 0, 'model', 'blob', 'sha256:abababababababababababababababababababababababababababababababab', 'application/octet-stream', NULL, 7);
INSERT INTO metrics VALUES (1, 0, 'loss', 0.5, 0), (1, 1, 'loss', 0.25, 1), (2, 0, 'roc_auc', NULL, 0);
INSERT INTO models VALUES ('churn', 1000), ('other', 2000);
INSERT INTO model_versions VALUES
    ('churn', 1, NULL, 1010, '{"model":1}', 'approved', 'good', 1011),
    ('churn', 2, 'aa00000000000000000000000000000f', 1020, '{"model":2}', 'approved', 'better', 1021),
    ('churn', 3, NULL, 1030, '{"model":"sha256:cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd"}', 'approved', NULL, 1031),
    ('churn', 4, NULL, 1040, '{"model":4}', 'rejected', 'bad', 1041),
    ('other', 1, NULL, 2010, '{}', 'rejected', 'bad', 2011),
    ('other', 2, NULL, 2020, '{}', NULL, NULL, NULL);
INSERT INTO aliases VALUES ('churn', 'candidate', 4), ('churn', 'champion', 2);
INSERT INTO alias_moves VALUES
    (3, 'churn', 'champion', NULL, 1, 1110),
    (4, 'churn', 'champion', 1, 3, 1120),
    (5, 'churn', 'candidate', NULL, 4, 1130),
    (8, 'churn', 'champion', 3, 1, 1140),
    (9, 'churn', 'champion', 1, 2, 1220);
