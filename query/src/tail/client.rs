//! Asks the writer of the lake, over Arrow Flight, for what is in no file yet.

use std::path::PathBuf;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow_flight::Ticket;
use arrow_flight::decode::FlightRecordBatchStream;
use arrow_flight::error::FlightError;
use arrow_flight::flight_service_client::FlightServiceClient;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use mast_schemas::tail::{Ask, Contact, SERVER_NAME};
use tokio::sync::Mutex;
use tokio::time::timeout;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

/// How long the writer may take for the begin of its answer, and for each piece of it.
const PATIENCE: Duration = Duration::from_secs(1);
/// A batch that is larger than this is none of a writer's.
const BATCH_BYTES: usize = 64 << 20;

/// Why rows were not got.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Missed {
    /// The lake holds more by now than the asker has seen.
    #[error("the lake holds more by now")]
    TooOld,
    /// The writer is out of reach.
    #[error("{0}")]
    Away(String),
    /// The rows are more than the query may hold.
    #[error(transparent)]
    TooMany(#[from] DataFusionError),
}

/// The writer, as a file says how it is found. A connection is kept while the file says the same.
#[derive(Debug)]
pub(crate) struct Tail {
    file: PathBuf,
    known: Mutex<Option<(Contact, Channel)>>,
}

impl Tail {
    pub(crate) fn new(file: PathBuf) -> Self {
        Self {
            file,
            known: Mutex::default(),
        }
    }

    /// All rows that are asked for; their memory is taken from `memory`.
    pub(crate) async fn ask(
        &self,
        ask: &Ask,
        memory: &MemoryReservation,
    ) -> Result<Vec<RecordBatch>, Missed> {
        let (contact, channel) = self.channel().await?;
        let mut request = Request::new(Ticket::new(ask.encode()));
        let word = format!("Bearer {}", contact.token).parse();
        let word = word.map_err(|_| Missed::Away("its file holds no word".to_owned()))?;
        request.metadata_mut().insert("authorization", word);
        let mut client = FlightServiceClient::new(channel).max_decoding_message_size(BATCH_BYTES);
        let answer = timeout(PATIENCE, client.do_get(request)).await;
        let answer = answer.map_err(|_| slow())?.map_err(|e| missed(&e))?;
        let data = answer.into_inner().map_err(FlightError::from);
        let mut rows = FlightRecordBatchStream::new_from_flight_data(data);
        let mut batches = Vec::new();
        loop {
            let next = timeout(PATIENCE, rows.try_next()).await;
            let next = next.map_err(|_| slow())?;
            match next.map_err(|e| Missed::Away(e.to_string()))? {
                Some(batch) => {
                    memory.try_grow(batch.get_array_memory_size())?;
                    batches.push(batch);
                }
                None => return Ok(batches),
            }
        }
    }

    async fn channel(&self) -> Result<(Contact, Channel), Missed> {
        let away = |why: &dyn std::fmt::Display| {
            let file = self.file.display();
            Missed::Away(format!("{file}: {why}"))
        };
        let bytes = tokio::fs::read(&self.file)
            .await
            .map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => {
                    Missed::Away("the dataflow does not run, or serves no tail".to_owned())
                }
                _ => away(&e),
            })?;
        let contact: Contact = serde_json::from_slice(&bytes).map_err(|e| away(&e))?;
        let mut known = self.known.lock().await;
        if let Some((before, channel)) = &*known
            && *before == contact
        {
            return Ok((contact, channel.clone()));
        }
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(&contact.certificate))
            .domain_name(SERVER_NAME);
        let endpoint = Endpoint::from_shared(format!("https://{}", contact.address));
        let endpoint = endpoint.and_then(|endpoint| endpoint.tls_config(tls));
        let endpoint = endpoint.map_err(|e| away(&e))?.connect_timeout(PATIENCE);
        let channel = endpoint.tcp_nodelay(true).connect_lazy();
        *known = Some((contact.clone(), channel.clone()));
        Ok((contact, channel))
    }
}

fn slow() -> Missed {
    Missed::Away(format!("it did not answer within {} s", PATIENCE.as_secs()))
}

fn missed(status: &Status) -> Missed {
    match status.code() {
        Code::OutOfRange => Missed::TooOld,
        _ => Missed::Away(status.message().to_owned()),
    }
}
