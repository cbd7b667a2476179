-- The registry's tables, format 1. Times are milliseconds since 1970-01-01T00:00:00Z; digests are their text form.

CREATE TABLE experiments (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL
) STRICT;

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
) STRICT;
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
) STRICT;
CREATE INDEX stages_by_run ON stages (run, id);

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

CREATE TABLE metrics (
    stage INTEGER NOT NULL REFERENCES stages (id),
    position INTEGER NOT NULL,
    name TEXT NOT NULL,
    value REAL,                                 -- NULL is NaN, which SQLite cannot hold
    step INTEGER NOT NULL,
    PRIMARY KEY (stage, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE models (
    name TEXT PRIMARY KEY,
    created_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE model_versions (
    model TEXT NOT NULL REFERENCES models (name),
    version INTEGER NOT NULL CHECK (version > 0),
    run_id TEXT REFERENCES runs (run_id),
    created_ms INTEGER NOT NULL,
    description TEXT NOT NULL,                  -- JSON
    verdict TEXT CHECK (verdict IN ('approved', 'rejected')),
    reason TEXT,
    judged_ms INTEGER,
    PRIMARY KEY (model, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE aliases (
    model TEXT NOT NULL,
    alias TEXT NOT NULL,
    version INTEGER NOT NULL,
    PRIMARY KEY (model, alias),
    FOREIGN KEY (model, version) REFERENCES model_versions (model, version)
) STRICT, WITHOUT ROWID;

-- Every move of an alias, never changed.
CREATE TABLE alias_moves (
    id INTEGER PRIMARY KEY,
    model TEXT NOT NULL,
    alias TEXT NOT NULL,
    old_version INTEGER,
    new_version INTEGER NOT NULL,
    moved_ms INTEGER NOT NULL
) STRICT;
