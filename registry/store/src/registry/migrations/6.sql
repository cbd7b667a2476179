-- Format 6: a stage is found by the key of what it did, and says which run did it.

ALTER TABLE stages ADD COLUMN cached_from TEXT;                 -- the run that executed it, if this one did not
ALTER TABLE stages ADD COLUMN dropped INTEGER NOT NULL DEFAULT 0; -- log lines and figures past the log limit

CREATE INDEX stages_by_key ON stages (key) WHERE key IS NOT NULL;
