-- Leases: who alone may do a thing, with a number that rises with each start, by which readers refuse an earlier holder.
-- Runs beside: ingest nodes (names 'ingest/…') and dataflow jobs (names 'dataflow/…').

CREATE TABLE leases (
    name          text PRIMARY KEY,
    holder        uuid NOT NULL,
    fencing_epoch bigint NOT NULL,
    expires_at    timestamptz NOT NULL
);

ALTER TABLE leases ENABLE ROW LEVEL SECURITY;
ALTER TABLE leases FORCE ROW LEVEL SECURITY;
CREATE POLICY ingest ON leases TO mast_ingest USING (starts_with(name, 'ingest/'));
CREATE POLICY dataflow ON leases TO mast_dataflow USING (starts_with(name, 'dataflow/'));
-- No DELETE: a lease that is gone would begin anew at fencing epoch 1.
GRANT SELECT, INSERT, UPDATE ON leases TO mast_ingest, mast_dataflow;
