//! Channels, routes and deliveries of notifications, as those see them who may.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use insta::assert_snapshot;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::world::{A, Answer, B, Client, JSON, World};

const CHANNELS: &str = "/api/v1/notification-channels";
const ROUTES: &str = "/api/v1/notification-routes";
const DELIVERIES: &str = "/api/v1/notification-deliveries";

fn path(made: &Answer) -> String {
    made.header("location").unwrap().to_owned()
}

fn email() -> Value {
    json!({ "name": "noc", "kind": "email", "email": {
        "host": "smtp.example.net", "username": "mast", "password": "hunter2-password", "from": "mast@example.net",
        "to": ["noc@example.net"],
    } })
}

#[tokio::test]
async fn a_channel_lives_and_never_shows_its_secrets() {
    let world = World::new().await;
    let (admin, viewer) = (world.admin().await, world.viewer().await);
    let made = admin.post(CHANNELS, email()).await;
    assert_snapshot!(made, @r#"
    201 {
      "digest_over": 5,
      "email": {
        "from": "mast@example.net",
        "from_name": null,
        "host": "smtp.example.net",
        "port": 587,
        "tls": "auto",
        "to": [
          "noc@example.net"
        ],
        "username": "mast"
      },
      "enabled": true,
      "http": null,
      "id": "[id]",
      "kind": "email",
      "name": "noc",
      "secret_names": [
        "password"
      ],
      "slack": null,
      "target": "noc@example.net",
      "version": 1,
      "webhook": null
    }
    "#);
    let at = path(&made);
    let renamed = admin
        .patch(
            &at,
            made.etag(),
            json!({ "name": "night", "email": { "port": 465, "to": ["b@example.net"] } }),
        )
        .await;
    assert_eq!(
        (renamed.status.as_u16(), &renamed.json()["target"]),
        (200, &json!("b@example.net")),
        "{renamed}"
    );
    assert_eq!(
        renamed.json()["secret_names"],
        json!(["password"]),
        "what is not named stays"
    );
    for elsewhere in [json!({ "host": "evil.example" }), json!({ "tls": "none" })] {
        let refused = admin.patch(&at, "*", json!({ "email": elsewhere })).await;
        assert_eq!(
            refused.problem(),
            422,
            "a password that stays goes nowhere else"
        );
        assert!(refused.text().contains("/email/password"), "{refused}");
    }
    let same = admin
        .patch(
            &at,
            "*",
            json!({ "email": { "password": "hunter2-password" } }),
        )
        .await;
    assert_eq!(
        same.json()["version"],
        renamed.json()["version"],
        "the same password is no change"
    );
    let other = admin
        .patch(
            &at,
            "*",
            json!({ "email": { "password": "hunter2-other" } }),
        )
        .await;
    assert_eq!(other.json()["version"], json!(3));
    assert_eq!(
        admin
            .patch(&at, made.etag(), json!({ "name": "x" }))
            .await
            .problem(),
        412
    );
    let none = admin
        .patch(&at, "*", json!({ "email": { "username": null } }))
        .await;
    assert_eq!(
        none.json()["errors"][0]["pointer"],
        "/email/password",
        "{none}"
    );
    let none = admin
        .patch(
            &at,
            "*",
            json!({ "email": { "username": null, "password": null } }),
        )
        .await;
    assert_eq!(
        (none.status.as_u16(), &none.json()["secret_names"]),
        (200, &json!([]))
    );
    let kind = json!({ "kind": "slack", "email": null, "slack": { "url": "https://hooks.example.net/hunter2" } });
    let slack = admin.patch(&at, "*", kind).await;
    assert_eq!(
        (&slack.json()["target"], &slack.json()["secret_names"]),
        (&json!("hooks.example.net"), &json!(["url"])),
        "{slack}"
    );
    for who in [&admin, &viewer] {
        for answer in [who.get(&at).await, who.get(CHANNELS).await] {
            assert_eq!(answer.status, 200);
            assert!(!answer.text().contains("hunter2"), "{answer}");
        }
    }
    for answer in [made, renamed, same, other, none, slack] {
        assert!(!answer.text().contains("hunter2"), "{answer}");
    }
    assert_eq!(
        viewer
            .patch(&at, "*", json!({ "name": "x" }))
            .await
            .problem(),
        403
    );
    assert_eq!(admin.delete(&at, "*").await.status, 204);
    assert_eq!(admin.get(&at).await.problem(), 404);
}

#[tokio::test]
async fn headers_and_values_of_a_template_change_one_by_one() {
    let world = World::new().await;
    let operator = world.operator().await;
    let made = operator.post(CHANNELS, json!({ "name": "pager", "kind": "http", "digest_over": null, "http": {
        "url": "https://events.example.net/v2/hunter2", "headers": { "X-A": "hunter2-a", "X-B": "hunter2-b" },
        "secrets": { "key": "hunter2-key" }, "body": "{\"routing_key\": {{ secrets.key }}, \"summary\": {{ title }}}",
    } })).await;
    assert_snapshot!(made, @r#"
    201 {
      "digest_over": null,
      "email": null,
      "enabled": true,
      "http": {
        "body": "{\"routing_key\": {{ secrets.key }}, \"summary\": {{ title }}}",
        "content_type": "application/json",
        "digest_body": null,
        "method": "POST"
      },
      "id": "[id]",
      "kind": "http",
      "name": "pager",
      "secret_names": [
        "headers/X-A",
        "headers/X-B",
        "secrets/key",
        "url"
      ],
      "slack": null,
      "target": "events.example.net",
      "version": 1,
      "webhook": null
    }
    "#);
    let at = path(&made);
    let changed = operator
        .patch(
            &at,
            "*",
            json!({ "http": { "headers": { "X-A": null, "X-C": "hunter2-c" } } }),
        )
        .await;
    assert_eq!(
        changed.json()["secret_names"],
        json!(["headers/X-B", "headers/X-C", "secrets/key", "url"]),
        "{changed}"
    );
    let gone = operator
        .patch(&at, "*", json!({ "http": { "secrets": { "key": null } } }))
        .await;
    assert_eq!(
        (gone.problem(), &gone.json()["errors"][0]["pointer"]),
        (422, &json!("/http/body")),
        "{gone}"
    );
    assert_snapshot!(operator.patch(&at, "*", json!({ "http": { "body": "{\"summary\": \"{{ title }}\"}" } })).await, @r#"
    422 {
      "detail": "see errors",
      "errors": [
        {
          "detail": "with all there can be it gives no JSON (expected `,` or `}` at line 1 column 15); write `{{ title }}` without quotes around it",
          "pointer": "/http/body"
        }
      ],
      "status": 422,
      "title": "The body is not valid",
      "type": "urn:mast:problem:invalid-body"
    }
    "#);
    assert!(
        ![made, changed, gone]
            .iter()
            .any(|answer| answer.text().contains("hunter2"))
    );
}

#[tokio::test]
async fn a_channel_that_leads_where_it_may_not_is_refused() {
    let world = World::new().await;
    let operator = world.operator().await;
    let inside = json!({ "name": "x", "kind": "webhook", "webhook": { "url": "http://169.254.169.254/", "key": "0123456789abcdef" } });
    assert_snapshot!(operator.post(CHANNELS, inside).await, @r#"
    422 {
      "detail": "see errors",
      "errors": [
        {
          "detail": "169.254.169.254 may not be reached: it is link-local; notify.allow_networks can open a network",
          "pointer": "/webhook/url"
        }
      ],
      "status": 422,
      "title": "The body is not valid",
      "type": "urn:mast:problem:invalid-body"
    }
    "#);
    for (input, pointer) in [
        (
            json!({ "name": "", "kind": "slack", "slack": { "url": "https://example.net/" } }),
            "/name",
        ),
        (
            json!({ "name": "x", "kind": "slack", "slack": { "url": "https://example.net/" }, "digest_over": 0 }),
            "/digest_over",
        ),
        (json!({ "name": "x", "kind": "slack" }), "/slack"),
        (json!({ "name": "x", "kind": "pigeon" }), "/kind"),
        (
            json!({ "name": "x", "kind": "slack", "slack": [] }),
            "/slack",
        ),
        (
            json!({ "name": "x", "kind": "slack", "slack": { "uri": "https://example.net/" } }),
            "/slack",
        ),
    ] {
        let answer = operator.post(CHANNELS, input.clone()).await;
        assert_eq!(
            (answer.problem(), &answer.json()["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{input}: {answer}"
        );
    }
    let taken = json!({ "name": "channel-AAA", "kind": "slack", "slack": { "url": "https://example.net/" } });
    assert_eq!(operator.post(CHANNELS, taken).await.problem(), 409);
}

#[tokio::test]
async fn a_channel_is_made_once_with_a_key() {
    let world = World::new().await;
    let operator = world.operator().await;
    let send = async |body: Value| {
        operator
            .send(
                "POST",
                CHANNELS,
                &[JSON, ("idempotency-key", "k")],
                body.to_string(),
            )
            .await
    };
    let (first, second) = (send(email()).await, send(email()).await);
    assert_eq!((first.status.as_u16(), &first.body), (201, &second.body));
    assert_eq!(second.header("idempotency-replayed"), Some("true"));
}

#[tokio::test]
async fn a_route_lives() {
    let world = World::new().await;
    let (operator, admin) = (world.operator().await, world.admin().await);
    let made = operator.post(ROUTES, json!({
        "name": "nights", "least_severity": "critical", "kinds": ["opened", "resolved"], "site_ids": [A.site()],
        "days": ["fri", "sat"], "from": "22:00", "to": "06:00", "time_zone": "Europe/Ljubljana", "channel_ids": [A.channel()],
    })).await;
    assert_snapshot!(made, @r#"
    201 {
      "channel_ids": [
        "00000000-0000-0000-0000-00000000a901"
      ],
      "days": [
        "fri",
        "sat"
      ],
      "enabled": true,
      "fallback": false,
      "from": "22:00",
      "id": "[id]",
      "kinds": [
        "opened",
        "resolved"
      ],
      "least_severity": "critical",
      "name": "nights",
      "site_ids": [
        "00000000-0000-0000-0000-00000000a101"
      ],
      "time_zone": "Europe/Ljubljana",
      "to": "06:00",
      "version": 1
    }
    "#);
    let at = path(&made);
    let all = operator
        .patch(
            &at,
            made.etag(),
            json!({ "site_ids": [], "days": null, "from": null, "to": null }),
        )
        .await;
    assert_eq!(
        (&all.json()["site_ids"], &all.json()["from"]),
        (&json!(null), &json!(null)),
        "none is everywhere: {all}"
    );
    for (patch, pointer) in [
        (json!({ "least_severity": "bad" }), "/least_severity"),
        (json!({ "kinds": [] }), "/kinds"),
        (json!({ "kinds": ["opened", "opened"] }), "/kinds"),
        (json!({ "days": ["someday"] }), "/days"),
        (json!({ "from": "8:00", "to": "09:00" }), "/from"),
        (json!({ "from": "08:00" }), "/to"),
        (json!({ "time_zone": "Europe/Atlantis" }), "/time_zone"),
        (json!({ "channel_ids": [B.channel()] }), "/channel_ids"),
        (json!({ "site_ids": [B.site()] }), "/site_ids"),
    ] {
        let answer = operator.patch(&at, "*", patch.clone()).await;
        assert_eq!(
            (answer.problem(), &answer.json()["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{patch}: {answer}"
        );
    }
    // A site that is gone stays named: were it taken out, the route would be one of all sites.
    let of_site = format!("{ROUTES}/{}", A.route());
    assert_eq!(
        admin
            .delete(&format!("/api/v1/sites/{}", A.site()), "*")
            .await
            .status,
        204
    );
    let renamed = operator
        .patch(&of_site, "*", json!({ "name": "still" }))
        .await;
    assert_eq!(
        (&renamed.json()["site_ids"], &renamed.json()["name"]),
        (&json!([A.site()]), &json!("still")),
        "{renamed}"
    );
    assert_eq!(
        admin
            .delete(&format!("{CHANNELS}/{}", A.channel()), "*")
            .await
            .status,
        204
    );
    assert_eq!(
        operator.get(&of_site).await.json()["channel_ids"],
        json!([])
    );
    assert_eq!(operator.delete(&at, "*").await.status, 204);
}

#[tokio::test]
async fn what_was_given_up_is_shown_with_its_log_and_can_be_queued_again() {
    let world = World::new().await;
    let (operator, viewer) = (world.operator().await, world.viewer().await);
    let at = format!("{DELIVERIES}/{}", A.delivery());
    assert_snapshot!(viewer.get(&at).await, @r#"
    200 {
      "attempts": 1,
      "channel": "channel-AAA",
      "channel_id": "00000000-0000-0000-0000-00000000a901",
      "created_at": "[time]",
      "digest_id": null,
      "ended_at": "[time]",
      "happened_at": "[time]",
      "id": "00000000-0000-0000-0000-00000000a921",
      "incident_id": "00000000-0000-0000-0000-00000000a931",
      "kind": "opened",
      "log": [
        {
          "attempt": 1,
          "began_at": "[time]",
          "duration_ms": 7,
          "outcome": "refused",
          "repeated": false,
          "reply": "no-AAA",
          "status": 404
        }
      ],
      "next_attempt_at": "[time]",
      "reason": "no-AAA",
      "severity": "critical",
      "site_id": "00000000-0000-0000-0000-00000000a101",
      "state": "dead",
      "title": "down-AAA"
    }
    "#);
    let dead = viewer
        .get(&format!(
            "{DELIVERIES}?filter=state=dead,severity=critical,site_id={}&sort=-happened_at",
            A.site()
        ))
        .await;
    assert_eq!(dead.items("title"), ["down-AAA"], "{dead}");
    assert_eq!(
        viewer
            .get(&format!("{DELIVERIES}?filter=state=delivered"))
            .await
            .items("id"),
        [json!(null); 0]
    );
    let retry = format!("{at}/retry");
    let queued = operator
        .send("POST", &retry, &[("idempotency-key", "k")], "")
        .await;
    assert_eq!(
        (
            queued.status.as_u16(),
            &queued.json()["state"],
            &queued.json()["attempts"]
        ),
        (200, &json!("pending"), &json!(0)),
        "{queued}"
    );
    assert_eq!(queued.json()["log"][0]["reply"], "no-AAA", "its log stays");
    assert_eq!(
        operator
            .send("POST", &retry, &[("idempotency-key", "k")], "")
            .await
            .status,
        200
    );
    assert_eq!(operator.send("POST", &retry, &[], "").await.problem(), 409);
}

/// An HTTP server that answers all with one status, and keeps the bodies.
async fn hook(status: u16) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hunter2", listener.local_addr().unwrap());
    let seen: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = Arc::clone(&seen);
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let kept = Arc::clone(&kept);
            let service = service_fn(move |request: Request<Incoming>| {
                let kept = Arc::clone(&kept);
                async move {
                    let body = request.into_body().collect().await.unwrap().to_bytes();
                    kept.lock()
                        .unwrap()
                        .push(String::from_utf8(body.to_vec()).unwrap());
                    let response = Response::builder()
                        .status(status)
                        .body(Full::new(Bytes::from("said so")));
                    Ok::<_, Infallible>(response.unwrap())
                }
            });
            // The other side goes away when it likes.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    });
    (url, seen)
}

async fn slack(who: &Client, name: &str, url: &str) -> String {
    let input = json!({ "name": name, "kind": "slack", "enabled": false, "slack": { "url": url } });
    path(&who.post(CHANNELS, input).await)
}

#[tokio::test]
async fn a_test_says_what_came_of_it() {
    let world = World::new().await;
    let operator = world.operator().await;
    let ((good, seen), (bad, _)) = (hook(200).await, hook(403).await);
    let at = slack(&operator, "good", &good).await;
    let answer = operator.send("POST", &format!("{at}/test"), &[], "").await;
    assert_eq!(
        (
            answer.status.as_u16(),
            &answer.json()["status"],
            &answer.json()["reply"]
        ),
        (200, &json!(200), &json!("said so")),
        "{answer}"
    );
    assert!(seen.lock().unwrap()[0].contains("Mast test:"));
    let at = slack(&operator, "bad", &bad).await;
    assert_snapshot!(operator.send("POST", &format!("{at}/test"), &[], "").await, @r#"
    502 {
      "detail": "403 said so",
      "status": 502,
      "title": "The channel did not take it",
      "type": "urn:mast:problem:notification-failed"
    }
    "#);
    let at = slack(&operator, "nobody", "https://hooks.example.net/hunter2").await;
    assert_snapshot!(operator.send("POST", &format!("{at}/test"), &[], "").await, @r#"
    502 {
      "detail": "look up hooks.example.net: nobody knows hooks.example.net",
      "status": 502,
      "title": "The channel did not take it",
      "type": "urn:mast:problem:notification-failed"
    }
    "#);
    let viewer = world.viewer().await;
    assert_eq!(
        viewer
            .send("POST", &format!("{at}/test"), &[], "")
            .await
            .problem(),
        403
    );
}
