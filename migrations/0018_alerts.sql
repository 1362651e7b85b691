-- Alert rules and maintenance windows, as people decide; alerts, incidents and trends, as the dataflow says, with what
-- people say of them.
-- Runs beside: an API that knows no rules, whose new tenants get the first ones all the same; readers of mast.control.v1,
-- which refuse records that they don't know, so dataflow jobs and ingest of an older version are to be stopped before.

ALTER TABLE sectors ADD CONSTRAINT sectors_of_tenant UNIQUE (tenant_id, id);
ALTER TABLE device_groups ADD CONSTRAINT device_groups_of_tenant UNIQUE (tenant_id, id);
ALTER TABLE tags ADD CONSTRAINT tags_of_tenant UNIQUE (tenant_id, id);

-- Numbers are thousandths, so that no comparison is one of floats.
CREATE TABLE alert_rules (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name        text NOT NULL CHECK (name <> ''),
    description text CHECK (description <> ''),
    kind        text NOT NULL CHECK (kind IN (
                    'cpu', 'memory', 'disk', 'temperature', 'signal', 'ccq', 'clients', 'offline', 'unmanageable',
                    'interface_down', 'interface_utilization', 'device_offline_percent', 'device_offline_count',
                    'sector_signal_avg', 'sector_client_drop', 'signal_degradation', 'link_down_count', 'site_down',
                    'noise_floor', 'throughput_drop')),
    scope       text NOT NULL CHECK (scope IN ('tenant', 'site', 'sector', 'group', 'tag', 'device')),
    site_id     uuid,
    sector_id   uuid,
    group_id    uuid,
    tag_id      uuid,
    device_id   uuid,
    subject     text NOT NULL CHECK (subject IN ('device', 'interface', 'site', 'sector')),
    interface   text CHECK (interface <> ''),
    operator    text CHECK (operator IN ('gt', 'lt', 'gte', 'lte')),
    enter_milli bigint NOT NULL DEFAULT 0,
    clear_milli bigint NOT NULL DEFAULT 0,
    hits        integer NOT NULL DEFAULT 2 CHECK (hits BETWEEN 1 AND 1000),
    clears      integer NOT NULL DEFAULT 2 CHECK (clears BETWEEN 1 AND 1000),
    severity    text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    enabled     boolean NOT NULL DEFAULT true,
    -- When it judges. Days of the week, Monday 1; null: all. Minutes of the day; from above to: over midnight; both null: all
    -- day. Without a zone: always.
    schedule_days smallint[] CHECK (schedule_days <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[] AND schedule_days <> '{}'),
    schedule_from smallint CHECK (schedule_from BETWEEN 0 AND 1439),
    schedule_to   smallint CHECK (schedule_to BETWEEN 0 AND 1439),
    schedule_zone text CHECK (schedule_zone <> ''),
    version     bigint NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, name),
    CONSTRAINT alert_rules_schedule CHECK ((schedule_from IS NULL) = (schedule_to IS NULL)
        AND (schedule_zone IS NOT NULL OR (schedule_days IS NULL AND schedule_from IS NULL))),
    -- A scope names one thing of its kind, and nothing else.
    CONSTRAINT alert_rules_scope CHECK (
        (site_id IS NOT NULL) = (scope = 'site') AND (sector_id IS NOT NULL) = (scope = 'sector')
        AND (group_id IS NOT NULL) = (scope = 'group') AND (tag_id IS NOT NULL) = (scope = 'tag')
        AND (device_id IS NOT NULL) = (scope = 'device')),
    -- The kind says what is judged, where it can.
    CONSTRAINT alert_rules_subject CHECK (CASE
        WHEN kind IN ('interface_down', 'interface_utilization') THEN subject = 'interface'
        WHEN kind IN ('sector_signal_avg', 'sector_client_drop') THEN subject = 'sector'
        WHEN kind = 'site_down' THEN subject = 'site'
        WHEN kind IN ('device_offline_percent', 'device_offline_count', 'signal_degradation', 'link_down_count',
                      'noise_floor', 'throughput_drop') THEN subject IN ('site', 'sector')
        ELSE subject = 'device' END),
    -- A place is judged within places, a site not within a sector.
    CONSTRAINT alert_rules_place CHECK (subject IN ('device', 'interface')
        OR scope IN ('tenant', 'site') OR (scope = 'sector' AND subject = 'sector')),
    CONSTRAINT alert_rules_interface CHECK ((interface IS NOT NULL) = (subject = 'interface')),
    -- Values 0 and 1 are compared with nothing.
    CONSTRAINT alert_rules_compared CHECK (CASE
        WHEN kind IN ('offline', 'unmanageable', 'interface_down', 'site_down')
            THEN operator IS NULL AND enter_milli = 0 AND clear_milli = 0
        WHEN operator IN ('gt', 'gte') THEN clear_milli <= enter_milli
        WHEN operator IN ('lt', 'lte') THEN clear_milli >= enter_milli
        ELSE false END),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, sector_id) REFERENCES sectors (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, group_id) REFERENCES device_groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, tag_id) REFERENCES tags (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX alert_rules_site ON alert_rules (tenant_id, site_id) WHERE site_id IS NOT NULL;
CREATE INDEX alert_rules_sector ON alert_rules (tenant_id, sector_id) WHERE sector_id IS NOT NULL;
CREATE INDEX alert_rules_group ON alert_rules (tenant_id, group_id) WHERE group_id IS NOT NULL;
CREATE INDEX alert_rules_tag ON alert_rules (tenant_id, tag_id) WHERE tag_id IS NOT NULL;
CREATE INDEX alert_rules_device ON alert_rules (tenant_id, device_id) WHERE device_id IS NOT NULL;

-- Whose alerts nobody is told of, and when.
CREATE TABLE maintenance_windows (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name        text NOT NULL CHECK (name <> ''),
    description text CHECK (description <> ''),
    scope       text NOT NULL CHECK (scope IN ('tenant', 'site', 'devices')),
    site_id     uuid,
    device_ids  uuid[] NOT NULL DEFAULT '{}',
    starts_at   timestamptz NOT NULL,
    ends_at     timestamptz NOT NULL,
    recurrence  text CHECK (recurrence <> ''),
    time_zone   text NOT NULL CHECK (time_zone <> ''),
    version     bigint NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, name),
    CHECK (ends_at > starts_at),
    -- A window that loses what it is of must not become one of the whole tenant.
    CONSTRAINT maintenance_windows_scope CHECK (
        (site_id IS NOT NULL) = (scope = 'site') AND (device_ids <> '{}') = (scope = 'devices')),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX maintenance_windows_site ON maintenance_windows (tenant_id, site_id) WHERE site_id IS NOT NULL;

-- Elements of an array can have no key, so these stand for one, as for the labels of devices.
CREATE FUNCTION window_devices_exist() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM unnest(NEW.device_ids) AS listed (id) WHERE NOT EXISTS (
            SELECT FROM devices d WHERE d.id = listed.id AND d.tenant_id = NEW.tenant_id)) THEN
        RAISE foreign_key_violation USING MESSAGE = 'no such device', CONSTRAINT = 'maintenance_windows_device_ids';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER window_devices_exist BEFORE INSERT OR UPDATE OF device_ids ON maintenance_windows
    FOR EACH ROW WHEN (NEW.device_ids <> '{}') EXECUTE FUNCTION window_devices_exist();

