//! Every refusal is a problem, and says what to do.

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::world::{A, JSON, World};

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_its_place() {
    let world = World::new().await;
    let operator = world.operator().await;
    let sites = "/api/v1/sites";
    assert_snapshot!(operator.get("/api/v1/sites/7").await, @r#"
    400 {
      "detail": "path: Invalid URL: Cannot parse `id` with value `7`: UUID parsing failed: invalid length: found 1",
      "status": 400,
      "title": "A parameter is not valid",
      "type": "urn:mast:problem:invalid-parameter"
    }
    "#);
    assert_snapshot!(operator.get("/api/v1/sites?limit=0").await, @r#"
    400 {
      "detail": "limit: give 1 to 500",
      "status": 400,
      "title": "A parameter is not valid",
      "type": "urn:mast:problem:invalid-parameter"
    }
    "#);
    assert_snapshot!(operator.get("/api/v1/sites?colour=red").await, @r#"
    400 {
      "detail": "query: Failed to deserialize query string: colour: unknown field `colour`, expected one of `limit`, `cursor`, `filter`, `sort`",
      "status": 400,
      "title": "A parameter is not valid",
      "type": "urn:mast:problem:invalid-parameter"
    }
    "#);
    assert_snapshot!(operator.get("/api/v1/links/7").await, @r#"
    400 {
      "detail": "path: Invalid URL: a link is called device.radio.client, such as 01890a5d-ac96-774b-bcce-b302099a8057.4c5e0ca25451.4c5e0ca25452",
      "status": 400,
      "title": "A parameter is not valid",
      "type": "urn:mast:problem:invalid-parameter"
    }
    "#);
    assert_snapshot!(operator.send("POST", sites, &[JSON], "{").await, @r#"
    400 {
      "detail": "EOF while parsing an object at line 1 column 1",
      "status": 400,
      "title": "The body cannot be read",
      "type": "urn:mast:problem:malformed-body"
    }
    "#);
    assert_snapshot!(operator.send("POST", sites, &[JSON], r#"{"name":"x"} {}"#).await, @r#"
    400 {
      "detail": "trailing characters at line 1 column 14",
      "status": 400,
      "title": "The body cannot be read",
      "type": "urn:mast:problem:malformed-body"
    }
    "#);
    assert_snapshot!(operator.send("POST", sites, &[("content-type", "text/plain")], "x").await, @r#"
    415 {
      "detail": "send application/json",
      "status": 415,
      "title": "The body's content type is not supported",
      "type": "urn:mast:problem:unsupported-media-type"
    }
    "#);
    assert_snapshot!(operator.send("POST", sites, &[], "{}").await, @r#"
    415 {
      "detail": "send application/json",
      "status": 415,
      "title": "The body's content type is not supported",
      "type": "urn:mast:problem:unsupported-media-type"
    }
    "#);
    assert_snapshot!(operator.post(sites, json!({ "name": 7 })).await, @r#"
    422 {
      "detail": "see errors",
      "errors": [
        {
          "detail": "invalid type: integer `7`, expected a string",
          "pointer": "/name"
        }
      ],
      "status": 422,
      "title": "The body is not valid",
      "type": "urn:mast:problem:invalid-body"
    }
    "#);
    assert_snapshot!(operator.post(sites, json!({ "name": "x", "colour": "red" })).await, @r#"
    422 {
      "detail": "see errors",
      "errors": [
        {
          "detail": "unknown field `colour`, expected one of `name`, `latitude`, `longitude`, `elevation_m`, `address`, `notes`, `core`",
          "pointer": "/colour"
        }
      ],
      "status": 422,
      "title": "The body is not valid",
      "type": "urn:mast:problem:invalid-body"
    }
    "#);
    assert_snapshot!(
        operator.post(sites, json!({ "name": "", "latitude": 91, "notes": "" })).await, @r#"
    422 {
      "detail": "see errors",
      "errors": [
        {
          "detail": "is empty: must have 1 to 200 bytes, none a control character",
          "pointer": "/name"
        },
        {
          "detail": "must be -90 to 90",
          "pointer": "/latitude"
        },
        {
          "detail": "must be null or have 1 to 10000 bytes",
          "pointer": "/notes"
        },
        {
          "detail": "give both latitude and longitude, or neither",
          "pointer": "/longitude"
        }
      ],
      "status": 422,
      "title": "The body is not valid",
      "type": "urn:mast:problem:invalid-body"
    }
    "#);
    assert_snapshot!(operator.post(sites, json!([])).await, @r#"
    422 {
      "detail": "see errors",
      "errors": [
        {
          "detail": "must be an object",
          "pointer": ""
        }
      ],
      "status": 422,
      "title": "The body is not valid",
      "type": "urn:mast:problem:invalid-body"
    }
    "#);
    assert_snapshot!(operator.patch(&format!("{sites}/{}", A.site()), "*", json!(7)).await, @r#"
    422 {
      "detail": "see errors",
      "errors": [
        {
          "detail": "must be an object",
          "pointer": ""
        }
      ],
      "status": 422,
      "title": "The body is not valid",
      "type": "urn:mast:problem:invalid-body"
    }
    "#);
}

#[tokio::test]
async fn what_is_too_large_is_refused() {
    let world = World::with(|config| config.body_limit = 1_000).await;
    let operator = world.operator().await;
    let large = json!({ "name": "x".repeat(1_000) });
    assert_snapshot!(operator.post("/api/v1/sites", large).await, @r#"
    413 {
      "detail": "send less, or in several requests",
      "status": 413,
      "title": "The body is too large",
      "type": "urn:mast:problem:too-large"
    }
    "#);
}

#[tokio::test]
async fn unknown_paths_and_other_methods_are_refused() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    for path in [
        "/",
        "/api",
        "/api/v1/",
        "/api/v2/sites",
        "/api/v1/sites/",
        "/%ff",
    ] {
        assert_eq!(viewer.get(path).await.problem(), 404, "{path}");
    }
    let answer = viewer.send("PUT", "/api/v1/sites", &[], "").await;
    assert_snapshot!(answer, @r#"
    405 {
      "detail": "PUT is not among the methods that Allow names",
      "status": 405,
      "title": "The method is not allowed here",
      "type": "urn:mast:problem:method-not-allowed"
    }
    "#);
    let allowed = answer.header("allow").unwrap();
    assert!(
        allowed.contains("GET") && allowed.contains("POST"),
        "{allowed}"
    );
}

#[tokio::test]
async fn filters_and_orders_are_of_the_list() {
    let world = World::new().await;
    let viewer = world.viewer().await;
    for (query, words) in [
        ("filter=colour=red", "columns"),
        ("filter=name", "operator"),
        ("filter=core=perhaps", "true or false"),
        ("filter=core%3Ctrue", "compared by"),
        ("filter=name=null", "never null"),
        ("filter=clients%3E1|2", "one value"),
        ("filter=id=7", "UUID"),
        ("filter=clients=1e3", "whole number"),
        ("sort=colour", "sorts by"),
        ("sort=core", "sorts by"),
        ("sort=name,name", "each once"),
        ("cursor=x", "cursor"),
        ("cursor=eyJsIjowLCJ2IjpbXX0", "cursor"),
    ] {
        let answer = viewer.get(&format!("/api/v1/sites?{query}")).await;
        assert_eq!(answer.problem(), 400, "{query}: {answer}");
        assert!(answer.text().contains(words), "{query}: {answer}");
    }
}

#[tokio::test]
async fn a_write_says_what_it_changes() {
    let world = World::new().await;
    let operator = world.operator().await;
    let site = format!("/api/v1/sites/{}", A.site());
    let headers = [("content-type", "application/json")];
    assert_snapshot!(operator.send("PATCH", &site, &headers, "{}").await, @r#"
    428 {
      "detail": "send If-Match with the ETag of what you have read, or * for whatever is there",
      "status": 428,
      "title": "Say which version is changed, by If-Match",
      "type": "urn:mast:problem:precondition-required"
    }
    "#);
    assert_snapshot!(operator.patch(&site, "\"9\"", json!({ "name": "x" })).await, @r#"
    412 {
      "detail": "it has another version than If-Match names: read it again",
      "status": 412,
      "title": "It was changed in the meantime",
      "type": "urn:mast:problem:precondition-failed"
    }
    "#);
}

#[tokio::test]
async fn a_role_is_enough_or_it_is_not() {
    let world = World::new().await;
    let (viewer, operator) = (world.viewer().await, world.operator().await);
    let site = format!("/api/v1/sites/{}", A.site());
    assert_snapshot!(viewer.post("/api/v1/sites", json!({ "name": "x" })).await, @r#"
    403 {
      "detail": "operator is needed, this token is for viewer",
      "status": 403,
      "title": "The token's role is not enough",
      "type": "urn:mast:problem:forbidden"
    }
    "#);
    assert_eq!(viewer.patch(&site, "*", json!({})).await.problem(), 403);
    assert_eq!(operator.delete(&site, "*").await.problem(), 403);
    assert_eq!(operator.get("/api/v1/tenants").await.problem(), 403);
    let admin = world.admin().await;
    assert_eq!(admin.get("/api/v1/tenants").await.problem(), 403);
    assert_eq!(admin.delete(&site, "*").await.status, 204);
}

/// What a person writes by the API and what is imported from a file are held to the same bounds.
#[tokio::test]
async fn both_doors_refuse_the_same() {
    let world = World::new().await;
    let operator = world.operator().await;
    let long = "x".repeat(201);
    let cases: [(&str, &str, Vec<Value>, Vec<Value>); 11] = [
        (
            "sites",
            "name",
            vec![json!("a")],
            vec![json!(""), json!(" "), json!("a\nb"), json!(long)],
        ),
        (
            "sites",
            "latitude",
            vec![json!(-90), json!(90)],
            vec![json!(-90.001), json!(91)],
        ),
        (
            "sites",
            "longitude",
            vec![json!(-180), json!(180)],
            vec![json!(-181), json!(180.001)],
        ),
        (
            "sites",
            "elevation_m",
            vec![json!(-500), json!(9_000)],
            vec![json!(-501), json!(9_001)],
        ),
        (
            "sectors",
            "azimuth_deg",
            vec![json!(0), json!(359.999_999_9)],
            vec![json!(-0.1), json!(360)],
        ),
        (
            "sectors",
            "beamwidth_deg",
            vec![json!(0.000_1), json!(360)],
            vec![json!(0), json!(360.1)],
        ),
        (
            "devices",
            "name",
            vec![json!("d-1")],
            vec![json!(""), json!("a\u{0}"), json!(long)],
        ),
        (
            "devices",
            "address",
            vec![json!("192.0.2.1")],
            vec![json!(""), json!("1.2.3"), json!("h:1")],
        ),
        ("devices", "api_port", vec![json!(1)], vec![json!(0)]),
        (
            "devices",
            "username",
            vec![json!("u")],
            vec![json!(""), json!(long)],
        ),
        (
            "devices",
            "password",
            vec![json!("")],
            vec![json!("x".repeat(1_001))],
        ),
    ];
    let mut asked = 0;
    for (kind, field, good, bad) in cases {
        let all = good
            .iter()
            .map(|v| (v, true))
            .chain(bad.iter().map(|v| (v, false)));
        for (value, fits) in all {
            asked += 1;
            let (mut body, mut row) = (
                json!({ "name": format!("n-{asked}") }),
                json!({ "name": "n" }),
            );
            let mut file =
                json!({ "name": "t", "sites": [{ "name": "s" }], "sectors": [], "devices": [] });
            match (kind, field) {
                ("sectors", _) => {
                    body["site_id"] = json!(A.site());
                    row["site"] = json!("s");
                }
                ("devices", "username" | "password") => {
                    body["address"] = json!("h");
                    body["credentials"] = json!({ "username": "u", "password": "p", field: value });
                }
                ("devices", _) => body["address"] = json!("h"),
                ("sites", "latitude") => {
                    (body["longitude"], row["longitude"]) = (json!(0), json!(0));
                }
                ("sites", "longitude") => {
                    (body["latitude"], row["latitude"]) = (json!(0), json!(0));
                }
                _ => {}
            }
            if kind == "devices" {
                for (name, value) in [("address", "h"), ("username", "u"), ("password", "p")] {
                    row[name] = json!(value);
                }
            }
            if !matches!(field, "username" | "password") {
                body[field] = value.clone();
            }
            row[field] = value.clone();
            file[kind].as_array_mut().unwrap().push(row);
            let inventory =
                mast_api::inventory::parse(&json!({ "tenants": [file] }).to_string()).unwrap();
            let imported = mast_api::inventory::check(&inventory);
            let written = operator.post(&format!("/api/v1/{kind}"), body).await;
            assert_eq!(
                imported.is_ok(),
                fits,
                "{kind} {field} {value}: {imported:?}"
            );
            assert_eq!(
                written.status,
                if fits { 201 } else { 422 },
                "{kind} {field} {value}: {written}"
            );
        }
    }
    // A poll's interval has another unit in a file.
    for (ms, fits) in [
        (99, false),
        (100, true),
        (86_400_000, true),
        (86_400_001, false),
    ] {
        let body = json!({ "name": format!("i-{ms}"), "address": "h", "interval_ms": ms });
        let written = operator.post("/api/v1/devices", body).await;
        let device = json!({ "name": "d", "address": "h", "username": "u", "password": "p", "interval_s": f64::from(ms) / 1_000.0 });
        let file = json!({ "tenants": [{ "name": "t", "devices": [device] }] }).to_string();
        let imported = mast_api::inventory::check(&mast_api::inventory::parse(&file).unwrap());
        assert_eq!(
            (written.status == 201, imported.is_ok()),
            (fits, fits),
            "{ms}"
        );
    }
}
