-- Format 10. It is not released: append the tables that this work needs, in their own sections.

-- Which older programs may use these tables. One row, which every later format keeps with these
-- columns, because programs of older formats read it.
CREATE TABLE usable_by (
    read_from INTEGER NOT NULL,                 -- the oldest format whose program may read
    write_from INTEGER NOT NULL,                -- the oldest format whose program may write
    program TEXT NOT NULL                       -- the version of the program that made the format
) STRICT;

-- What an import took over from other servers, so that it goes on where it was interrupted and adds nothing twice.
CREATE TABLE imported (
    source TEXT NOT NULL,                       -- the server: http://127.0.0.1:5000
    kind TEXT NOT NULL CHECK (kind IN ('run', 'logged-model', 'model', 'version')),
    remote TEXT NOT NULL,                       -- its identifier there
    local TEXT NOT NULL,                        -- its identifier here
    digest TEXT,                                -- of what was read there; NULL: it is not whole yet
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (source, kind, remote)
) STRICT, WITHOUT ROWID;

-- Webhooks: addresses of users that are told of changes.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY,
    webhook_id TEXT NOT NULL UNIQUE,            -- the identifier for clients
    name TEXT NOT NULL,
    description TEXT NOT NULL,
    url TEXT NOT NULL,
    secret TEXT,                                -- the key of the signature; NULL: nothing is signed
    is_active INTEGER NOT NULL,
    actor TEXT NOT NULL,                        -- who made it
    created_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL,
    failures INTEGER NOT NULL,                  -- failed attempts at the first event of the queue
    next_ms INTEGER NOT NULL,                   -- when the next attempt is due
    dropped INTEGER NOT NULL,                   -- events that it will never be told of
    holder TEXT,                                -- the process that tells it just now
    held_until_ms INTEGER
) STRICT;
CREATE TABLE webhook_events (
    webhook INTEGER NOT NULL REFERENCES webhooks (id),
    event TEXT NOT NULL,                        -- model_version.created, run.finished, ...
    PRIMARY KEY (webhook, event)
) STRICT, WITHOUT ROWID;
CREATE INDEX webhooks_of_event ON webhook_events (event);
-- What webhooks are to be told, in order. These tables refer to webhooks by number alone: that a
-- webhook is deleted never makes the change fail that it would be told of.
CREATE TABLE webhook_queue (
    id INTEGER PRIMARY KEY,
    webhook INTEGER NOT NULL,
    delivery_id TEXT NOT NULL,                  -- the same for every attempt
    event TEXT NOT NULL,
    data TEXT NOT NULL,                         -- the event's own members, as JSON
    at_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_queue_of ON webhook_queue (webhook, id);
CREATE TABLE webhook_deliveries (
    id INTEGER PRIMARY KEY,
    webhook INTEGER NOT NULL,
    delivery_id TEXT NOT NULL,
    event TEXT NOT NULL,
    attempt INTEGER NOT NULL,                   -- from 1
    at_ms INTEGER NOT NULL,                     -- when the attempt ended
    took_ms INTEGER NOT NULL,
    outcome TEXT NOT NULL,                      -- delivered, failed or dropped
    status INTEGER,                             -- of the answer; NULL: there was none
    reason TEXT                                 -- why it failed
) STRICT;
CREATE INDEX webhook_deliveries_of ON webhook_deliveries (webhook, id);

-- Who may do what through the tracking server.
CREATE TABLE accounts (                         -- one row
    revision INTEGER NOT NULL,                  -- grows with every change of users and tokens
    is_required INTEGER NOT NULL,               -- 1: callers must say who they are
    default_permission TEXT NOT NULL            -- where no other is granted
) STRICT;
INSERT INTO accounts (revision, is_required, default_permission) VALUES (0, 0, 'READ');
CREATE TABLE users (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    password_hash TEXT NOT NULL,                -- Argon2id, PHC string
    is_admin INTEGER NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE tokens (
    id INTEGER PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    label TEXT NOT NULL,
    digest TEXT NOT NULL UNIQUE,                -- SHA-256 of the secret, in hex
    is_session INTEGER NOT NULL,                -- 1: what a browser keeps of a login
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,                         -- NULL: never
    used_ms INTEGER
) STRICT;
CREATE INDEX tokens_by_user ON tokens (user_id);
CREATE TABLE experiment_permissions (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    experiment INTEGER NOT NULL REFERENCES experiments (id) ON DELETE CASCADE,
    permission TEXT NOT NULL,                   -- NO_PERMISSIONS, READ, EDIT, MANAGE
    PRIMARY KEY (user_id, experiment)
) STRICT, WITHOUT ROWID;
CREATE INDEX experiment_permissions_by_experiment ON experiment_permissions (experiment);
CREATE TABLE model_permissions (
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    model INTEGER NOT NULL REFERENCES registered_models (id) ON DELETE CASCADE,
    permission TEXT NOT NULL,
    PRIMARY KEY (user_id, model)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_permissions_by_model ON model_permissions (model);

-- One index answers what two did: it is in the order of a history, and finds a value that a client logs again. Each
-- index of this table costs a page of its own for each metric of a batch.
DROP INDEX metric_points_by_name;
DROP INDEX metric_points_by_step;
CREATE INDEX metric_points_by_time ON metric_points (run, name, at_ms, step, id);

-- What the steps that run now have said, and how far they are, until they are recorded. The tables refer to runs by
-- number alone, and nothing refers to them.
CREATE TABLE running_steps (
    run INTEGER NOT NULL,
    name TEXT NOT NULL,
    component TEXT NOT NULL,
    began_ms INTEGER NOT NULL,
    done INTEGER NOT NULL,                      -- units of its present work
    total INTEGER NOT NULL,                     -- 0: unknown
    PRIMARY KEY (run, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE running_lines (
    id INTEGER PRIMARY KEY,
    run INTEGER NOT NULL,
    step TEXT NOT NULL,
    level TEXT NOT NULL,
    message TEXT NOT NULL
) STRICT;
CREATE INDEX running_lines_by_run ON running_lines (run, id);

-- Versions of data: a table or a folder of files under a name and a number. They are never changed.
CREATE TABLE data_versions (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    major INTEGER NOT NULL,
    minor INTEGER NOT NULL,
    patch INTEGER NOT NULL,
    kind TEXT NOT NULL CHECK (kind IN ('table', 'files')),
    digest TEXT NOT NULL,                       -- of the content
    entries INTEGER NOT NULL,                   -- rows, or files
    width INTEGER NOT NULL,                     -- columns; 0: files
    bytes INTEGER NOT NULL,
    key_columns TEXT NOT NULL,                  -- a list, as JSON
    source TEXT NOT NULL,                       -- where the data came from
    reasons TEXT NOT NULL,                      -- why it has this number, a list, as JSON
    actor TEXT NOT NULL,
    created_ms INTEGER NOT NULL,
    UNIQUE (name, major, minor, patch)
) STRICT;
CREATE TABLE data_version_artifacts (
    version INTEGER NOT NULL REFERENCES data_versions (id),
    place INTEGER NOT NULL,                     -- its place in the list, from 0
    role TEXT NOT NULL,
    kind TEXT NOT NULL,
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (version, place)
) STRICT, WITHOUT ROWID;
CREATE INDEX data_version_artifacts_by_digest ON data_version_artifacts (digest);
