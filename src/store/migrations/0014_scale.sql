-- What lists of a million rows showed: those that no index was there for.

-- Whether a tenant is listed publicly, as its row in listings says; kept by triggers, so that it is right whoever writes. The
-- indexes hold the listed ones alone: the others cost nothing.
ALTER TABLE tenants ADD COLUMN listed BIGINT NOT NULL DEFAULT 0;
CREATE INDEX tenants_listed_by_slug ON tenants (slug) WHERE listed = 1;
CREATE INDEX tenants_listed_by_name ON tenants (name_key, slug) WHERE listed = 1;
CREATE INDEX tenants_listed_by_created ON tenants (created, slug) WHERE listed = 1;
CREATE INDEX tenants_listed_by_updated ON tenants (updated, slug) WHERE listed = 1;
--engine: sqlite
CREATE TRIGGER listings_come AFTER INSERT ON listings BEGIN
    UPDATE tenants SET listed = NEW.listed WHERE id = NEW.tenant;
END;
CREATE TRIGGER listings_move AFTER UPDATE OF listed ON listings BEGIN
    UPDATE tenants SET listed = NEW.listed WHERE id = NEW.tenant;
END;
CREATE TRIGGER listings_go AFTER DELETE ON listings BEGIN
    UPDATE tenants SET listed = 0 WHERE id = OLD.tenant;
END;
--engine: postgres
CREATE FUNCTION tenants_listed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        UPDATE tenants SET listed = 0 WHERE id = OLD.tenant;
    ELSE
        UPDATE tenants SET listed = NEW.listed WHERE id = NEW.tenant;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER listings_change AFTER INSERT OR UPDATE OF listed OR DELETE ON listings
    FOR EACH ROW EXECUTE FUNCTION tenants_listed();
-- A transaction of very many rows counts them at its end, by itself: the rows of counts are every other writer's too.
CREATE OR REPLACE TRIGGER tenants_come AFTER INSERT ON tenants REFERENCING NEW TABLE AS came FOR EACH STATEMENT
    WHEN (current_setting('tenantry.counts', true) IS DISTINCT FROM 'later') EXECUTE FUNCTION tenants_counted();
CREATE OR REPLACE TRIGGER domains_come AFTER INSERT ON domains REFERENCING NEW TABLE AS came FOR EACH STATEMENT
    WHEN (current_setting('tenantry.counts', true) IS DISTINCT FROM 'later') EXECUTE FUNCTION domains_counted();
-- The planner is to hear soon that many are listed: while it believes that none are, it takes whichever of their indexes,
-- and sorts. By default it hears of changes to a tenth of the table.
ALTER TABLE tenants SET (autovacuum_analyze_scale_factor = 0.005);
--engine: both
UPDATE tenants SET listed = 1 WHERE id IN (SELECT tenant FROM listings WHERE listed = 1);

-- Certificates in the order in which they end, all or of one source, and of one source in the order of their ids.
CREATE INDEX certificates_by_end_id ON certificates (not_after, id);
CREATE INDEX certificates_by_source ON certificates (source, id);
CREATE INDEX certificates_by_source_end ON certificates (source, not_after, id);

-- The queue by its turns, with all that tells whose time has come; and a tenant's orders by name.
CREATE INDEX orders_by_turn_due ON orders (stage, turn, not_before);
CREATE INDEX orders_by_tenant_name ON orders (tenant, name);
