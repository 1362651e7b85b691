-- What live streams need to know of the changes of views: which era they are of, and from which slot on they are all there.
-- Runs beside: dataflow jobs, which keep both; the API, which reads them in the snapshot of the changes. A job of an older
-- version removes old changes without saying so: it is to be stopped before an API of this version starts.

ALTER TABLE job_progress
    -- Rises when the views are forgotten and made anew: what was told before says nothing about them.
    ADD COLUMN era bigint NOT NULL DEFAULT 1,
    -- Changes of earlier slots may be gone. Set before they go, so that who sees it in one snapshot with them misses none.
    ADD COLUMN changes_from bigint NOT NULL DEFAULT 0;

-- The changes of one tenant in their order, whatever others change.
CREATE INDEX view_change_tenant ON view_change (tenant_id, epoch, n);
