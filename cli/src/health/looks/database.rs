//! Postgres, and what it knows of the others.

use std::time::{Duration, Instant};

use anyhow::Context;
use mast_lake::{Contents, Table};
use mast_notify::Backlog;
use mast_postgres::Role;
use mast_postgres::health::{Said, said};
use mast_schemas::health::{Health, Part, State};
use mast_schemas::{Epoch, Timestamp};
use sqlx::{Connection, PgConnection};

use super::PATIENCE;
use crate::config::Config;
use crate::standalone::{Database, JOB, Paths};

/// What Postgres tells.
pub(crate) struct Told {
    /// What the parts said.
    pub(crate) parts: Vec<Said>,
    /// Files of the lake.
    pub(crate) lake: Contents,
    /// Last committed slot, and that of the newest checkpoint; null where no job has ever run.
    pub(crate) progress: Option<(Epoch, Epoch)>,
    /// Notifications that wait or were given up.
    pub(crate) backlog: Backlog,
    /// Its clock minus ours, milliseconds.
    pub(crate) clock_ms: i64,
}

/// Longest that a notification waits where all is well: one that must be tried again does so within this a few times.
const PROMPT: Duration = Duration::from_secs(300);

/// Whether people are told what they are to be told.
pub(crate) fn notifications(backlog: &Backlog) -> Health {
    let Backlog {
        waiting,
        oldest,
        dead,
    } = *backlog;
    let mut health = Health::ok(Part::Notifications, "main")
        .number("waiting", waiting)
        .number("oldest_s", oldest.as_secs())
        .number("given_up_in_a_day", dead);
    if dead > 0 {
        let reason = format!("{dead} were given up in the last day");
        let remedy = "see why: GET /api/v1/notification-deliveries?filter=state=dead. Mend the channel, try it with its \
                      `test`, and send each again by its `retry`";
        health = health.troubled(State::Degraded, reason, remedy);
    }
    if oldest > PROMPT {
        let reason = format!("the oldest waits for {} min", oldest.as_secs() / 60);
        let remedy = "see that the API runs, which sends them, and what GET /api/v1/notification-deliveries says of attempts";
        health = health.troubled(State::Degraded, reason, remedy);
    }
    health
}

/// How Postgres is. `running` = whether anything of the installation seems to run.
pub(crate) async fn database(
    config: &Config,
    paths: &Paths,
    running: bool,
) -> (Health, Option<Told>) {
    let health = Health::ok(Part::Postgres, "main");
    let begun = Instant::now();
    match tokio::time::timeout(PATIENCE, ask(config, paths)).await {
        Ok(Ok(Some(told))) => {
            let took = begun.elapsed().as_millis();
            let health = health
                .number("answer_ms", i64::try_from(took).unwrap_or(i64::MAX))
                .number("clock_offset_ms", told.clock_ms);
            (health, Some(told))
        }
        Ok(Ok(None)) if running => {
            let remedy = "wait: one that died is started again by the process that owns it. One that was stopped, or that has no \
                          such process any more: start what ran on this data folder again. PostgreSQL's own log in the folder \
                          `postgres` says why it ended. Polling goes on meanwhile";
            (
                health.troubled(State::Failed, "PostgreSQL does not run", remedy),
                None,
            )
        }
        Ok(Ok(None)) => (health.troubled(State::Stopped, "", ""), None),
        Ok(Err(error)) => {
            let remedy = "see that PostgreSQL runs and can be reached, and see its log";
            (
                health.troubled(State::Failed, format!("{error:#}"), remedy),
                None,
            )
        }
        Err(_) => {
            let reason = format!("PostgreSQL does not answer within {} s", PATIENCE.as_secs());
            let remedy =
                "see its log, its disk and this machine's load; the parts go on when it answers";
            (health.troubled(State::Failed, reason, remedy), None)
        }
    }
}

async fn ask(config: &Config, paths: &Paths) -> anyhow::Result<Option<Told>> {
    let Some(database) = Database::attach(config, paths).await? else {
        return Ok(None);
    };
    let options = database.options(Role::Api).await?;
    let mut connection = PgConnection::connect_with(&options)
        .await
        .context("log in to PostgreSQL")?;
    let told = read(&mut connection)
        .await
        .context("ask PostgreSQL how the parts are")?;
    Ok(Some(told))
}

async fn read(connection: &mut PgConnection) -> anyhow::Result<Told> {
    let theirs: i64 = sqlx::query_scalar("SELECT micros(clock_timestamp())")
        .fetch_one(&mut *connection)
        .await?;
    let ours = Timestamp::from_system(std::time::SystemTime::now());
    let progress: Option<(i64, i64)> =
        sqlx::query_as("SELECT epoch, checkpoint_epoch FROM job_progress WHERE job = $1")
            .bind(JOB)
            .fetch_optional(&mut *connection)
            .await?;
    let epoch = |n: i64| Epoch(n.unsigned_abs());
    Ok(Told {
        parts: said(&mut *connection).await?,
        backlog: mast_notify::backlog(&mut *connection).await?,
        lake: mast_lake::contents(connection, &Table::ALL).await?,
        progress: progress.map(|(done, checkpoint)| (epoch(done), epoch(checkpoint))),
        clock_ms: (Timestamp(theirs) - ours).0 / 1_000,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notifications_that_wait_for_long_or_were_given_up_are_a_trouble() {
        let of = |waiting, oldest_s, dead| {
            notifications(&Backlog {
                waiting,
                oldest: Duration::from_secs(oldest_s),
                dead,
            })
        };
        assert_eq!(of(0, 0, 0).state, State::Ok);
        assert_eq!(of(9, 300, 0).state, State::Ok);
        let (late, dead) = (of(1, 900, 0), of(0, 0, 2));
        assert_eq!(
            (late.state, late.reason.as_str()),
            (State::Degraded, "the oldest waits for 15 min")
        );
        assert_eq!(
            (dead.state, dead.reason.as_str()),
            (State::Degraded, "2 were given up in the last day")
        );
        assert_eq!(dead.numbers["given_up_in_a_day"], 2);
    }
}
