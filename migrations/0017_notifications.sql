-- Notifications: whom people want paged, what is to be told, and what became of each telling.
-- Runs beside: API processes, each of which routes requests and sends deliveries; dataflow jobs, which add requests.
--
-- Who sends works for all tenants, and yet the API's role keeps its one kind of policy, by the tenant of the transaction: it asks
-- notification_work() whose turn it is, which answers with ids of tenants and nothing else, and then works in a transaction
-- of each. A role of its own would need a password and a superuser's hand on every installation, and could read all at once.

CREATE TABLE notification_channels (
    id           uuid PRIMARY KEY,
    tenant_id    uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name         text NOT NULL CHECK (name <> ''),
    kind         text NOT NULL CHECK (kind IN ('email', 'webhook', 'slack', 'http')),
    enabled      boolean NOT NULL DEFAULT true,
    -- When more than so many wait for it, they are told in one message; null: never.
    digest_over  integer CHECK (digest_over BETWEEN 1 AND 100),
    -- Where it leads, for people; without what is secret.
    target       text NOT NULL,
    settings     jsonb NOT NULL,
    -- Which secrets are stored.
    secret_names text[] NOT NULL DEFAULT '{}',
    version      bigint NOT NULL DEFAULT 1,
    UNIQUE (tenant_id, name),
    UNIQUE (tenant_id, id)
);

-- Apart from channels, so that who lists channels never touches a secret. Sealed as credentials of devices are.
CREATE TABLE notification_channel_secrets (
    channel_id uuid PRIMARY KEY,
    tenant_id  uuid NOT NULL,
    ciphertext bytea NOT NULL,
    FOREIGN KEY (tenant_id, channel_id) REFERENCES notification_channels (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX notification_channel_secrets_tenant ON notification_channel_secrets (tenant_id, channel_id);

CREATE TABLE notification_routes (
    id             uuid PRIMARY KEY,
    tenant_id      uuid NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name           text NOT NULL CHECK (name <> ''),
    enabled        boolean NOT NULL DEFAULT true,
    least_severity text NOT NULL CHECK (least_severity IN ('info', 'warning', 'critical')),
    kinds          text[] NOT NULL CHECK (kinds <@ ARRAY['opened', 'resolved', 'escalated']),
    -- Null: all. A site that is deleted stays named, and no incident is at it any more: were it taken out, a route of that
    -- one site would become one of all sites.
    site_ids       uuid[],
    -- Days of the week, Monday 1; null: all.
    days           smallint[] CHECK (days <@ ARRAY[1, 2, 3, 4, 5, 6, 7]::smallint[]),
    -- Minutes of the day; from above to: over midnight. Both null: all day.
    from_minute    smallint CHECK (from_minute BETWEEN 0 AND 1439),
    to_minute      smallint CHECK (to_minute BETWEEN 0 AND 1439),
    time_zone      text NOT NULL,
    fallback       boolean NOT NULL DEFAULT false,
    channel_ids    uuid[] NOT NULL,
    version        bigint NOT NULL DEFAULT 1,
    CHECK ((from_minute IS NULL) = (to_minute IS NULL)),
    UNIQUE (tenant_id, name)
);

-- A row each time something is to be told. Written by dataflow jobs, whose ids make a replay add nothing.
CREATE TABLE notification_requests (
    id          uuid PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    incident_id uuid NOT NULL,
    kind        text NOT NULL CHECK (kind IN ('opened', 'resolved', 'escalated')),
    severity    text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    site_id     uuid,
    happened_at timestamptz NOT NULL,
    content     jsonb NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When it was decided who is told.
    routed_at   timestamptz
);
CREATE INDEX notification_requests_waiting ON notification_requests (tenant_id) WHERE routed_at IS NULL;
CREATE INDEX notification_requests_incident ON notification_requests (tenant_id, incident_id);
CREATE INDEX notification_requests_age ON notification_requests (created_at);

-- What is told by which channel: at most once for each request and channel.
CREATE TABLE notification_deliveries (
    id              uuid PRIMARY KEY,
    tenant_id       uuid NOT NULL,
    request_id      uuid NOT NULL,
    channel_id      uuid NOT NULL,
    -- As in the request.
    incident_id     uuid NOT NULL,
    kind            text NOT NULL CHECK (kind IN ('opened', 'resolved', 'escalated')),
    severity        text NOT NULL CHECK (severity IN ('info', 'warning', 'critical')),
    happened_at     timestamptz NOT NULL,
    -- Whether the end of the incident is told here too.
    tells_end       boolean NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'sending', 'delivered', 'dead')),
    -- Attempts since it was queued.
    attempts        integer NOT NULL DEFAULT 0,
    queued_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    next_attempt_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    -- When the last attempt began.
    began_at        timestamptz,
    -- Who sends it, and until when nobody else does; null: nobody.
    claim           uuid,
    claimed_until   timestamptz,
    -- Whether the attempt at hand is the repetition of one whose end nobody knows.
    repeated        boolean NOT NULL DEFAULT false,
    -- The message that tells it with others; null: it has one of its own.
    digest_id       uuid,
    -- Why the last attempt failed.
    reason          text,
    created_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at        timestamptz,
    CHECK ((state = 'sending') = (claim IS NOT NULL)),
    CHECK ((claim IS NULL) = (claimed_until IS NULL)),
    -- However many routes lead to a channel, and however often it is asked for.
    UNIQUE (tenant_id, channel_id, incident_id, kind, severity)
);
CREATE INDEX notification_deliveries_due ON notification_deliveries (next_attempt_at) WHERE state = 'pending';
CREATE INDEX notification_deliveries_claimed ON notification_deliveries (claimed_until) WHERE state = 'sending';
CREATE INDEX notification_deliveries_channel ON notification_deliveries (tenant_id, channel_id, happened_at)
    WHERE state IN ('pending', 'sending');
