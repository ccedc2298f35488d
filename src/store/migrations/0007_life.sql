-- What time does to a tenant.
ALTER TABLE tenants ADD COLUMN cancelled BIGINT;
ALTER TABLE tenants ADD COLUMN archived BIGINT;
-- When a cancelled tenant is archived, or an archived one purged.
ALTER TABLE tenants ADD COLUMN phase_ends BIGINT;
-- Set while the plan does not cover the domains that it holds: from then on they redirect to the slug host.
ALTER TABLE tenants ADD COLUMN domains_until BIGINT;
-- When the clock does something to it next, or somebody is to be told. NULL: never.
ALTER TABLE tenants ADD COLUMN due BIGINT;
CREATE INDEX tenants_by_due ON tenants (due) WHERE due IS NOT NULL;
-- 90 days, as by default.
UPDATE tenants SET cancelled = updated, phase_ends = updated + 7776000000, due = updated + 7776000000
WHERE status IN ('cancelled', 'archived');
UPDATE tenants SET archived = updated WHERE status = 'archived';
UPDATE tenants SET due = trial_ends WHERE status = 'trial';

-- What an edge need not know of a tenant; without a row there is none of it.
CREATE TABLE profiles (
    tenant {key} NOT NULL PRIMARY KEY REFERENCES tenants (id),
    -- JSON list.
    contacts TEXT NOT NULL,
    -- JSON object: its own values by the names of settings.
    settings TEXT NOT NULL
);

-- Who does what only one node does at a time, until when.
CREATE TABLE leases (
    name {key} NOT NULL PRIMARY KEY,
    owner {key} NOT NULL,
    until BIGINT NOT NULL
);
