//! Importing an inventory, once and again.

use mast_api::ApiError;
use mast_api::inventory::{Options, Report, Tally, import, parse};
use mast_postgres::testing::{self, Database};
use mast_postgres::{Role, find_tenant, tenant_tx};
use mast_schemas::control::Change;
use mast_schemas::inventory::Inventory;
use mast_secrets::{Credentials, KeyFile, KeyProvider};
use sqlx::PgPool;

const OPTIONS: Options = Options {
    dry_run: false,
    default_interval_ms: 60_000,
};

struct Bench {
    database: Database,
    api: PgPool,
    dir: tempfile::TempDir,
    keys: KeyFile,
}

impl Bench {
    async fn new() -> Self {
        let database = testing::database().await;
        let api = database.pool(Role::Api).await;
        let dir = tempfile::tempdir().unwrap();
        let keys = KeyFile::open_or_create(&dir.path().join("key")).unwrap();
        Self {
            database,
            api,
            dir,
            keys,
        }
    }

    async fn import(&self, inventory: &Inventory) -> Report {
        import(&self.api, &self.keys, inventory, OPTIONS)
            .await
            .unwrap()
    }

    /// What is told, but for the rules that a tenant begins with.
    async fn outbox(&self) -> Vec<Change> {
        let dataflow = self.database.pool(Role::Dataflow).await;
        let rows: Vec<serde_json::Value> =
            sqlx::query_scalar("SELECT change FROM outbox ORDER BY id")
                .fetch_all(&dataflow)
                .await
                .unwrap();
        rows.into_iter()
            .map(|change| serde_json::from_value(change).unwrap())
            .filter(|change| !matches!(change, Change::Rule(_)))
            .collect()
    }

    /// Version and credentials as ingest reads them.
    async fn credentials(&self, device: &str) -> (i64, i64, Credentials) {
        let ingest = self.database.pool(Role::Ingest).await;
        let (tenant, ciphertext, version, told): (uuid::Uuid, Vec<u8>, i64, i64) = sqlx::query_as(
            "SELECT c.tenant_id, c.ciphertext, c.version, d.credentials_version
             FROM device_credentials c JOIN devices d ON d.id = c.device_id WHERE d.name = $1",
        )
        .bind(device)
        .fetch_one(&ingest)
        .await
        .unwrap();
        let plaintext = self
            .keys
            .decrypt(mast_schemas::TenantId(tenant), &ciphertext)
            .unwrap();
        (version, told, Credentials::decode(&plaintext).unwrap())
    }
}

fn inventory() -> Inventory {
    parse(
        r#"{ "tenants": [
          { "name": "acme",
            "sites": [{ "name": "hill", "latitude": 46.0, "longitude": 14.5 }, { "name": "dale" }],
            "sectors": [{ "name": "north", "site": "hill" }, { "name": "north", "site": "dale" }],
            "devices": [
              { "name": "ap1", "address": "192.0.2.1", "username": "mast", "password": "one", "site": "hill",
                "sector": "north", "role": "ap", "interval_s": 2.5 },
              { "name": "cpe1", "address": "192.0.2.2", "username": "mast", "password": "two", "role": "cpe" } ] },
          { "name": "zenith", "devices": [
              { "name": "ap1", "address": "198.51.100.1", "username": "u", "password": "p" } ] } ] }"#,
    )
    .unwrap()
}

const fn tally(created: u64, updated: u64, unchanged: u64) -> Tally {
    Tally {
        created,
        updated,
        unchanged,
    }
}

#[tokio::test]
async fn a_first_import_creates_and_tells_everything() {
    let bench = Bench::new().await;
    let report = bench.import(&inventory()).await;
    assert_eq!(
        report,
        Report {
            tenants: tally(2, 0, 0),
            sites: tally(2, 0, 0),
            sectors: tally(2, 0, 0),
            devices: tally(3, 0, 0),
            ..Report::default()
        }
    );
    let told = bench.outbox().await;
    assert_eq!(told.len(), 9);
    let acme = find_tenant(&bench.api, "acme").await.unwrap().unwrap();
    let ap = told.iter().find_map(|change| match change {
        Change::Device(d) if d.tenant_id == acme && d.name == "ap1" => Some(d),
        _ => None,
    });
    let ap = ap.unwrap();
    assert_eq!(
        (ap.interval_ms, ap.credentials_version, ap.version),
        (2_500, 1, 1)
    );
    let hill = told.iter().find_map(|change| match change {
        Change::Sector(s) if Some(s.id) == ap.sector_id => Some(s.site_id),
        _ => None,
    });
    assert_eq!(
        (ap.site_id, hill.is_some()),
        (hill, true),
        "the sector of its own site"
    );
    let (version, told, credentials) = bench.credentials("cpe1").await;
    assert_eq!((version, told), (1, 1));
    assert_eq!(
        (credentials.username.as_str(), credentials.password.expose()),
        ("mast", "two")
    );
}

#[tokio::test]
async fn a_second_import_writes_and_tells_nothing() {
    let bench = Bench::new().await;
    bench.import(&inventory()).await;
    let before = (bench.outbox().await, bench.credentials("cpe1").await);
    let report = bench.import(&inventory()).await;
    assert_eq!(
        report,
        Report {
            tenants: tally(0, 0, 2),
            sites: tally(0, 0, 2),
            sectors: tally(0, 0, 2),
            devices: tally(0, 0, 3),
            ..Report::default()
        }
    );
    assert_eq!(
        (bench.outbox().await, bench.credentials("cpe1").await),
        before
    );
}