CREATE FUNCTION leave_windows() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    DELETE FROM maintenance_windows w WHERE w.scope = 'devices'
        AND w.tenant_id IN (SELECT tenant_id FROM changed)
        AND w.device_ids <@ ARRAY(SELECT id FROM changed);
    UPDATE maintenance_windows w
        SET device_ids = ARRAY(SELECT unnest(w.device_ids) EXCEPT SELECT id FROM changed ORDER BY 1)
    WHERE w.scope = 'devices' AND w.tenant_id IN (SELECT tenant_id FROM changed)
        AND w.device_ids && ARRAY(SELECT id FROM changed);
    RETURN NULL;
END $$;
CREATE TRIGGER leave_windows AFTER DELETE ON devices REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION leave_windows();

-- Alerts: one row each, from its opening until 90 days after its end. What the dataflow says, and what people say; each
-- writes its own columns.
CREATE TABLE alerts (
    alert_id             uuid PRIMARY KEY,
    tenant_id            uuid NOT NULL,
    rule_id              uuid NOT NULL,
    kind                 text NOT NULL,
    severity             text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    subject_kind         text NOT NULL CHECK (subject_kind IN ('device', 'interface', 'site', 'sector')),
    subject_id           uuid NOT NULL,
    interface            text,
    opened_at            timestamptz NOT NULL,
    value_milli          bigint NOT NULL,
    -- Of an open one as it is, else as it was last.
    status               text NOT NULL CHECK (status IN ('waiting', 'open', 'suppressed')),
    suppressor           text CHECK (suppressor IN ('maintenance', 'flapping', 'dependency')),
    cause_device_id      uuid,
    incident_id          uuid,
    -- Null while it is open.
    resolved_at          timestamptz,
    resolution           text CHECK (resolution IN ('cleared', 'manual', 'rule_disabled', 'rule_deleted', 'out_of_scope',
                                                    'subject_gone')),
    resolved_value_milli bigint,
    epoch                bigint NOT NULL,
    acknowledged_at      timestamptz,
    acknowledged_by      text,
    silenced_until       timestamptz,
    assignee             text CHECK (assignee <> ''),
    CHECK ((resolved_at IS NULL) = (resolution IS NULL))
) WITH (fillfactor = 85);
-- One open alert of a rule and a subject, always.
CREATE UNIQUE INDEX alerts_open ON alerts (rule_id, subject_id, subject_kind, md5(coalesce(interface, '')))
    WHERE resolved_at IS NULL;
