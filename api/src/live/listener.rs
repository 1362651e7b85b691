//! One who listens.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mast_schemas::metric::Metric;
use tokio::sync::{broadcast, mpsc};
use tokio::time::sleep;

use super::feed::{Feed, News};
use super::position::Position;
use super::read::{Behind, Frame};
use super::seats::Seat;
use super::views::Views;
use super::{ALIVE, event};

/// Pause before the database is asked again.
const AGAIN: Duration = Duration::from_secs(1);

/// A listener: where it is, what it wants to hear, and how it is told.
pub(super) struct Listener {
    pub(super) feed: Arc<Feed>,
    /// Behind what it was told; null: it knows nothing.
    pub(super) at: Option<Position>,
    pub(super) views: Views,
    pub(super) to: mpsc::Sender<Bytes>,
    /// When it was last told something.
    pub(super) told: Instant,
    pub(super) _seat: Seat,
}

/// The stream is at its end: nobody takes it, or the tenant is gone.
pub(super) struct End;

impl Listener {
    /// Tells until the listener is gone, or it may listen no more.
    pub(super) async fn run(mut self, token_ends: Duration) {
        let to = self.to.clone();
        tokio::select! {
            Err(End) = self.tell() => {}
            () = to.closed() => {}
            () = sleep(token_ends) => {}
        }
    }

    async fn tell(&mut self) -> Result<std::convert::Infallible, End> {
        self.send(event::hello()).await?;
        // From before it reads for itself: nothing can be between both.
        let mut news = self.feed.subscribe();
        self.catch_up().await?;
        loop {
            match news.recv().await {
                Ok(news) => match &*news {
                    News::Frame(frame) => self.frame(frame).await?,
                    News::Anew => self.catch_up().await?,
                    News::Away => self.send(event::away()).await?,
                    News::End => return Err(End),
                },
                Err(broadcast::error::RecvError::Lagged(_)) => self.catch_up().await?,
                Err(broadcast::error::RecvError::Closed) => return Err(End),
            }
        }
    }

    /// Takes from a frame what the listener does not have yet.
    async fn frame(&mut self, frame: &Frame) -> Result<(), End> {
        match self.at {
            Some(at) if at >= frame.upto => Ok(()),
            Some(at) if at >= frame.from => self.changes(frame, at).await,
            // There is something between: it was too slow.
            _ => self.catch_up().await,
        }
    }

    /// Brings the listener to where the views are, by its own reading.
    async fn catch_up(&mut self) -> Result<(), End> {
        loop {
            let Some(at) = self.at else {
                self.snapshot().await?;
                continue;
            };
            match self.feed.behind(at).await {
                Ok(Behind::Known(frame)) => {
                    self.changes(&frame, at).await?;
                    if !frame.more {
                        return Ok(());
                    }
                }
                Ok(Behind::Unknown) => {
                    Metric::ApiResets.add(&[], 1);
                    self.at = None;
                }
                Ok(Behind::NoTenant) => return Err(End),
                Err(error) => {
                    tracing::debug!(%error, "a listener waits");
                    self.wait().await?;
                }
            }
        }
    }

    async fn snapshot(&mut self) -> Result<(), End> {
        let mut position = self.feed.snapshot(self.views, self.to.clone());
        let position = loop {
            tokio::select! {
                position = &mut position => break position.map_err(|_| End)?,
                () = sleep(ALIVE) => self.send(event::alive(None)).await?,
            }
        };
        match position {
            Some(position) => {
                self.at = Some(position);
                self.send(event::ready(position)).await
            }
            None => self.wait().await,
        }
    }

    async fn changes(&mut self, frame: &Frame, at: Position) -> Result<(), End> {
        self.at = Some(frame.upto);
        match frame.event(self.views, at) {
            Some(event) => {
                Metric::ApiFrames.add(&[], 1);
                self.send(event).await
            }
            None if self.told.elapsed() >= ALIVE => self.send(event::alive(self.at)).await,
            None => Ok(()),
        }
    }

    /// The database is away, most likely.
    async fn wait(&mut self) -> Result<(), End> {
        if self.told.elapsed() >= ALIVE {
            self.send(event::away()).await?;
        }
        sleep(AGAIN).await;
        Ok(())
    }

    async fn send(&mut self, event: Bytes) -> Result<(), End> {
        self.to.send(event).await.map_err(|_| End)?;
        self.told = Instant::now();
        Ok(())
    }
}
