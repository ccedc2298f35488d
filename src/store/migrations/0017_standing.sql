-- By whose rights something stands: it falls with them.
--
-- 0: nobody has shown that the address is theirs; the person was made by whoever held an invitation to it.
ALTER TABLE people ADD COLUMN verified BIGINT NOT NULL DEFAULT 1;
-- The person by whose rights a token stands, through whatever other tokens it was made.
ALTER TABLE tokens ADD COLUMN made_by {key};
-- The session, or the token (by its key), that an operator acts within a tenant from.
ALTER TABLE tokens ADD COLUMN session {key};
ALTER TABLE tokens ADD COLUMN parent {key};
CREATE INDEX tokens_by_maker ON tokens (made_by) WHERE made_by IS NOT NULL;
CREATE INDEX tokens_by_parent ON tokens (parent) WHERE parent IS NOT NULL;
-- By which somebody sets a password once, without having one. One for each person: the last that was made.
CREATE TABLE password_tokens (
    person {key} NOT NULL PRIMARY KEY REFERENCES people (id),
    -- SHA-256 of the token.
    hash BYTEA NOT NULL UNIQUE,
    created BIGINT NOT NULL,
    expires BIGINT NOT NULL
);