CREATE INDEX alerts_tenant ON alerts (tenant_id, opened_at);
-- As lists ask for it.
CREATE INDEX alerts_status ON alerts (tenant_id, (CASE WHEN resolved_at IS NULL THEN status ELSE 'resolved' END), opened_at);
CREATE INDEX alerts_of_tenant_open ON alerts (tenant_id) WHERE resolved_at IS NULL;
CREATE INDEX alerts_subject ON alerts (tenant_id, subject_id, opened_at);
CREATE INDEX alerts_incident ON alerts (tenant_id, incident_id) WHERE incident_id IS NOT NULL;
CREATE INDEX alerts_age ON alerts (resolved_at) WHERE resolved_at IS NOT NULL;

CREATE TABLE incidents (
    incident_id     uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    root_kind       text NOT NULL CHECK (root_kind IN ('device', 'site', 'sector')),
    root_id         uuid NOT NULL,
    kind            text NOT NULL,
    severity        text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    opened_at       timestamptz NOT NULL,
    -- Now; of a closed one, as it was when it closed.
    alerts          bigint NOT NULL,
    devices         bigint NOT NULL,
    clients         bigint NOT NULL,
    -- At most, since it opened.
    alerts_most     bigint NOT NULL,
    devices_most    bigint NOT NULL,
    clients_most    bigint NOT NULL,
    -- Null while it is open.
    closed_at       timestamptz,
    closing         text CHECK (closing IN ('resolved', 'merged')),
    merged_into     uuid,
    epoch           bigint NOT NULL,
    acknowledged_at timestamptz,
    acknowledged_by text,
    CHECK ((closed_at IS NULL) = (closing IS NULL))
) WITH (fillfactor = 85);
CREATE INDEX incidents_tenant ON incidents (tenant_id, opened_at);
CREATE INDEX incidents_status ON incidents (tenant_id, coalesce(closing, 'open'), opened_at);
CREATE INDEX incidents_root ON incidents (tenant_id, root_id);
CREATE INDEX incidents_age ON incidents (closed_at) WHERE closed_at IS NOT NULL;

