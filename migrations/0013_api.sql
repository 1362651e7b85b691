-- What the API adds to the model: more of sites, sectors and devices, groups, tags, thresholds, tokens, and the answers to
-- requests that must not be done twice.
-- Runs beside: an older API and imports, which leave the new columns as they are; readers of mast.control.v1, who skip
-- fields that they don't know.

ALTER TABLE sites
    ADD COLUMN address text CHECK (address <> ''),
    ADD COLUMN notes text CHECK (notes <> ''),
    -- The core of the network: point-to-point links point towards it.
    ADD COLUMN core boolean NOT NULL DEFAULT false;

ALTER TABLE sectors
    ADD COLUMN range_m double precision CHECK (range_m > 0);

CREATE TABLE device_groups (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name        text NOT NULL CHECK (name <> ''),
    description text CHECK (description <> ''),
    version     bigint NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, name)
);

CREATE TABLE tags (
    id        uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name      text NOT NULL CHECK (name <> ''),
    color     text CHECK (color ~ '^#[0-9a-f]{6}$'),
    version   bigint NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, name)
);

-- What counts as bad, of a tenant, a site or a sector, of all technologies or of one. Null = as further up.
CREATE TABLE thresholds (
    id                   uuid PRIMARY KEY,
    tenant_id            uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    site_id              uuid,
    sector_id            uuid,
    technology           text CHECK (technology IN ('wireless', 'wifi', 'wifiwave2', 'capsman', 'w60g')),
    degraded_signal_dbm  smallint CHECK (degraded_signal_dbm BETWEEN -120 AND 0),
    active_signal_dbm    smallint CHECK (active_signal_dbm BETWEEN -120 AND 0),
    degraded_ccq_percent smallint CHECK (degraded_ccq_percent BETWEEN 0 AND 100),
    active_ccq_percent   smallint CHECK (active_ccq_percent BETWEEN 0 AND 100),
    version              bigint NOT NULL DEFAULT 1,
    CHECK (sector_id IS NULL OR site_id IS NOT NULL),
    CHECK (active_signal_dbm >= degraded_signal_dbm),
    CHECK (active_ccq_percent >= degraded_ccq_percent),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, site_id, sector_id) REFERENCES sectors (tenant_id, site_id, id)
        ON UPDATE CASCADE ON DELETE CASCADE,
    CONSTRAINT thresholds_scope UNIQUE NULLS NOT DISTINCT (tenant_id, site_id, sector_id, technology)
);

-- A device's groups and tags are part of its row: who changes them changes the device, and one record tells of it.
ALTER TABLE devices
    ADD COLUMN parent_id uuid CHECK (parent_id <> id),
    ADD COLUMN group_ids uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN tag_ids uuid[] NOT NULL DEFAULT '{}',
    ADD CONSTRAINT devices_parent FOREIGN KEY (tenant_id, parent_id) REFERENCES devices (tenant_id, id)
        ON DELETE SET NULL (parent_id);
-- A sector that moves to another site takes its devices with it.
ALTER TABLE devices
    DROP CONSTRAINT devices_tenant_id_site_id_sector_id_fkey,
    ADD CONSTRAINT devices_sector FOREIGN KEY (tenant_id, site_id, sector_id)
        REFERENCES sectors (tenant_id, site_id, id) ON UPDATE CASCADE ON DELETE SET NULL (sector_id);
