-- The model: what people decide. Written by the API and by imports, as mast_api, inside a tenant transaction.
-- Runs beside: nothing older.

CREATE TABLE tenants (
    id      uuid PRIMARY KEY,
    name    text NOT NULL UNIQUE CHECK (name <> ''),
    version bigint NOT NULL DEFAULT 1
);

CREATE TABLE sites (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name        text NOT NULL CHECK (name <> ''),
    latitude    double precision CHECK (latitude BETWEEN -90 AND 90),
    longitude   double precision CHECK (longitude BETWEEN -180 AND 180),
    elevation_m double precision,
    version     bigint NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
);

CREATE TABLE sectors (
    id            uuid PRIMARY KEY,
    tenant_id     uuid NOT NULL,
    site_id       uuid NOT NULL,
    name          text NOT NULL CHECK (name <> ''),
    azimuth_deg   double precision CHECK (azimuth_deg >= 0 AND azimuth_deg < 360),
    beamwidth_deg double precision CHECK (beamwidth_deg > 0 AND beamwidth_deg <= 360),
    version       bigint NOT NULL DEFAULT 1,
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id) ON DELETE CASCADE,
    UNIQUE (tenant_id, site_id, name),
    UNIQUE (tenant_id, site_id, id)
);

CREATE TABLE devices (
    id                  uuid PRIMARY KEY,
    tenant_id           uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name                text NOT NULL CHECK (name <> ''),
    address             text NOT NULL CHECK (address <> ''),
    api_port            integer NOT NULL DEFAULT 8728 CHECK (api_port BETWEEN 1 AND 65535),
    api_ssl_port        integer NOT NULL DEFAULT 8729 CHECK (api_ssl_port BETWEEN 1 AND 65535),
    tls                 text NOT NULL DEFAULT 'auto'
                        CHECK (tls IN ('auto', 'verified', 'pinned', 'insecure', 'plain')),
    site_id             uuid,
    sector_id           uuid,
    role                text NOT NULL DEFAULT 'other'
                        CHECK (role IN ('router', 'ap', 'cpe', 'backhaul', 'controller', 'switch', 'other')),
    interval_ms         integer NOT NULL CHECK (interval_ms BETWEEN 100 AND 86400000),
    enabled             boolean NOT NULL DEFAULT true,
    credentials_version bigint NOT NULL DEFAULT 0,
    version             bigint NOT NULL DEFAULT 1,
    -- A sector implies its site: the sector's key holds the site, and half of the key is no key.
    CHECK (sector_id IS NULL OR site_id IS NOT NULL),
    FOREIGN KEY (tenant_id, site_id) REFERENCES sites (tenant_id, id) ON DELETE SET NULL (site_id),
    FOREIGN KEY (tenant_id, site_id, sector_id) REFERENCES sectors (tenant_id, site_id, id)
        ON DELETE SET NULL (sector_id),
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
);
CREATE INDEX devices_place ON devices (tenant_id, site_id, sector_id);

-- Apart from devices, so that who lists devices never touches a credential.
CREATE TABLE device_credentials (
    device_id  uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    ciphertext bytea NOT NULL,
    version    bigint NOT NULL DEFAULT 1,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX device_credentials_tenant ON device_credentials (tenant_id, device_id);

-- What a device showed when it was first trusted. Ingest writes it; a person who accepts another certificate deletes it.
CREATE TABLE device_pins (
    device_id       uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    tls_fingerprint bytea,
    pinned_at       timestamptz NOT NULL DEFAULT now(),
    login_modern    boolean NOT NULL DEFAULT false,
    FOREIGN KEY (tenant_id, device_id) REFERENCES devices (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX device_pins_tenant ON device_pins (tenant_id, device_id);

-- The version rises with each change, whoever makes it: a person, an import, or the deletion of a site.
CREATE FUNCTION raise_version() RETURNS trigger
LANGUAGE plpgsql
AS $$ BEGIN NEW.version := OLD.version + 1; RETURN NEW; END $$;

CREATE TRIGGER raise_version BEFORE UPDATE ON tenants FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER raise_version BEFORE UPDATE ON sites FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER raise_version BEFORE UPDATE ON sectors FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER raise_version BEFORE UPDATE ON devices FOR EACH ROW EXECUTE FUNCTION raise_version();

-- A device that leaves its site leaves its sector: when a site is deleted, its keys act on the device one after the
-- other, and the check above holds after each.
CREATE FUNCTION leave_sector_with_site() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF NEW.site_id IS NULL AND OLD.site_id IS NOT NULL THEN
        NEW.sector_id := NULL;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER leave_sector_with_site BEFORE UPDATE ON devices
    FOR EACH ROW EXECUTE FUNCTION leave_sector_with_site();

ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
ALTER TABLE sites ENABLE ROW LEVEL SECURITY;
ALTER TABLE sites FORCE ROW LEVEL SECURITY;
ALTER TABLE sectors ENABLE ROW LEVEL SECURITY;
ALTER TABLE sectors FORCE ROW LEVEL SECURITY;
ALTER TABLE devices ENABLE ROW LEVEL SECURITY;
ALTER TABLE devices FORCE ROW LEVEL SECURITY;
ALTER TABLE device_credentials ENABLE ROW LEVEL SECURITY;
ALTER TABLE device_credentials FORCE ROW LEVEL SECURITY;
ALTER TABLE device_pins ENABLE ROW LEVEL SECURITY;
ALTER TABLE device_pins FORCE ROW LEVEL SECURITY;

CREATE POLICY api ON tenants TO mast_api USING (id = current_tenant());
CREATE POLICY api ON sites TO mast_api USING (tenant_id = current_tenant());
CREATE POLICY api ON sectors TO mast_api USING (tenant_id = current_tenant());
CREATE POLICY api ON devices TO mast_api USING (tenant_id = current_tenant());
CREATE POLICY api ON device_credentials TO mast_api USING (tenant_id = current_tenant());
CREATE POLICY api ON device_pins TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON tenants, sites, sectors, devices, device_credentials TO mast_api;
GRANT SELECT, DELETE ON device_pins TO mast_api;

CREATE POLICY ingest ON devices FOR SELECT TO mast_ingest USING (true);
CREATE POLICY ingest ON device_credentials FOR SELECT TO mast_ingest USING (true);
CREATE POLICY ingest ON device_pins TO mast_ingest USING (true);
GRANT SELECT ON devices, device_credentials TO mast_ingest;
GRANT SELECT, INSERT, UPDATE ON device_pins TO mast_ingest;

-- The owner is bound by row level security too. It reads tenants for find_tenant and for who runs the installation.
CREATE POLICY owner ON tenants FOR SELECT TO mast_owner USING (true);

-- From a name to the tenant whose transaction is to be opened: the one question that comes before a tenant is known.
-- It answers nothing but the id of a name that the asker already has.
CREATE FUNCTION find_tenant(tenant_name text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT id FROM public.tenants WHERE name = tenant_name $$;
GRANT EXECUTE ON FUNCTION find_tenant(text) TO mast_api;
