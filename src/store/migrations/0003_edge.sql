-- What the edge does for a tenant: limits, access, CORS, maintenance, redirects, backends of its own (JSON text).
ALTER TABLE tenants ADD COLUMN edge TEXT NOT NULL DEFAULT '{}';
