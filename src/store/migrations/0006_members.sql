-- Who is a member of which tenant, as what, and where in it; and who is asked to become one.
CREATE TABLE units (
    id {key} NOT NULL PRIMARY KEY,
    tenant {key} NOT NULL REFERENCES tenants (id),
    -- NULL: at the top.
    parent {key},
    name TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    revision BIGINT NOT NULL
);
CREATE INDEX units_by_tenant ON units (tenant, id);
-- Roles of a tenant's own. The five built-in ones have no row.
CREATE TABLE roles (
    tenant {key} NOT NULL REFERENCES tenants (id),
    name {key} NOT NULL,
    title TEXT NOT NULL,
    -- The built-in role whose rank it has.
    base TEXT NOT NULL,
    -- JSON list.
    scopes TEXT NOT NULL,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, name)
);
CREATE TABLE members (
    tenant {key} NOT NULL REFERENCES tenants (id),
    person {key} NOT NULL REFERENCES people (id),
    -- 'active', 'removed' or 'purging'.
    state {key} NOT NULL,
    -- The built-in role that counts as rank: for a role of the tenant's own, its base.
    rank {key} NOT NULL,
    -- A role of the tenant's own by its name; otherwise the same as the rank.
    role {key} NOT NULL,
    unit {key} REFERENCES units (id),
    -- Copies of what people have, to find and to sort by: the address, and the name in lower case.
    email {key} NOT NULL,
    name {key} NOT NULL,
    -- Since when they are no active member.
    ended BIGINT,
    -- When nothing brings them back any more.
    due BIGINT,
    created BIGINT NOT NULL,
    updated BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (tenant, person)
);
CREATE INDEX members_by_person ON members (person, tenant);
CREATE INDEX members_by_email ON members (tenant, state, email);
CREATE INDEX members_by_name ON members (tenant, state, name, person);
CREATE INDEX members_by_role ON members (tenant, role, state, email);
CREATE INDEX members_by_rank ON members (tenant, rank, state);
CREATE INDEX members_by_unit ON members (tenant, unit, state, email);
CREATE INDEX members_by_due ON members (due);
-- How many active members a tenant has, kept up with each write. Without a row it has none.
CREATE TABLE member_counts (
    tenant {key} NOT NULL PRIMARY KEY REFERENCES tenants (id),
    active BIGINT NOT NULL
);
-- Open invitations, and expired ones until they are forgotten. One that was accepted or revoked has no row.
CREATE TABLE invitations (
    id {key} NOT NULL PRIMARY KEY,
    tenant {key} NOT NULL REFERENCES tenants (id),
    email {key} NOT NULL,
    rank {key} NOT NULL,
    role {key} NOT NULL,
    unit {key} REFERENCES units (id),
    message TEXT,
    -- SHA-256 of the token.
    hash BYTEA NOT NULL UNIQUE,
    -- Who invites, as the ledger knows them.
    inviter TEXT NOT NULL,
    created BIGINT NOT NULL,
    -- When the token was made that counts.
    sent BIGINT NOT NULL,
    expires BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    UNIQUE (tenant, email)
);
CREATE INDEX invitations_by_role ON invitations (tenant, role);
CREATE INDEX invitations_by_unit ON invitations (tenant, unit);
CREATE INDEX invitations_by_end ON invitations (expires);
