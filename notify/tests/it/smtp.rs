//! E-mail through aiosmtpd: TLS from the begin and by STARTTLS, accounts, and what Python's own parser reads of it. Its program is
//! in `notify/peers/`, its libraries pinned by hash; `deploy/dev/install.sh --tests` installs what runs them.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use mast_notify::channel::Settings;
use mast_notify::notice::{Message, Notice};
use mast_notify::{Attempt, Authority, Sender, SenderConfig};
use mast_schemas::Timestamp;
use mast_schemas::notifications::AttemptOutcome::{Delivered, Failed, Refused};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::OnceCell;
use uuid::Uuid;

use crate::hook::Tls;
use crate::world::sender_config;

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("peers")
}

async fn run(command: &mut Command) {
    let shown = format!("{:?}", command.as_std());
    let ended = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    let ended = ended.unwrap_or_else(|e| {
        panic!("{shown}: {e}; deploy/dev/install.sh --tests installs what is missing")
    });
    assert!(
        ended.status.success(),
        "{shown}: {}",
        String::from_utf8_lossy(&ended.stderr)
    );
}

/// A Python with aiosmtpd, which stays installed from run to run.
async fn python() -> &'static Path {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    let installed = PYTHON.get_or_init(|| async {
        let venv = Path::new(env!("CARGO_TARGET_TMPDIR")).join("aiosmtpd");
        let python = venv.join("bin/python");
        if !python.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await;
        }
        let pip =
            "-m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r";
        run(Command::new(&python)
            .args(pip.split(' '))
            .arg(peers().join("requirements.txt")))
        .await;
        python
    });
    installed.await
}

/// A server that runs.
struct Server {
    port: u16,
    tls: Tls,
    said: Lines<BufReader<ChildStdout>>,
    // Ends when its input does.
    _child: Child,
    _folder: TempDir,
}

impl Server {
    async fn start(tls: &str, account: &str) -> Self {
        let (folder, made) = (tempfile::tempdir().unwrap(), Tls::new());
        let (certificate, key) = (folder.path().join("cert"), folder.path().join("key"));
        std::fs::write(&certificate, &made.certificate).unwrap();
        std::fs::write(&key, &made.key).unwrap();
        let mut child = Command::new(python().await)
            .arg(peers().join("smtp.py"))
            .arg(tls)
            .args([&certificate, &key])
            .arg(account)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = said.next_line().await.unwrap().unwrap().parse().unwrap();
        Self {
            port,
            tls: made,
            said,
            _child: child,
            _folder: folder,
        }
    }

    fn settings(&self, more: Value) -> Settings {
        let mut email = json!({
            "host": "127.0.0.1", "port": self.port, "from": "mast@example.net", "from_name": "Mast (NOC) é", "to": ["a@example.net"],
        });
        email
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        serde_json::from_value(json!({ "email": email })).unwrap()
    }

    async fn send(&self, more: Value, message: &Message) -> Attempt {
        let authorities = Authority::read(self.tls.authority.as_bytes()).unwrap();
        let sender = Sender::new(SenderConfig {
            authorities,
            ..sender_config()
        });
        sender.send(&self.settings(more), message).await
    }

    /// The next e-mail that it took.
    async fn next(&mut self) -> Value {
        serde_json::from_str(&self.said.next_line().await.unwrap().unwrap()).unwrap()
    }
}

const TITLE: &str = "Höhe \"1\" & <b>Hill</b> is down, and this is a title that is longer than a line of a header may be";

fn message() -> Message {
    let mut notice = Notice::sample(true, Timestamp::from_secs(1_772_798_400));
    notice.content.title = TITLE.to_owned();
    Message {
        id: Uuid::from_u128(42),
        repeated: false,
        test: false,
        notices: vec![notice],
    }
}

