-- Ground: who may call what, the tenant of a session, and times as the records hold them.
-- Runs beside: nothing; the first migration of an empty database. The roles come from the bootstrap, before any migration.

-- A function is no one's until it is granted.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- The tenant of this transaction; null when none was set, and null equals no row's tenant. A custom setting that was set
-- locally reads as '' after its transaction, not as null.
CREATE FUNCTION current_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT NULLIF(current_setting('mast.tenant_id', true), '')::uuid $$;

-- Microseconds since 1970, as the records hold them, to a time; exact until 2106.
CREATE FUNCTION instant(micros bigint) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
AS $$ SELECT to_timestamp(micros::float8 / 1000000) $$;

-- A time to microseconds since 1970; exact.
CREATE FUNCTION micros(at timestamptz) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE STRICT
AS $$ SELECT (extract(epoch FROM at) * 1000000)::bigint $$;

GRANT EXECUTE ON FUNCTION current_tenant(), instant(bigint), micros(timestamptz)
    TO mast_api, mast_ingest, mast_dataflow;
