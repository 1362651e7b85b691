//! Routers that answer as fast as can be: fixed words over real sockets and TLS, so that what loads ingest costs little
//! beside it. A device is its local address, as with the simulator.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use routeros_api::LoginForm;
use routeros_api::server::{Connection, Request, acceptor};
use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::words::{self, Kind, Row};
use crate::{BenchError, say};

/// The address of device 0; the others follow.
const FIRST: u32 = u32::from_be_bytes([127, 1, 0, 1]);

/// One access point in so many devices.
const EACH: u32 = 10;

/// The password of all.
pub(super) const PASSWORD: &str = "secret";

/// Routers with fixed answers, in a process of their own.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Routers {}

/// Where they listen.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Listening {
    pub(super) port: u16,
}

/// The address of a device.
pub(super) const fn address(number: u32) -> Ipv4Addr {
    Ipv4Addr::from_bits(FIRST + number)
}

/// What a device is.
pub(super) const fn kind(number: u32) -> Kind {
    if number.is_multiple_of(EACH) {
        Kind::AccessPoint
    } else {
        Kind::Customer
    }
}

impl Routers {
    pub(crate) async fn serve(self) -> Result<(), BenchError> {
        let issued = rcgen::generate_simple_self_signed(["router.example".to_owned()])
            .map_err(|error| BenchError::Certificate(error.to_string()))?;
        let tls = acceptor(vec![issued.cert.der().clone()], issued.signing_key.into())
            .map_err(|error| BenchError::Certificate(error.to_string()))?;
        let listening = || TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0));
        let listener = listening()
            .await
            .map_err(BenchError::system("listen for sessions"))?;
        let port = listener.local_addr()?.port();
        say(&Listening { port })?;
        let answers = Arc::new(Answers::default());
        loop {
            let (stream, peer) = listener.accept().await?;
            if peer.ip().is_loopback() {
                tokio::spawn(session(tls.clone(), stream, Arc::clone(&answers)));
            }
        }
    }
}

async fn session(tls: TlsAcceptor, stream: TcpStream, answers: Arc<Answers>) {
    let Ok(IpAddr::V4(local)) = stream.local_addr().map(|address| address.ip()) else {
        return;
    };
    let kind = kind(local.to_bits().wrapping_sub(FIRST));
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = Box::pin(tls.accept(stream)).await else {
        return;
    };
    let mut connection = Connection::new(stream);
    let login = connection.login(LoginForm::Password, |attempt| {
        attempt.accepts(PASSWORD.as_bytes())
    });
    if !matches!(login.await, Ok(true)) {
        return;
    }
    while let Ok(Some(request)) = connection.next().await {
        let tag = request.tag();
        let replies = connection.replies();
        match answers.to(kind, &request).as_ref() {
            Some(rows) => {
                for row in rows {
                    replies.re(tag, row.iter().map(|(name, value)| (name, value)));
                }
            }
            None => replies.trap(tag, "no such command prefix", None),
        }
        replies.done(tag);
    }
}

/// Rows by device, command and property list, made when they are first asked for.
#[derive(Default)]
struct Answers {
    made: Mutex<HashMap<Question, Answer>>,
}

/// Who is asked, the command, its property list.
type Question = (Kind, Vec<u8>, Vec<u8>);

/// The rows, or that there is no such command.
type Answer = Arc<Option<Vec<Row>>>;

impl Answers {
    fn to(&self, kind: Kind, request: &Request) -> Answer {
        let path = request.path();
        let properties = request.get(".proplist").unwrap_or_default();
        let key = (kind, path.as_bytes().to_vec(), properties.to_vec());
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = made.entry(key).or_insert_with(|| {
            let wanted = request.proplist();
            let rows = words::rows(kind, &path);
            Arc::new(rows.map(|mut rows| {
                for row in &mut rows {
                    row.retain(|(name, _)| wanted.allows(name));
                }
                rows
            }))
        });
        Arc::clone(answer)
    }
}
