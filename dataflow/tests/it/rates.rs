//! Rates of interfaces, as a running job shows them.

use std::time::{Duration, Instant};

use mast_oracle::script::add_interface;
use mast_postgres::{Role, tenant_tx};
use mast_schemas::records::{Outcome, Tables};
use mast_schemas::views::InterfaceRate;
use mast_schemas::{Mac, TenantId};

use crate::job::world;

const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_rates_are_their_tenants_and_go_with_the_device() {
    let mut w = world().await;
    let mut job = w.start().await;
    w.until(&mut job, |s| s.counters.devices > 0).await;
    let (tenant, device) = (w.tenant, w.device);
    let mut read = Vec::new();
    for (n, bytes) in (1..).zip([500, 10_500]) {
        w.poll_with(device, Outcome::Ok, |whole| {
            read.push(whole.poll.observed_at);
            whole.poll.tables = Tables::default().with(Tables::INTERFACE).0;
            // Not known: then a counter that rose is taken for what it says.
            whole.poll.uptime_s = None;
            add_interface(whole, Mac(0x4c5e_0c00_0001), false);
            let row = &mut whole.interfaces[0];
            (row.rx_bytes, row.tx_bytes) = (Some(bytes), Some(3 * bytes));
        });
        w.until(&mut job, |s| s.counters.polls == n).await;
    }
    let [first, second] = read[..] else { panic!() };
    let bps = |bytes: i64| u64::try_from(bytes * 8_000_000 / (second - first).0).ok();
    let expected = job.rates().of_device(tenant, device).unwrap();
    assert_eq!(expected.observed_at, second);
    let of_interface = |rate: &InterfaceRate| (rate.rx_bps, rate.tx_bps);
    let found: Vec<_> = expected.interfaces.iter().map(of_interface).collect();
    assert_eq!(found, [(bps(10_000), bps(30_000))]);
    assert_eq!(job.rates().of_tenant(tenant), [expected]);

    let other = TenantId::new();
    assert_eq!(job.rates().of_device(other, device), None);
    assert_eq!(job.rates().of_tenant(other), []);

    let mut tx = tenant_tx(&w.database.pool(Role::Api).await, tenant)
        .await
        .unwrap();
    sqlx::query("DELETE FROM devices")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let begun = Instant::now();
    while job.rates().of_device(tenant, device).is_some() {
        assert!(begun.elapsed() < PATIENCE, "rates of a deleted device");
        w.beat();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    job.stop().await.unwrap();
}
