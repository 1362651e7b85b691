//! Who asks, for which tenant, and what they may: an argument of the handler.
//!
//! The only way to a connection, to the tenant's rows and to queries over them is a [`Access`], and the only way to one is to
//! name a role in the arguments of a handler. So no handler can forget to ask: without the argument there is nothing to work
//! with. A transaction that can write comes from an [`Operator`] or more alone.

use std::collections::HashMap;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use bytes::Bytes;
use mast_notify::Sender;
use mast_query::{Engine, Session, TenantScope};
use mast_schemas::{TenantId, Timestamp};
use mast_secrets::KeyProvider;
use sqlx::{PgPool, Postgres, Transaction};
use tokio::sync::mpsc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

use super::kept::Kept;
use super::problem::{Kind, Problem};
use super::rate::{Buckets, Rate};
use super::server::ApiConfig;
use crate::live::{Full, Hub, Position, Views};
use crate::token::{self, Identity, PREFIX, Role, TokenHash};

/// A transaction of one tenant.
pub(crate) type Tx = Transaction<'static, Postgres>;

/// By this a super-admin names the tenant.
pub(crate) const TENANT_HEADER: &str = "mast-tenant";
/// For so long a token that was good is taken for good: who takes one back has to wait that long.
const KNOWN_FOR: Duration = Duration::from_secs(5);
/// So many inventories come or go at once.
const INVENTORIES: usize = 2;
/// So many previews of rules are made at once.
const PREVIEWS: usize = 2;
/// So many channels of notifications are tried at once, and after this there may be room.
const TESTS: usize = 8;
const TESTS_AGAIN_S: u64 = 5;
/// So many tokens are remembered.
const KNOWN_MOST: usize = 10_000;
/// How often one address may try what is no token.
const GUESSES: Rate = Rate {
    per_second: 1,
    burst: 20,
};

/// Who finds no place to listen from may try again after this.
const COME_AGAIN: Duration = Duration::from_secs(30);

/// What handlers share. Cheap to clone.
#[derive(Clone)]
pub(crate) struct App(Arc<Inner>);

struct Inner {
    pool: PgPool,
    engine: Engine,
    keys: Arc<dyn KeyProvider>,
    known: Mutex<HashMap<TokenHash, (Arc<Identity>, Instant)>>,
    asks: Buckets<Uuid>,
    guesses: Buckets<IpAddr>,
    kept: Arc<Kept>,
    inventories: Arc<Semaphore>,
    previews: Arc<Semaphore>,
    default_interval_ms: u32,
    live: Hub,
    sender: Sender,
    tests: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(config: ApiConfig) -> Self {
        let kept = Arc::new(Kept::new(config.kept_for));
        Self(Arc::new(Inner {
            live: Hub::new(config.pool.clone(), config.listeners, Arc::clone(&kept)),
            pool: config.pool,
            engine: config.engine,
            keys: config.keys,
            known: Mutex::default(),
            asks: Buckets::new(config.rate),
            guesses: Buckets::new(GUESSES),
            kept,
            inventories: Arc::new(Semaphore::new(INVENTORIES)),
            previews: Arc::new(Semaphore::new(PREVIEWS)),
            default_interval_ms: config.default_interval_ms,
            sender: config.sender,
            tests: Arc::new(Semaphore::new(TESTS)),
        }))
    }

