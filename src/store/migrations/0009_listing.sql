-- What lists are ordered and searched by, and counts that are kept instead of made.

-- The name as it is compared: see model/search_key.rs. Empty: written by a program that knows none; see store/mend.rs.
ALTER TABLE tenants ADD COLUMN name_key {key} NOT NULL DEFAULT '';
CREATE INDEX tenants_unkeyed ON tenants (id) WHERE name_key = '';
-- Each order that a list can have, for all tenants, for those of one status and plan, and for the children of one.
CREATE INDEX tenants_by_name ON tenants (name_key, slug);
CREATE INDEX tenants_by_created ON tenants (created, slug);
CREATE INDEX tenants_by_updated ON tenants (updated, slug);
CREATE INDEX tenants_by_class_slug ON tenants (status, plan, slug);
CREATE INDEX tenants_by_class_name ON tenants (status, plan, name_key, slug);
CREATE INDEX tenants_by_class_created ON tenants (status, plan, created, slug);
CREATE INDEX tenants_by_class_updated ON tenants (status, plan, updated, slug);
CREATE INDEX tenants_by_parent_name ON tenants (parent, name_key, slug);
CREATE INDEX tenants_by_parent_created ON tenants (parent, created, slug);
CREATE INDEX tenants_by_parent_updated ON tenants (parent, updated, slug);
CREATE INDEX tenants_by_trial_end ON tenants (status, trial_ends, slug);

-- Where the second word of a name begins, and each one after it: what a search for the middle of a name finds.
CREATE TABLE tenant_words (
    word {key} NOT NULL,
    slug {key} NOT NULL,
    PRIMARY KEY (word, slug)
);
CREATE INDEX tenant_words_by_slug ON tenant_words (slug);

-- The labels from the last to the first: what is beneath a name stands together.
ALTER TABLE domains ADD COLUMN reversed {key} NOT NULL DEFAULT '';
CREATE INDEX domains_unkeyed ON domains (name, tenant) WHERE reversed = '';
CREATE INDEX domains_by_reversed ON domains (reversed, tenant);
CREATE INDEX domains_by_state_created ON domains (state, created, name, tenant);
CREATE INDEX domains_by_tenant_created ON domains (tenant, created, name);

-- Kept by triggers, so that they are right whoever writes, in the transaction in which it is written. `plan` is empty
-- for a tenant that has none of its own.
CREATE TABLE tenant_counts (
    status {key} NOT NULL,
    plan {key} NOT NULL,
    number BIGINT NOT NULL,
    PRIMARY KEY (status, plan)
);
-- Trials by the hour (since 1970) in which they end.
CREATE TABLE trial_counts (
    hour BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);
CREATE TABLE domain_counts (
    state {key} NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
);

--engine: sqlite
CREATE TRIGGER tenants_come AFTER INSERT ON tenants BEGIN
    INSERT INTO tenant_counts (status, plan, number) VALUES (NEW.status, COALESCE(NEW.plan, ''), 1)
        ON CONFLICT (status, plan) DO UPDATE SET number = number + 1;
    INSERT INTO trial_counts (hour, number)
        SELECT NEW.trial_ends / 3600000, 1 WHERE NEW.status = 'trial' AND NEW.trial_ends IS NOT NULL
        ON CONFLICT (hour) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER tenants_go AFTER DELETE ON tenants BEGIN
    INSERT INTO tenant_counts (status, plan, number) VALUES (OLD.status, COALESCE(OLD.plan, ''), -1)
        ON CONFLICT (status, plan) DO UPDATE SET number = number - 1;
    INSERT INTO trial_counts (hour, number)
        SELECT OLD.trial_ends / 3600000, -1 WHERE OLD.status = 'trial' AND OLD.trial_ends IS NOT NULL
        ON CONFLICT (hour) DO UPDATE SET number = number - 1;
END;
CREATE TRIGGER tenants_move AFTER UPDATE OF status, plan, trial_ends ON tenants
WHEN OLD.status IS NOT NEW.status OR OLD.plan IS NOT NEW.plan OR OLD.trial_ends IS NOT NEW.trial_ends BEGIN
    INSERT INTO tenant_counts (status, plan, number) VALUES (OLD.status, COALESCE(OLD.plan, ''), -1)
        ON CONFLICT (status, plan) DO UPDATE SET number = number - 1;
    INSERT INTO tenant_counts (status, plan, number) VALUES (NEW.status, COALESCE(NEW.plan, ''), 1)
        ON CONFLICT (status, plan) DO UPDATE SET number = number + 1;
    INSERT INTO trial_counts (hour, number)
        SELECT OLD.trial_ends / 3600000, -1 WHERE OLD.status = 'trial' AND OLD.trial_ends IS NOT NULL
        ON CONFLICT (hour) DO UPDATE SET number = number - 1;
    INSERT INTO trial_counts (hour, number)
        SELECT NEW.trial_ends / 3600000, 1 WHERE NEW.status = 'trial' AND NEW.trial_ends IS NOT NULL
        ON CONFLICT (hour) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER domains_come AFTER INSERT ON domains BEGIN
    INSERT INTO domain_counts (state, number) VALUES (NEW.state, 1)
        ON CONFLICT (state) DO UPDATE SET number = number + 1;