CREATE INDEX notification_deliveries_begun ON notification_deliveries (tenant_id, channel_id, began_at);
CREATE INDEX notification_deliveries_age ON notification_deliveries (tenant_id, created_at);
CREATE INDEX notification_deliveries_request ON notification_deliveries (tenant_id, request_id);
CREATE INDEX notification_deliveries_incident ON notification_deliveries (tenant_id, incident_id);

-- Every attempt: a row for each delivery that its message told.
CREATE TABLE notification_attempts (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tenant_id   uuid NOT NULL,
    delivery_id uuid NOT NULL,
    -- The message: the delivery's own id, or that of a digest.
    message_id  uuid NOT NULL,
    attempt     integer NOT NULL,
    repeated    boolean NOT NULL,
    began_at    timestamptz NOT NULL,
    duration_ms integer NOT NULL,
    outcome     text NOT NULL CHECK (outcome IN ('delivered', 'failed', 'refused', 'unknown')),
    -- Of HTTP or SMTP.
    status      integer,
    -- What was answered, or why nothing was.
    reply       text NOT NULL
);
CREATE INDEX notification_attempts_delivery ON notification_attempts (tenant_id, delivery_id, id);
CREATE INDEX notification_attempts_age ON notification_attempts (began_at);

CREATE TRIGGER raise_version BEFORE UPDATE ON notification_channels FOR EACH ROW EXECUTE FUNCTION raise_version();
CREATE TRIGGER raise_version BEFORE UPDATE ON notification_routes FOR EACH ROW EXECUTE FUNCTION raise_version();

-- Elements of an array can have no key, so this stands for one, as for the labels of devices. A site that is gone may stay named.
CREATE FUNCTION notification_route_leads() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF EXISTS (SELECT FROM unnest(NEW.channel_ids) AS named (id) WHERE NOT EXISTS (
            SELECT FROM notification_channels c WHERE c.id = named.id AND c.tenant_id = NEW.tenant_id)) THEN
        RAISE foreign_key_violation USING MESSAGE = 'no such channel', CONSTRAINT = 'notification_routes_channel_ids';
    END IF;
    IF EXISTS (SELECT FROM unnest(NEW.site_ids) AS named (id) WHERE NOT EXISTS (
            SELECT FROM sites s WHERE s.id = named.id AND s.tenant_id = NEW.tenant_id)
            AND (TG_OP = 'INSERT' OR NOT coalesce(named.id = ANY (OLD.site_ids), false))) THEN
        RAISE foreign_key_violation USING MESSAGE = 'no such site', CONSTRAINT = 'notification_routes_site_ids';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER notification_route_leads BEFORE INSERT OR UPDATE OF channel_ids, site_ids ON notification_routes
    FOR EACH ROW EXECUTE FUNCTION notification_route_leads();

-- A channel that is deleted leaves its routes, and what waits for it is told by nobody.
CREATE FUNCTION leave_notification_channel() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    UPDATE notification_routes SET channel_ids = array_remove(channel_ids, OLD.id)
    WHERE tenant_id = OLD.tenant_id AND channel_ids @> ARRAY[OLD.id];
    UPDATE notification_deliveries
    SET state = 'dead', reason = 'the channel was deleted', claim = NULL, claimed_until = NULL, ended_at = clock_timestamp()
    WHERE tenant_id = OLD.tenant_id AND channel_id = OLD.id AND state IN ('pending', 'sending');
    RETURN OLD;
END $$;
CREATE TRIGGER leave_notification_channel BEFORE DELETE ON notification_channels
    FOR EACH ROW EXECUTE FUNCTION leave_notification_channel();

