-- The tables of format 8, for a new SQLite file: as the migrations up to there leave an empty one.

CREATE TABLE experiments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
, updated_ms INTEGER NOT NULL DEFAULT 0, deleted_ms INTEGER) STRICT;
CREATE TABLE runs (
    id INTEGER PRIMARY KEY,                     -- order of beginning
    run_id TEXT NOT NULL UNIQUE,                -- 32 hex digits
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    pipeline TEXT NOT NULL,
    seed INTEGER NOT NULL,                      -- the bits of a u64
    manifest TEXT NOT NULL,
    config TEXT NOT NULL,                       -- JSON
    status TEXT NOT NULL CHECK (status IN ('running', 'finished', 'failed', 'killed')),
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER,
    error TEXT,                                 -- JSON
    owner TEXT NOT NULL                         -- the life lock of the process that runs it
, name TEXT NOT NULL DEFAULT '', actor TEXT NOT NULL DEFAULT '', deleted_ms INTEGER) STRICT;
CREATE INDEX runs_by_pipeline ON runs (pipeline, id);
CREATE INDEX runs_running ON runs (owner) WHERE status = 'running';
CREATE TABLE parameters (
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE stages (
    id INTEGER PRIMARY KEY,                     -- order of recording
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    component TEXT NOT NULL,
    digest TEXT NOT NULL,
    status TEXT NOT NULL,
    started_ms INTEGER NOT NULL,
    ended_ms INTEGER NOT NULL,
    wall_ms REAL NOT NULL,
    cpu_ms REAL NOT NULL,
    peak_memory_bytes INTEGER NOT NULL,
    rows_in INTEGER NOT NULL,
    rows_out INTEGER NOT NULL,
    bytes_in INTEGER NOT NULL,
    bytes_out INTEGER NOT NULL,
    copies_bytes INTEGER NOT NULL,
    error TEXT,                                 -- JSON
    logs TEXT NOT NULL                          -- JSON list of {level, message}
, invocation TEXT, walls TEXT, key TEXT, cached_from TEXT, dropped INTEGER NOT NULL DEFAULT 0) STRICT;
CREATE INDEX stages_by_run ON stages (run, id);
CREATE INDEX stages_by_key ON stages (key) WHERE key IS NOT NULL;
CREATE INDEX stages_by_digest ON stages (digest);
CREATE TABLE stage_inputs (
    stage INTEGER NOT NULL REFERENCES stages (id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    digest TEXT NOT NULL,
    PRIMARY KEY (stage, position)
) STRICT, WITHOUT ROWID;
CREATE TABLE stage_outputs (
    stage INTEGER NOT NULL REFERENCES stages (id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('table', 'blob', 'document')),
    digest TEXT NOT NULL,
    media_type TEXT NOT NULL,
    rows INTEGER,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (stage, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX stage_outputs_by_digest ON stage_outputs (digest);
CREATE TABLE experiment_tags (
    experiment INTEGER NOT NULL REFERENCES experiments (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (experiment, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX runs_by_experiment ON runs (experiment, started_ms);
CREATE INDEX runs_by_start ON runs (started_ms DESC, run_id);
CREATE TABLE run_tags (
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX run_tags_by_value ON run_tags (name, value);
CREATE INDEX parameters_by_value ON parameters (name, value);
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
CREATE TABLE latest_metrics (
    run INTEGER NOT NULL REFERENCES runs (id),
    name TEXT NOT NULL,
    value REAL,
    step INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX latest_metrics_by_value ON latest_metrics (name, value, run);
CREATE INDEX stage_inputs_by_digest ON stage_inputs (digest);
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
    reason TEXT,
    judged_ms INTEGER,
    stage TEXT NOT NULL DEFAULT 'none' CHECK (stage IN ('none', 'staging', 'production', 'archived')),
    stage_ms INTEGER,                           -- since when
    withdrawn INTEGER NOT NULL DEFAULT 0,       -- 1: a rollback went away from it
    followed INTEGER, verdict TEXT CHECK (verdict IN ('approved', 'rejected', 'undecided')), judged_against INTEGER, parts TEXT, published INTEGER NOT NULL DEFAULT 0,                           -- its place in the audit when another one followed it as champion
    UNIQUE (model, version)
) STRICT;
CREATE UNIQUE INDEX one_champion ON versions (model) WHERE stage = 'production';
CREATE INDEX versions_by_run ON versions (run_id);
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
CREATE TABLE version_aliases (
    model INTEGER NOT NULL REFERENCES registered_models (id),
    alias TEXT NOT NULL CHECK (alias <> 'champion'),
    version INTEGER NOT NULL REFERENCES versions (id),
    PRIMARY KEY (model, alias)
) STRICT, WITHOUT ROWID;
CREATE INDEX version_aliases_by_version ON version_aliases (version);
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
, retirement INTEGER NOT NULL DEFAULT 0) STRICT, WITHOUT ROWID;
CREATE INDEX promotions_unfinished ON promotions (destination) WHERE state IN ('intended', 'current');
CREATE TABLE collections (
    destination TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    began_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
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
, details TEXT) STRICT;
CREATE INDEX audit_by_model ON audit (model, seq);
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;
CREATE VIEW model_transitions AS
    SELECT seq, at_ms, actor, model, version, old_state AS from_stage, new_state AS to_stage, reason
    FROM audit WHERE action = 'version.transitioned';
CREATE VIEW model_experiments AS
    SELECT registered_models.name AS model, versions.version, versions.run_id, experiments.name AS experiment
    FROM versions JOIN registered_models ON registered_models.id = versions.model
    JOIN runs ON runs.run_id = versions.run_id JOIN experiments ON experiments.id = runs.experiment;
CREATE VIEW models AS SELECT name, created_ms, last_version,
             (SELECT version FROM versions WHERE versions.model = registered_models.id AND stage = 'production') AS champion
         FROM registered_models;
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_never_replaced BEFORE INSERT ON audit WHEN EXISTS (SELECT 1 FROM audit WHERE seq = NEW.seq)
        BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER audit_is_never_removed BEFORE DELETE ON audit BEGIN SELECT raise(ABORT, 'the audit is append-only'); END;
CREATE INDEX versions_by_parts ON versions (model, parts) WHERE parts IS NOT NULL;
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY,                     -- order of judging
    version INTEGER NOT NULL REFERENCES versions (id),
    verdict TEXT NOT NULL CHECK (verdict IN ('approved', 'rejected', 'undecided')),
    policy TEXT NOT NULL,                       -- better, no-worse, absolute, person; unknown: given before format 3
    judged_against INTEGER,                     -- the number of the champion of the moment; 0: there was none; NULL: not known
    is_override INTEGER NOT NULL,               -- 1: a person decided
    reason TEXT NOT NULL,                       -- one line
    reasons TEXT NOT NULL,                      -- JSON list of {gate, passed, message}
    evaluation TEXT NOT NULL,                   -- JSON: what it was reached by
    run_id TEXT,                                -- 32 hex digits
    actor TEXT NOT NULL,
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX verdicts_by_version ON verdicts (version, id);
CREATE TABLE verdict_metrics (
    verdict INTEGER NOT NULL REFERENCES verdicts (id),
    name TEXT NOT NULL,
    value REAL,                                 -- NULL is NaN
    PRIMARY KEY (verdict, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE verdict_artifacts (
    verdict INTEGER NOT NULL REFERENCES verdicts (id),
    role TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('table', 'blob', 'document')),
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (verdict, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX verdict_artifacts_by_digest ON verdict_artifacts (digest);
CREATE TABLE published_metrics (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value REAL,                                 -- NULL is NaN
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE row_memories (
    version INTEGER PRIMARY KEY REFERENCES versions (id),
    key_columns TEXT NOT NULL                   -- JSON list of names, sorted; empty: the whole row is the key
) STRICT;
CREATE TABLE row_memory_chunks (
    version INTEGER NOT NULL REFERENCES row_memories (version),
    kind TEXT NOT NULL CHECK (kind IN ('key', 'content')),
    chunk INTEGER NOT NULL,                     -- 0, 1, 2, ...
    hashes BLOB NOT NULL,                       -- 8 bytes each, little-endian, ascending over all chunks
    UNIQUE (version, kind, chunk)
) STRICT;
CREATE TABLE row_hash_key (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    hash_key TEXT NOT NULL
) STRICT;
CREATE TABLE deployments (
    id INTEGER PRIMARY KEY,
    model INTEGER NOT NULL REFERENCES registered_models (id),
    number INTEGER NOT NULL CHECK (number > 0), -- 1, 2, 3, ... of the model
    strategy TEXT NOT NULL CHECK (strategy IN ('blue_green', 'canary', 'shadow', 'ab')),
    configuration TEXT NOT NULL,                -- JSON: what it was started with
    status TEXT NOT NULL CHECK (status IN ('active', 'finished', 'aborted')),
    step INTEGER NOT NULL,
    since_ms INTEGER NOT NULL,                  -- when the step began
    arms TEXT NOT NULL,                         -- JSON list of {name, version, share}, the default arm first
    state TEXT NOT NULL,                        -- JSON: what a server keeps that carries it out
    revision INTEGER NOT NULL,                  -- rises with every change
    reason TEXT NOT NULL,                       -- why it was started
    started_ms INTEGER NOT NULL,
    started_by TEXT NOT NULL,
    changed_ms INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    ended_ms INTEGER,
    ended_by TEXT,
    end_reason TEXT,
    UNIQUE (model, number)
) STRICT;
CREATE UNIQUE INDEX one_active_deployment ON deployments (model) WHERE status = 'active';
CREATE TABLE deployment_counters (
    deployment INTEGER NOT NULL REFERENCES deployments (id),
    step INTEGER NOT NULL,
    arm TEXT NOT NULL,
    requests INTEGER NOT NULL,
    errors INTEGER NOT NULL,
    rows INTEGER NOT NULL,
    PRIMARY KEY (deployment, step, arm)
) STRICT, WITHOUT ROWID;
CREATE TABLE deployment_latencies (
    deployment INTEGER NOT NULL REFERENCES deployments (id),
    step INTEGER NOT NULL,
    arm TEXT NOT NULL,
    bound_us INTEGER NOT NULL,                  -- the upper bound of a bucket; the largest integer: none
    answers INTEGER NOT NULL,                   -- that took longer than the bound before it, and no longer than this
    PRIMARY KEY (deployment, step, arm, bound_us)
) STRICT, WITHOUT ROWID;
CREATE TABLE outcomes (
    model INTEGER NOT NULL REFERENCES registered_models (id),
    request_id TEXT NOT NULL,
    version INTEGER NOT NULL,                   -- the number of the version that predicted; it may be deleted since
    arm TEXT NOT NULL,                          -- empty: the request belonged to no deployment
    label TEXT,
    value REAL,
    at_ms INTEGER NOT NULL,                     -- when it happened
    posted_ms INTEGER NOT NULL,                 -- later than that of all earlier postings of the model
    PRIMARY KEY (model, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX outcomes_by_time ON outcomes (model, at_ms, version, arm, label, value);
CREATE INDEX outcomes_by_posting ON outcomes (model, posted_ms);
CREATE TABLE outcome_counts (
    model INTEGER PRIMARY KEY REFERENCES registered_models (id),
    stored INTEGER NOT NULL
) STRICT;
CREATE TABLE hooks (
    name TEXT PRIMARY KEY,                      -- as the operator's file names it
    place INTEGER NOT NULL,                     -- in the audit, up to which it was told of changes
    delivered_ms INTEGER,                       -- when it was last told of one
    failures INTEGER NOT NULL,                  -- attempts at the next change that failed
    next_ms INTEGER NOT NULL,                   -- when the next attempt is due
    error TEXT,                                 -- why the last attempt failed
    holder TEXT,                                -- who tells it just now
    held_until_ms INTEGER                       -- when another may
) STRICT, WITHOUT ROWID;
CREATE INDEX audit_champions ON audit (seq)
    WHERE (action = 'version.transitioned' AND new_state = 'production') OR action = 'model.retired';
INSERT INTO audit_head VALUES (1, 0, '');
