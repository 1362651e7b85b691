-- Notifications are a part of an installation, whose state is told like that of all others.
-- Runs beside: everything; a check is exchanged for a wider one.

ALTER TABLE part_reports DROP CONSTRAINT part_reports_part_check;
ALTER TABLE part_reports ADD CONSTRAINT part_reports_part_check
    CHECK (part IN ('ingest', 'log', 'dataflow', 'checkpoints', 'lake', 'relay', 'notifications', 'postgres', 'keys', 'disk'));