ALTER TABLE notification_channels ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_channels FORCE ROW LEVEL SECURITY;
ALTER TABLE notification_channel_secrets ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_channel_secrets FORCE ROW LEVEL SECURITY;
ALTER TABLE notification_routes ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_routes FORCE ROW LEVEL SECURITY;
ALTER TABLE notification_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_requests FORCE ROW LEVEL SECURITY;
ALTER TABLE notification_deliveries ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_deliveries FORCE ROW LEVEL SECURITY;
ALTER TABLE notification_attempts ENABLE ROW LEVEL SECURITY;
ALTER TABLE notification_attempts FORCE ROW LEVEL SECURITY;

CREATE POLICY api ON notification_channels TO mast_api USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY api ON notification_channel_secrets TO mast_api USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY api ON notification_routes TO mast_api USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY api ON notification_requests TO mast_api USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY api ON notification_deliveries TO mast_api USING (tenant_id = (SELECT current_tenant()));
CREATE POLICY api ON notification_attempts TO mast_api USING (tenant_id = (SELECT current_tenant()));
GRANT SELECT, INSERT, UPDATE, DELETE ON notification_channels, notification_channel_secrets, notification_routes TO mast_api;
GRANT SELECT, UPDATE (routed_at) ON notification_requests TO mast_api;
GRANT SELECT, INSERT, UPDATE ON notification_deliveries TO mast_api;
GRANT SELECT, INSERT ON notification_attempts TO mast_api;

-- Adds, and sees no more than whether it has added.
CREATE POLICY dataflow ON notification_requests TO mast_dataflow USING (true);
GRANT INSERT, SELECT (id) ON notification_requests TO mast_dataflow;

-- The owner is bound by row level security too. It reads for the questions below, and forgets.
CREATE POLICY owner ON notification_requests TO mast_owner USING (true);
CREATE POLICY owner ON notification_deliveries TO mast_owner USING (true);
CREATE POLICY owner ON notification_attempts TO mast_owner USING (true);

-- Tenants for which there is something to do now: the question that comes before a tenant is known.
CREATE FUNCTION notification_work() RETURNS TABLE (tenant_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT tenant_id FROM public.notification_requests WHERE routed_at IS NULL
    UNION
    SELECT tenant_id FROM public.notification_deliveries
    WHERE state = 'pending' AND next_attempt_at <= clock_timestamp()
    UNION
    SELECT tenant_id FROM public.notification_deliveries WHERE state = 'sending' AND claimed_until <= clock_timestamp()
$$;
GRANT EXECUTE ON FUNCTION notification_work() TO mast_api;

-- How much waits, of all tenants, and how much was given up in the last day: for metrics and for how the part is.
CREATE FUNCTION notification_backlog() RETURNS TABLE (waiting bigint, oldest_ms bigint, dead bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH waiting AS (
        SELECT created_at FROM public.notification_requests WHERE routed_at IS NULL
        UNION ALL
        SELECT queued_at FROM public.notification_deliveries WHERE state IN ('pending', 'sending'))
    SELECT count(*),
        coalesce((extract(epoch FROM clock_timestamp() - min(created_at)) * 1000)::bigint, 0),
        (SELECT count(*) FROM public.notification_deliveries
         WHERE state = 'dead' AND ended_at > clock_timestamp() - interval '1 day')
    FROM waiting
$$;
GRANT EXECUTE ON FUNCTION notification_backlog() TO mast_api;
CREATE INDEX notification_deliveries_dead ON notification_deliveries (ended_at) WHERE state = 'dead';

-- Drops what ended 30 days ago.
CREATE FUNCTION forget_notifications() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH attempts AS (
        DELETE FROM public.notification_attempts WHERE began_at < now() - interval '30 days' RETURNING 1),
    deliveries AS (
        DELETE FROM public.notification_deliveries
        WHERE state IN ('delivered', 'dead') AND created_at < now() - interval '30 days'
            AND ended_at < now() - interval '30 days'
            -- Who was told that something began must be told its end; of a merged incident there is none.
            AND (NOT tells_end OR created_at < now() - interval '1 year' OR EXISTS (
                SELECT FROM public.notification_requests e WHERE e.tenant_id = public.notification_deliveries.tenant_id
                    AND e.incident_id = public.notification_deliveries.incident_id AND e.kind = 'resolved')) RETURNING 1),
    requests AS (
        DELETE FROM public.notification_requests r WHERE r.routed_at < now() - interval '30 days'
            AND r.created_at < now() - interval '30 days'
            AND NOT EXISTS (SELECT FROM public.notification_deliveries d
                            WHERE d.tenant_id = r.tenant_id AND d.request_id = r.id)
        RETURNING 1)
    SELECT (SELECT count(*) FROM attempts) + (SELECT count(*) FROM deliveries) + (SELECT count(*) FROM requests)
$$;
GRANT EXECUTE ON FUNCTION forget_notifications() TO mast_api;
