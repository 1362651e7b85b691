//! What parts say of themselves, as each role sees it.

use mast_postgres::health::{forget, report, said};
use mast_postgres::{Role, testing};
use mast_schemas::health::{Health, Part, State};

use crate::{REFUSED, code};

#[tokio::test]
async fn what_a_part_said_is_read_with_its_age_and_since_when() {
    let database = testing::database().await;
    let (ingest, api) = (
        database.pool(Role::Ingest).await,
        database.pool(Role::Api).await,
    );
    let ok = Health::ok(Part::Ingest, "node-a").number("devices", 7);
    report(&ingest, &ok).await.unwrap();
    let first = said(&api).await.unwrap().remove(0);
    assert_eq!(first.health, ok);
    assert!(first.age_ms >= 0 && first.since == first.seen_at);

    report(&ingest, &ok).await.unwrap();
    let again = said(&api).await.unwrap().remove(0);
    assert_eq!(again.since, first.since, "the same state goes on");
    assert!(again.seen_at > first.seen_at);

    let off = ok.troubled(State::Failed, "the clock is off", "set it");
    report(&ingest, &off).await.unwrap();
    let all = said(&api).await.unwrap();
    assert_eq!((all.len(), &all[0].health), (1, &off));
    assert!(all[0].since > again.since, "another state begins");
}

#[tokio::test]
async fn a_role_speaks_for_its_own_parts_only() {
    let database = testing::database().await;
    let (ingest, dataflow, api) = (
        database.pool(Role::Ingest).await,
        database.pool(Role::Dataflow).await,
        database.pool(Role::Api).await,
    );
    let job = Health::ok(Part::Dataflow, "main");
    let refused = report(&ingest, &job).await.unwrap_err();
    assert_eq!(code(&refused), REFUSED);
    report(&dataflow, &job).await.unwrap();
    let node = Health::ok(Part::Ingest, "node-a");
    let refused = report(&dataflow, &node).await.unwrap_err();
    assert_eq!(code(&refused), REFUSED);
    assert_eq!(code(&report(&api, &node).await.unwrap_err()), REFUSED);

    let old = "UPDATE part_reports SET seen_at = seen_at - interval '8 days'";
    sqlx::query(old).execute(&dataflow).await.unwrap();
    forget(&ingest).await.unwrap();
    assert_eq!(
        said(&api).await.unwrap().len(),
        1,
        "not the node's to forget"
    );
    forget(&dataflow).await.unwrap();
    assert!(said(&api).await.unwrap().is_empty());
}
