//! Sending over HTTP: what is sent, what answers mean, and where nothing is sent to.

use std::collections::VecDeque;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mast_notify::channel::Settings;
use mast_notify::guard::Guard;
use mast_notify::notice::{Message, Notice};
use mast_notify::{Attempt, Authority, Resolve, Sender, SenderConfig, signature};
use mast_schemas::Timestamp;
use mast_schemas::notifications::AttemptOutcome::{Delivered, Failed, Refused};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::hook::{Answer, Hook, Tls, status};
use crate::world::{KEY, sender_config};

fn message() -> Message {
    let mut notice = Notice::sample(true, Timestamp::from_secs(1_772_798_400));
    notice.content.title = "Hill \"is\" <down> & out".to_owned();
    Message {
        id: Uuid::from_u128(42),
        repeated: false,
        test: false,
        notices: vec![notice],
    }
}

fn webhook(url: &str) -> Settings {
    settings(json!({ "webhook": { "url": url, "key": KEY } }))
}

fn settings(value: Value) -> Settings {
    serde_json::from_value(value).unwrap()
}

async fn send(settings: &Settings) -> Attempt {
    Sender::new(sender_config())
        .send(settings, &message())
        .await
}

#[tokio::test]
async fn a_webhook_is_signed_with_its_time() {
    let mut hook = Hook::start().await;
    let attempt = send(&webhook(&hook.url())).await;
    assert_eq!(
        (attempt.outcome, attempt.status, &*attempt.reply),
        (Delivered, Some(200), "answer 200")
    );
    let seen = hook.next().await;
    assert_eq!((&*seen.method, &*seen.path), ("POST", "/hook?a=b"));
    assert_eq!(seen.header("host"), Some(&*hook.address.to_string()));
    assert_eq!(
        seen.header("mast-delivery"),
        Some("00000000-0000-0000-0000-00000000002a")
    );
    assert_eq!(seen.header("mast-redelivery"), None);
    let timestamp = seen.header("mast-timestamp").unwrap();
    assert_eq!(
        seen.header("mast-signature"),
        Some(&*signature(KEY.as_bytes(), timestamp, &seen.body))
    );
    let json = seen.json();
    assert_eq!(
        json["notifications"][0]["title"],
        "Hill \"is\" <down> & out"
    );
    assert_eq!(json["notifications"][0]["clients_affected"], 0);
    let again = Message {
        repeated: true,
        ..message()
    };
    Sender::new(sender_config())
        .send(&webhook(&hook.url()), &again)
        .await;
    let seen = hook.next().await;
    assert_eq!(
        (seen.header("mast-redelivery"), &seen.json()["repeated"]),
        (Some("1"), &json!(true))
    );
}

#[tokio::test]
async fn slack_and_templates_say_it_in_their_own_way() {
    let mut hook = Hook::start().await;
    send(&settings(json!({ "slack": { "url": hook.url() } }))).await;
    let text = hook.next().await.json()["text"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        text.contains("Hill \"is\" &lt;down&gt; &amp; out") && text.contains("Clients affected: 0"),
        "{text}"
    );
    let http = json!({ "http": {
        "url": hook.url(), "method": "PUT", "headers": { "Authorization": "Bearer hunter2" }, "secrets": { "key": "routing" },
        "body": "{\"key\": {{ secrets.key }}, \"text\": {{ title ~ ': ' ~ severity }}, \"n\": {{ clients_affected }}}",
    } });
    assert_eq!(send(&settings(http)).await.outcome, Delivered);
    let seen = hook.next().await;
    assert_eq!(
        (&*seen.method, seen.header("authorization")),
        ("PUT", Some("Bearer hunter2"))
    );
    assert_eq!(
        seen.json(),
        json!({ "key": "routing", "text": "Hill \"is\" <down> & out: info", "n": 0 })
    );
}