#[tokio::test]
async fn only_what_changed_is_written_and_told() {
    let bench = Bench::new().await;
    bench.import(&inventory()).await;
    let before = bench.outbox().await.len();
    let mut changed = inventory();
    changed.tenants[0].devices[0].password = Some("other".to_owned());
    changed.tenants[0].devices[1].site = Some(Some("dale".to_owned()));
    changed.tenants[0].sites[1].elevation_m = Some(Some(300.0));
    changed.tenants[1].devices.clear();
    let report = bench.import(&changed).await;
    assert_eq!(
        (report.sites, report.devices),
        (tally(0, 1, 1), tally(0, 2, 0)),
        "what the file leaves out stays"
    );

    let told = bench.outbox().await.split_off(before);
    let [Change::Site(site), Change::Device(ap), Change::Device(cpe)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((site.name.as_str(), site.version), ("dale", 2));
    assert_eq!((ap.credentials_version, ap.version), (2, 2));
    assert_eq!(
        (cpe.credentials_version, cpe.version, cpe.site_id),
        (1, 2, Some(site.id))
    );
    assert_eq!(bench.credentials("cpe1").await.0, 1);
}

#[tokio::test]
async fn a_switched_off_device_stays_off() {
    let bench = Bench::new().await;
    bench.import(&inventory()).await;
    let acme = find_tenant(&bench.api, "acme").await.unwrap().unwrap();
    let mut tx = tenant_tx(&bench.api, acme).await.unwrap();
    sqlx::query("UPDATE devices SET enabled = false")
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bench.import(&inventory()).await.devices, tally(0, 0, 3));
    let mut tx = tenant_tx(&bench.api, acme).await.unwrap();
    let on: i64 = sqlx::query_scalar("SELECT count(*) FROM devices WHERE enabled")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    assert_eq!(on, 0);
}

#[tokio::test]
async fn what_a_file_does_not_say_stays_and_null_takes_away() {
    let bench = Bench::new().await;
    bench.import(&inventory()).await;
    let short = parse(
        r#"{ "tenants": [{ "name": "acme", "sites": [{ "name": "hill" }], "sectors": [{ "name": "north", "site": "hill" }],
              "devices": [{ "name": "ap1", "address": "192.0.2.1" }] }] }"#,
    );
    let report = bench.import(&short.unwrap()).await;
    assert_eq!(
        (report.sites, report.sectors, report.devices),
        (tally(0, 0, 1), tally(0, 0, 1), tally(0, 0, 1))
    );
    let before = bench.outbox().await.len();
    let nulls = parse(
        r#"{ "tenants": [{ "name": "acme", "sites": [{ "name": "hill", "latitude": null, "longitude": null }],
              "devices": [{ "name": "ap1", "address": "192.0.2.1", "sector": null }] }] }"#,
    );
    bench.import(&nulls.unwrap()).await;
    let told = bench.outbox().await.split_off(before);
    let [Change::Site(site), Change::Device(ap)] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!((site.latitude, site.longitude), (None, None));
    assert_eq!((ap.site_id, ap.sector_id), (Some(site.id), None));
}

#[tokio::test]
async fn a_dry_run_tells_what_would_be_and_leaves_no_trace() {
    let bench = Bench::new().await;
    let dry = Options {
        dry_run: true,
        ..OPTIONS
    };
    let would = import(&bench.api, &bench.keys, &inventory(), dry)
        .await
        .unwrap();
    assert_eq!(bench.outbox().await, []);
    assert_eq!(find_tenant(&bench.api, "acme").await.unwrap(), None);
    assert_eq!(bench.import(&inventory()).await, would);
}

#[tokio::test]
async fn a_bad_inventory_writes_nothing_at_all() {
    let bench = Bench::new().await;
    let mut bad = inventory();
    bad.tenants[1].devices[0].sector = Some(Some("north".to_owned()));
    let error = import(&bench.api, &bench.keys, &bad, OPTIONS)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, ApiError::Inventory { problems } if problems.len() == 1),
        "{error}"
    );
    assert!(
        error.to_string().contains("tenants[1].devices[0].sector"),
        "{error}"
    );
    assert_eq!(bench.outbox().await, [], "not even the tenant before it");
}

#[tokio::test]
async fn a_lost_key_is_healed_by_importing_again() {
    let mut bench = Bench::new().await;
    bench.import(&inventory()).await;
    bench.keys = KeyFile::open_or_create(&bench.dir.path().join("another")).unwrap();
    assert_eq!(bench.import(&inventory()).await.devices, tally(0, 3, 0));
    let (version, told, credentials) = bench.credentials("cpe1").await;
    assert_eq!(
        (version, told, credentials.password.expose()),
        (2, 2, "two")
    );
}

#[tokio::test]
async fn two_imports_at_once_are_one_after_the_other() {
    let bench = Bench::new().await;
    let inventory = inventory();
    let (one, two) = tokio::join!(bench.import(&inventory), bench.import(&inventory));
    assert_eq!(one.devices.created + two.devices.created, 3);
    assert_eq!(one.devices.unchanged + two.devices.unchanged, 3);
    assert_eq!(bench.outbox().await.len(), 9);
}

#[tokio::test]
async fn ten_thousand_devices_are_a_few_statements() {
    let bench = Bench::new().await;
    let mut large = inventory();
    large.tenants.truncate(1);
    let model = large.tenants[0].devices[0].clone();
    large.tenants[0].devices = (0..10_000)
        .map(|n| {
            let mut device = model.clone();
            device.name = format!("ap{n}");
            device
        })
        .collect();
    let begun = std::time::Instant::now();
    assert_eq!(bench.import(&large).await.devices, tally(10_000, 0, 0));
    let first = begun.elapsed();
    assert_eq!(bench.import(&large).await.devices, tally(0, 0, 10_000));
    println!(
        "10,000 devices: {first:?}, again {:?}",
        begun.elapsed() - first
    );
    assert_eq!(bench.outbox().await.len(), 10_005);
}
