-- Format 4: entries of the audit say how what they are about stands, so that the tables can be compared with them.

ALTER TABLE audit ADD COLUMN details TEXT; -- JSON (docs/formats/audit.md); NULL: written before format 4
