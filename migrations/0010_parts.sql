-- What each part last said of itself: a heartbeat, told every few seconds, by the database's clock.
-- Runs beside: ingest nodes and dataflow jobs, which write their own kinds; `mast status`, which reads the view.

CREATE TABLE part_reports (
    part    text NOT NULL CHECK (part IN ('ingest', 'log', 'dataflow', 'checkpoints', 'lake', 'relay', 'postgres', 'keys', 'disk')),
    name    text NOT NULL,
    state   text NOT NULL CHECK (state IN ('ok', 'stopped', 'starting', 'waiting', 'degraded', 'failed')),
    reason  text NOT NULL,
    remedy  text NOT NULL,
    numbers jsonb NOT NULL,
    -- Since when it is in this state.
    since   timestamptz NOT NULL,
    -- When it last said so. A part that is not stopped and has long said nothing is gone.
    seen_at timestamptz NOT NULL,
    PRIMARY KEY (part, name)
) WITH (fillfactor = 60);

ALTER TABLE part_reports ENABLE ROW LEVEL SECURITY;
ALTER TABLE part_reports FORCE ROW LEVEL SECURITY;
CREATE POLICY ingest ON part_reports TO mast_ingest USING (part = 'ingest');
CREATE POLICY dataflow ON part_reports TO mast_dataflow USING (part IN ('dataflow', 'checkpoints', 'lake', 'relay'));
-- For the view alone, which reads as its owner.
CREATE POLICY owner ON part_reports FOR SELECT TO mast_owner USING (true);
-- DELETE: of nodes that have been gone for a week.
GRANT SELECT, INSERT, UPDATE, DELETE ON part_reports TO mast_ingest, mast_dataflow;

-- Of the installation, not of a tenant: names of nodes and jobs, reasons, counts.
CREATE VIEW parts AS SELECT part, name, state, reason, remedy, numbers, since, seen_at FROM part_reports;
GRANT SELECT ON parts TO mast_api;
