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
-- Lines that no walk along a chain comes by.
CREATE INDEX audit_unchained ON audit (id) WHERE chain IS NULL OR number IS NULL;

-- In which chain the line of a value is, so that what one chain says of somebody is found by an index, however much others say.
-- Kept by a trigger as well: a program from before does not name it.
ALTER TABLE audit_personal ADD COLUMN chain {key} NOT NULL DEFAULT '';
UPDATE audit_personal SET chain = COALESCE((SELECT l.chain FROM audit l WHERE l.id = audit_personal.line), '');
DROP INDEX audit_personal_by_person;
CREATE INDEX audit_personal_by_person ON audit_personal (person, chain, line);
--engine: sqlite
CREATE TRIGGER audit_personal_come AFTER INSERT ON audit_personal WHEN NEW.chain = '' BEGIN
    UPDATE audit_personal SET chain = COALESCE((SELECT l.chain FROM audit l WHERE l.id = NEW.line), '')
    WHERE line = NEW.line AND place = NEW.place;
END;
--engine: postgres
CREATE FUNCTION audit_personal_chained() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.chain := COALESCE((SELECT l.chain FROM audit l WHERE l.id = NEW.line), '');
    RETURN NEW;
END $$;
CREATE TRIGGER audit_personal_come BEFORE INSERT ON audit_personal
    FOR EACH ROW WHEN (NEW.chain = '') EXECUTE FUNCTION audit_personal_chained();
--engine: both

-- What is still to be taken out of the ledger, where that is more than one transaction takes.
CREATE TABLE erasures (
    -- Of whom.
    person {key} NOT NULL REFERENCES people (id),
    -- Out of which chain; '': out of all, and the account with it.
    chain {key} NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (person, chain)
);