-- Clients whose signal degrades, and those whose did. Levels in hundredths of dBm.
CREATE TABLE trends (
    tenant_id     uuid NOT NULL,
    mac           bigint NOT NULL,
    since         timestamptz NOT NULL,
    ap_device_id  uuid NOT NULL,
    radio_mac     bigint NOT NULL,
    test          text NOT NULL CHECK (test IN ('day', 'week')),
    baseline_cdbm integer NOT NULL,
    opened_cdbm   integer NOT NULL,
    -- Null while it degrades.
    ended_at      timestamptz,
    ending        text CHECK (ending IN ('recovered', 'accepted', 'gone')),
    epoch         bigint NOT NULL,
    PRIMARY KEY (tenant_id, mac, since),
    CHECK ((ended_at IS NULL) = (ending IS NULL))
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX trends_open ON trends (tenant_id, mac) WHERE ended_at IS NULL;
CREATE INDEX trends_status ON trends (tenant_id, coalesce(ending, 'degrading'), since);
CREATE INDEX trends_age ON trends (ended_at) WHERE ended_at IS NOT NULL;

CREATE TABLE alert_events (
    event_id        uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    alert_id        uuid NOT NULL,
    rule_id         uuid NOT NULL,
    kind            text NOT NULL,
    severity        text NOT NULL,
    subject_kind    text NOT NULL,
    subject_id      uuid NOT NULL,
    interface       text,
    at              timestamptz NOT NULL,
    change          text NOT NULL CHECK (change IN ('opened', 'resolved')),
    resolution      text,
    value_milli     bigint,
    threshold_milli bigint,
    epoch           bigint NOT NULL
);
CREATE INDEX alert_events_at ON alert_events (tenant_id, at);
CREATE INDEX alert_events_alert ON alert_events (tenant_id, alert_id, at);
CREATE INDEX alert_events_epoch ON alert_events (epoch);

CREATE TABLE incident_events (
    event_id    uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    incident_id uuid NOT NULL,
    at          timestamptz NOT NULL,
    change      text NOT NULL CHECK (change IN ('opened', 'escalated', 'resolved', 'merged')),
    merged_into uuid,
    root_kind   text NOT NULL,
    root_id     uuid NOT NULL,
    kind        text NOT NULL,
    severity    text NOT NULL,
    opened_at   timestamptz NOT NULL,
    alerts      bigint NOT NULL,
    devices     bigint NOT NULL,
    clients     bigint NOT NULL,
    epoch       bigint NOT NULL
);
CREATE INDEX incident_events_at ON incident_events (tenant_id, at);
CREATE INDEX incident_events_incident ON incident_events (tenant_id, incident_id, at);
CREATE INDEX incident_events_epoch ON incident_events (epoch);

CREATE TABLE trend_events (
    event_id      uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL,
    mac           bigint NOT NULL,
    ap_device_id  uuid NOT NULL,
    radio_mac     bigint NOT NULL,
    at            timestamptz NOT NULL,
    change        text NOT NULL CHECK (change IN ('opened', 'recovered', 'accepted', 'gone')),
    test          text NOT NULL,
    baseline_cdbm integer NOT NULL,
    recent_cdbm   integer,
    epoch         bigint NOT NULL
);
CREATE INDEX trend_events_at ON trend_events (tenant_id, at);
CREATE INDEX trend_events_mac ON trend_events (tenant_id, mac, at);
CREATE INDEX trend_events_epoch ON trend_events (epoch);

-- What people said and did: who, when, of which alert, incident or client. Only added to. A row that resolves an alert or
-- takes a signal for normal is what the record of it is made from.
CREATE TABLE alert_notes (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    alert_id    uuid,
    incident_id uuid,
    mac         bigint,
    at          timestamptz NOT NULL DEFAULT now(),
    -- Name of the token.
    by          text NOT NULL CHECK (by <> ''),
    action      text NOT NULL CHECK (action IN ('comment', 'acknowledge', 'silence', 'resolve', 'assign', 'accept')),
    note        text CHECK (note <> ''),
    CHECK (num_nonnulls(alert_id, incident_id, mac) = 1),
    CHECK (action <> 'resolve' OR alert_id IS NOT NULL),
    CHECK ((action = 'accept') = (mac IS NOT NULL))
);
CREATE INDEX alert_notes_alert ON alert_notes (tenant_id, alert_id, at) WHERE alert_id IS NOT NULL;
CREATE INDEX alert_notes_incident ON alert_notes (tenant_id, incident_id, at) WHERE incident_id IS NOT NULL;
CREATE INDEX alert_notes_age ON alert_notes (at);

CREATE TRIGGER raise_version BEFORE UPDATE ON alert_rules FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER raise_version BEFORE UPDATE ON maintenance_windows FOR EACH ROW EXECUTE FUNCTION raise_version();

CREATE FUNCTION outbox_alert_rules() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'rule_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'rule', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'name', name, 'kind', kind,
                'scope', CASE WHEN scope = 'tenant' THEN to_jsonb(scope)
                    ELSE jsonb_build_object(scope, coalesce(site_id, sector_id, group_id, tag_id, device_id)) END,
                'subject', subject, 'interface', interface, 'operator', operator, 'enter_milli', enter_milli,
                'clear_milli', clear_milli, 'hits', hits, 'clears', clears, 'severity', severity,
                'enabled', enabled, 'version', version,
                'schedule', CASE WHEN schedule_zone IS NOT NULL THEN jsonb_build_object(
                    'days', coalesce(to_jsonb(schedule_days), '[]'), 'from_minute', schedule_from, 'to_minute', schedule_to,
                    'time_zone', schedule_zone) END)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_maintenance_windows() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'window_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'window', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'name', name, 'site_id', site_id,
                'device_ids', device_ids, 'starts_at', public.micros(starts_at), 'ends_at', public.micros(ends_at),
                'recurrence', recurrence, 'time_zone', time_zone, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_alert_notes() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE action
        WHEN 'resolve' THEN jsonb_build_object('entity', 'alert_resolved', 'row',
            jsonb_build_object('tenant_id', tenant_id, 'id', alert_id))
        ELSE jsonb_build_object('entity', 'trend_normal', 'row',
            jsonb_build_object('tenant_id', tenant_id, 'mac',
                upper(regexp_replace(lpad(to_hex(mac), 12, '0'), '(..)(?!$)', '\1:', 'g')))) END
    FROM changed WHERE action IN ('resolve', 'accept') ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON alert_rules
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON alert_rules REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_alert_rules();
CREATE TRIGGER outbox_updated AFTER UPDATE ON alert_rules REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_alert_rules();
CREATE TRIGGER outbox_deleted AFTER DELETE ON alert_rules REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_alert_rules();
CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON maintenance_windows
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON maintenance_windows REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_maintenance_windows();
CREATE TRIGGER outbox_updated AFTER UPDATE ON maintenance_windows REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_maintenance_windows();
CREATE TRIGGER outbox_deleted AFTER DELETE ON maintenance_windows REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_maintenance_windows();
CREATE TRIGGER outbox_turn BEFORE INSERT ON alert_notes
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON alert_notes REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_alert_notes();

