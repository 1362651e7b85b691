-- What a superuser does once for a server: the login roles, without any power but what migrations grant them.
DO $$
DECLARE
    role text;
BEGIN
    FOREACH role IN ARRAY ARRAY['mast_owner', 'mast_api', 'mast_ingest', 'mast_dataflow'] LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role) THEN
            EXECUTE format('CREATE ROLE %I LOGIN', role);
        END IF;
        EXECUTE format('ALTER ROLE %I NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS', role);
    END LOOP;
END $$;

-- A process that is paused amid a transaction must not hold up the one that takes its work over.
ALTER ROLE mast_dataflow SET idle_in_transaction_session_timeout = '15s';
