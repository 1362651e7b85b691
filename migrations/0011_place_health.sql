-- The health of places: state and since when, its transitions; and as gauges live links of the past, traffic and noise.
-- Runs beside: dataflow jobs, which write them; the API and queries, which read inside a tenant transaction.

CREATE TABLE place_health (
    kind      text NOT NULL CHECK (kind IN ('tenant', 'site', 'sector')),
    id        uuid NOT NULL,
    tenant_id uuid NOT NULL,
    state     text NOT NULL CHECK (state IN ('up', 'degraded', 'down', 'unknown')),
    since     timestamptz NOT NULL,
    epoch     bigint NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 85);
CREATE INDEX place_health_tenant ON place_health (tenant_id, kind, state);

CREATE TABLE health_events (
    event_id   uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    place_kind text NOT NULL CHECK (place_kind IN ('tenant', 'site', 'sector')),
    place_id   uuid NOT NULL,
    at         timestamptz NOT NULL,
    -- Null when the place had no device, or has none any more.
    from_state text CHECK (from_state IN ('up', 'degraded', 'down', 'unknown')),
    to_state   text CHECK (to_state IN ('up', 'degraded', 'down', 'unknown')),
    epoch      bigint NOT NULL
);
CREATE INDEX health_events_at ON health_events (tenant_id, at);
CREATE INDEX health_events_place ON health_events (tenant_id, place_kind, place_id, at);

CREATE TABLE place_past_clients (
    kind      text NOT NULL CHECK (kind IN ('tenant', 'site', 'sector')),
    id        uuid NOT NULL,
    tenant_id uuid NOT NULL,
    hour_ago  bigint,
    week_ago  bigint,
    epoch     bigint NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 60);

CREATE TABLE place_air (
    kind            text NOT NULL CHECK (kind IN ('tenant', 'site', 'sector')),
    id              uuid NOT NULL,
    tenant_id       uuid NOT NULL,
    interfaces      bigint NOT NULL,
    rx_bps          bigint NOT NULL,
    tx_bps          bigint NOT NULL,
    radios          bigint NOT NULL,
    noise_sum_dbm   bigint NOT NULL,
    noise_worst_dbm smallint,
    epoch           bigint NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 60);

ALTER TABLE place_health ENABLE ROW LEVEL SECURITY;
ALTER TABLE place_health FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON place_health TO mast_dataflow USING (true);
CREATE POLICY api ON place_health FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON place_health TO mast_dataflow;
GRANT SELECT ON place_health TO mast_api;

ALTER TABLE health_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE health_events FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON health_events TO mast_dataflow USING (true);
CREATE POLICY api ON health_events FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON health_events TO mast_dataflow;
GRANT SELECT ON health_events TO mast_api;

ALTER TABLE place_past_clients ENABLE ROW LEVEL SECURITY;
ALTER TABLE place_past_clients FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON place_past_clients TO mast_dataflow USING (true);
CREATE POLICY api ON place_past_clients FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON place_past_clients TO mast_dataflow;
GRANT SELECT ON place_past_clients TO mast_api;

ALTER TABLE place_air ENABLE ROW LEVEL SECURITY;
ALTER TABLE place_air FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON place_air TO mast_dataflow USING (true);
CREATE POLICY api ON place_air FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON place_air TO mast_dataflow;
GRANT SELECT ON place_air TO mast_api;