    /// A turn for a whole inventory, which takes much memory and the writers' turn for long.
    pub(crate) fn inventory_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.0.inventories).try_acquire_owned();
        turn.map_err(|_| Problem::unavailable())
    }

    /// A turn to look at the values of a week, which takes much memory.
    pub(crate) fn preview_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.0.previews).try_acquire_owned();
        turn.map_err(|_| Problem::unavailable())
    }

    /// A turn to try a channel of notifications, which takes as long as the other side does.
    pub(crate) fn test_turn(&self) -> Result<OwnedSemaphorePermit, Problem> {
        let turn = Arc::clone(&self.0.tests).try_acquire_owned();
        let full = "as many channels are tried as may be at once";
        turn.map_err(|_| Problem::new(Kind::Full, full).retry_after(TESTS_AGAIN_S))
    }

    /// Answers that are kept for a moment.
    pub(crate) fn kept(&self) -> &Kept {
        &self.0.kept
    }

    /// Whose token the request bears.
    async fn identify(&self, parts: &Parts) -> Result<Arc<Identity>, Problem> {
        if parts.extensions.get::<InProcess>().is_some() {
            return Ok(Arc::new(Identity::of_this_process()));
        }
        let text = bearer(&parts.headers)?;
        let hash = TokenHash::of(text);
        let now = Instant::now();
        let known = self.known(hash, now);
        let identity = match known {
            Some(identity) => identity,
            None => self.look_up(text, hash, address(parts), now).await?,
        };
        if identity.expires_at <= Timestamp::from_system(SystemTime::now()) {
            return Err(no_token("the token has expired"));
        }
        self.0
            .asks
            .take(identity.token_id, now)
            .map_err(|wait| too_many(wait, "this token asks too often"))?;
        Ok(identity)
    }

    async fn look_up(
        &self,
        text: &str,
        hash: TokenHash,
        address: IpAddr,
        now: Instant,
    ) -> Result<Arc<Identity>, Problem> {
        let found = match text.starts_with(PREFIX) {
            true => token::find(&mut *self.of_no_tenant().await?, hash).await?,
            false => None,
        };
        let Some(identity) = found.map(Arc::new) else {
            // Only those who have none are slowed: others behind the same address go on.
            let wait = |wait| too_many(wait, "this address tries too many tokens that are none");
            self.0.guesses.take(address, now).map_err(wait)?;
            return Err(no_token("nobody has this token, or it is no good any more"));
        };
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KNOWN_MOST {
            known.retain(|_, (_, until)| *until > now);
        }
        known.insert(hash, (Arc::clone(&identity), now + KNOWN_FOR));
        Ok(identity)
    }

    fn known(&self, hash: TokenHash, now: Instant) -> Option<Arc<Identity>> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (identity, until) = known.get(&hash)?;
        (*until > now).then(|| Arc::clone(identity))
    }

    /// A snapshot that sees no tenant's rows: for questions about all tenants, and those that come before one is known.
    async fn of_no_tenant(&self) -> Result<Tx, sqlx::Error> {
        mast_postgres::tenant_snapshot(&self.0.pool, TenantId(Uuid::nil())).await
    }

    /// Ends all live streams: who listens comes back, to whoever serves next.
    pub(crate) fn close_streams(&self) {
        self.0.live.close();
    }

    /// Whether Postgres answers. For the health of the process.
    pub(crate) async fn ping(&self) -> Result<(), sqlx::Error> {
        self.of_no_tenant().await.map(drop)
    }

    /// Drops answers that are kept for repeated requests and are older than a day.
    pub(crate) async fn forget_answers(&self) -> Result<i64, sqlx::Error> {
        let gone = sqlx::query_scalar!("SELECT forget_idempotency_keys()")
            .fetch_one(&self.0.pool)
            .await?;
        Ok(gone.unwrap_or_default())
    }
}

/// Marks a request that was made in this process, by who runs the installation. No request of a socket can have it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InProcess(pub(crate) ());

/// The token of `Authorization: Bearer …`.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(no_token("send one header Authorization: Bearer mast_…"));
    };
    let text = value.to_str().unwrap_or_default();
    let (scheme, token) = text.split_once(' ').unwrap_or_default();
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(token.trim())
    } else {
        Err(no_token("send one header Authorization: Bearer mast_…"))
    }
}

fn no_token(why: &str) -> Problem {
    Problem::new(Kind::Unauthenticated, why)
}

fn too_many(wait: Duration, what: &str) -> Problem {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    Problem::new(Kind::TooManyRequests, what).retry_after(seconds)
}

/// The peer's address; all that come without one share a bucket.
fn address(parts: &Parts) -> IpAddr {
    let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
    peer.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(peer)| peer.ip())
}

/// The least role that an argument asks for.
pub(crate) trait Rank: Send + Sync + 'static {
    const LEAST: Role;
}

/// Ranks that may write.
pub(crate) trait Writes: Rank {}

