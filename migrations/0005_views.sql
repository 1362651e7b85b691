-- What the dataflow commits: views, events and their changes, and how far its jobs are.
-- Runs beside: dataflow jobs, which write one fenced transaction per epoch or run of epochs; the API and queries, which
-- read inside a tenant transaction.
--
-- No table here has a key to the model: the dataflow hears of a deletion after the model has done it, and takes its rows
-- back itself. Addresses are the 48 bits of the MAC as a bigint. Epochs are numbers of 250 ms slots since 1970.

CREATE TABLE job_progress (
    job              text PRIMARY KEY,
    generation       bigint NOT NULL,
    epoch            bigint NOT NULL,
    checkpoint_epoch bigint NOT NULL DEFAULT 0,
    updated_at       timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE device_status (
    device_id    uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL,
    state        text NOT NULL CHECK (state IN ('online', 'offline', 'unmanageable', 'unobserved')),
    since        timestamptz NOT NULL,
    outcome      text CHECK (outcome IN ('ok', 'partial', 'timeout', 'refused', 'auth_failed', 'tls_failed',
                                         'protocol_error', 'internal')),
    identity     text,
    version      text,
    board        text,
    architecture text,
    serial       text,
    firmware     text,
    epoch        bigint NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX device_status_state ON device_status (tenant_id, state, since);

CREATE TABLE links (
    tenant_id     uuid NOT NULL,
    ap_device_id  uuid NOT NULL,
    radio_mac     bigint NOT NULL,
    mac           bigint NOT NULL,
    interface     text NOT NULL,
    source        text NOT NULL CHECK (source IN ('wireless', 'wifi', 'wifiwave2', 'capsman', 'w60g')),
    cpe_device_id uuid,
    state         text NOT NULL CHECK (state IN ('discovered', 'active', 'degraded', 'down', 'stale')),
    since         timestamptz NOT NULL,
    reason        text NOT NULL CHECK (reason IN ('seen', 'confirmed', 'confirmed_by_station', 'signal', 'losses',
                                                  'recovered', 'returned', 'lost', 'ap_offline', 'expired', 'roamed',
                                                  'forgotten')),
    discovered_at timestamptz NOT NULL,
    unobserved    boolean NOT NULL,
    ambiguous     boolean NOT NULL,
    epoch         bigint NOT NULL,
    PRIMARY KEY (tenant_id, ap_device_id, radio_mac, mac)
) WITH (fillfactor = 85);
CREATE INDEX links_state ON links (tenant_id, state, since);
CREATE INDEX links_mac ON links (tenant_id, mac);
CREATE INDEX links_cpe ON links (tenant_id, cpe_device_id) WHERE cpe_device_id IS NOT NULL;

CREATE TABLE place_counts (
    kind                 text NOT NULL CHECK (kind IN ('tenant', 'site', 'sector')),
    id                   uuid NOT NULL,
    tenant_id            uuid NOT NULL,
    devices_online       bigint NOT NULL,
    devices_offline      bigint NOT NULL,
    devices_unmanageable bigint NOT NULL,
    devices_unobserved   bigint NOT NULL,
    links_discovered     bigint NOT NULL,
    links_active         bigint NOT NULL,
    links_degraded       bigint NOT NULL,
    links_down           bigint NOT NULL,
    links_stale          bigint NOT NULL,
    links_unobserved     bigint NOT NULL,
    epoch                bigint NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 60);
CREATE INDEX place_counts_tenant ON place_counts (tenant_id, kind);

-- Gauges: at most once a minute each, outside the promise that the views of one epoch agree. No index but the key and
-- room on each page, so that an update stays on its page.
CREATE TABLE link_gauges (
    tenant_id          uuid NOT NULL,
    ap_device_id       uuid NOT NULL,
    radio_mac          bigint NOT NULL,
    mac                bigint NOT NULL,
    observed_at        timestamptz NOT NULL,
    signal_dbm         smallint,
    station_signal_dbm smallint,
    snr_db             smallint,
    tx_ccq_percent     integer,
    tx_rate_bps        bigint,
    rx_rate_bps        bigint,
    PRIMARY KEY (tenant_id, ap_device_id, radio_mac, mac)
) WITH (fillfactor = 60);

CREATE TABLE device_gauges (
    device_id         uuid PRIMARY KEY,
    tenant_id         uuid NOT NULL,
    observed_at       timestamptz NOT NULL,
    round_trip_ms     bigint,
    cpu_load_percent  smallint,
    memory_free_bytes bigint,
    uptime_s          bigint
) WITH (fillfactor = 60);

CREATE TABLE place_signals (
    kind      text NOT NULL CHECK (kind IN ('tenant', 'site', 'sector')),
    id        uuid NOT NULL,
    tenant_id uuid NOT NULL,
    clients   bigint NOT NULL,
    sum_dbm   bigint NOT NULL,
    p10_dbm   smallint,
    worst_dbm smallint,
    epoch     bigint NOT NULL,
    PRIMARY KEY (kind, id)
) WITH (fillfactor = 60);

CREATE TABLE link_events (
    event_id     uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL,
    ap_device_id uuid NOT NULL,
    radio_mac    bigint NOT NULL,
    mac          bigint NOT NULL,
    at           timestamptz NOT NULL,
    from_state   text,
    to_state     text,
    reason       text NOT NULL,
    epoch        bigint NOT NULL
);
CREATE INDEX link_events_at ON link_events (tenant_id, at);
CREATE INDEX link_events_link ON link_events (tenant_id, ap_device_id, radio_mac, mac, at);

CREATE TABLE device_events (
    event_id   uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    device_id  uuid NOT NULL,
    at         timestamptz NOT NULL,
    from_state text NOT NULL,
    to_state   text NOT NULL,
    outcome    text,
    epoch      bigint NOT NULL
);
CREATE INDEX device_events_at ON device_events (tenant_id, at);
CREATE INDEX device_events_device ON device_events (tenant_id, device_id, at);

-- Ten minutes of changes, from which live streams are served and resumed by (epoch, n).
CREATE TABLE view_change (
    epoch      bigint NOT NULL,
    n          integer NOT NULL,
    tenant_id  uuid NOT NULL,
    view       text NOT NULL,
    key        jsonb NOT NULL,
    op         text NOT NULL CHECK (op IN ('upsert', 'delete')),
    row        jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (epoch, n)
);

GRANT SELECT, INSERT, UPDATE ON job_progress TO mast_dataflow;
GRANT SELECT ON job_progress TO mast_api;

ALTER TABLE device_status ENABLE ROW LEVEL SECURITY;
ALTER TABLE device_status FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON device_status TO mast_dataflow USING (true);
CREATE POLICY api ON device_status FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON device_status TO mast_dataflow;
GRANT SELECT ON device_status TO mast_api;

ALTER TABLE links ENABLE ROW LEVEL SECURITY;
ALTER TABLE links FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON links TO mast_dataflow USING (true);
CREATE POLICY api ON links FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON links TO mast_dataflow;
GRANT SELECT ON links TO mast_api;

ALTER TABLE place_counts ENABLE ROW LEVEL SECURITY;
ALTER TABLE place_counts FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON place_counts TO mast_dataflow USING (true);
CREATE POLICY api ON place_counts FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON place_counts TO mast_dataflow;
GRANT SELECT ON place_counts TO mast_api;

ALTER TABLE link_gauges ENABLE ROW LEVEL SECURITY;
ALTER TABLE link_gauges FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON link_gauges TO mast_dataflow USING (true);
CREATE POLICY api ON link_gauges FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON link_gauges TO mast_dataflow;
GRANT SELECT ON link_gauges TO mast_api;

ALTER TABLE device_gauges ENABLE ROW LEVEL SECURITY;
ALTER TABLE device_gauges FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON device_gauges TO mast_dataflow USING (true);
CREATE POLICY api ON device_gauges FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON device_gauges TO mast_dataflow;
GRANT SELECT ON device_gauges TO mast_api;

ALTER TABLE place_signals ENABLE ROW LEVEL SECURITY;
ALTER TABLE place_signals FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON place_signals TO mast_dataflow USING (true);
CREATE POLICY api ON place_signals FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON place_signals TO mast_dataflow;
GRANT SELECT ON place_signals TO mast_api;

ALTER TABLE link_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE link_events FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON link_events TO mast_dataflow USING (true);
CREATE POLICY api ON link_events FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON link_events TO mast_dataflow;
GRANT SELECT ON link_events TO mast_api;

ALTER TABLE device_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE device_events FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON device_events TO mast_dataflow USING (true);
CREATE POLICY api ON device_events FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON device_events TO mast_dataflow;
GRANT SELECT ON device_events TO mast_api;

ALTER TABLE view_change ENABLE ROW LEVEL SECURITY;
ALTER TABLE view_change FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON view_change TO mast_dataflow USING (true);
CREATE POLICY api ON view_change FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON view_change TO mast_dataflow;
GRANT SELECT ON view_change TO mast_api;
