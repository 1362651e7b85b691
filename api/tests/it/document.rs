//! The document of the API, and the page to browse it.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::world::World;

fn document() -> Value {
    serde_json::from_str(&mast_api::openapi()).unwrap()
}

/// A change of the API is a change of this file, to be looked at: what programs rely on must not go.
#[test]
fn the_document_is_what_it_was() {
    insta::assert_snapshot!("openapi", mast_api::openapi());
}

#[test]
fn it_is_openapi_3_1_and_every_reference_leads_somewhere() {
    let document = document();
    assert_eq!(document["openapi"], "3.1.0");
    let text = document.to_string();
    let references: BTreeSet<&str> = text
        .split("\"$ref\":\"#/components/schemas/")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap())
        .collect();
    assert!(references.len() > 20);
    for name in references {
        assert!(
            document["components"]["schemas"].get(name).is_some(),
            "{name}"
        );
    }
}

#[test]
fn every_operation_says_who_may_and_what_can_go_wrong() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let at = format!("{method} {path}");
            assert!(operation["summary"].is_string(), "{at}");
            assert!(operation["tags"][0].is_string(), "{at}");
            assert!(
                ids.insert(operation["operationId"].as_str().unwrap().to_owned()),
                "{at}"
            );
            if path.starts_with("/health") {
                continue;
            }
            for status in ["401", "403", "429", "500", "503"] {
                let content = &operation["responses"][status]["content"];
                assert!(
                    content.get("application/problem+json").is_some(),
                    "{at} {status}"
                );
            }
        }
    }
}

#[tokio::test]
async fn the_page_and_the_document_are_open_and_need_nothing_from_elsewhere() {
    let world = World::new().await;
    let nobody = world.nobody();
    let served = nobody.get("/api/v1/openapi.json").await;
    assert_eq!(served.json(), document());
    assert_eq!(nobody.get("/api/v1/docs").await.status, 303);
    let page = nobody.get("/api/v1/docs/").await;
    assert_eq!(page.status, 200);
    assert!(
        page.header("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(
        page.header("content-security-policy")
            .unwrap()
            .contains("default-src 'self'")
    );
    assert!(!page.text().contains("https://"), "{}", page.text());
    let files = page.text();
    let files = files
        .split(['"', '\''])
        .filter(|text| text.starts_with("./"));
    let mut seen = 0;
    for file in files {
        let answer = nobody.get(&format!("/api/v1/docs/{}", &file[2..])).await;
        assert_eq!(answer.status, 200, "{file}");
        seen += 1;
    }
    assert!(seen >= 4, "{seen}");
    let script = nobody
        .get("/api/v1/docs/swagger-initializer.js")
        .await
        .text();
    assert!(script.contains("/api/v1/openapi.json"), "{script}");
    assert_eq!(nobody.get("/api/v1/docs/nothing").await.problem(), 404);
}
