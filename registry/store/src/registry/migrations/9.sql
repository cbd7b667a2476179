-- Format 9: what clients of the tracking server log: the locations of experiments, datasets, logged models, files, and
-- models that clients registered, which Stagewright neither runs nor promotes.

ALTER TABLE experiments ADD COLUMN artifact_location TEXT;      -- NULL: mlflow-artifacts:/ID

-- By it, a value that a client logs again is found.
CREATE INDEX metric_points_by_step ON metric_points (run, name, step, at_ms) WHERE stage IS NULL;

CREATE TABLE datasets (
    id INTEGER PRIMARY KEY,
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    source_type TEXT NOT NULL,
    source TEXT NOT NULL,
    columns TEXT,                               -- the client's JSON
    profile TEXT,                               -- the client's JSON
    UNIQUE (experiment, name, digest)
) STRICT;
CREATE TABLE run_datasets (
    run INTEGER NOT NULL REFERENCES runs (id),
    dataset INTEGER NOT NULL REFERENCES datasets (id),
    PRIMARY KEY (run, dataset)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_datasets_by_dataset ON run_datasets (dataset);
CREATE TABLE run_dataset_tags (
    run INTEGER NOT NULL REFERENCES runs (id),
    dataset INTEGER NOT NULL REFERENCES datasets (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, dataset, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE logged_models (
    id INTEGER PRIMARY KEY,                     -- order of creation
    model_id TEXT NOT NULL UNIQUE,              -- m- and 32 hex digits
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    model_type TEXT,
    source_run TEXT,                            -- 32 hex digits
    status TEXT NOT NULL CHECK (status IN ('pending', 'ready', 'failed')),
    status_message TEXT,
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    deleted_ms INTEGER
) STRICT;
CREATE INDEX logged_models_by_experiment ON logged_models (experiment, created_ms);
CREATE TABLE logged_model_parameters (
    model INTEGER NOT NULL REFERENCES logged_models (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE logged_model_tags (
    model INTEGER NOT NULL REFERENCES logged_models (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE logged_model_metrics (
    model INTEGER NOT NULL REFERENCES logged_models (id),
    name TEXT NOT NULL,
    dataset_name TEXT NOT NULL,                 -- empty: measured on none that was named
    dataset_digest TEXT NOT NULL,
    run TEXT NOT NULL,                          -- 32 hex digits
    value REAL,                                 -- the last one; NULL is NaN
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (model, name, dataset_name, dataset_digest, run)
) STRICT, WITHOUT ROWID;
CREATE INDEX logged_model_metrics_by_value ON logged_model_metrics (name, value, model);
CREATE TABLE run_models (
    run INTEGER NOT NULL REFERENCES runs (id),
    is_output INTEGER NOT NULL,                 -- 1: the run made it; 0: the run used it
    model_id TEXT NOT NULL,
    step INTEGER NOT NULL,
    PRIMARY KEY (run, is_output, model_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE client_files (
    path TEXT PRIMARY KEY,                      -- as the proxy of artifacts has it: 1/RUN/artifacts/model/MLmodel
    digest TEXT NOT NULL,                       -- of the blob that holds the bytes
    bytes INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX client_files_by_digest ON client_files (digest);

ALTER TABLE registered_models ADD COLUMN is_foreign INTEGER NOT NULL DEFAULT 0;
ALTER TABLE versions ADD COLUMN is_foreign INTEGER NOT NULL DEFAULT 0; -- 1: a client registered it
CREATE TABLE foreign_versions (
    id INTEGER PRIMARY KEY REFERENCES versions (id),
    source TEXT NOT NULL,                       -- a URI, as the client gave it
    location TEXT NOT NULL,                     -- the source with its references followed, when it was registered
    run_link TEXT,
    model_id TEXT,                              -- of the logged model
    digest TEXT                                 -- of its files, when they were first seen; NULL: no file was seen
) STRICT;
CREATE INDEX foreign_versions_by_model ON foreign_versions (model_id) WHERE model_id IS NOT NULL;

-- Any number of foreign versions of a model may be in production.
DROP INDEX one_champion;
CREATE UNIQUE INDEX one_champion ON versions (model) WHERE stage = 'production' AND is_foreign = 0;
DROP VIEW models;
CREATE VIEW models AS SELECT name, created_ms, last_version,
        (SELECT version FROM versions
            WHERE versions.model = registered_models.id AND stage = 'production' AND versions.is_foreign = 0) AS champion
    FROM registered_models;

-- `champion` is an alias like others of a foreign version, so that the condition against it goes.
CREATE TABLE aliases_of_versions (
    model INTEGER NOT NULL REFERENCES registered_models (id),
    alias TEXT NOT NULL,
    version INTEGER NOT NULL REFERENCES versions (id),
    PRIMARY KEY (model, alias)
) STRICT, WITHOUT ROWID;
INSERT INTO aliases_of_versions (model, alias, version) SELECT model, alias, version FROM version_aliases;
DROP TABLE version_aliases;
ALTER TABLE aliases_of_versions RENAME TO version_aliases;
CREATE INDEX version_aliases_by_version ON version_aliases (version);
