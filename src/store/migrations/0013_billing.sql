-- What a billing system has said of a tenant, and an operator in its place.
-- JSON object: by the name of a cap {"cap": a number or "unlimited", "by": "operator" or "billing"}. NULL: none.
ALTER TABLE tenants ADD COLUMN caps TEXT;
-- Whose word its status is. NULL: an operator's.
ALTER TABLE tenants ADD COLUMN status_by TEXT;
ALTER TABLE tenants ADD COLUMN period_start BIGINT;
-- When the newest thing happened that the billing system has told of it.
ALTER TABLE tenants ADD COLUMN billing_told BIGINT;

-- Webhooks of the billing system that have been taken, by their webhook-id. None is taken twice.
CREATE TABLE billing_events (
    id {key} NOT NULL PRIMARY KEY,
    -- SHA-256 of the body.
    fingerprint BYTEA NOT NULL,
    -- When it was taken.
    at BIGINT NOT NULL,
    -- When it happened, as it says itself.
    occurred BIGINT NOT NULL,
    tenant {key} NOT NULL REFERENCES tenants (id),
    -- JSON: what it was answered.
    answer TEXT NOT NULL
);
CREATE INDEX billing_events_by_time ON billing_events (at);
CREATE INDEX billing_events_by_tenant ON billing_events (tenant);
