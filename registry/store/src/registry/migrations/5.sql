-- Format 5: a stage's record says all that decided what the stage made.

ALTER TABLE stages ADD COLUMN invocation TEXT; -- JSON (docs/formats/invocation.md); NULL: recorded before format 5, or failed before it was known
ALTER TABLE stages ADD COLUMN walls TEXT;      -- JSON list of what stood around every call; NULL: not known
ALTER TABLE stages ADD COLUMN key TEXT;        -- the digest of what can change a result; NULL: not known
