-- The outbox: each change of the model as a record of mast.control.v1, in the transaction of the change.
-- Runs beside: the relay of the dataflow process, which reads rows above relay_progress in the order of their ids.
--
-- Triggers are the one way a record is made, because keys with ON DELETE change rows that no program names. They run per
-- statement over its changed rows, so an import of 10,000 devices is one more INSERT.

CREATE TABLE outbox (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- No key to tenants: the record of a tenant's deletion outlives it.
    tenant_id  uuid NOT NULL,
    change     jsonb NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE relay_progress (
    name      text PRIMARY KEY,
    outbox_id bigint NOT NULL
);

ALTER TABLE outbox ENABLE ROW LEVEL SECURITY;
ALTER TABLE outbox FORCE ROW LEVEL SECURITY;
-- Only the triggers write, as the owner; no service role can forge a record.
CREATE POLICY owner ON outbox FOR INSERT TO mast_owner WITH CHECK (true);
CREATE POLICY dataflow ON outbox TO mast_dataflow USING (true);
GRANT SELECT, DELETE ON outbox TO mast_dataflow;
GRANT SELECT, INSERT, UPDATE ON relay_progress TO mast_dataflow;

-- Ids must become visible in their order, else a reader that has passed id 8 never sees the 7 of a transaction that
-- commits later. So writers of the model take turns, from their first write to their end. The lock comes before any row's
-- lock, hence writers do not deadlock over it.
CREATE FUNCTION outbox_turn() RETURNS trigger
LANGUAGE plpgsql
AS $$ BEGIN PERFORM pg_advisory_xact_lock(7164501); RETURN NULL; END $$;

CREATE FUNCTION outbox_tenants() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'tenant_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'tenant', 'row',
            jsonb_build_object('id', id, 'name', name, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_sites() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'site_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'site', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'name', name, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_sectors() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'sector_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'sector', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'site_id', site_id, 'name', name,
                'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE FUNCTION outbox_devices() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    INSERT INTO public.outbox (tenant_id, change)
    SELECT tenant_id, CASE WHEN TG_OP = 'DELETE'
        THEN jsonb_build_object('entity', 'device_deleted', 'row', jsonb_build_object('id', id))
        ELSE jsonb_build_object('entity', 'device', 'row',
            jsonb_build_object('id', id, 'tenant_id', tenant_id, 'name', name, 'address', address,
                'api_port', api_port, 'api_ssl_port', api_ssl_port, 'tls', tls, 'site_id', site_id,
                'sector_id', sector_id, 'role', role, 'interval_ms', interval_ms, 'enabled', enabled,
                'credentials_version', credentials_version, 'version', version)) END
    FROM changed ORDER BY id;
    IF FOUND THEN PERFORM pg_notify('mast_outbox', ''); END IF;
    RETURN NULL;
END $$;

CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON tenants
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON tenants REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_tenants();
CREATE TRIGGER outbox_updated AFTER UPDATE ON tenants REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_tenants();
CREATE TRIGGER outbox_deleted AFTER DELETE ON tenants REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_tenants();
CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON sites
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON sites REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_sites();
CREATE TRIGGER outbox_updated AFTER UPDATE ON sites REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_sites();
CREATE TRIGGER outbox_deleted AFTER DELETE ON sites REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_sites();
CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON sectors
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON sectors REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_sectors();
CREATE TRIGGER outbox_updated AFTER UPDATE ON sectors REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_sectors();
CREATE TRIGGER outbox_deleted AFTER DELETE ON sectors REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_sectors();
CREATE TRIGGER outbox_turn BEFORE INSERT OR UPDATE OR DELETE ON devices
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_turn();
CREATE TRIGGER outbox_inserted AFTER INSERT ON devices REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_devices();
CREATE TRIGGER outbox_updated AFTER UPDATE ON devices REFERENCING NEW TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_devices();
CREATE TRIGGER outbox_deleted AFTER DELETE ON devices REFERENCING OLD TABLE AS changed
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_devices();