#[tokio::test]
async fn an_answer_is_taken_for_what_it_is() {
    let mut hook = Hook::start().await;
    for (answer, outcome) in [
        (204, Delivered),
        (500, Failed),
        (503, Failed),
        (429, Failed),
        (408, Failed),
        (404, Refused),
        (401, Refused),
    ] {
        hook.answer([status(answer)]);
        let attempt = send(&webhook(&hook.url())).await;
        assert_eq!(
            (attempt.outcome, attempt.status),
            (outcome, Some(answer)),
            "{attempt:?}"
        );
    }
    hook.answer([Answer::Status(
        429,
        vec![("retry-after", "77".to_owned())],
        "slow\r\n down".to_owned(),
    )]);
    let attempt = send(&webhook(&hook.url())).await;
    assert_eq!(
        (attempt.asked, &*attempt.reply),
        (Some(Duration::from_secs(77)), "slow down")
    );
    assert_eq!(hook.more().len(), 8);
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let mut hook = Hook::start().await;
    let hidden = Hook::start().await;
    for (code, to) in [
        (302, hidden.url()),
        (301, "http://169.254.169.254/latest/meta-data/".to_owned()),
        (307, "http://127.0.0.2/".to_owned()),
        (308, "//example.net".to_owned()),
    ] {
        hook.answer([Answer::Status(
            code,
            vec![("location", to)],
            "moved".to_owned(),
        )]);
        let attempt = send(&webhook(&hook.url())).await;
        assert_eq!((attempt.outcome, attempt.status), (Refused, Some(code)));
        assert!(
            attempt.reply.contains("redirects are not followed"),
            "{}",
            attempt.reply
        );
    }
    assert_eq!(hook.more().len(), 4);
    let mut hidden = hidden;
    assert!(hidden.more().is_empty(), "a redirect was followed");
}

#[tokio::test]
async fn who_hangs_or_never_ends_takes_no_more_than_its_time() {
    let hook = Hook::start().await;
    hook.answer([Answer::Stalling, Answer::Endless, Answer::Nothing]);
    let attempt = send(&webhook(&hook.url())).await;
    assert_eq!(
        (attempt.outcome, attempt.status, &*attempt.reply),
        (Delivered, Some(200), ""),
        "it was taken"
    );
    let attempt = send(&webhook(&hook.url())).await;
    assert_eq!((attempt.outcome, attempt.status), (Delivered, Some(200)));
    assert!(attempt.reply.len() <= 300);
    let config = SenderConfig {
        whole: Duration::from_millis(200),
        ..sender_config()
    };
    let attempt = Sender::new(config)
        .send(&webhook(&hook.url()), &message())
        .await;
    assert_eq!((attempt.outcome, attempt.status), (Failed, None));
    assert!(
        attempt.reply.contains("longer than 200 ms"),
        "{}",
        attempt.reply
    );
}

#[tokio::test]
async fn what_is_closed_is_not_connected_to() {
    let mut hook = Hook::start().await;
    let port = hook.address.port();
    let closed = Sender::new(SenderConfig {
        guard: Guard::default(),
        ..sender_config()
    });
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "2130706433",
        "0x7f.1",
        "0.0.0.0",
        "169.254.169.254",
        "[fe80::1]",
        "10.0.0.1",
    ] {
        let attempt = closed
            .send(&webhook(&format!("http://{host}:{port}/")), &message())
            .await;
        assert_eq!(attempt.outcome, Refused, "{host}: {}", attempt.reply);
        assert!(
            attempt.reply.contains("may not be reached"),
            "{host}: {}",
            attempt.reply
        );
    }
    let email = json!({ "email": { "host": "127.0.0.1", "port": port, "from": "a@example.net", "to": ["b@example.net"] } });
    let attempt = closed.send(&settings(email), &message()).await;
    assert!(
        attempt.outcome == Refused && attempt.reply.contains("may not be reached"),
        "{attempt:?}"
    );
    assert!(hook.more().is_empty());
    let attempt = closed.send(&webhook("ftp://127.0.0.1/"), &message()).await;
    assert_eq!(attempt.outcome, Refused);
}