-- What a tenant begins with. They are rules like others: to be edited, disabled and deleted.
CREATE FUNCTION first_rules() RETURNS TABLE (
    name text, kind text, subject text, operator text, enter_milli bigint, clear_milli bigint, hits integer, severity text)
LANGUAGE sql IMMUTABLE
AS $$
    VALUES
        ('Device offline', 'offline', 'device', NULL, 0::bigint, 0::bigint, 1, 'critical'),
        ('Device unmanageable', 'unmanageable', 'device', NULL, 0, 0, 1, 'warning'),
        ('CPU load', 'cpu', 'device', 'gt', 90000, 80000, 5, 'warning'),
        ('Memory in use', 'memory', 'device', 'gt', 90000, 85000, 5, 'warning'),
        ('Disk in use', 'disk', 'device', 'gt', 85000, 80000, 3, 'warning'),
        ('Temperature', 'temperature', 'device', 'gt', 80000, 70000, 3, 'warning'),
        ('Signal of clients', 'signal', 'device', 'lt', -75000, -72000, 3, 'warning'),
        ('CCQ of clients', 'ccq', 'device', 'lt', 50000, 60000, 3, 'warning'),
        ('Site down', 'site_down', 'site', NULL, 0, 0, 1, 'critical'),
        ('Clients lost by a sector', 'sector_client_drop', 'sector', 'gt', 50000, 25000, 2, 'warning')
$$;
GRANT EXECUTE ON FUNCTION first_rules() TO mast_api;

-- Named so that it comes after the record of the tenant itself.
CREATE FUNCTION rules_of_new_tenants() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    INSERT INTO alert_rules (id, tenant_id, name, kind, scope, subject, operator, enter_milli, clear_milli, hits, severity)
    SELECT gen_random_uuid(), t.id, r.name, r.kind, 'tenant', r.subject, r.operator, r.enter_milli, r.clear_milli, r.hits,
           r.severity
    FROM changed t CROSS JOIN first_rules() r;
    RETURN NULL;
END $$;
CREATE TRIGGER rules_of_new_tenants AFTER INSERT ON tenants REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION rules_of_new_tenants();