CREATE INDEX devices_parent ON devices (tenant_id, parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX devices_groups ON devices USING gin (group_ids);
CREATE INDEX devices_tags ON devices USING gin (tag_ids);

-- Elements of an array can have no key, so this stands for one. It sees the rows that row level security lets the writer
-- see, and compares the tenant besides. Writers take turns, so what it saw stays true until the commit.
CREATE FUNCTION labels_exist() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM unnest(NEW.group_ids) AS label (id) WHERE NOT EXISTS (
            SELECT FROM device_groups g WHERE g.id = label.id AND g.tenant_id = NEW.tenant_id)) THEN
        RAISE foreign_key_violation USING MESSAGE = 'no such group', CONSTRAINT = 'devices_group_ids';
    END IF;
    IF EXISTS (SELECT FROM unnest(NEW.tag_ids) AS label (id) WHERE NOT EXISTS (
            SELECT FROM tags t WHERE t.id = label.id AND t.tenant_id = NEW.tenant_id)) THEN
        RAISE foreign_key_violation USING MESSAGE = 'no such tag', CONSTRAINT = 'devices_tag_ids';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER labels_exist BEFORE INSERT OR UPDATE OF group_ids, tag_ids ON devices
    FOR EACH ROW WHEN (NEW.group_ids <> '{}' OR NEW.tag_ids <> '{}') EXECUTE FUNCTION labels_exist();

-- A group or tag that goes is taken off its devices first.
CREATE FUNCTION leave_group() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE devices SET group_ids = array_remove(group_ids, OLD.id)
    WHERE tenant_id = OLD.tenant_id AND group_ids @> ARRAY[OLD.id];
    RETURN OLD;
END $$;
CREATE FUNCTION leave_tag() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE devices SET tag_ids = array_remove(tag_ids, OLD.id)
    WHERE tenant_id = OLD.tenant_id AND tag_ids @> ARRAY[OLD.id];
    RETURN OLD;
END $$;
CREATE TRIGGER leave_group BEFORE DELETE ON device_groups FOR EACH ROW EXECUTE FUNCTION leave_group();
CREATE TRIGGER leave_tag BEFORE DELETE ON tags FOR EACH ROW EXECUTE FUNCTION leave_tag();

CREATE TRIGGER raise_version BEFORE UPDATE ON device_groups FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER raise_version BEFORE UPDATE ON tags FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER raise_version BEFORE UPDATE ON thresholds FOR EACH ROW EXECUTE FUNCTION raise_version();

ALTER TABLE device_groups ENABLE ROW LEVEL SECURITY;
ALTER TABLE device_groups FORCE ROW LEVEL SECURITY;
ALTER TABLE tags ENABLE ROW LEVEL SECURITY;
ALTER TABLE tags FORCE ROW LEVEL SECURITY;
ALTER TABLE thresholds ENABLE ROW LEVEL SECURITY;
ALTER TABLE thresholds FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON device_groups TO mast_api USING (tenant_id = current_tenant());
CREATE POLICY api ON tags TO mast_api USING (tenant_id = current_tenant());
CREATE POLICY api ON thresholds TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON device_groups, tags, thresholds TO mast_api;

-- The writers' turn, for who must read before writing: to be taken before any row's lock, as the triggers do.
CREATE FUNCTION take_turn() RETURNS void
LANGUAGE sql
AS $$ SELECT pg_advisory_xact_lock(7164501) $$;
GRANT EXECUTE ON FUNCTION take_turn() TO mast_api;

-- Records of the outbox, with what is new.
CREATE OR REPLACE FUNCTION outbox_sites() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'site_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'site', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'name', name, 'latitude', latitude,
                'longitude', longitude, 'elevation_m', elevation_m, 'core', core, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION outbox_sectors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'sector_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'sector', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'site_id', site_id, 'name', name,
                'azimuth_deg', azimuth_deg, 'beamwidth_deg', beamwidth_deg, 'range_m', range_m,
                'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE OR REPLACE FUNCTION outbox_devices() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'device_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'device', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'name', name, 'address', address,
                'api_port', api_port, 'api_ssl_port', api_ssl_port, 'tls', tls, 'site_id', site_id,
                'sector_id', sector_id, 'parent_id', parent_id, 'group_ids', group_ids, 'tag_ids', tag_ids,
                'role', role, 'interval_ms', interval_ms, 'enabled', enabled,
                'credentials_version', credentials_version, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_device_groups() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'group_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'group', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'name', name, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_tags() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'tag_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'tag', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'name', name, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_thresholds() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'thresholds_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'thresholds', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'site_id', site_id, 'sector_id', sector_id,
                'technology', technology, 'degraded_signal_dbm', degraded_signal_dbm,
                'active_signal_dbm', active_signal_dbm, 'degraded_ccq_percent', degraded_ccq_percent,
                'active_ccq_percent', active_ccq_percent, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON device_groups
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON device_groups REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_device_groups();
CREATE TRIGGER outbox_updated AFTER UPDATE ON device_groups REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_device_groups();
CREATE TRIGGER outbox_deleted AFTER DELETE ON device_groups REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_device_groups();
CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON tags
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON tags REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_tags();
CREATE TRIGGER outbox_updated AFTER UPDATE ON tags REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_tags();
CREATE TRIGGER outbox_deleted AFTER DELETE ON tags REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_tags();
CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON thresholds
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON thresholds REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_thresholds();
CREATE TRIGGER outbox_updated AFTER UPDATE ON thresholds REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_thresholds();
CREATE TRIGGER outbox_deleted AFTER DELETE ON thresholds REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_thresholds();

