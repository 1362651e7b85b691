-- Routers without a certificate, and what speaks TLS with the old ones.

ALTER TABLE devices DROP CONSTRAINT devices_tls_check;
ALTER TABLE devices ADD CONSTRAINT devices_tls_check
    CHECK (tls IN ('auto', 'verified', 'pinned', 'insecure', 'anonymous', 'plain'));

-- Learnt by ingest, as the form of the login is; a wrong one costs a detour.
ALTER TABLE device_pins ADD COLUMN tls_stack text NOT NULL DEFAULT 'rustls'
    CHECK (tls_stack IN ('rustls', 'openssl'));
