-- {key} becomes the engine's type for text keys (see migrate.rs): compared byte by byte on both engines.
-- Times are Unix milliseconds, flags are 0 or 1, sets and objects are JSON text.

-- One row. Every writing transaction updates it first: that orders the revisions.
CREATE TABLE feed (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    -- Changes up to this revision are no longer kept.
    pruned BIGINT NOT NULL,
    -- The number of the last line of the audit ledger.
    audit BIGINT NOT NULL,
    -- A known text sealed under the key-encryption key: a wrong key shows when the store is opened.
    seal_check BYTEA
);
INSERT INTO feed (id, revision, pruned, audit) VALUES (1, 0, 0, 0);

CREATE TABLE changes (
    revision BIGINT NOT NULL,
    seq BIGINT NOT NULL,
    kind TEXT NOT NULL,
    subject TEXT NOT NULL,
    PRIMARY KEY (revision, seq)
);

CREATE TABLE tenants (
    id {key} NOT NULL PRIMARY KEY,
    slug {key} NOT NULL UNIQUE,
    name TEXT NOT NULL,
    status {key} NOT NULL,
    plan TEXT,
    features_on TEXT NOT NULL,
    features_off TEXT NOT NULL,
    parent {key} REFERENCES tenants (id),
    branding TEXT NOT NULL,
    suspend_reason TEXT,
    reason_public BIGINT NOT NULL,
    trial_ends BIGINT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX tenants_by_status ON tenants (status, slug);
CREATE INDEX tenants_by_parent ON tenants (parent, slug);

-- Slugs of deleted tenants: never given out again.
CREATE TABLE retired_slugs (
    slug {key} NOT NULL PRIMARY KEY,
    tenant {key} NOT NULL,
    retired BIGINT NOT NULL
);

CREATE TABLE domains (
    name {key} NOT NULL,
    tenant {key} NOT NULL REFERENCES tenants (id),
    state {key} NOT NULL,
    token TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (name, tenant)
);
-- One name belongs to at most one tenant; claims that are not held block nobody.
CREATE UNIQUE INDEX domains_held ON domains (name) WHERE state IN ('verified', 'live', 'moved');
CREATE INDEX domains_by_tenant ON domains (tenant, name);
CREATE INDEX domains_by_state ON domains (state, name, tenant);

CREATE TABLE certificates (
    id {key} NOT NULL PRIMARY KEY,
    names TEXT NOT NULL,
    chain TEXT NOT NULL,
    -- The private key, sealed for 'certificates/<id>'.
    sealed_key BYTEA NOT NULL,
    not_after BIGINT NOT NULL,
    created BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE TABLE certificate_names (
    name {key} NOT NULL,
    certificate {key} NOT NULL REFERENCES certificates (id),
    PRIMARY KEY (name, certificate)
);
CREATE INDEX certificate_names_by_certificate ON certificate_names (certificate);

CREATE TABLE challenges (
    id {key} NOT NULL PRIMARY KEY,
    answer TEXT NOT NULL,
    expires BIGINT NOT NULL
);

CREATE TABLE tokens (
    name {key} NOT NULL PRIMARY KEY,
    -- SHA-256 of the secret.
    hash BYTEA NOT NULL UNIQUE,
    created BIGINT NOT NULL,
    expires BIGINT
);

CREATE TABLE secrets (
    name {key} NOT NULL PRIMARY KEY,
    -- Sealed for 'secrets/<name>'.
    sealed BYTEA NOT NULL,
    updated BIGINT NOT NULL
);

-- Append-only. A tenant's lines outlive the tenant, so there is no reference.
CREATE TABLE audit (
    id BIGINT NOT NULL PRIMARY KEY,
    at BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    tenant {key},
    subject TEXT NOT NULL,
    detail TEXT NOT NULL,
    request_id TEXT
);
CREATE INDEX audit_by_tenant ON audit (tenant, id);
