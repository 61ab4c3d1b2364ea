-- The journal's records, and what listing and searching need of them. Every row of `videos`, `jobs` and `video_search`
-- is derived from a record in the same transaction that writes the record.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The revision of the last change that is applied here.
INSERT INTO meta (name, value) VALUES ('revision', 0);

CREATE TABLE records (
    key      TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    value    TEXT NOT NULL
) STRICT;

CREATE TABLE videos (
    row_id     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    record_key TEXT NOT NULL,
    state      TEXT NOT NULL,
    visibility TEXT NOT NULL,
    generation INTEGER NOT NULL,
    title_key  TEXT NOT NULL,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE INDEX videos_by_age ON videos (visibility, created_ms, id);
CREATE INDEX videos_by_title ON videos (visibility, title_key, id);
CREATE INDEX videos_by_state ON videos (state);

CREATE VIRTUAL TABLE video_search USING fts5 (
    title, description,
    content = '', contentless_delete = 1,
    tokenize = 'unicode61 remove_diacritics 2', prefix = '2 3'
);

CREATE TABLE jobs (
    id               TEXT PRIMARY KEY,
    record_key       TEXT NOT NULL,
    video_id         TEXT NOT NULL,
    generation       INTEGER NOT NULL,
    kind             TEXT NOT NULL,
    state            TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    not_before_ms    INTEGER NOT NULL,
    lease_expires_ms INTEGER,
    created_ms       INTEGER NOT NULL
) STRICT;

CREATE INDEX jobs_by_video ON jobs (video_id, generation);
CREATE INDEX jobs_by_state ON jobs (state, priority, created_ms);
