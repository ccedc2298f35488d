-- What points at a tenant that is deleted is found without reading all of it.
CREATE INDEX sessions_by_tenant ON sessions (tenant) WHERE tenant IS NOT NULL;
CREATE INDEX people_by_default_tenant ON people (default_tenant) WHERE default_tenant IS NOT NULL;
