-- The oldest version of the schema whose programs work with a store that this migration was applied to.
ALTER TABLE migrations ADD COLUMN oldest BIGINT NOT NULL DEFAULT 1;
