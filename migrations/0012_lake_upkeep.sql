-- Upkeep of the lake: files that ended, and how long tenants want rows to be kept.
-- Runs beside: dataflow jobs of an older version, which know neither and leave both alone; they would remove ended files at
-- their start, so no older one is to be started while queries run.

-- Files that the manifest names no more and that queries which began before may still read. A row goes with its file.
CREATE TABLE lake_ended_files (
    path     text PRIMARY KEY,
    job      text NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now()
);
GRANT SELECT, INSERT, DELETE ON lake_ended_files TO mast_dataflow;

-- How long rows of a table are kept for a tenant, where it is not as usual.
CREATE TABLE lake_retention (
    tenant_id  uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    table_name text NOT NULL,
    keep_days  integer NOT NULL CHECK (keep_days BETWEEN 1 AND 36500),
    PRIMARY KEY (tenant_id, table_name)
);
ALTER TABLE lake_retention ENABLE ROW LEVEL SECURITY;
ALTER TABLE lake_retention FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON lake_retention FOR SELECT TO mast_dataflow USING (true);
CREATE POLICY api ON lake_retention TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT ON lake_retention TO mast_dataflow;
GRANT SELECT, INSERT, UPDATE, DELETE ON lake_retention TO mast_api;
