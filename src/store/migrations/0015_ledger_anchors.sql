-- What the ledger knows of itself as a whole, so that a chain that is gone with its row, and a line that is in none, show.

-- One row: how far lines go that are older than the chains (the last one's id), how many of them were written, and how
-- many are left; and the last line of which something was erased before erasures were told of.
CREATE TABLE audit_start (
    id BIGINT NOT NULL PRIMARY KEY,
    through BIGINT NOT NULL,
    written BIGINT NOT NULL,
    kept BIGINT NOT NULL,
    erased BIGINT NOT NULL
);
INSERT INTO audit_start (id, through, written, kept, erased)
SELECT 1,
    COALESCE((SELECT MAX(id) FROM audit WHERE chain IS NULL), 0),
    audit - COALESCE((SELECT SUM(number) FROM audit_chains), 0),
    (SELECT COUNT(*) FROM audit WHERE chain IS NULL),
    COALESCE((SELECT MAX(line) FROM audit_personal WHERE salt IS NULL), 0)
FROM feed WHERE id = 1;

-- The heads of tenants' chains that a line of the installation's chain vouches for: its hash covers a digest of them.
CREATE TABLE audit_anchors (
    -- The id of that line.
    line BIGINT NOT NULL,
    chain {key} NOT NULL,
    number BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    PRIMARY KEY (line, chain)
);
CREATE INDEX audit_anchors_by_chain ON audit_anchors (chain, number, line);

-- The count of lines that the last anchor told; 0: none has.
ALTER TABLE audit_chains ADD COLUMN anchored BIGINT NOT NULL DEFAULT 0;
CREATE INDEX audit_chains_unanchored ON audit_chains (anchored, chain) WHERE anchored < number;
