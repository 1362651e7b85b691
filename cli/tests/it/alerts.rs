//! `mast alerts` and `mast rules`: what is wrong, what an operator does about it, and rules before they are put in.

use serde_json::Value;

use crate::part::{Part, happens};
use crate::support::{folder, mast, verified};
use crate::up::Up;

#[test]
fn an_operator_sees_to_an_alert_until_it_is_resolved() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (socket, file) = (path("fleet.sock"), path("fleet.json"));
    let fleet = ["simulate", "--devices", "12", "--interval", "1s"];
    let files = ["--socket", &socket, "--inventory", &file];
    let ports = ["--api-port", "0", "--api-ssl-port", "0"];
    let all = [&fleet[..], &files, &ports].concat();
    let (_simulator, _) = Part::start(folder.path(), "simulator", &all);
    let data = folder.path().join("data");
    let up = Up::start_with(&data, &[]);
    up.does(&["import", &file]);
    let tenant = up.json(&["tenant", "list"])[0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let of = |args: &[&str]| {
        let args = args.iter().map(ToString::to_string);
        let args = args.chain(["--tenant".to_owned(), tenant.clone()]);
        args.collect::<Vec<String>>()
    };
    let json = |args: &[&str]| {
        let args = of(args);
        up.json(&args.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let until = |args: &[&str], wanted: &str, is: &dyn Fn(&[Value]) -> bool| {
        let args = of(args);
        up.until(
            &args.iter().map(String::as_str).collect::<Vec<_>>(),
            wanted,
            is,
        )
    };
    let links = until(&["link", "list"], "an active link", &|links| {
        links.iter().any(|link| link["state"] == "active")
    });
    let link = links.iter().find(|link| link["state"] == "active").unwrap();
    let (ap, site) = (link["ap"].as_str().unwrap(), link["site"].as_str().unwrap());
    happens(&socket, &format!("ap_dead ap={ap} for=1h"));
    let is_it = |alert: &Value| alert["subject"] == *ap && alert["kind"] == "offline";
    let list = [
        "alerts",
        "list",
        "--state",
        "open",
        "--severity",
        "critical",
        "--site",
        site,
    ];
    let alerts = until(&list, "open", &|alerts| alerts.iter().any(is_it));
    let id = alerts.iter().find(|alert| is_it(alert)).unwrap()["id"]
        .as_str()
        .unwrap();
    // Whatever hangs on it is shown as well, and says so.
    let shown = up.does(&["alerts", "--tenant", &tenant]);
    assert!(shown.starts_with("ID") && shown.contains(id), "{shown}");

    let acked = json(&["alerts", "ack", id, "--note", "on the way"]);
    assert!(
        acked["acknowledged_by"].is_string() && acked["status"] == "open",
        "{acked}"
    );
    let silenced = json(&["alerts", "silence", id, "--for", "1h"]);
    assert!(silenced["silenced_until"].is_string(), "{silenced}");
    let open = json(&["alerts", "list", "--state", "open"]);
    let still = open
        .as_array()
        .unwrap()
        .iter()
        .find(|alert| alert["id"] == *id);
    let still = still.unwrap_or_else(|| panic!("a silenced alert is shown: {open}"));
    assert_eq!(still["acknowledged_by"], acked["acknowledged_by"]);

    // It stays away although nothing answers: its condition has not cleared.
    up.does(&[
        "alerts",
        "resolve",
        id,
        "--note",
        "gone for good",
        "--tenant",
        &tenant,
    ]);
    let resolved = until(
        &["alerts", "list", "--state", "resolved"],
        "resolved",
        &|alerts| alerts.iter().any(|alert| alert["id"] == *id),
    );
    let resolved = resolved.iter().find(|alert| alert["id"] == *id).unwrap();
    assert_eq!(resolved["resolution"], "manual", "{resolved}");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let open = json(&["alerts"]);
    assert!(!open.as_array().unwrap().iter().any(is_it), "{open}");

    let refused = mast(&[
        "alerts",
        "ack",
        "7",
        "--tenant",
        &tenant,
        "--data",
        data.to_str().unwrap(),
    ]);
    let refused = { refused }.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("mast alerts"), "{said}");
    up.end();
    verified(&data);
}

#[test]
fn rules_of_a_file_are_checked_before_they_are_put_in() {
    let folder = folder();
    let file = folder.path().join("rules.toml");
    let check = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let args = ["rules", "check", file.to_str().unwrap()];
        let output = mast(&[&args[..], more].concat()).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        (output.status.code(), said)
    };
    let good = "[[rules]]\nname = 'hot'\nkind = 'cpu'\noperator = 'gt'\nenter = 90\nclear = 80.5\nseverity = 'warning'\n";
    let (code, said) = check(good, &[]);
    assert_eq!((code, said.as_str()), (Some(0), "1 rules, 0 faults\n"));
    // The same name once more, and thresholds the wrong way round.
    let bad = format!("{good}{}", good.replace("80.5", "95"));
    let (code, said) = check(&bad, &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("hot: clear: ") && said.contains("hot: name: rule 1 has it too"),
        "{said}"
    );
    let (code, said) = check(&bad, &["--json"]);
    let told: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, &told["rules"]), (Some(1), &2.into()), "{told}");
    assert_eq!(told["faults"].as_array().unwrap().len(), 2, "{told}");
    assert!(
        told["faults"]
            .as_array()
            .unwrap()
            .iter()
            .all(|fault| fault["rule"] == 2),
        "{told}"
    );
    let (code, _) = check("no rules", &[]);
    assert_eq!(code, Some(1));
}
