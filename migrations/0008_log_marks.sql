-- How far ingest has read each device's log: the newest lines that it has seen, and under which poll.
-- Runs beside: ingest, which writes a mark once the lines before it are in the log of records, and reads it when it
-- begins with a device. Without a row a device's log is read from the oldest line that it still has.

CREATE TABLE device_log_marks (
    device_id   uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    lease_epoch bigint NOT NULL,
    sequence    bigint NOT NULL,
    mark        bytea NOT NULL,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 60);
CREATE INDEX device_log_marks_tenant ON device_log_marks (tenant_id, device_id);

ALTER TABLE device_log_marks ENABLE ROW LEVEL SECURITY;
ALTER TABLE device_log_marks FORCE ROW LEVEL SECURITY;

CREATE POLICY ingest ON device_log_marks TO mast_ingest USING (true);
GRANT SELECT, INSERT, UPDATE ON device_log_marks TO mast_ingest;
