-- Format 2: experiments and runs as MLflow knows them, metric histories, versions that are whole, lifecycle stages,
-- promotions, the audit chain.

-- Experiments and runs

ALTER TABLE experiments ADD COLUMN updated_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE experiments ADD COLUMN deleted_ms INTEGER;
UPDATE experiments SET updated_ms = created_ms;

CREATE TABLE experiment_tags (
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment, name)
) STRICT, WITHOUT ROWID;

ALTER TABLE runs ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN actor TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN deleted_ms INTEGER;
CREATE INDEX runs_by_experiment ON runs (experiment, started_ms);
CREATE INDEX runs_by_start ON runs (started_ms DESC, run_id); -- the order of searches that name none

CREATE TABLE run_tags (
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_tags_by_value ON run_tags (name, value);
CREATE INDEX parameters_by_value ON parameters (name, value);

-- Every value that was logged, in the order of logging.
CREATE TABLE metric_points (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (id),
    stage INTEGER REFERENCES stages (id),       -- the stage that reported it; NULL: the host
    name TEXT NOT NULL,                         -- of a stage's: STAGE.NAME
    value REAL,                                 -- NULL is NaN, which SQLite cannot hold
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX metric_points_by_name ON metric_points (run, name, id);
CREATE INDEX metric_points_by_stage ON metric_points (stage, id) WHERE stage IS NOT NULL;

-- The value with the greatest step, of these the latest, of these the greatest.
CREATE TABLE latest_metrics (
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    value REAL,
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX latest_metrics_by_value ON latest_metrics (name, value, run);

INSERT INTO metric_points (run, stage, name, value, step, at_ms)
    SELECT stages.run, stages.id, stages.name || '.' || metrics.name, value, step, stages.ended_ms
    FROM metrics JOIN stages ON stages.id = metrics.stage ORDER BY metrics.stage, metrics.position;
INSERT INTO latest_metrics (run, name, value, step, at_ms)
    SELECT run, name, value, step, at_ms FROM (
        SELECT run, name, value, step, at_ms, row_number() OVER (
            PARTITION BY run, name ORDER BY step DESC, at_ms DESC, value DESC NULLS LAST) AS place
        FROM metric_points) placed
    WHERE place = 1;
DROP TABLE metrics;

CREATE INDEX stage_inputs_by_digest ON stage_inputs (digest);

-- Models

CREATE TABLE registered_models (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT '',
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    last_version INTEGER NOT NULL DEFAULT 0     -- numbers of deleted versions are not given again
) STRICT;

CREATE TABLE registered_model_tags (
    model INTEGER NOT NULL REFERENCES registered_models (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (model, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE versions (
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES registered_models (id),
    version INTEGER NOT NULL CHECK (version > 0),
    semantic_version TEXT,
    run_id TEXT,                                -- 32 hex digits
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',       -- for people
    contents TEXT NOT NULL,                     -- JSON: all that is needed to use and to explain it
    verdict TEXT CHECK (verdict IN ('approved', 'rejected')),
    reason TEXT,
    judged_ms INTEGER,
    stage TEXT NOT NULL DEFAULT 'none' CHECK (stage IN ('none', 'staging', 'production', 'archived')),
    stage_ms INTEGER,                           -- since when
    withdrawn INTEGER NOT NULL DEFAULT 0,       -- 1: a rollback went away from it
    followed INTEGER,                           -- its place in the audit when another one followed it as champion
    UNIQUE (model, version)
) STRICT;
-- The version in production is the champion: there is one, or none.
CREATE UNIQUE INDEX one_champion ON versions (model) WHERE stage = 'production';
CREATE INDEX versions_by_run ON versions (run_id);

INSERT INTO registered_models (name, created_ms, updated_ms, last_version)
    SELECT name, models.created_ms, max(model_versions.created_ms), max(version)
    FROM models JOIN model_versions ON model = name GROUP BY name, models.created_ms ORDER BY name;
INSERT INTO versions (model, version, run_id, created_ms, updated_ms, actor, contents, verdict, reason, judged_ms, stage, stage_ms, followed)
    SELECT registered_models.id, model_versions.version, run_id, model_versions.created_ms, model_versions.created_ms, '',
        model_versions.description, verdict, reason, judged_ms,
        CASE WHEN aliases.version IS NOT NULL THEN 'production'
            WHEN moves.until IS NOT NULL THEN 'archived' ELSE 'none' END,
        CASE WHEN aliases.version IS NOT NULL THEN (SELECT max(moved_ms) FROM alias_moves WHERE alias = 'champion'
            AND alias_moves.model = model_versions.model AND new_version = model_versions.version) ELSE moves.until END,
        moves.place
    FROM model_versions JOIN registered_models ON registered_models.name = model_versions.model
    LEFT JOIN aliases ON aliases.model = model_versions.model AND aliases.version = model_versions.version AND alias = 'champion'
    LEFT JOIN (SELECT model, old_version AS version, max(moved_ms) AS until, max(place) AS place
        FROM (SELECT model, alias, old_version, new_version, moved_ms, row_number() OVER (ORDER BY id) AS place FROM alias_moves) placed
        WHERE alias = 'champion' AND old_version <> new_version GROUP BY model, old_version) moves ON moves.model = model_versions.model AND moves.version = model_versions.version
    ORDER BY registered_models.id, model_versions.version;

-- Every artifact without which a version could not be used or explained.
CREATE TABLE version_artifacts (
    version INTEGER NOT NULL REFERENCES versions (id),
    role TEXT NOT NULL,                         -- what it is to the version: training-component, model, ...
    kind TEXT NOT NULL CHECK (kind IN ('table', 'blob', 'document')),
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    needed INTEGER NOT NULL,                    -- 1: predictions need it; 0: it explains
    PRIMARY KEY (version, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX version_artifacts_by_digest ON version_artifacts (digest);

CREATE TABLE version_metrics (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value REAL,                                 -- NULL is NaN
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE version_parameters (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE version_tags (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;

-- Free aliases; `champion` is the version in production.
CREATE TABLE version_aliases (
    model INTEGER NOT NULL REFERENCES registered_models (id),
    alias TEXT NOT NULL CHECK (alias <> 'champion'),
    version INTEGER NOT NULL REFERENCES versions (id),
    PRIMARY KEY (model, alias)
) STRICT, WITHOUT ROWID;
CREATE INDEX version_aliases_by_version ON version_aliases (version);
INSERT INTO version_aliases (model, alias, version)
    SELECT registered_models.id, aliases.alias, versions.id FROM aliases
    JOIN registered_models ON registered_models.name = aliases.model
    JOIN versions ON versions.model = registered_models.id AND versions.version = aliases.version
    WHERE aliases.alias <> 'champion';

-- Promotions: what was intended, before anything was done about it.
CREATE TABLE promotions (
    id TEXT PRIMARY KEY,                        -- 32 hex digits
    model INTEGER NOT NULL REFERENCES registered_models (id),
    version INTEGER NOT NULL REFERENCES versions (id),
    expected INTEGER REFERENCES versions (id),  -- the champion when it was intended
    rollback INTEGER NOT NULL,
    destination TEXT NOT NULL,                  -- a URI without secrets
    state TEXT NOT NULL CHECK (state IN ('intended', 'current', 'finished', 'undone')),
    owner TEXT NOT NULL,                        -- the process that works on it
    actor TEXT NOT NULL,
    reason TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    completed INTEGER                           -- the audit's last place when its version became champion
) STRICT, WITHOUT ROWID;
CREATE INDEX promotions_unfinished ON promotions (destination) WHERE state IN ('intended', 'current');

-- Who collects garbage at a destination; no promotion begins there meanwhile.
CREATE TABLE collections (
    destination TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    began_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Every change of a model, never changed itself. No reference to any other table: it survives what it tells of.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY,                    -- 1, 2, 3, ...
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    model TEXT NOT NULL,
    version INTEGER,
    old_state TEXT,
    new_state TEXT,
    reason TEXT NOT NULL,
    hash TEXT NOT NULL                          -- of this row and the hash before it (docs/formats/audit.md)
) STRICT;
CREATE INDEX audit_by_model ON audit (model, seq);

CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
INSERT INTO audit_head VALUES (1, 0, '');

-- For people who ask in SQL.

CREATE VIEW model_transitions AS
    SELECT seq, at_ms, actor, model, version, old_state AS from_stage, new_state AS to_stage, reason
    FROM audit WHERE action = 'version.transitioned';

CREATE VIEW model_experiments AS
    SELECT registered_models.name AS model, versions.version, versions.run_id, experiments.name AS experiment
    FROM versions JOIN registered_models ON registered_models.id = versions.model
    JOIN runs ON runs.run_id = versions.run_id JOIN experiments ON experiments.id = runs.experiment;
