-- Ingest nodes that live, so that they can share the partitions of the telemetry topic among themselves.
-- Runs beside: ingest nodes, each of which keeps its own row alive and reads the others'.

CREATE TABLE ingest_nodes (
    holder     uuid PRIMARY KEY,
    -- Host and process, for people.
    name       text NOT NULL,
    -- Devices for which it has file descriptors.
    capacity   bigint NOT NULL,
    expires_at timestamptz NOT NULL
);
GRANT SELECT, INSERT, UPDATE, DELETE ON ingest_nodes TO mast_ingest;

-- Each partition has a lease of its own from here on. Their fencing epochs go on from that of the one lease over all,
-- else all rows of a new holder would count as those of an old one. The owner is bound by row level security too.
ALTER TABLE leases NO FORCE ROW LEVEL SECURITY;
INSERT INTO leases (name, holder, fencing_epoch, expires_at)
SELECT 'ingest/telemetry/' || partition, holder, fencing_epoch, expires_at
FROM leases, generate_series(0, 1023) AS partition
WHERE name = 'ingest/all';
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