END;
CREATE TRIGGER domains_go AFTER DELETE ON domains BEGIN
    INSERT INTO domain_counts (state, number) VALUES (OLD.state, -1)
        ON CONFLICT (state) DO UPDATE SET number = number - 1;
END;
CREATE TRIGGER domains_move AFTER UPDATE OF state ON domains WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO domain_counts (state, number) VALUES (OLD.state, -1)
        ON CONFLICT (state) DO UPDATE SET number = number - 1;
    INSERT INTO domain_counts (state, number) VALUES (NEW.state, 1)
        ON CONFLICT (state) DO UPDATE SET number = number + 1;
END;
--engine: postgres
-- By statement, not by row: an import is a few thousand statements.
CREATE FUNCTION tenants_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO tenant_counts AS known (status, plan, number)
            SELECT status, COALESCE(plan, ''), COUNT(*) FROM came GROUP BY 1, 2
            ON CONFLICT (status, plan) DO UPDATE SET number = known.number + excluded.number;
        INSERT INTO trial_counts AS known (hour, number)
            SELECT trial_ends / 3600000, COUNT(*) FROM came
            WHERE status = 'trial' AND trial_ends IS NOT NULL GROUP BY 1
            ON CONFLICT (hour) DO UPDATE SET number = known.number + excluded.number;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO tenant_counts AS known (status, plan, number)
            SELECT status, COALESCE(plan, ''), -COUNT(*) FROM went GROUP BY 1, 2
            ON CONFLICT (status, plan) DO UPDATE SET number = known.number + excluded.number;
        INSERT INTO trial_counts AS known (hour, number)
            SELECT trial_ends / 3600000, -COUNT(*) FROM went
            WHERE status = 'trial' AND trial_ends IS NOT NULL GROUP BY 1
            ON CONFLICT (hour) DO UPDATE SET number = known.number + excluded.number;
    ELSE
        INSERT INTO tenant_counts AS known (status, plan, number)
            SELECT status, plan, SUM(n) FROM (
                SELECT status, COALESCE(plan, '') AS plan, -1 AS n FROM went
                UNION ALL SELECT status, COALESCE(plan, ''), 1 FROM came
            ) AS moved GROUP BY 1, 2 HAVING SUM(n) <> 0
            ON CONFLICT (status, plan) DO UPDATE SET number = known.number + excluded.number;
        INSERT INTO trial_counts AS known (hour, number)
            SELECT hour, SUM(n) FROM (
                SELECT trial_ends / 3600000 AS hour, -1 AS n FROM went WHERE status = 'trial' AND trial_ends IS NOT NULL
                UNION ALL SELECT trial_ends / 3600000, 1 FROM came WHERE status = 'trial' AND trial_ends IS NOT NULL
            ) AS moved GROUP BY 1 HAVING SUM(n) <> 0
            ON CONFLICT (hour) DO UPDATE SET number = known.number + excluded.number;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_come AFTER INSERT ON tenants REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_counted();
CREATE TRIGGER tenants_go AFTER DELETE ON tenants REFERENCING OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_counted();
CREATE TRIGGER tenants_move AFTER UPDATE ON tenants REFERENCING OLD TABLE AS went NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION tenants_counted();
CREATE FUNCTION domains_counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO domain_counts AS known (state, number) SELECT state, COUNT(*) FROM came GROUP BY 1
            ON CONFLICT (state) DO UPDATE SET number = known.number + excluded.number;
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO domain_counts AS known (state, number) SELECT state, -COUNT(*) FROM went GROUP BY 1
            ON CONFLICT (state) DO UPDATE SET number = known.number + excluded.number;
    ELSE
        INSERT INTO domain_counts AS known (state, number)
            SELECT state, SUM(n) FROM (
                SELECT state, -1 AS n FROM went UNION ALL SELECT state, 1 FROM came
            ) AS moved GROUP BY 1 HAVING SUM(n) <> 0
            ON CONFLICT (state) DO UPDATE SET number = known.number + excluded.number;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER domains_come AFTER INSERT ON domains REFERENCING NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION domains_counted();
CREATE TRIGGER domains_go AFTER DELETE ON domains REFERENCING OLD TABLE AS went
    FOR EACH STATEMENT EXECUTE FUNCTION domains_counted();
CREATE TRIGGER domains_move AFTER UPDATE ON domains REFERENCING OLD TABLE AS went NEW TABLE AS came
    FOR EACH STATEMENT EXECUTE FUNCTION domains_counted();
--engine: both
-- After the triggers: from their lock on, nobody writes until this is committed.
INSERT INTO tenant_counts (status, plan, number)
SELECT status, COALESCE(plan, ''), COUNT(*) FROM tenants GROUP BY status, COALESCE(plan, '');
INSERT INTO trial_counts (hour, number)
SELECT trial_ends / 3600000, COUNT(*) FROM tenants WHERE status = 'trial' AND trial_ends IS NOT NULL GROUP BY trial_ends / 3600000;
INSERT INTO domain_counts (state, number) SELECT state, COUNT(*) FROM domains GROUP BY state;
