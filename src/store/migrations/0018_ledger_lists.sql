-- The ledger's lists in the order of time, by whatever they are asked for, of all lines or of one tenant's: what a tenant has
-- few lines of is not looked for among all that it has. The indexes that had the order of ids alone are of no more use; a
-- program from before asks the same of these.
-- contract: 4
DROP INDEX audit_by_tenant;
DROP INDEX audit_by_actor;
DROP INDEX audit_by_action;
DROP INDEX audit_by_subject;
--engine: postgres
-- Actions are sought by what they begin with, byte by byte.
ALTER TABLE audit ALTER COLUMN action TYPE {key};
--engine: both
CREATE INDEX audit_by_tenant ON audit (tenant, at, id);
CREATE INDEX audit_by_actor ON audit (actor, at, id);
CREATE INDEX audit_by_action ON audit (action, at, id);
CREATE INDEX audit_by_subject ON audit (subject, at, id);
CREATE INDEX audit_by_tenant_actor ON audit (tenant, actor, at, id);
CREATE INDEX audit_by_tenant_action ON audit (tenant, action, at, id);
CREATE INDEX audit_by_tenant_subject ON audit (tenant, subject, at, id);
