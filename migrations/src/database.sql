-- What a superuser does once for a database: it belongs to the owner, and only the services may enter. No temporary
-- tables: they would stand before ours in a search path.
DO $$
BEGIN
    EXECUTE format('ALTER DATABASE %I OWNER TO mast_owner', current_database());
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO mast_api, mast_ingest, mast_dataflow', current_database());
END $$;