-- Tenants that are there already, before row level security binds the owner.
INSERT INTO alert_rules (id, tenant_id, name, kind, scope, subject, operator, enter_milli, clear_milli, hits, severity)
SELECT gen_random_uuid(), t.id, r.name, r.kind, 'tenant', r.subject, r.operator, r.enter_milli, r.clear_milli, r.hits,
       r.severity
FROM tenants t CROSS JOIN first_rules() r;

ALTER TABLE alert_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE alert_rules FORCE ROW LEVEL SECURITY;
ALTER TABLE maintenance_windows ENABLE ROW LEVEL SECURITY;
ALTER TABLE maintenance_windows FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON alert_rules TO mast_api USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY api ON maintenance_windows TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON alert_rules, maintenance_windows TO mast_api;

ALTER TABLE alerts ENABLE ROW LEVEL SECURITY;
ALTER TABLE alerts FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON alerts TO mast_dataflow USING (true);
CREATE POLICY api ON alerts TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, DELETE,
    INSERT (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, interface, opened_at, value_milli, status,
            suppressor, cause_device_id, incident_id, resolved_at, resolution, resolved_value_milli, epoch),
    UPDATE (alert_id, tenant_id, rule_id, kind, severity, subject_kind, subject_id, interface, opened_at, value_milli, status,
            suppressor, cause_device_id, incident_id, resolved_at, resolution, resolved_value_milli, epoch)
    ON alerts TO mast_dataflow;
GRANT SELECT, UPDATE (acknowledged_at, acknowledged_by, silenced_until, assignee) ON alerts TO mast_api;

ALTER TABLE incidents ENABLE ROW LEVEL SECURITY;
ALTER TABLE incidents FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON incidents TO mast_dataflow USING (true);
CREATE POLICY api ON incidents TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, DELETE,
    INSERT (incident_id, tenant_id, root_kind, root_id, kind, severity, opened_at, alerts, devices, clients, alerts_most,
            devices_most, clients_most, closed_at, closing, merged_into, epoch),
    UPDATE (incident_id, tenant_id, root_kind, root_id, kind, severity, opened_at, alerts, devices, clients, alerts_most,
            devices_most, clients_most, closed_at, closing, merged_into, epoch)
    ON incidents TO mast_dataflow;
GRANT SELECT, UPDATE (acknowledged_at, acknowledged_by) ON incidents TO mast_api;

ALTER TABLE trends ENABLE ROW LEVEL SECURITY;
ALTER TABLE trends FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON trends TO mast_dataflow USING (true);
CREATE POLICY api ON trends FOR SELECT TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON trends TO mast_dataflow;
GRANT SELECT ON trends TO mast_api;

ALTER TABLE alert_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE alert_events FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON alert_events TO mast_dataflow USING (true);
CREATE POLICY api ON alert_events FOR SELECT TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON alert_events TO mast_dataflow;
GRANT SELECT ON alert_events TO mast_api;

ALTER TABLE incident_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE incident_events FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON incident_events TO mast_dataflow USING (true);
CREATE POLICY api ON incident_events FOR SELECT TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON incident_events TO mast_dataflow;
GRANT SELECT ON incident_events TO mast_api;

ALTER TABLE trend_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE trend_events FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON trend_events TO mast_dataflow USING (true);
CREATE POLICY api ON trend_events FOR SELECT TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON trend_events TO mast_dataflow;
GRANT SELECT ON trend_events TO mast_api;

ALTER TABLE alert_notes ENABLE ROW LEVEL SECURITY;
ALTER TABLE alert_notes FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON alert_notes TO mast_dataflow USING (true);
CREATE POLICY api ON alert_notes TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, DELETE ON alert_notes TO mast_dataflow;
GRANT SELECT, INSERT ON alert_notes TO mast_api;

-- What people are told of an incident names it: names of places and devices, and where they are, for jobs of the dataflow.
CREATE POLICY dataflow ON sites FOR SELECT TO mast_dataflow USING (true);
CREATE POLICY dataflow ON sectors FOR SELECT TO mast_dataflow USING (true);
CREATE POLICY dataflow ON devices FOR SELECT TO mast_dataflow USING (true);
GRANT SELECT (id, tenant_id, name) ON sites TO mast_dataflow;
GRANT SELECT (id, tenant_id, site_id, name) ON sectors TO mast_dataflow;
GRANT SELECT (id, tenant_id, site_id, name) ON devices TO mast_dataflow;
