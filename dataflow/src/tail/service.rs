//! The Flight service: `DoGet` of a ticket that is an [`Ask`], and nothing else.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow_flight::encode::FlightDataEncoderBuilder;
use arrow_flight::flight_service_server::FlightService;
use arrow_flight::{
    Action, ActionType, Criteria, Empty, FlightData, FlightDescriptor, FlightInfo,
    HandshakeRequest, HandshakeResponse, PollInfo, PutResult, SchemaResult, Ticket,
};
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use mast_lake::{Table, TooOld};
use mast_schemas::column::Record;
use mast_schemas::metric::Metric;
use mast_schemas::tail::{Ask, InterfaceRateRow, Rows, What};
use mast_schemas::{DeviceId, TenantId};
use tokio::sync::Semaphore;
use tonic::{Code, Request, Response, Status, Streaming};

use super::Sources;
use super::rows::Choice;

/// How long a slot is waited for whose commit an asker has already seen.
const PATIENCE: Duration = Duration::from_millis(500);
/// Asks that are worked on at a time.
const AT_ONCE: usize = 2;

pub(super) struct Service {
    sources: Arc<Sources>,
    turns: Arc<Semaphore>,
}

type Answer = (SchemaRef, Vec<RecordBatch>);

impl Service {
    pub(super) fn new(sources: Sources) -> Self {
        Self {
            sources: Arc::new(sources),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    async fn answer(&self, ticket: &[u8]) -> Result<Answer, Status> {
        let Ask { tenants, what } =
            Ask::decode(ticket).map_err(|e| Status::invalid_argument(e.to_string()))?;
        match what {
            What::Rows(rows) => self.rows(&tenants, rows).await,
            What::InterfaceRates(device) => self.rates(tenants, device).await,
        }
    }

    async fn rows(&self, tenants: &[TenantId], rows: Rows) -> Result<Answer, Status> {
        let Rows {
            job,
            table,
            after,
            upto,
            from_us,
            to_us,
            columns,
        } = rows;
        let own = &self.sources.job;
        if job != *own {
            return Err(Status::not_found(format!(
                "this is the tail of job {own}, not of {job}"
            )));
        }
        let table: Table = table
            .parse()
            .map_err(|_| Status::invalid_argument(format!("there is no table {table:?}")))?;
        if !Table::WRITTEN.contains(&table) {
            return Err(Status::invalid_argument(format!(
                "{table} is made of files alone"
            )));
        }
        let choice = Choice::new(table, tenants, (from_us, to_us), &columns)
            .map_err(Status::invalid_argument)?;
        let recent = &self.sources.recent;
        if !recent.wait(upto, PATIENCE).await {
            return Err(Status::unavailable(
                "the rows up to that slot are not here yet: the dataflow works off what came before its start, or is behind",
            ));
        }
        let batches = recent
            .rows(table, after, upto)
            .map_err(|TooOld| Status::out_of_range("the lake holds more by now: look again"))?;
        self.turn(move || {
            let schema = choice.schema().map_err(broken)?;
            Ok((schema, choice.of(&batches).map_err(broken)?))
        })
        .await
    }

    async fn rates(
        &self,
        tenants: Vec<TenantId>,
        device: Option<DeviceId>,
    ) -> Result<Answer, Status> {
        let sources = self.sources.clone();
        self.turn(move || {
            let now = (sources.clock)();
            let of = |tenant: TenantId| match device {
                Some(device) => Vec::from_iter(sources.rates.of_device(tenant, device)),
                None => sources.rates.of_tenant(tenant),
            };
            let rates: Vec<_> = tenants.into_iter().flat_map(of).collect();
            let rows: Vec<_> = rates
                .iter()
                .flat_map(|rates| {
                    let age_us = (now - rates.observed_at).0;
                    rates.interfaces.iter().map(move |rate| InterfaceRateRow {
                        tenant_id: rates.tenant_id,
                        device_id: rates.device_id,
                        name: rate.name.to_string(),
                        observed_at: rates.observed_at,
                        age_ms: u64::try_from(age_us / 1_000).unwrap_or(0),
                        rx_bps: rate.rx_bps,
                        tx_bps: rate.tx_bps,
                    })
                })
                .collect();
            Ok((
                InterfaceRateRow::schema(),
                vec![InterfaceRateRow::batch(&rows)],
            ))
        })
        .await
    }

    /// Works off the asker's thread, a few at a time.
    async fn turn(
        &self,
        work: impl FnOnce() -> Result<Answer, Status> + Send + 'static,
    ) -> Result<Answer, Status> {
        let turn = self.turns.clone().acquire_owned().await;
        let turn = turn.map_err(|e| Status::internal(e.to_string()))?;
        let done = tokio::task::spawn_blocking(move || {
            let answer = work();
            drop(turn);
            answer
        });
        done.await.map_err(|e| Status::internal(e.to_string()))?
    }
}

fn broken(error: arrow::error::ArrowError) -> Status {
    Status::internal(error.to_string())
}

fn unknown<T>() -> Result<T, Status> {
    Err(Status::unimplemented("a tail answers DoGet alone"))
}

#[tonic::async_trait]
impl FlightService for Service {
    type HandshakeStream = BoxStream<'static, Result<HandshakeResponse, Status>>;
    type ListFlightsStream = BoxStream<'static, Result<FlightInfo, Status>>;
    type DoGetStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoPutStream = BoxStream<'static, Result<PutResult, Status>>;
    type DoExchangeStream = BoxStream<'static, Result<FlightData, Status>>;
    type DoActionStream = BoxStream<'static, Result<arrow_flight::Result, Status>>;
    type ListActionsStream = BoxStream<'static, Result<ActionType, Status>>;

    async fn do_get(
        &self,
        request: Request<Ticket>,
    ) -> Result<Response<Self::DoGetStream>, Status> {
        let answer = self.answer(&request.into_inner().ticket).await;
        let label = match answer.as_ref().map_err(Status::code) {
            Ok(_) => "good",
            Err(Code::InvalidArgument | Code::NotFound) => "refused",
            Err(_) => "failed",
        };
        Metric::LakeTailAsks.add(&[label], 1);
        let (schema, batches) = answer?;
        let encoded = FlightDataEncoderBuilder::new()
            .with_schema(schema)
            .build(stream::iter(batches.into_iter().map(Ok)));
        Ok(Response::new(encoded.map_err(Status::from).boxed()))
    }

    async fn handshake(
        &self,
        _: Request<Streaming<HandshakeRequest>>,
    ) -> Result<Response<Self::HandshakeStream>, Status> {
        unknown()
    }

    async fn list_flights(
        &self,
        _: Request<Criteria>,
    ) -> Result<Response<Self::ListFlightsStream>, Status> {
        unknown()
    }

    async fn get_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<FlightInfo>, Status> {
        unknown()
    }

    async fn poll_flight_info(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<PollInfo>, Status> {
        unknown()
    }

    async fn get_schema(
        &self,
        _: Request<FlightDescriptor>,
    ) -> Result<Response<SchemaResult>, Status> {
        unknown()
    }

    async fn do_put(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoPutStream>, Status> {
        unknown()
    }

    async fn do_exchange(
        &self,
        _: Request<Streaming<FlightData>>,
    ) -> Result<Response<Self::DoExchangeStream>, Status> {
        unknown()
    }

    async fn do_action(
        &self,
        _: Request<Action>,
    ) -> Result<Response<Self::DoActionStream>, Status> {
        unknown()
    }

    async fn list_actions(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<Self::ListActionsStream>, Status> {
        unknown()
    }
}
