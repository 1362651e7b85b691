//! Running fleets, and clients of them.

use std::{net::SocketAddr, time::Duration};

use mast_schemas::inventory::Device;
use mast_simulator::{Fleet, FleetConfig, FleetHandle};
use routeros_api::{Client, Command, Credentials, Deadlines, Error, Target, TlsMode};

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn fleet(config: FleetConfig) -> FleetHandle {
    Fleet::start(FleetConfig { seed: 7, ..config })
        .await
        .unwrap()
}

pub(crate) async fn hundred() -> FleetHandle {
    fleet(FleetConfig {
        devices: 100,
        ..FleetConfig::default()
    })
    .await
}

pub(crate) fn devices(fleet: &FleetHandle) -> Vec<Device> {
    fleet
        .inventory()
        .tenants
        .into_iter()
        .flat_map(|t| t.devices)
        .collect()
}

pub(crate) fn device(fleet: &FleetHandle, name: &str) -> Device {
    devices(fleet).into_iter().find(|d| d.name == name).unwrap()
}

pub(crate) async fn open(
    device: &Device,
    tls: &TlsMode,
    patience: Duration,
) -> Result<Client, Error> {
    let port = if matches!(tls, TlsMode::Plain) {
        device.api_port
    } else {
        device.api_ssl_port
    };
    let address = SocketAddr::new(device.address.parse().unwrap(), port.unwrap());
    let credentials = Credentials::new(
        device.username.as_deref().unwrap(),
        device.password.as_deref().unwrap(),
    );
    Client::connect(
        &Target::new(address),
        &credentials,
        &Deadlines::all(patience),
        tls,
    )
    .await
}

pub(crate) async fn identity(client: &mut Client) -> String {
    let reply = client
        .call(&Command::new("/system/identity/print"))
        .await
        .unwrap();
    reply.rows[0].text("name").unwrap().into_owned()
}
