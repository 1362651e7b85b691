-- The manifest of the lake: a row is the commit of a range of epochs of one table with its files.
-- Runs beside: the lake writer of each dataflow job; readers, which pin the highest version they saw.

CREATE TABLE lake_manifest (
    version    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job        text NOT NULL,
    table_name text NOT NULL,
    epoch_from bigint NOT NULL,
    epoch_to   bigint NOT NULL CHECK (epoch_to >= epoch_from),
    files      jsonb NOT NULL,
    rows       bigint NOT NULL,
    bytes      bigint NOT NULL,
    -- A range is committed once, also when a killed writer comes back and writes it again.
    UNIQUE (job, table_name, epoch_from)
);

GRANT SELECT, INSERT, UPDATE, DELETE ON lake_manifest TO mast_dataflow;
-- File names and counts of all tenants; the query layer reads it and scopes the files by tenant.
GRANT SELECT ON lake_manifest TO mast_api;
