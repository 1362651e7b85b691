//! Serves what is in no file yet: the tail of history, and the newest rates of interfaces, over Arrow Flight.
//!
//! A reader pins what the lake's manifest holds, and asks for the slots after that up to one that it has seen committed. It
//! gets all their rows of its tenants, or is told why not; never some of them.
//!
//! Whoever asks bears a word that each start makes anew and leaves, with the certificate, in a file that our own user alone
//! reads: other users of the machine get nothing, and one that takes our port when we are gone learns nothing and is not
//! believed.

mod contact;
mod rows;
mod service;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_flight::flight_service_server::FlightServiceServer;
use mast_lake::Recent;
use mast_schemas::tail::ASK_BYTES;
use tokio::task::JoinHandle;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};

use self::contact::{Guard, leave};
use self::service::Service;
use crate::job::{Clock, LastRates};

/// Requests of one connection at a time.
const CONCURRENT: usize = 16;

/// What is served.
pub(crate) struct Sources {
    /// Name of the job.
    pub(crate) job: String,
    /// The newest rows of history.
    pub(crate) recent: Arc<Recent>,
    /// The newest rates.
    pub(crate) rates: Arc<LastRates>,
    pub(crate) clock: Clock,
}

/// A tail that is served until this is dropped.
pub(crate) struct Tail {
    task: JoinHandle<()>,
    file: PathBuf,
}

/// Why it is not served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TailError {
    #[error("listen: {0}")]
    Listen(#[source] std::io::Error),
    #[error("write {}: {source}", path.display())]
    File {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    #[error("set up TLS: {0}")]
    Tls(#[from] tonic::transport::Error),
}

impl Tail {
    /// Listens, and leaves in `file` how to ask. Whatever keeps it from that is told and is no reason not to run: queries then
    /// read the lake alone.
    pub(crate) fn start(listen: SocketAddr, file: &Path, sources: Sources) -> Option<Self> {
        match Self::serve(listen, file, sources) {
            Ok(tail) => Some(tail),
            Err(error) => {
                tracing::warn!(
                    %error,
                    %listen,
                    remedy = "set dataflow.tail_listen to an address of this machine with a free port, or with port 0 for any",
                    "the tail of history is not served: queries see what the lake holds; all else runs"
                );
                None
            }
        }
    }

    fn serve(listen: SocketAddr, file: &Path, sources: Sources) -> Result<Self, TailError> {
        // What an older start left opens nothing any more.
        let _ = std::fs::remove_file(file);
        let incoming = TcpIncoming::bind(listen).map_err(TailError::Listen)?;
        let incoming = incoming.with_nodelay(Some(true));
        let address = incoming.local_addr().map_err(TailError::Listen)?;
        let (contact, key) = contact::make(address)?;
        let tls = ServerTlsConfig::new().identity(Identity::from_pem(&contact.certificate, key));
        let service = FlightServiceServer::new(Service::new(sources))
            .max_decoding_message_size(ASK_BYTES + (1 << 10));
        let guarded = InterceptedService::new(service, Guard::of(&contact));
        let serving = Server::builder()
            .concurrency_limit_per_connection(CONCURRENT)
            .tls_config(tls)?
            .add_service(guarded)
            .serve_with_incoming(incoming);
        leave(&contact, file).map_err(|source| TailError::File {
            path: file.to_owned(),
            source,
        })?;
        let task = tokio::spawn(async move {
            if let Err(error) = serving.await {
                tracing::error!(%error, "the tail of history is not served any more");
            }
        });
        let file = file.to_owned();
        Ok(Self { task, file })
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.task.abort();
        // Who asks sees at once that nobody is there.
        let _ = std::fs::remove_file(&self.file);
    }
}
