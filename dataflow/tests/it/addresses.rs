//! Addresses of clients in real Postgres.

use mast_dataflow::outputs::Outputs;
use mast_dataflow::sink::Batch;
use mast_schemas::views::{AddressSource, ClientAddress};
use mast_schemas::{DeviceId, Epoch, Mac, TenantId};

use crate::sink::{AT, world};

fn address(tenant_id: TenantId, mac: u64, address: &str, source: AddressSource) -> ClientAddress {
    ClientAddress {
        tenant_id,
        mac: Mac(mac),
        address: address.to_owned(),
        host_name: (source == AddressSource::Dhcp).then(|| "phone".to_owned()),
        source,
        device_id: DeviceId::new(),
        since: AT,
    }
}

#[tokio::test]
async fn a_client_has_one_row_a_tenant_that_follows_the_word_and_goes_with_it() {
    let w = world().await;
    let (ours, theirs) = (w.tenant, TenantId::new());
    let row = |tenant, text, source| ((tenant, Mac(7)), Some(address(tenant, 7, text, source)));
    let at = |epoch, (key, row)| (Epoch(epoch), key, row);
    let mut outputs = Outputs {
        upto: Epoch(7),
        addresses: vec![
            at(5, row(ours, "10.0.0.1", AddressSource::Arp)),
            at(5, row(theirs, "10.0.0.1", AddressSource::Arp)),
            at(7, row(ours, "10.0.0.2", AddressSource::Dhcp)),
        ],
        ..Outputs::default()
    };
    w.sink
        .commit(&Batch::take(&mut outputs, Epoch(0)))
        .await
        .unwrap();
    let shown =
        "SELECT address, host_name, source, epoch FROM client_addresses ORDER BY address DESC";
    let rows = async || -> Vec<(String, Option<String>, String, i64)> {
        sqlx::query_as(shown).fetch_all(&w.pool).await.unwrap()
    };
    let text = |text: &str| text.to_owned();
    let lease = (text("10.0.0.2"), Some(text("phone")), text("dhcp"), 7);
    let entry = (text("10.0.0.1"), None, text("arp"), 5);
    assert_eq!(rows().await, [lease, entry.clone()]);

    let mut outputs = Outputs {
        upto: Epoch(8),
        addresses: vec![(Epoch(8), (ours, Mac(7)), None)],
        ..Outputs::default()
    };
    w.sink
        .commit(&Batch::take(&mut outputs, Epoch(7)))
        .await
        .unwrap();
    assert_eq!(rows().await, [entry], "the other tenant's stays");
    let told: Vec<(i64, serde_json::Value, String, uuid::Uuid)> = sqlx::query_as(
        "SELECT epoch, key, op, tenant_id FROM view_change WHERE view = 'client_addresses' AND tenant_id = $1 ORDER BY epoch",
    )
    .bind(ours.0)
    .fetch_all(&w.pool)
    .await
    .unwrap();
    let key = serde_json::json!({"mac": "00:00:00:00:00:07"});
    let change = |epoch, op| (epoch, key.clone(), text(op), ours.0);
    assert_eq!(told, [change(7, "upsert"), change(8, "delete")]);
}
