//! The service: its settings, its sockets and its end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::HeaderValue;
use axum::middleware;
use mast_notify::{Dispatcher, DispatcherConfig, Sender, SenderConfig};
use mast_query::Engine;
use mast_secrets::KeyProvider;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::access::App;
use super::connections::{self, Sockets};
use super::layers::{self, Limits};
use super::rate::Rate;
use super::{docs, idempotency, kept, routes};
use crate::ApiError;
use crate::live::Listeners;

/// What the service works with and what it allows.
pub struct ApiConfig {
    /// Postgres, as the role `mast_api`; see [`mast_postgres::impatient_pool`].
    pub pool: PgPool,
    /// Answers queries over views and history.
    pub engine: Engine,
    /// Seals the credentials of devices.
    pub keys: Arc<dyn KeyProvider>,
    /// How often one token may ask.
    pub rate: Rate,
    /// Time for one answer, up to its head.
    pub time_limit: Duration,
    /// Bytes of a body.
    pub body_limit: usize,
    /// So old may a list be: whoever asks for the same within this gets the same answer. Zero: each is read anew.
    pub kept_for: Duration,
    /// Origins whose pages may ask, such as `https://noc.example.net`. None: none.
    pub cors_origins: Vec<HeaderValue>,
    /// Interval of the polls of a device that names none.
    pub default_interval_ms: u32,
    /// How many may listen to live views.
    pub listeners: Listeners,
    /// What connections may use.
    pub sockets: Sockets,
    /// Sends notifications.
    pub sender: Sender,
    /// How long a notification is tried for.
    pub tries: mast_notify::backoff::Bounds,
}

impl ApiConfig {
    /// The defaults: 100 requests a second and token (500 at once), 30 s, 1 MiB, no other origin, a poll a minute; 5,000
    /// listeners, 2,000 of a tenant, 200 of a token; 10,000 connections, 30 s for the head of a request and to take an answer.
    pub fn new(pool: PgPool, engine: Engine, keys: Arc<dyn KeyProvider>) -> Self {
        Self {
            pool,
            engine,
            keys,
            rate: Rate {
                per_second: 100,
                burst: 500,
            },
            time_limit: Duration::from_secs(30),
            body_limit: 1 << 20,
            kept_for: Duration::ZERO,
            cors_origins: Vec::new(),
            default_interval_ms: 60_000,
            listeners: Listeners {
                all: 5_000,
                per_tenant: 2_000,
                per_token: 200,
            },
            sockets: Sockets {
                most: 10_000,
                head: Duration::from_secs(30),
                stall: Duration::from_secs(30),
            },
            sender: Sender::new(SenderConfig::default()),
            tries: mast_notify::backoff::Bounds::default(),
        }
    }
}

/// The whole service as a router; `app` is what else asks of it.
fn service(config: ApiConfig) -> (Router, App) {
    let limits = Limits {
        time: config.time_limit,
        body: config.body_limit,
    };
    let origins = config.cors_origins.clone();
    let app = App::new(config);
    let (router, _) = routes::build();
    let forget = middleware::from_fn_with_state(app.clone(), kept::forget_by_writes);
    let router = layers::around(router.layer(forget), limits, origins);
    (router.with_state(app.clone()), app)
}

/// The whole service as a router, for who has sockets of its own.
pub fn router(config: ApiConfig) -> Router {
    service(config).0
}

/// The document of the API, as JSON (OpenAPI 3.1).
pub fn openapi() -> String {
    routes::build().1.to_pretty_json().unwrap_or_default()
}

/// A service that runs.
pub struct Server {
    address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    app: App,
    tidying: JoinHandle<()>,
    dispatcher: Dispatcher,
}

/// How often kept answers are looked through for old ones.
const TIDY: Duration = Duration::from_secs(3_600);

impl Server {
    /// Listens and answers, and sends notifications.
    ///
    /// # Errors
    /// [`ApiError::Listen`] where the address can't be had.
    pub async fn start(listen: SocketAddr, config: ApiConfig) -> Result<Self, ApiError> {
        let refused = |source| ApiError::Listen {
            address: listen,
            source,
        };
        let listener = TcpListener::bind(listen).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let sockets = config.sockets;
        let keys = Arc::clone(&config.keys);
        let mut dispatching =
            DispatcherConfig::new(config.pool.clone(), keys, config.sender.clone());
        dispatching.bounds = config.tries;
        let (router, app) = service(config);
        let (stop, stops) = watch::channel(false);
        let task = tokio::spawn(connections::serve(listener, router, sockets, stops));
        let tidied = app.clone();
        let tidying = tokio::spawn(async move {
            loop {
                // First of all: a server that never lives for so long tidies too.
                if let Err(error) = idempotency::tidy(&tidied).await {
                    tracing::debug!(%error, "old answers are kept for longer");
                }
                tokio::time::sleep(TIDY).await;
            }
        });
        Ok(Self {
            address,
            stop,
            task,
            app,
            tidying,
            dispatcher: Dispatcher::start(dispatching),
        })
    }

    /// Where it listens.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where people can browse it.
    pub fn docs(&self) -> String {
        format!("http://{}{}", self.address, docs::PAGE)
    }

    /// What a health check asks.
    pub fn pulse(&self) -> Pulse {
        Pulse(self.app.clone())
    }

    /// Takes no new requests, ends live streams, sends no more notifications, and ends when the requests and the notifications at
    /// hand are done or `patience` is over.
    pub async fn stop(mut self, patience: Duration) {
        self.tidying.abort();
        self.stop.send_replace(true);
        self.app.close_streams();
        let dispatched = self.dispatcher.stop(patience);
        let answered = async {
            if tokio::time::timeout(patience, &mut self.task)
                .await
                .is_err()
            {
                tracing::warn!("requests that were not answered in time are cut");
                self.task.abort();
            }
        };
        tokio::join!(dispatched, answered);
    }
}

/// Whether the service can answer.
#[derive(Clone)]
pub struct Pulse(App);

impl Pulse {
    /// Asks Postgres for a sign of life.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn postgres(&self) -> Result<(), sqlx::Error> {
        self.0.ping().await
    }
}
