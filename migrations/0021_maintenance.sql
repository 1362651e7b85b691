-- A place may be in maintenance.
-- Runs beside: everything, which waits until the migration is committed, as both tables are locked and their rows are looked
-- at. A job from before never writes the new word, and reads none of it.

ALTER TABLE place_health DROP CONSTRAINT place_health_state_check;
ALTER TABLE place_health ADD CONSTRAINT place_health_state_check
    CHECK (state IN ('up', 'degraded', 'down', 'unknown', 'maintenance'));

ALTER TABLE health_events
    DROP CONSTRAINT health_events_from_state_check,
    DROP CONSTRAINT health_events_to_state_check;
ALTER TABLE health_events
    ADD CONSTRAINT health_events_from_state_check
        CHECK (from_state IN ('up', 'degraded', 'down', 'unknown', 'maintenance')),
    ADD CONSTRAINT health_events_to_state_check
        CHECK (to_state IN ('up', 'degraded', 'down', 'unknown', 'maintenance'));
