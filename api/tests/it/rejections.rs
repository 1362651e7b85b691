//! Every refusal is a problem, and says what to do.

use insta::assert_snapshot;
use serde_json::json;

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
          "detail": "must have 1 to 200 bytes",
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
