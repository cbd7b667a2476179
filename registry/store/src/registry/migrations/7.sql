-- Format 7: a stage is found by its component.

CREATE INDEX stages_by_digest ON stages (digest);