macro_rules! ranks {
    ($($(#[$doc:meta])+ $access:ident = $rank:ident, $role:ident;)+) => {
        /// The ranks, as types.
        pub(crate) mod rank {
            $(
                #[derive(Clone, Copy, Debug)]
                pub(crate) struct $rank;
                impl super::Rank for $rank {
                    const LEAST: super::Role = super::Role::$role;
                }
            )+
        }
        $($(#[$doc])+ pub(crate) type $access = Access<rank::$rank>;)+
    };
}

ranks! {
    /// May read.
    Viewer = Reads, Viewer;
    /// May change the fleet.
    Operator = Changes, Operator;
    /// May delete what many things hang on.
    Admin = Deletes, Admin;
}
impl Writes for rank::Changes {}
impl Writes for rank::Deletes {}

/// A tenant's rows, for somebody who may.
pub(crate) struct Access<R> {
    app: App,
    identity: Arc<Identity>,
    tenant: TenantId,
    lake_only: Arc<AtomicBool>,
    rank: PhantomData<R>,
}

/// Set when an answer was made of the lake alone, without the newest rows of history. One a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct LakeOnly(pub(crate) Arc<AtomicBool>);

impl<R: Rank> FromRequestParts<App> for Access<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let identity = app.identify(parts).await?;
        may(&identity, R::LEAST)?;
        let tenant = tenant(app, &identity, &parts.headers).await?;
        tracing::Span::current().record("tenant", tracing::field::display(tenant));
        Ok(Self {
            app: app.clone(),
            identity,
            tenant,
            lake_only: parts
                .extensions
                .get::<LakeOnly>()
                .cloned()
                .unwrap_or_default()
                .0,
            rank: PhantomData,
        })
    }
}

fn may(identity: &Identity, least: Role) -> Result<(), Problem> {
    if identity.role >= least {
        return Ok(());
    }
    let detail = format!("{least} is needed, this token is for {}", identity.role);
    Err(Problem::new(Kind::Forbidden, detail))
}

/// The tenant of the token; a super-admin's is the one named, by id or name.
async fn tenant(app: &App, identity: &Identity, headers: &HeaderMap) -> Result<TenantId, Problem> {
    let named = headers.get(TENANT_HEADER).map(|value| value.to_str());
    let named = named.transpose().map_err(|_| Problem::not_found())?;
    match (&identity.tenant, named) {
        (Some((id, _)), None) => Ok(*id),
        // Who names another tenant than the token's must not act on the token's by mistake.
        (Some((id, name)), Some(named)) if named == name || named == id.to_string() => Ok(*id),
        (Some(_), Some(_)) => Err(Problem::not_found()),
        (None, None) => Err(Problem::new(
            Kind::TenantRequired,
            "this token is for all tenants: name one in the header Mast-Tenant, by id or name",
        )),
        (None, Some(named)) => {
            let found = match named.parse() {
                Ok(id) => exists(app, TenantId(id)).await?.then_some(TenantId(id)),
                Err(_) => {
                    mast_postgres::find_tenant(&mut *app.of_no_tenant().await?, named).await?
                }
            };
            found.ok_or_else(Problem::not_found)
        }
    }
}

async fn exists(app: &App, id: TenantId) -> Result<bool, Problem> {
    let mut tx = mast_postgres::tenant_snapshot(&app.0.pool, id).await?;
    let found = sqlx::query_scalar!("SELECT 1 AS one FROM tenants WHERE id = $1", id.0)
        .fetch_optional(&mut *tx)
        .await?;
    Ok(found.is_some())
}

impl<R: Rank> Access<R> {
    pub(crate) const fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// What handlers share.
    pub(crate) const fn app(&self) -> &App {
        &self.app
    }

    /// One snapshot of the tenant's rows, read-only.
    pub(crate) async fn read(&self) -> Result<Tx, Problem> {
        Ok(mast_postgres::tenant_snapshot(&self.app.0.pool, self.tenant).await?)
    }

    /// Queries over the tenant's present and past.
    pub(crate) fn queries(&self) -> Session {
        let session = self.app.0.engine.session(TenantScope::One(self.tenant));
        session.telling(Arc::clone(&self.lake_only))
    }

    /// The tenant's views and their changes from a position on, until the token is no good any more.
    pub(crate) fn listen(
        &self,
        views: Views,
        at: Option<Position>,
    ) -> Result<mpsc::Receiver<Bytes>, Problem> {
        let live = &self.app.0.live;
        let listening = live.listen(self.tenant, &self.identity, views, at);
        listening.map_err(|full| match full {
            Full::Token => too_many(COME_AGAIN, "as many listen with this token as may"),
            Full::Tenant => too_many(COME_AGAIN, "as many listen of this tenant as may"),
            Full::All => {
                Problem::new(Kind::Full, "as many listen as may").retry_after(COME_AGAIN.as_secs())
            }
        })
    }
}

impl<R: Writes> Access<R> {
    /// A transaction that writes. It has the writers' turn: what it reads stays true until its end.
    pub(crate) async fn write(&self) -> Result<Tx, Problem> {
        let mut tx = mast_postgres::tenant_tx(&self.app.0.pool, self.tenant).await?;
        take_turn(&mut tx).await?;
        Ok(tx)
    }

    /// Who writes, for what people read: the name of the token.
    pub(crate) fn by(&self) -> &str {
        &self.identity.name
    }

    /// What seals credentials.
    pub(crate) fn keys(&self) -> &Arc<dyn KeyProvider> {
        &self.app.0.keys
    }

    /// What sends notifications.
    pub(crate) fn sender(&self) -> &Sender {
        &self.app.0.sender
    }

    /// Interval of the polls of a device that names none.
    pub(crate) fn default_interval_ms(&self) -> u32 {
        self.app.0.default_interval_ms
    }
}

async fn take_turn(tx: &mut Tx) -> Result<(), Problem> {
    // Who waits holds a connection, which all others share: so nobody waits for long.
    sqlx::raw_sql("SET LOCAL lock_timeout = '3s'; SELECT take_turn()")
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Somebody with any token.
pub(crate) struct Anybody(pub(crate) Arc<Identity>);

impl FromRequestParts<App> for Anybody {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        app.identify(parts).await.map(Self)
    }
}

/// Who runs the installation: for tenants themselves.
pub(crate) struct SuperAdmin {
    app: App,
}

impl FromRequestParts<App> for SuperAdmin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let identity = app.identify(parts).await?;
        may(&identity, Role::SuperAdmin)?;
        Ok(Self { app: app.clone() })
    }
}

impl SuperAdmin {
    /// A snapshot for questions about all tenants; it sees no tenant's rows.
    pub(crate) async fn read(&self) -> Result<Tx, Problem> {
        Ok(self.app.of_no_tenant().await?)
    }

    /// A transaction that writes this tenant, with the writers' turn.
    pub(crate) async fn write(&self, tenant: TenantId) -> Result<Tx, Problem> {
        let mut tx = mast_postgres::tenant_tx(&self.app.0.pool, tenant).await?;
        take_turn(&mut tx).await?;
        Ok(tx)
    }
}
