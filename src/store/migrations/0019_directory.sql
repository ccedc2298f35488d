-- The order of the public directory as an index, so that a page of it is a stretch: what it is made of stands in the row, kept
-- by triggers, so that it is right whoever writes.
ALTER TABLE listings ADD COLUMN slug {key} NOT NULL DEFAULT '';
-- Active members, as in member_counts.
ALTER TABLE listings ADD COLUMN members BIGINT NOT NULL DEFAULT 0;
-- When the tenant was made.
ALTER TABLE listings ADD COLUMN created BIGINT NOT NULL DEFAULT 0;
-- Listed, and active by its own status.
ALTER TABLE listings ADD COLUMN shown BIGINT NOT NULL DEFAULT 0;
--engine: sqlite
CREATE TRIGGER listings_placed AFTER INSERT ON listings BEGIN
    UPDATE listings SET
        slug = (SELECT slug FROM tenants WHERE id = NEW.tenant),
        created = (SELECT created FROM tenants WHERE id = NEW.tenant),
        members = COALESCE((SELECT active FROM member_counts WHERE tenant = NEW.tenant), 0),
        shown = NEW.listed * EXISTS (SELECT 1 FROM tenants WHERE id = NEW.tenant AND status = 'active')
    WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER listings_shown AFTER UPDATE OF listed ON listings BEGIN
    UPDATE listings SET
        shown = NEW.listed * EXISTS (SELECT 1 FROM tenants WHERE id = NEW.tenant AND status = 'active')
    WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER tenants_shown AFTER UPDATE OF status ON tenants WHEN OLD.status <> NEW.status BEGIN
    UPDATE listings SET shown = listed * (NEW.status = 'active') WHERE tenant = NEW.id;
END;
CREATE TRIGGER member_counts_come AFTER INSERT ON member_counts BEGIN
    UPDATE listings SET members = NEW.active WHERE tenant = NEW.tenant;
END;
CREATE TRIGGER member_counts_move AFTER UPDATE OF active ON member_counts BEGIN
    UPDATE listings SET members = NEW.active WHERE tenant = NEW.tenant;
END;
--engine: postgres
CREATE FUNCTION listings_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    SELECT t.slug, t.created, COALESCE(c.active, 0), CASE WHEN t.status = 'active' THEN NEW.listed ELSE 0 END
        INTO NEW.slug, NEW.created, NEW.members, NEW.shown
        FROM tenants t LEFT JOIN member_counts c ON c.tenant = t.id WHERE t.id = NEW.tenant;
    RETURN NEW;
END $$;
CREATE TRIGGER listings_placed BEFORE INSERT OR UPDATE OF listed ON listings
    FOR EACH ROW EXECUTE FUNCTION listings_placed();
CREATE FUNCTION tenants_shown() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE listings SET shown = CASE WHEN NEW.status = 'active' THEN listed ELSE 0 END WHERE tenant = NEW.id;
    RETURN NULL;
END $$;
CREATE TRIGGER tenants_shown AFTER UPDATE OF status ON tenants
    FOR EACH ROW WHEN (OLD.status <> NEW.status) EXECUTE FUNCTION tenants_shown();
CREATE FUNCTION member_counts_placed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE listings SET members = NEW.active WHERE tenant = NEW.tenant;
    RETURN NULL;
END $$;
CREATE TRIGGER member_counts_placed AFTER INSERT OR UPDATE OF active ON member_counts
    FOR EACH ROW EXECUTE FUNCTION member_counts_placed();
--engine: both
UPDATE listings SET
    slug = (SELECT slug FROM tenants WHERE id = listings.tenant),
    created = (SELECT created FROM tenants WHERE id = listings.tenant),
    members = COALESCE((SELECT active FROM member_counts WHERE tenant = listings.tenant), 0),
    shown = CASE WHEN (SELECT status FROM tenants WHERE id = listings.tenant) = 'active' THEN listed ELSE 0 END;
-- The order itself, where somebody stands in it, and those that are shown by their ids.
CREATE INDEX listings_by_place ON listings (priority, members, created, slug) WHERE shown = 1;
CREATE INDEX listings_by_slug ON listings (slug);
CREATE INDEX listings_shown ON listings (tenant) WHERE shown = 1;
