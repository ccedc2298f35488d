-- People, how they prove who they are, and what tokens may do.
CREATE TABLE people (
    id {key} NOT NULL PRIMARY KEY,
    -- In lower case, as it is compared. One address is one person.
    email {key} NOT NULL UNIQUE,
    name TEXT NOT NULL,
    -- Argon2id in PHC form. NULL: through a provider only.
    password TEXT,
    -- The tenancy that a new session begins in.
    default_tenant {key},
    disabled BIGINT NOT NULL DEFAULT 0,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
-- Who a provider says somebody is (OpenID Connect Core 1.0 §5.7: issuer and subject together).
CREATE TABLE identities (
    issuer {key} NOT NULL,
    subject {key} NOT NULL,
    person {key} NOT NULL REFERENCES people (id),
    created BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_by_person ON identities (person);
CREATE TABLE sessions (
    id {key} NOT NULL PRIMARY KEY,
    -- SHA-256 of what the cookie carries.
    hash BYTEA NOT NULL UNIQUE,
    person {key} NOT NULL REFERENCES people (id),
    -- How it was begun: 'password', or the name of a provider.
    method TEXT NOT NULL,
    -- The tenancy picked.
    tenant {key},
    created BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    address TEXT,
    agent TEXT
);
CREATE INDEX sessions_by_person ON sessions (person, id);
CREATE INDEX sessions_by_expiry ON sessions (expires);
-- What a picked tenancy is at the edge: the signed cookie names this id. It can outlive the session that it came from, and is
-- kept until the cookie has expired by itself, so that it can be ended, and be known as ended.
CREATE TABLE site_sessions (
    id {key} NOT NULL PRIMARY KEY,
    session {key} NOT NULL,
    person {key} NOT NULL REFERENCES people (id),
    tenant {key} NOT NULL,
    expires BIGINT NOT NULL,
    ended BIGINT NOT NULL DEFAULT 0
);
CREATE INDEX site_sessions_by_session ON site_sessions (session);
CREATE INDEX site_sessions_by_person ON site_sessions (person, tenant);
CREATE INDEX site_sessions_by_tenant ON site_sessions (tenant);
CREATE INDEX site_sessions_by_end ON site_sessions (ended, expires);

-- A tenant's token has the name '<tenant>/<name>'; an operator's has no slash.
ALTER TABLE tokens ADD COLUMN tenant {key};
-- JSON list; '*': everything that can be held where it counts.
ALTER TABLE tokens ADD COLUMN scopes TEXT NOT NULL DEFAULT '["*"]';
ALTER TABLE tokens ADD COLUMN maker TEXT;
-- The rank of a tenant's token: its maker's, up to admin.
ALTER TABLE tokens ADD COLUMN role TEXT;
-- Set on one that lets an operator act within the tenant: who does.
ALTER TABLE tokens ADD COLUMN operator TEXT;
CREATE INDEX tokens_by_tenant ON tokens (tenant, name);
