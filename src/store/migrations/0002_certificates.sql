-- When a claim is to be looked at next (NULL: never by itself), and what the looks have shown so far (JSON that the
-- domains room owns). Both churn, so neither takes a revision.
ALTER TABLE domains ADD COLUMN next_check BIGINT;
ALTER TABLE domains ADD COLUMN progress TEXT NOT NULL DEFAULT '{}';
CREATE INDEX domains_by_check ON domains (next_check) WHERE next_check IS NOT NULL;

-- Names that were held and given up: until then only a fresh proof by another, or the same tenant's own return, counts.
CREATE TABLE cooldowns (
    name {key} NOT NULL PRIMARY KEY,
    tenant {key} NOT NULL,
    until BIGINT NOT NULL
);

ALTER TABLE certificates ADD COLUMN source TEXT NOT NULL DEFAULT 'local';
ALTER TABLE certificates ADD COLUMN authority TEXT NOT NULL DEFAULT '';
ALTER TABLE certificates ADD COLUMN not_before BIGINT NOT NULL DEFAULT 0;
ALTER TABLE certificates ADD COLUMN revoked BIGINT;
CREATE INDEX certificates_by_end ON certificates (not_after);

-- One row for each certificate that is to be had from an authority, for as long as it is wanted: the whole life of its
-- orders, one after the other. `name` is the first of its names.
CREATE TABLE orders (
    name {key} NOT NULL PRIMARY KEY,
    names TEXT NOT NULL,
    -- Whose turn it takes; NULL: the installation's own.
    tenant {key},
    -- The stage's word: waiting, issued, or one of those between.
    stage {key} NOT NULL,
    -- The stage, as JSON that the acme room owns.
    data TEXT NOT NULL,
    -- The private key of an order that has asked for its certificate, sealed for 'orders/<name>'.
    sealed_key BYTEA,
    -- The place in the queue: the lowest goes first.
    turn BIGINT NOT NULL,
    -- Nothing is done before.
    not_before BIGINT NOT NULL,
    -- Failures in a row.
    failures BIGINT NOT NULL,
    -- Who works on it, until when, and how often it has changed hands: whoever has an older number has lost it.
    owner TEXT,
    lease BIGINT NOT NULL,
    fence BIGINT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX orders_by_stage ON orders (stage, not_before);
CREATE INDEX orders_by_turn ON orders (stage, turn);
CREATE INDEX orders_by_tenant ON orders (tenant, stage, turn);

-- Token buckets, each as the one time that the generic cell rate algorithm needs (ITU-T I.371), and how the thing that
-- they stand for has answered of late.
CREATE TABLE buckets (
    id {key} NOT NULL PRIMARY KEY,
    -- The theoretical arrival time; in the past: the bucket is full.
    arrival BIGINT NOT NULL,
    -- Told to stay away until then.
    blocked BIGINT NOT NULL,
    -- Failures in a row.
    failures BIGINT NOT NULL
);

-- The nodes that serve, each with the revision that it has applied.
CREATE TABLE nodes (
    id {key} NOT NULL PRIMARY KEY,
    seen BIGINT NOT NULL,
    applied BIGINT NOT NULL
);

-- What happened, for those who want to be told (webhooks, consoles). Append-only, cut by age.
CREATE TABLE events (
    revision BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind {key} NOT NULL,
    tenant {key},
    subject {key} NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (revision, seq)
);
CREATE INDEX events_by_tenant ON events (tenant, revision, seq);
CREATE INDEX events_by_subject ON events (subject, revision, seq);

-- Domains that were held before orders were known want a certificate too.
INSERT INTO orders (name, names, tenant, stage, data, turn, not_before, failures, lease, fence, created, updated)
SELECT name, '["' || name || '"]', tenant, 'waiting', '{"stage":"waiting"}', 1, 0, 0, 0, 0, updated, updated
FROM domains WHERE state IN ('verified', 'live', 'moved');
UPDATE domains SET next_check = 0 WHERE state <> 'released';
