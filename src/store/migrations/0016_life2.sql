-- What a cancelled or archived tenant was before, and is again when it is restored. NULL: it is neither, or was cancelled
-- before this was written down.
ALTER TABLE tenants ADD COLUMN status_before {key};
-- Since when a person is to be erased, as soon as they are nobody's member any more. NULL: they are not.
ALTER TABLE people ADD COLUMN erase_since BIGINT;
CREATE INDEX people_to_erase ON people (id) WHERE erase_since IS NOT NULL;
-- Whose certificate it is: the tenant that held one of its names when it came. NULL: the installation's own.
ALTER TABLE certificates ADD COLUMN tenant {key};
CREATE INDEX certificates_by_tenant ON certificates (tenant) WHERE tenant IS NOT NULL;
UPDATE certificates SET tenant = (
    SELECT MIN(d.tenant) FROM certificate_names n JOIN domains d ON d.name = n.name
    WHERE n.certificate = certificates.id AND d.state IN ('verified', 'live', 'moved'));
