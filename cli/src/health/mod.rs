//! How the parts of this process are: told to Postgres, to a file in the data folder and to whoever asks over HTTP.
//!
//! Postgres has the parts of all processes, by its own clock. The files are for when Postgres is away or nothing runs:
//! the last words of the processes that used this data folder. The trap avoided: a part that fails at its start leaves no
//! task behind that could tell of it, so [`last_words`] writes for it.

pub(crate) mod board;
pub(crate) mod exporter;
pub(crate) mod files;
pub(crate) mod looks;
mod process;

use std::path::PathBuf;
use std::time::Duration;

use mast_postgres::health;
use mast_schemas::health::{Health, State};
use sqlx::PgPool;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use self::board::Board;
pub(crate) use self::process::Process;

/// How often parts are looked at.
pub(crate) const EVERY: Duration = Duration::from_secs(2);
/// A part that has said nothing for so long is gone.
pub(crate) const GONE: Duration = Duration::from_secs(15);
/// What Postgres takes longer for is tried again with the next look.
const PATIENCE: Duration = Duration::from_secs(3);

/// Looks at parts, sets their metrics, and says how they are.
pub(crate) type Look = Box<dyn FnMut() -> Vec<Health> + Send>;

/// Tells of the parts of one role until it is stopped.
pub(crate) struct Reporter {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Reporter {
    /// Tells of what `look` sees; `pool` is of the role whose parts they are.
    pub(crate) fn start(pool: PgPool, folder: PathBuf, board: Board, look: Look) -> Self {
        let (stop, stops) = watch::channel(false);
        let teller = Teller {
            pool,
            folder,
            board,
            lost: false,
        };
        let task = tokio::spawn(teller.run(look, stops));
        Self { stop, task }
    }

    /// Says goodbye for all parts that are not in trouble. To be called when they have stopped.
    pub(crate) async fn stop(self) {
        self.stop.send_replace(true);
        // It only tells; what it could not tell is in the log.
        let _ = self.task.await;
    }
}

/// Says how parts are that have no task any more, such as those that failed at their start.
pub(crate) async fn last_words(pool: &PgPool, folder: PathBuf, parts: Vec<Health>) {
    let mut teller = Teller {
        pool: pool.clone(),
        folder,
        board: Board::default(),
        lost: false,
    };
    teller.tell(&parts).await;
}

struct Teller {
    pool: PgPool,
    folder: PathBuf,
    board: Board,
    /// Whether the last attempt to write to a file failed.
    lost: bool,
}

impl Teller {
    async fn run(mut self, mut look: Look, mut stops: watch::Receiver<bool>) {
        if let Ok(done) = tokio::time::timeout(PATIENCE, health::forget(&self.pool)).await
            && let Err(error) = done
        {
            tracing::debug!(%error, "parts that are long gone were not forgotten");
        }
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => {}
                () = stopped_or_left(&mut stops) => break,
            }
            self.tell(&look()).await;
        }
        let goodbye = look().into_iter().map(stopped).collect::<Vec<_>>();
        self.tell(&goodbye).await;
    }

    async fn tell(&mut self, parts: &[Health]) {
        self.board.put(parts);
        match files::write(&self.folder, parts) {
            Ok(()) => self.lost = false,
            Err(error) if !self.lost => {
                self.lost = true;
                let folder = self.folder.display();
                tracing::warn!(%error, %folder, "how the parts are cannot be kept in the data folder");
            }
            Err(_) => {}
        }
        for part in parts {
            let told = tokio::time::timeout(PATIENCE, health::report(&self.pool, part)).await;
            match told {
                Ok(Ok(())) => {}
                // Whoever needs Postgres for its work says so itself.
                Ok(Err(error)) => return tracing::debug!(%error, "Postgres took no report"),
                Err(_) => return tracing::debug!("Postgres took no report in time"),
            }
        }
    }
}

/// Ends when told to stop, or when nobody is left to tell.
async fn stopped_or_left(stops: &mut watch::Receiver<bool>) {
    let _ = stops.wait_for(|stop| *stop).await;
}

/// A part that ended in order; one that is in trouble keeps its last words.
fn stopped(part: Health) -> Health {
    match part.state {
        State::Failed => part,
        _ => Health {
            state: State::Stopped,
            reason: String::new(),
            remedy: String::new(),
            ..part
        },
    }
}
