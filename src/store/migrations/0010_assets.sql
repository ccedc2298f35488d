-- The pictures of tenants' branding. What they are stands in tenants.branding as well: an edge that has a tenant knows
-- which pictures are its own without asking here.
CREATE TABLE assets (
    tenant {key} NOT NULL REFERENCES tenants (id),
    -- 'logo-light', 'logo-dark', 'social'
    kind {key} NOT NULL,
    -- SHA-256 of the bytes, in hexadecimal.
    hash {key} NOT NULL,
    media TEXT NOT NULL,
    bytes BYTEA NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (tenant, kind)
);
CREATE INDEX assets_by_hash ON assets (hash);

-- Where tenants stand in the public directory; without a row a tenant is not listed.
CREATE TABLE listings (
    tenant {key} NOT NULL PRIMARY KEY REFERENCES tenants (id),
    listed BIGINT NOT NULL,
    priority BIGINT NOT NULL,
    updated BIGINT NOT NULL
);
CREATE INDEX listings_listed ON listings (listed, tenant);
