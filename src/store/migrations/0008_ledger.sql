-- The ledger as hash chains (see src/ledger/): one for each tenant, one for the installation. Lines from before have no
-- chain and stay as they are.
ALTER TABLE audit ADD COLUMN on_behalf TEXT;
-- What it was before and after, as JSON.
ALTER TABLE audit ADD COLUMN state_before TEXT;
ALTER TABLE audit ADD COLUMN state_after TEXT;
-- A tenant's id, or 'installation'; the place in that chain, from 1; the SHA-256 of the line before and of this one.
ALTER TABLE audit ADD COLUMN chain {key};
ALTER TABLE audit ADD COLUMN number BIGINT;
ALTER TABLE audit ADD COLUMN prev BYTEA;
ALTER TABLE audit ADD COLUMN hash BYTEA;
CREATE INDEX audit_by_chain ON audit (chain, number, id);
CREATE INDEX audit_by_time ON audit (at, id);
CREATE INDEX audit_by_actor ON audit (actor, id);
CREATE INDEX audit_by_action ON audit (action, id);
CREATE INDEX audit_by_subject ON audit (subject, id);

-- Where each chain stands: its head and count, and where it was cut.
CREATE TABLE audit_chains (
    chain {key} NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    head BYTEA NOT NULL,
    -- The last line that was cut off, its hash, when, and the signature of all that; 0 and NULL: none was.
    cut_number BIGINT NOT NULL DEFAULT 0,
    cut_hash BYTEA,
    cut_at BIGINT,
    cut_key TEXT,
    cut_signature TEXT,
    -- When its age is to be looked at next.
    due BIGINT NOT NULL,
    -- The count that the last exported checkpoint told, and the revision of the last line.
    told BIGINT NOT NULL DEFAULT 0,
    revision BIGINT NOT NULL
);
CREATE INDEX audit_chains_by_due ON audit_chains (due, chain);
CREATE INDEX audit_chains_untold ON audit_chains (revision, chain) WHERE told < number;

-- What names a person, beside the lines: a line's hash covers the digest alone, so that value and salt can be erased.
CREATE TABLE audit_personal (
    line BIGINT NOT NULL,
    -- A JSON pointer into the line, or '/from'.
    place {key} NOT NULL,
    -- Whom it is about: a person's id, an e-mail address in lower case.
    person {key},
    salt BYTEA,
    -- JSON.
    value TEXT,
    digest BYTEA NOT NULL,
    PRIMARY KEY (line, place)
);
CREATE INDEX audit_personal_by_person ON audit_personal (person);
