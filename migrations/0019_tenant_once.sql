-- Row level security asks for the tenant once a statement, not for each row that a join looks up: a scalar subquery that names
-- no column is run once, a function is called at each place where the planner compares with it. Nobody sees other rows than
-- before.
-- Runs beside: everything, which waits until the migration is committed, as each table is locked; what is planned already is
-- planned anew.

DO $$
DECLARE
    found record;
BEGIN
    FOR found IN
        SELECT tablename, policyname, qual FROM pg_policies
        WHERE schemaname = 'public' AND qual IN ('(tenant_id = current_tenant())', '(id = current_tenant())')
    LOOP
        EXECUTE format('ALTER POLICY %I ON %I USING (%s)', found.policyname, found.tablename,
            replace(found.qual, 'current_tenant()', '(SELECT current_tenant())'));
    END LOOP;
END $$;
