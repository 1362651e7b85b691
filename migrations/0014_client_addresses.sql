-- What routers say of clients: IP address and the name that the client told, by ARP and DHCP tables.
-- Runs beside: dataflow jobs, which write it; the API and queries, which read inside a tenant transaction.

CREATE TABLE client_addresses (
    tenant_id uuid NOT NULL,
    mac       bigint NOT NULL,
    -- As the router writes it.
    address   text NOT NULL,
    host_name text,
    source    text NOT NULL CHECK (source IN ('arp', 'dhcp')),
    -- Whose table it is.
    device_id uuid NOT NULL,
    since     timestamptz NOT NULL,
    epoch     bigint NOT NULL,
    PRIMARY KEY (tenant_id, mac)
) WITH (fillfactor = 85);

ALTER TABLE client_addresses ENABLE ROW LEVEL SECURITY;
ALTER TABLE client_addresses FORCE ROW LEVEL SECURITY;
CREATE POLICY dataflow ON client_addresses TO mast_dataflow USING (true);
CREATE POLICY api ON client_addresses FOR SELECT TO mast_api USING (tenant_id = current_tenant());
GRANT SELECT, INSERT, UPDATE, DELETE ON client_addresses TO mast_dataflow;
GRANT SELECT ON client_addresses TO mast_api;
