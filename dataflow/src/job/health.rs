//! A job's status in the words of [`mast_schemas::health`], and as metrics.

use mast_schemas::health::{Health, Part, State, Trouble};
use mast_schemas::metric::Metric;
use mast_schemas::{Epoch, Timestamp};

use super::status::{Counters, JobStatus};
use crate::relay::Lag;
use crate::troubles::Place;

/// Views that are further behind than this are not what people think they see.
const LAG_MS: i64 = 5_000;

impl JobStatus {
    /// Clock minus end of the last committed slot; null before the first slot of all.
    fn behind_ms(&self, now: Timestamp) -> Option<i64> {
        (self.epoch > Epoch(0)).then(|| (now - self.epoch.end()).0 / 1_000)
    }

    /// How the parts of the job are: the job, its checkpoints, history, both relays.
    pub fn health(&self, job: &str, now: Timestamp) -> Vec<Health> {
        let troubles = self.troubles.now();
        let with = |mut health: Health, places: &[Place]| {
            for trouble in places.iter().filter_map(|place| troubles.get(place)) {
                let Trouble {
                    state,
                    reason,
                    remedy,
                } = trouble.clone();
                health = health.troubled(state, reason, remedy);
            }
            health
        };
        let c = &self.counters;
        let lag = self.behind_ms(now);
        let mut main = Health::ok(Part::Dataflow, job)
            .number("generation", self.generation)
            .number("epoch", self.epoch.0)
            .number("commits", c.groups)
            .number("polls", c.polls)
            .number("late_polls", c.late)
            .number("replayed_polls", c.replays)
            .number("foreign_polls", c.wrong_tenant)
            .number("silences", c.silences)
            .number("clamped_heartbeats", c.clamped);
        if let Some(lag) = lag {
            main = main.number("lag_ms", lag);
        }
        if self.replaying {
            let reason = "works through what was bound before this start";
            let remedy = "wait; views are as of its last commit until then";
            main = main.troubled(State::Starting, reason, remedy);
        }
        let places = [
            Place::Job,
            Place::Bindings,
            Place::Commit,
            Place::Stall,
            Place::Gauges,
        ];
        let mut main = with(main, &places);
        // Whoever knows why the views are behind has said so.
        if let (State::Ok, Some(lag)) = (main.state, lag.filter(|lag| *lag > LAG_MS)) {
            let reason = format!("views are {} s behind the clock", lag / 1_000);
            let remedy =
                "see the other parts first; if all are ok, this machine is too slow for its fleet";
            main = main.troubled(State::Degraded, reason, remedy);
        }
        let checkpoints = Health::ok(Part::Checkpoints, job)
            .number("checkpoint_epoch", self.checkpoint_epoch.0)
            .number("checkpoints", c.checkpoints);
        let lake = Health::ok(Part::Lake, job)
            .number("lake_epoch", self.lake_epoch.0)
            .number("waiting_bytes", self.lake_waiting_bytes)
            .number("rows", c.lake_rows);
        let relay = |name, lag: &Lag, place| {
            let ms = lag.ms(now);
            let health = Health::ok(Part::Relay, name)
                .number("behind_records", lag.records())
                .number("behind_ms", ms);
            let health = with(health, &[place]);
            if health.state != State::Ok || ms <= LAG_MS.unsigned_abs() {
                return health;
            }
            let reason = format!("what it relays waits for {} s", ms / 1_000);
            let remedy = "see PostgreSQL, the log and this machine's load; it goes on by itself";
            health.troubled(State::Degraded, reason, remedy)
        };
        vec![
            main,
            with(checkpoints, &[Place::Checkpoint]),
            with(lake, &[Place::Lake, Place::Upkeep]),
            relay("outbox", &self.outbox_lag, Place::Outbox),
            relay("events", &self.events_lag, Place::Events),
        ]
    }

