//! `mast up` and the commands beside it, as the operator of a small network uses them.

use std::io::{BufRead, BufReader, Lines, Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::part::{PATIENCE, Part, happens, terminate};
use crate::support::{folder, last_json, mast, verified};

/// An installation that runs.
pub(crate) struct Up {
    child: Child,
    data: String,
    /// Where its API is.
    pub(crate) api: String,
}

impl Up {
    /// Starts one, and waits until it says that it is up.
    fn start(data: &Path) -> Self {
        Self::start_with(data, &[])
    }

    /// The same with further arguments.
    pub(crate) fn start_with(data: &Path, more: &[&str]) -> Self {
        let data = data.to_str().unwrap().to_owned();
        let mut child = mast(&["up", "--data", &data, "--listen", "127.0.0.1:0"])
            .args(more)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let up: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line:?}"));
        let api = up["api"].as_str().unwrap();
        let api = api.trim_start_matches("http://").to_owned();
        Self { child, data, api }
    }

    /// Runs a command beside it.
    fn run(&self, args: &[&str]) -> Output {
        mast(args).args(["--data", &self.data]).output().unwrap()
    }

    pub(crate) fn does(&self, args: &[&str]) -> String {
        let output = self.run(args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command refuses, and that its exit code says so.
    fn refuses(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {output:?}");
        String::from_utf8(output.stderr).unwrap()
    }

    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.does(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"))
    }

    /// Asks again until the list is as wanted.
    pub(crate) fn until(
        &self,
        args: &[&str],
        wanted: &str,
        is: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let list = self.json(args);
            let list = list.as_array().unwrap();
            if is(list) {
                return list.clone();
            }
            assert!(Instant::now() < deadline, "never {wanted}: {list:?}");
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    pub(crate) fn end(mut self) {
        terminate(&self.child);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

fn words(list: &[Value], field: &str) -> Vec<String> {
    let word = |item: &Value| item[field].as_str().unwrap_or_default().to_owned();
    list.iter().map(word).collect()
}

/// A command that tells of changes, a line each.
struct Watched {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Watched {
    /// Starts it, and waits until it knows what is.
    fn start(up: &Up, args: &[&str]) -> Self {
        let mut child = mast(args).args(["--data", &up.data]).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        let first = said.next().unwrap().unwrap();
        assert!(first.starts_with("watching "), "{first}");
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a line with both, then ends it in order.
    fn end_with(&mut self, one: &str, other: &str) {
        let found = |line: String| line.contains(one) && line.contains(other);
        assert!(self.lines.by_ref().any(|line| found(line.unwrap())));
        terminate(&self.child);
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

/// On a terminal it is a table, until somebody types q; then the terminal is as it was.
fn shown_on_a_terminal(up: &Up, args: &[&str]) {
    let command = [
        env!("CARGO_BIN_EXE_mast"),
        &args.join(" "),
        "--data",
        &up.data,
    ]
    .join(" ");
    let mut terminal = Command::new("script")
        .args([
            "--quiet",
            "--return",
            "--flush",
            "--command",
            &command,
            "/dev/null",
        ])
        .env("TERM", "xterm")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = terminal.stdout.take().unwrap();
    let (mut seen, mut some) = (String::new(), [0; 4_096]);
    let mut until = |word: &str| {
        while !seen.contains(word) {
            let n = out.read(&mut some).unwrap();
            assert!(n > 0, "{word:?} was never shown: {seen}");
            seen.push_str(&String::from_utf8_lossy(&some[..n]));
        }
    };
    until("\u{1b}[?1049h");
    until("STATE");
    until("q ends");
    terminal.stdin.take().unwrap().write_all(b"q").unwrap();
    until("\u{1b}[?1049l");
    assert_eq!(terminal.wait().unwrap().code(), Some(0));
}

const STATES: [&str; 5] = ["down", "degraded", "discovered", "active", "stale"];

#[test]
fn an_operator_brings_a_fleet_up_and_sees_its_links() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (socket, file, table) = (path("fleet.sock"), path("fleet.json"), path("fleet.csv"));
    let fleet = ["simulate", "--devices", "12", "--interval", "1s"];
    let files = ["--socket", &socket, "--inventory", &file];
    let ports = ["--api-port", "0", "--api-ssl-port", "0"];
    let (_simulator, _) = Part::start(
        folder.path(),
        "simulator",
        &[&fleet[..], &files, &ports].concat(),
    );
    let data = folder.path().join("data");
    let up = Up::start(&data);

    let said = up.refuses(&["device", "list"]);
    assert!(said.contains("mast tenant add"), "{said}");
    up.does(&["import", &file]);
    let tenant = up.json(&["tenant", "list"])[0]["name"]
        .as_str()
        .unwrap()
        .to_owned();
    let of = |args: &[&'static str]| [args, &["--tenant", tenant.clone().leak()]].concat();
    up.until(&of(&["device", "list"]), "online", |devices| {
        let online = devices.iter().filter(|d| d["state"] == "online").count();
        !devices.is_empty() && online == devices.len()
    });
    let links = up.until(&of(&["link", "list"]), "active", |links| {
        links.iter().any(|link| link["state"] == "active")
    });
    let site = words(&links, "site")[0].clone();
    let ap = words(&links, "ap")[0].clone();
    let mut watched = Watched::start(&up, &of(&["watch", "links"]));

    // What is worst is shown first, and can be asked for alone.
    happens(&socket, &format!("ap_dead ap={ap} for=1h"));
    let site_of =
        |args: &[&'static str]| [&of(args)[..], &["--site", site.clone().leak()]].concat();
    let down = up.until(
        &site_of(&["link", "list", "--state", "down"]),
        "down",
        |links| !links.is_empty(),
    );
    assert!(
        down.iter()
            .all(|link| link["state"] == "down" && link["site"] == *site),
        "{down:?}"
    );
    watched.end_with(&format!(" {ap} "), "-> down (");
    shown_on_a_terminal(&up, &of(&["watch", "links"]));
    let links = up.json(&of(&["link", "list"]));
    let rank = |state: &String| STATES.iter().position(|s| s == state).unwrap();
    let ranks: Vec<usize> = words(links.as_array().unwrap(), "state")
        .iter()
        .map(rank)
        .collect();
    assert!(ranks[0] == 0 && ranks.is_sorted(), "{ranks:?}");
    let first = up.json(&[&of(&["link", "list"])[..], &["--limit", "1"]].concat());
    assert_eq!(first.as_array().unwrap().len(), 1);
    let shown = up.does(&of(&["link", "list"]));
    assert!(
        shown.starts_with("STATE") && shown.lines().nth(1).unwrap().starts_with("down"),
        "{shown}"
    );

    let rules = up.json(&of(&["rules", "list"]));
    assert_eq!(rules.as_array().unwrap().len(), 10, "{rules}");
    let alerts = up.json(&of(&["alerts", "list", "--state", "resolved"]));
    assert_eq!(alerts, Value::Array(Vec::new()));

    // Out as both formats and in again: all is as it is.
    for file in [path("out.json"), table] {
        up.does(&["export", &file, "--tenant", &tenant]);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(
            !text.contains("password") && !text.contains("username"),
            "{text}"
        );
        let again: Value =
            serde_json::from_str(&up.does(&["import", &file, "--tenant", &tenant])).unwrap();
        let devices = &again["devices"];
        assert_eq!(
            (&devices["created"], &devices["updated"]),
            (&0.into(), &0.into()),
            "{again}"
        );
        assert!(devices["unchanged"].as_u64() > Some(0), "{again}");
    }
    up.end();
    verified(&data);
}

#[test]
fn a_fleet_is_made_by_commands_alone_and_asked_for_over_http() {
    let folder = folder();
    let data = folder.path().join("data");
    let up = Up::start(&data);
    up.does(&["tenant", "add", "acme"]);
    let said = up.refuses(&["tenant", "add", "acme"]);
    assert!(said.contains("already"), "{said}");
    up.does(&[
        "site",
        "add",
        "hill, \"north\"|x",
        "--latitude",
        "46.05",
        "--longitude",
        "-14.5",
    ]);
    let site = up.json(&["site", "show", "hill, \"north\"|x"]);
    assert_eq!(
        (&site["latitude"], &site["longitude"]),
        (&46.05.into(), &(-14.5).into())
    );

    let secret = folder.path().join("secret");
    std::fs::write(&secret, "hush-hush\n").unwrap();
    let add = [
        "device",
        "add",
        "ap1",
        "192.0.2.7",
        "--site",
        "hill, \"north\"|x",
        "--role",
        "ap",
    ];
    let login = [
        "--username",
        "mast",
        "--password-file",
        secret.to_str().unwrap(),
    ];
    let made = up.json(&[&add[..], &login].concat());
    assert_eq!(
        (&made["has_credentials"], &made["role"]),
        (&true.into(), &"ap".into())
    );
    assert!(!made.to_string().contains("hush"), "{made}");
    let said = up.refuses(&add);
    assert!(said.contains("taken"), "{said}");
    let said = up.refuses(&["device", "add", "d", "h:1"]);
    assert!(
        said.contains("address") && said.contains("host name"),
        "{said}"
    );
    let said = up.refuses(&["device", "add", "d", "h", "--site", "nowhere"]);
    assert!(said.contains("there is no site \"nowhere\""), "{said}");
    let said = up.refuses(&["device", "add", "d", "h", "--username", "mast"]);
    assert!(
        said.contains("--password-file"),
        "nobody is asked where there is no terminal: {said}"
    );
    let said = up.refuses(&["device", "show", "nobody"]);
    assert!(said.contains("mast device list"), "{said}");

    up.does(&["tenant", "add", "zenith"]);
    let said = up.refuses(&["device", "list"]);
    assert!(
        said.contains("--tenant") && said.contains("acme, zenith"),
        "{said}"
    );
    assert_eq!(
        up.json(&["device", "list", "--tenant", "zenith"]),
        Value::Array(Vec::new())
    );

    // The same over HTTP, for who bears a token; and no way in without one.
    let made = up.does(&["token", "create", "--tenant", "acme", "--name", "me"]);
    let made: Value = serde_json::from_str(&made).unwrap();
    let token = format!(
        "Authorization: Bearer {}\r\n",
        made["token"].as_str().unwrap()
    );
    let (status, body) = get(&up.api, "/api/v1/devices", &token);
    assert!(status == 200 && body.contains("\"ap1\""), "{body}");
    assert_eq!(
        get(&up.api, "/api/v1/devices", "Mast-Tenant: acme\r\n").0,
        401
    );

    // It is there still after a restart.
    up.end();
    let up = Up::start(&data);
    let devices = up.json(&["device", "list", "--tenant", "acme"]);
    assert_eq!(words(devices.as_array().unwrap(), "name"), ["ap1"]);
    up.end();
}

fn get(address: &str, path: &str, header: &str) -> (u16, String) {
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: mast\r\n{header}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let answer = std::io::read_to_string(stream).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

#[test]
fn what_it_cannot_have_is_refused_with_what_to_do() {
    let folder = folder();
    let refused = |data: &Path, listen: &str| {
        let args = ["up", "--data", data.to_str().unwrap(), "--listen", listen];
        let output = mast(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(output.stdout.is_empty(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let (data, other) = (folder.path().join("data"), folder.path().join("other"));
    let up = Up::start(&data);
    let said = refused(&data, "127.0.0.1:0");
    assert!(
        said.contains("in use") && said.contains("another data folder"),
        "{said}"
    );

    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(&other, &address);
    assert!(
        said.contains(&address) && said.contains("--listen"),
        "{said}"
    );
    up.end();
    // The folder of the one that was refused is whole.
    Up::start(&other).end();

    let demo = folder.path().join("demo");
    std::fs::create_dir(&demo).unwrap();
    std::fs::write(demo.join("simulator.journal"), "").unwrap();
    let said = refused(&demo, "127.0.0.1:0");
    assert!(
        said.contains("simulated") && said.contains("--data"),
        "{said}"
    );

    let output = mast(&["up"]).current_dir(folder.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains("--data"),
        "{said}"
    );
}

#[test]
fn a_table_of_a_wrong_form_is_refused_by_line() {
    let folder = folder();
    let (data, file) = (folder.path().join("data"), folder.path().join("fleet.csv"));
    std::fs::write(&file, "name,address,colour\nap1,10.0.0.1,red\n").unwrap();
    let run = |more: &[&str]| {
        let args = [
            "import",
            file.to_str().unwrap(),
            "--data",
            data.to_str().unwrap(),
        ];
        let output = mast(&[&args[..], more].concat()).output().unwrap();
        (
            output.status.success(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
            output,
        )
    };
    let (good, said, _) = run(&[]);
    assert!(!good && said.contains("--tenant"), "{said}");
    let (good, said, _) = run(&["--tenant", "acme"]);
    assert!(
        !good && said.contains("line 1") && said.contains("\"colour\""),
        "{said}"
    );
    std::fs::write(&file, "name,address,site\nap1,10.0.0.1,hill\n").unwrap();
    let (good, said, output) = run(&["--tenant", "acme"]);
    assert!(good, "{said}");
    let report = last_json(&output);
    assert_eq!(report["devices"]["created"], 1, "{report}");
    assert_eq!(report["sites"]["created"], 1, "{report}");
}