fn header<'a>(mail: &'a Value, name: &str) -> Vec<&'a str> {
    let headers = mail["headers"].as_array().unwrap().iter();
    headers
        .filter(|header| header[0] == name)
        .map(|header| header[1].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn an_e_mail_reads_as_it_is_meant() {
    let mut server = Server::start("starttls", "user:p4ssword").await;
    let account = json!({ "username": "user", "password": "p4ssword", "to": ["a@example.net", "b@example.net"] });
    let attempt = server.send(account.clone(), &message()).await;
    assert_eq!(
        (attempt.outcome, attempt.status, &*attempt.reply),
        (Delivered, Some(250), "taken as 42"),
        "{attempt:?}"
    );
    let mail = server.next().await;
    assert_eq!(
        (&mail["tls"], &mail["signed_in"], &mail["defects"]),
        (&json!(true), &json!(true), &json!([]))
    );
    assert_eq!(mail["rcpt_tos"], json!(["a@example.net", "b@example.net"]));
    assert_eq!(header(&mail, "Subject"), [format!("Mast: [info] {TITLE}")]);
    let from = header(&mail, "From")[0];
    assert!(
        from.contains("Mast (NOC) é") && from.contains("<mast@example.net>"),
        "{from}"
    );
    assert_eq!(
        header(&mail, "Message-ID"),
        ["<00000000-0000-0000-0000-00000000002a@mast>"]
    );
    assert_eq!(header(&mail, "Mast-Redelivery"), [""; 0]);
    let plain = mail["plain"].as_str().unwrap();
    assert!(
        plain.contains(TITLE) && plain.contains("Clients affected  0"),
        "{plain}"
    );
    let html = mail["html"].as_str().unwrap();
    assert!(
        html.contains("&lt;b&gt;Hill&lt;/b&gt;") && !html.contains("<b>"),
        "{html}"
    );

    let again = Message {
        repeated: true,
        ..message()
    };
    server.send(account, &again).await;
    let mail = server.next().await;
    assert_eq!(
        header(&mail, "Message-ID"),
        ["<00000000-0000-0000-0000-00000000002a@mast>"]
    );
    assert_eq!(header(&mail, "Mast-Redelivery"), ["1"]);
    assert!(header(&mail, "Subject")[0].ends_with("(repeated: it may have come before)"));
}

#[tokio::test]
async fn tls_is_from_the_begin_where_it_is_told() {
    let mut server = Server::start("implicit", "-").await;
    let attempt = server.send(json!({ "tls": "implicit" }), &message()).await;
    assert_eq!(attempt.outcome, Delivered, "{attempt:?}");
    assert_eq!(server.next().await["tls"], true);
    let sender = Sender::new(sender_config());
    let stranger = sender
        .send(&server.settings(json!({ "tls": "implicit" })), &message())
        .await;
    assert!(
        stranger.outcome == Failed && stranger.reply.contains("certificate"),
        "{stranger:?}"
    );
}

#[tokio::test]
async fn nothing_goes_in_clear_unless_that_is_meant() {
    let mut server = Server::start("none", "-").await;
    for tls in ["auto", "starttls"] {
        let attempt = server.send(json!({ "tls": tls }), &message()).await;
        assert!(
            attempt.outcome == Refused && attempt.reply.contains("no STARTTLS"),
            "{attempt:?}"
        );
    }
    let attempt = server.send(json!({ "tls": "none" }), &message()).await;
    assert_eq!(attempt.outcome, Delivered, "{attempt:?}");
    assert_eq!(server.next().await["tls"], false, "the first that it took");
}

#[tokio::test]
async fn a_wrong_password_is_told_without_the_password() {
    let server = Server::start("starttls", "user:p4ssword").await;
    let attempt = server
        .send(
            json!({ "username": "user", "password": "hunter2-wrong" }),
            &message(),
        )
        .await;
    assert_eq!((attempt.outcome, attempt.status), (Refused, None));
    assert!(
        attempt.reply.contains("535") && !attempt.reply.contains("hunter2"),
        "{}",
        attempt.reply
    );
}

#[tokio::test]
async fn one_address_that_is_refused_keeps_nobody_else_from_being_told() {
    let mut server = Server::start("starttls", "-").await;
    let to = |to: &[&str]| json!({ "to": to });
    let some = server
        .send(to(&["refuse@example.net", "a@example.net"]), &message())
        .await;
    assert_eq!(some.outcome, Delivered);
    assert!(
        some.reply.contains("but not to refuse@example.net") && some.reply.contains("550"),
        "{}",
        some.reply
    );
    assert_eq!(server.next().await["rcpt_tos"], json!(["a@example.net"]));
    let none = server.send(to(&["refuse@example.net"]), &message()).await;
    assert_eq!(none.outcome, Refused);
    let later = server
        .send(to(&["refuse@example.net", "later@example.net"]), &message())
        .await;
    assert_eq!(later.outcome, Failed, "{later:?}");
}
