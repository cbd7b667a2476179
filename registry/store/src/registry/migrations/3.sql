-- Format 3: verdicts are records, of which a later one supersedes an earlier one; versions are there from the end of their
-- training and remember which rows they learnt from; models retire.

-- The latest verdict, for searches. SQLite changes no CHECK, so the column is made anew.
ALTER TABLE versions RENAME COLUMN verdict TO verdict_2;
ALTER TABLE versions ADD COLUMN verdict TEXT CHECK (verdict IN ('approved', 'rejected', 'undecided'));
UPDATE versions SET verdict = verdict_2;
ALTER TABLE versions DROP COLUMN verdict_2;
ALTER TABLE versions ADD COLUMN judged_against INTEGER; -- as in verdicts
ALTER TABLE versions ADD COLUMN parts TEXT;             -- the digest of all that predictions need; NULL: not known
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

-- The artifacts that explain a verdict.
CREATE TABLE verdict_artifacts (
    verdict INTEGER NOT NULL REFERENCES verdicts (id),
    role TEXT NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('table', 'blob', 'document')),
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (verdict, role)
) STRICT, WITHOUT ROWID;
CREATE INDEX verdict_artifacts_by_digest ON verdict_artifacts (digest);

-- What is not known of a verdict of before stays unknown.
INSERT INTO verdicts (version, verdict, policy, is_override, reason, reasons, evaluation, run_id, actor, at_ms)
    SELECT versions.id, verdict, 'unknown', 0, coalesce(reason, ''), '[]', 'null', run_id,
        coalesce((SELECT audit.actor FROM audit WHERE audit.action = 'version.judged' AND audit.model = registered_models.name
            AND audit.version = versions.version ORDER BY audit.seq DESC LIMIT 1), ''),
        coalesce(judged_ms, versions.created_ms)
    FROM versions JOIN registered_models ON registered_models.id = versions.model
    WHERE verdict IS NOT NULL ORDER BY versions.id;
INSERT INTO verdict_metrics (verdict, name, value)
    SELECT verdicts.id, name, value FROM verdicts JOIN version_metrics ON version_metrics.version = verdicts.version;
INSERT INTO verdict_artifacts (verdict, role, kind, digest, bytes)
    SELECT verdicts.id, role, kind, digest, bytes
    FROM verdicts JOIN version_artifacts ON version_artifacts.version = verdicts.version
    WHERE role IN ('evaluation.evaluation', 'evaluation.report', 'evaluation.predictions', 'promotion.decision');

-- The metrics of a version's manifest in production, which never change once they are written: those that it was registered
-- with, else those of its first verdict.
ALTER TABLE versions ADD COLUMN published INTEGER NOT NULL DEFAULT 0; -- 1: published_metrics has all there will be
CREATE TABLE published_metrics (
    version INTEGER NOT NULL REFERENCES versions (id),
    name TEXT NOT NULL,
    value REAL,                                 -- NULL is NaN
    PRIMARY KEY (version, name)
) STRICT, WITHOUT ROWID;
INSERT INTO published_metrics (version, name, value) SELECT version, name, value FROM version_metrics;
UPDATE versions SET published = 1;

-- Which rows versions learnt from (docs/formats/row-memory.md). A version without a row here: not known.
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

-- What rows are hashed with: 32 random bytes in hex, of this registry alone.
CREATE TABLE row_hash_key (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    hash_key TEXT NOT NULL
) STRICT;

-- A retirement is recorded as a promotion to nothing: its pointer is removed instead of moved.
ALTER TABLE promotions ADD COLUMN retirement INTEGER NOT NULL DEFAULT 0;
