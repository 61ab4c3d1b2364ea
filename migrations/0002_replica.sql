-- A database that follows another journal: whose (`meta` gets a row `etcd_cluster`), and the records on their way in while
-- everything is loaded anew.

CREATE TABLE incoming (
    key      TEXT PRIMARY KEY,
    revision INTEGER NOT NULL,
    value    TEXT NOT NULL
) STRICT;
