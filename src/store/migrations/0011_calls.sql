-- Calls that came with an idempotency key, and what they were answered.
CREATE TABLE calls (
    -- SHA-256 of who calls and the key, in hexadecimal.
    id {key} NOT NULL PRIMARY KEY,
    -- SHA-256 of what was asked.
    fingerprint BYTEA NOT NULL,
    begun BIGINT NOT NULL,
    request_id TEXT,
    -- Sealed for 'calls/<id>': an answer may carry a secret that is shown once.
    answer BYTEA
);
CREATE INDEX calls_by_time ON calls (begun);