    /// Sets the job's metrics. What is counted where it happens is not set here.
    pub fn export(&self, now: Timestamp) {
        use Metric as M;
        let Counters {
            groups,
            polls,
            registrations,
            late,
            replays,
            unknown_device,
            wrong_tenant,
            disabled,
            poison,
            device_events,
            link_events,
            health_events,
            alert_events,
            incident_events,
            trend_events,
            checkpoints,
            clamped,
            silences,
            ..
        } = self.counters;
        for (metric, value) in [
            (M::DataflowCommits, groups),
            (M::DataflowPolls, polls),
            (M::DataflowRows, registrations),
            (M::DataflowLate, late),
            (M::DataflowReplays, replays),
            (M::DataflowUnknown, unknown_device),
            (M::DataflowForeign, wrong_tenant),
            (M::DataflowDisabled, disabled),
            (M::DataflowPoison, poison),
            (
                M::DataflowTransitions,
                device_events
                    + link_events
                    + health_events
                    + alert_events
                    + incident_events
                    + trend_events,
            ),
            (M::DataflowCheckpoints, checkpoints),
            (M::DataflowClamped, clamped),
            (M::DataflowSilences, silences),
        ] {
            metric.counter(&[]).absolute(value);
        }
        let ms = |epoch: Epoch| epoch.end().0 / 1_000;
        // Before the first slot nothing is behind anything.
        let since = |epoch: Epoch| match (self.epoch, epoch) {
            (Epoch(0), _) | (_, Epoch(0)) => 0,
            (newest, epoch) => (newest.end() - epoch.end()).0 / 1_000,
        };
        for (metric, value) in [
            (M::DataflowEpoch, ms(self.epoch)),
            (M::DataflowLag, self.behind_ms(now).unwrap_or(0)),
            (M::DataflowCheckpointAge, since(self.checkpoint_epoch)),
            (M::LakeBehind, since(self.lake_epoch).max(0)),
            (M::DataflowReplaying, i64::from(self.replaying)),
        ] {
            metric.set(&[], value as f64);
        }
        for (relay, lag) in [("outbox", &self.outbox_lag), ("events", &self.events_lag)] {
            M::DataflowRelayRecords.set_count(&[relay], lag.records());
            M::DataflowRelayLag.set_count(&[relay], lag.ms(now));
        }
        M::LakeWaiting.set_count(&[], self.lake_waiting_bytes);
        M::LakeKept.set_count(&[], self.lake_kept_bytes);
        M::DataflowGeneration.set_count(&[], self.generation);
        let ms = |q| self.freshness.percentile_ms(q).unwrap_or(0);
        M::DataflowFreshMedian.set_count(&[], ms(0.5));
        M::DataflowFreshMost.set_count(&[], ms(0.99));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::DataflowError;

    #[test]
    fn a_job_that_cannot_commit_says_why_and_its_other_parts_are_ok() {
        let status = JobStatus {
            epoch: Epoch(4_000),
            ..JobStatus::default()
        };
        let now = status.epoch.end();
        let health = status.health("main", now);
        assert!(
            health.iter().all(|part| part.state == State::Ok),
            "{health:?}"
        );
        let away = DataflowError::Postgres(sqlx::Error::PoolTimedOut);
        status.troubles.tell(Place::Commit, &away);
        let health = status.health("main", now + mast_schemas::time::Span::secs(60));
        assert_eq!(health[0].state, State::Waiting);
        assert!(
            health[0].reason.contains("cannot be committed"),
            "{health:?}"
        );
        assert!(health[0].remedy.contains("PostgreSQL"), "{health:?}");
        assert_eq!(health[0].numbers["lag_ms"], 60_000);
        assert!(health[1..].iter().all(|part| part.state == State::Ok));
    }

    #[test]
    fn a_relay_tells_how_far_it_is_behind() {
        let status = JobStatus::default();
        let now = Timestamp(60_000_000);
        let relay = |now| status.health("main", now).pop().unwrap();
        status.events_lag.add(3);
        assert_eq!(relay(now).numbers["behind_records"], 3);
        status.events_lag.oldest(Timestamp(50_000_000));
        let late = relay(now);
        assert_eq!(
            (late.state, late.numbers["behind_ms"]),
            (State::Degraded, 10_000)
        );
        assert!(late.reason.contains("10 s"), "{late:?}");
        status.events_lag.done(3);
        let done = relay(now);
        assert_eq!((done.state, done.numbers["behind_records"]), (State::Ok, 0));
    }

    #[test]
    fn lag_alone_is_degraded() {
        let status = JobStatus {
            epoch: Epoch(4_000),
            ..JobStatus::default()
        };
        let now = status.epoch.end() + mast_schemas::time::Span::secs(6);
        assert_eq!(status.health("main", now)[0].state, State::Degraded);
    }
}