-- Bearer tokens. The token itself is nowhere: who reads this table can't use what it holds.
CREATE TABLE api_tokens (
    id         uuid PRIMARY KEY,
    -- Null: of who runs the installation, for all tenants.
    tenant_id  uuid REFERENCES tenants (id) ON DELETE CASCADE,
    name       text NOT NULL CHECK (name <> ''),
    role       text NOT NULL CHECK (role IN ('viewer', 'operator', 'admin', 'super_admin')),
    -- The first characters, for people to know it by.
    prefix     text NOT NULL,
    sha256     bytea NOT NULL UNIQUE CHECK (length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    CHECK ((role = 'super_admin') = (tenant_id IS NULL))
);
CREATE INDEX api_tokens_tenant ON api_tokens (tenant_id);

ALTER TABLE api_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_tokens FORCE ROW LEVEL SECURITY;
-- The owner makes them: `mast token`. The API asks find_token alone.
CREATE POLICY owner ON api_tokens TO mast_owner USING (true);

-- Whose token this is the hash of, if it is good now: the question that comes before a tenant is known.
CREATE FUNCTION find_token(token_sha256 bytea)
RETURNS TABLE (id uuid, tenant_id uuid, tenant text, name text, role text, expires_at bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT k.id, k.tenant_id, t.name, k.name, k.role, public.micros(k.expires_at)
    FROM public.api_tokens k LEFT JOIN public.tenants t ON t.id = k.tenant_id
    WHERE k.sha256 = token_sha256 AND k.revoked_at IS NULL AND k.expires_at > now()
$$;
GRANT EXECUTE ON FUNCTION find_token(bytea) TO mast_api;

-- The tenants of the installation, for its super-admins: whose they are is asked before, by the handler's argument.
CREATE FUNCTION all_tenants() RETURNS TABLE (id uuid, name text, version bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT id, name, version FROM public.tenants $$;
GRANT EXECUTE ON FUNCTION all_tenants() TO mast_api;

-- Answers to requests with an Idempotency-Key, in the transaction of what they did. For a day.
CREATE TABLE idempotency_keys (
    -- No key to tenants: that a tenant was made is remembered under the nil id.
    tenant_id  uuid NOT NULL,
    key        text NOT NULL,
    -- What was asked: method, path and body.
    sha256     bytea NOT NULL,
    status     smallint,
    headers    jsonb,
    body       bytea,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, key)
);
CREATE INDEX idempotency_keys_age ON idempotency_keys (created_at);
ALTER TABLE idempotency_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE idempotency_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY api ON idempotency_keys TO mast_api USING (tenant_id = current_tenant());
CREATE POLICY owner ON idempotency_keys TO mast_owner USING (true);
GRANT SELECT, INSERT, UPDATE ON idempotency_keys TO mast_api;

CREATE FUNCTION forget_idempotency_keys() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH gone AS (DELETE FROM public.idempotency_keys WHERE created_at < now() - interval '1 day' RETURNING 1)
    SELECT count(*) FROM gone
$$;
GRANT EXECUTE ON FUNCTION forget_idempotency_keys() TO mast_api;
