//! Devices that move while they are polled: to another tenant, to another site.

use super::bench::{Bench, of, wait};
use super::support::{access_point, breakable, listen, router};
use mast_schemas::TenantId;
use mast_schemas::control::{self, Change, Role};
use mast_schemas::message::WholePoll;
use mast_schemas::records::Outcome;
use mast_secrets::{Credentials, Secret};
use std::collections::BTreeSet;

fn credentials(password: &str) -> Credentials {
    Credentials::new("mast", Secret::new(password))
}

/// The tenants in all rows of a poll.
fn tenants(whole: &WholePoll) -> BTreeSet<TenantId> {
    let slow = &whole.slow;
    let polled = [whole.poll.tenant_id].into_iter();
    polled
        .chain(whole.interfaces.iter().map(|row| row.tenant_id))
        .chain(whole.registrations.iter().map(|row| row.tenant_id))
        .chain(whole.radios.iter().map(|row| row.tenant_id))
        .chain(slow.events.iter().map(|row| row.tenant_id))
        .collect()
}

/// Its polls of a tenant that ended so.
fn count(polls: &[WholePoll], device: &control::Device, end: Outcome) -> usize {
    let of = of(polls, device).into_iter();
    of.filter(|p| p.tenant_id == device.tenant_id && p.outcome == end)
        .count()
}

/// The session that the first tenant's password opened serves the second one nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_of_another_tenant_is_polled_with_that_tenants_credentials() {
    let bench = Bench::new().await;
    let address = listen(|stream| router(stream, access_point())).await;
    let first = bench.device(address, "secret").await;
    let node = bench.node().await;
    let read = |polls: &[WholePoll]| count(polls, &first, Outcome::Ok) >= 2;
    bench.until("the first tenant's polls", read).await;

    // Told as one change: a password that the router does not take.
    let second = control::Device {
        tenant_id: bench.another_tenant().await,
        version: 2,
        ..first.clone()
    };
    bench.delete(&first).await;
    bench.add(&second, &credentials("wrong")).await;
    bench.tell(Change::Device(second.clone()));
    let refused = |polls: &[WholePoll]| count(polls, &second, Outcome::AuthFailed) >= 2;
    bench.until("the second tenant's password", refused).await;

    // Told as what Postgres tells of such a move: gone there, new here. The versions begin anew.
    let third = control::Device {
        tenant_id: bench.another_tenant().await,
        version: 1,
        ..first.clone()
    };
    bench.delete(&second).await;
    bench.tell(Change::DeviceDeleted { id: second.id });
    bench.add(&third, &credentials("secret")).await;
    bench.tell(Change::Device(third.clone()));
    // What its former owners go through is nothing to it.
    for gone in [&first, &second] {
        bench.tell(Change::TenantDeleted { id: gone.tenant_id });
    }
    let read = |polls: &[WholePoll]| count(polls, &third, Outcome::Ok) >= 3;
    let polls = bench.until("the third tenant's polls", read).await;
    assert_eq!(node.stats().devices, 1);
    node.stop().await;

    let polls: Vec<&WholePoll> = (polls.iter())
        .filter(|whole| whole.poll.device_id == first.id)
        .collect();
    let mut owners: Vec<TenantId> = polls.iter().map(|whole| whole.poll.tenant_id).collect();
    owners.dedup();
    let moved = [first.tenant_id, second.tenant_id, third.tenant_id];
    assert_eq!(owners, moved, "from one to the next, and never back");
    assert!(polls.iter().all(|whole| tenants(whole).len() == 1));
    let theirs = polls
        .iter()
        .filter(|p| p.poll.tenant_id == second.tenant_id);
    for whole in theirs {
        let found = whole.interfaces.len() + whole.registrations.len() + whole.slow.events.len();
        assert_eq!(found, 0, "{:?}", whole.poll);
    }
    let ids: Vec<(u64, u64)> = (polls.iter())
        .map(|p| (p.poll.lease_epoch, p.poll.sequence))
        .collect();
    assert!(ids.windows(2).all(|w| w[0] < w[1]), "{ids:?}");
}

/// On its new site it stands behind that site's router, and no more behind the other's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_of_another_site_follows_that_sites_router() {
    let bench = Bench::new().await;
    let (old, new) = (bench.site().await, bench.site().await);
    let (old_front, old_up) = breakable().await;
    let (new_front, new_up) = breakable().await;
    let mut leads = Vec::new();
    for (address, site) in [(old_front, old), (new_front, new)] {
        let mut lead = bench.unplaced(address);
        (lead.role, lead.site_id) = (Role::Router, Some(site));
        bench.add(&lead, &credentials("secret")).await;
        leads.push(lead);
    }
    let mut device = bench.unplaced(listen(|stream| router(stream, access_point())).await);
    (device.role, device.site_id) = (Role::Cpe, Some(old));
    bench.add(&device, &credentials("wrong")).await;
    let node = bench.node().await;
    wait(&node, "an open breaker", |s| s.breakers_open == 1).await;
    bench.tell(Change::Device(control::Device {
        site_id: Some(new),
        version: 2,
        ..device.clone()
    }));
    // The change takes the breaker off; five polls later it is on again.
    let failed = |polls: &[WholePoll]| count(polls, &device, Outcome::AuthFailed);
    bench.until("it opens again", |p| failed(p) == 10).await;

    for (lead, up) in [(&leads[0], &old_up), (&leads[1], &new_up)] {
        let gone = |polls: &[WholePoll]| count(polls, lead, Outcome::Refused) >= 2;
        up.send(false).unwrap();
        bench.until("its router is gone", gone).await;
        up.send(true).unwrap();
        let back = |polls: &[WholePoll]| {
            let last = of(polls, lead).pop();
            last.is_some_and(|poll| poll.outcome == Outcome::Ok)
        };
        bench.until("its router is back", back).await;
    }
    bench.until("it is tried again", |p| failed(p) > 10).await;
    let polls = bench.polls();
    let told: Vec<&str> = (polls.iter())
        .filter(|whole| whole.poll.device_id == device.id)
        .flat_map(|whole| &whole.slow.events)
        .map(|event| event.message.as_str())
        .filter(|message| message.starts_with("breaker closed"))
        .collect();
    assert_eq!(
        told,
        [
            "breaker closed: the device was changed",
            "breaker closed: a device in front of it answers again"
        ],
        "the return of the old site's router is none of its business"
    );
    node.stop().await;
}
