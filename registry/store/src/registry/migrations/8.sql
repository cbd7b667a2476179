-- Format 8: what serving records: deployments, the counters of their arms, outcomes of predictions. How far hooks were
-- told of changes of champions.

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

-- Promotions in one transaction did not have their place. It is that of the entry that made the version champion, one or
-- two after the intention, or of the intention itself if the version was champion already. `CROSS JOIN` makes SQLite begin
-- with the intentions.
UPDATE promotions SET completed = known.place
FROM (
    SELECT intended.new_state AS id,
        max(CASE WHEN later.action = 'version.transitioned' AND later.new_state = 'production'
            AND later.model = intended.model AND later.version = intended.version THEN later.seq ELSE intended.seq END) AS place
    FROM audit AS intended CROSS JOIN audit AS later
    WHERE intended.action = 'promotion.intended' AND later.seq BETWEEN intended.seq AND intended.seq + 2
    GROUP BY intended.new_state
) AS known
WHERE known.id = promotions.id AND promotions.completed IS NULL AND promotions.state IN ('current', 'finished');