/// Answers from a list, one a question.
struct Changing {
    answers: Mutex<VecDeque<Vec<IpAddr>>>,
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl Resolve for Changing {
    async fn addresses(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(name.to_owned());
        Ok(self.answers.lock().unwrap().pop_front().unwrap_or_default())
    }
}

/// A name whose second answer leads to what is closed: who asks twice checks one address and connects to another.
#[tokio::test]
async fn the_address_that_was_checked_is_the_one_that_is_connected_to() {
    let (open, closed): (IpAddr, IpAddr) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
    let mut hook = Hook::start().await;
    let port = hook.address.port();
    let mut hidden = Hook::at(closed, port, None).await;
    let resolver = Arc::new(Changing {
        answers: Mutex::new([vec![open], vec![closed], vec![closed, open], vec![]].into()),
        asked: Mutex::default(),
    });
    let sender = Sender::new(SenderConfig {
        resolver: Arc::clone(&resolver) as _,
        ..sender_config()
    });
    let settings = webhook(&format!("http://rebind.example.net:{port}/"));
    assert_eq!(sender.send(&settings, &message()).await.outcome, Delivered);
    assert_eq!(
        hook.next().await.header("host"),
        Some(&*format!("rebind.example.net:{port}"))
    );
    assert_eq!(
        resolver.asked.lock().unwrap().len(),
        1,
        "asked once an attempt"
    );
    let second = sender.send(&settings, &message()).await;
    assert!(
        second.outcome == Refused && second.reply.contains("127.0.0.2 may not be reached"),
        "{second:?}"
    );
    assert_eq!(
        sender.send(&settings, &message()).await.outcome,
        Delivered,
        "the open one of two"
    );
    let none = sender.send(&settings, &message()).await;
    assert!(
        none.outcome == Failed && none.reply.contains("has no address"),
        "{none:?}"
    );
    assert_eq!(hook.more().len(), 1);
    assert!(
        hidden.more().is_empty(),
        "the second answer was connected to"
    );
    assert_eq!(resolver.asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn tls_is_with_whom_an_authority_knows() {
    let tls = Tls::new();
    let mut hook = Hook::at([127, 0, 0, 1].into(), 0, Some(&tls)).await;
    let url = format!("https://127.0.0.1:{}/", hook.address.port());
    let stranger = send(&webhook(&url)).await;
    assert!(
        stranger.outcome == Failed && stranger.reply.contains("certificate"),
        "{stranger:?}"
    );
    assert!(hook.more().is_empty(), "nothing is said to a stranger");
    let trusting = || SenderConfig {
        authorities: Authority::read(tls.authority.as_bytes()).unwrap(),
        ..sender_config()
    };
    let attempt = Sender::new(trusting())
        .send(&webhook(&url), &message())
        .await;
    assert_eq!(attempt.outcome, Delivered, "{attempt:?}");
    let resolver = Changing {
        answers: Mutex::new([vec![[127, 0, 0, 1].into()]].into()),
        asked: Mutex::default(),
    };
    let sender = Sender::new(SenderConfig {
        resolver: Arc::new(resolver),
        ..trusting()
    });
    let url = format!("https://other.example.net:{}/", hook.address.port());
    let other = sender.send(&webhook(&url), &message()).await;
    assert!(
        other.outcome == Failed && other.reply.contains("certificate"),
        "not for that name: {other:?}"
    );
    assert_eq!(hook.more().len(), 1);
    assert!(Authority::read(b"").is_err() && Authority::read(tls.key.as_bytes()).is_err());
}

#[tokio::test]
async fn secrets_that_come_back_are_not_kept() {
    let mut hook = Hook::start().await;
    hook.answer([Answer::Echo]);
    let attempt = send(&settings(json!({ "http": {
        "url": hook.url(), "content_type": "text/plain", "headers": { "A": "hunter2-header" }, "secrets": { "k": "hunter2-value" },
        "body": "{{ secrets.k }}",
    } })))
    .await;
    let seen = hook.next().await;
    assert_eq!(
        (seen.header("a"), &*seen.body),
        (Some("hunter2-header"), "hunter2-value")
    );
    assert!(
        attempt.reply.contains("***") && !attempt.reply.contains("hunter2"),
        "{}",
        attempt.reply
    );
}

#[tokio::test]
async fn nobody_there_is_a_failure_for_now() {
    let hook = Hook::start().await;
    let url = hook.url();
    drop(hook);
    // The task's socket is gone once the task has ended.
    let attempt = loop {
        let attempt = send(&webhook(&url)).await;
        if attempt.status.is_none() {
            break attempt;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(attempt.outcome, Failed);
    let unknown = send(&webhook("http://unknown.example.net/")).await;
    assert!(
        unknown.outcome == Failed && unknown.reply.contains("nobody knows"),
        "{unknown:?}"
    );
}
