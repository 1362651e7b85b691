//! Sending a message by a channel, once, and saying what came of it.

mod dial;
mod http;
mod mime;
mod sign;
mod smtp;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use hyper::Method;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use mast_schemas::Timestamp;
use mast_schemas::notifications::AttemptOutcome;
use serde_json::json;
use url::Url;

pub use self::dial::{Authority, Resolve, System};
pub use self::sign::signature;

use self::dial::Dialer;
use self::http::Asked;
use crate::channel::{Http, Settings, Slack, Webhook};
use crate::guard::Guard;
use crate::notice::Message;
use crate::outcome::{self, Attempt, Fault};
use crate::render::template::Form;
use crate::render::{json, template, text};
use crate::secret::SecretText;

/// How sending is done, by the operator's word.
pub struct SenderConfig {
    /// Which addresses may be reached.
    pub guard: Guard,
    /// Who knows the addresses of names.
    pub resolver: Arc<dyn Resolve>,
    /// Who is trusted beside the system's authorities.
    pub authorities: Vec<Authority>,
    /// Time to look up, to connect and to agree on TLS, each.
    pub connect: Duration,
    /// Time for a whole attempt.
    pub whole: Duration,
}

impl Default for SenderConfig {
    /// Public addresses and authorities; 5 s, and 15 s for all.
    fn default() -> Self {
        Self {
            guard: Guard::default(),
            resolver: Arc::new(System),
            authorities: Vec::new(),
            connect: Duration::from_secs(5),
            whole: Duration::from_secs(15),
        }
    }
}

/// What sends. Cheap to clone.
#[derive(Clone)]
pub struct Sender {
    dialer: Dialer,
    whole: Duration,
}

/// What came of an exchange.
struct Answer {
    outcome: AttemptOutcome,
    status: Option<u16>,
    reply: String,
    asked: Option<Duration>,
}

impl From<Fault> for Answer {
    fn from(fault: Fault) -> Self {
        Self {
            outcome: fault.outcome(),
            status: None,
            reply: fault.to_string(),
            asked: None,
        }
    }
}

impl Sender {
    /// One that sends as it is told.
    pub fn new(config: SenderConfig) -> Self {
        let SenderConfig {
            guard,
            resolver,
            authorities,
            connect,
            whole,
        } = config;
        let dialer = Dialer::new(guard, resolver, authorities, connect);
        Self { dialer, whole }
    }

    /// Which addresses may be reached.
    pub const fn guard(&self) -> &Guard {
        self.dialer.guard()
    }

    /// Time for a whole attempt.
    pub const fn whole(&self) -> Duration {
        self.whole
    }

    /// Sends a message by a channel, whose settings are with their secrets.
    pub async fn send(&self, settings: &Settings, message: &Message) -> Attempt {
        let began = Instant::now();
        let sending = tokio::time::timeout(self.whole, self.exchange(settings, message));
        let answer = sending.await.unwrap_or_else(|_| {
            let reply = format!(
                "it took longer than {} ms; nobody knows whether it arrived",
                self.whole.as_millis()
            );
            Ok(Answer::from(Fault::Failed(reply)))
        });
        let answer = answer.unwrap_or_else(Answer::from);
        Attempt {
            outcome: answer.outcome,
            status: answer.status,
            // Whoever answers may have sent back what it was sent.
            // Whatever it is, it goes to a table and to people.
            reply: outcome::reply(settings.secrets().hide(&answer.reply).as_bytes()),
            asked: answer.asked,
            took: began.elapsed(),
        }
    }

    async fn exchange(&self, settings: &Settings, message: &Message) -> Result<Answer, Fault> {
        if let Some(email) = &settings.email {
            return smtp::send(&self.dialer, email, message).await;
        }
        let asked = match (&settings.webhook, &settings.slack, &settings.http) {
            (Some(webhook), ..) => {
                of_webhook(webhook, message, Timestamp::from_system(SystemTime::now()))
            }
            (_, Some(slack), _) => of_slack(slack, message),
            (_, _, Some(http)) => of_http(http, message),
            (None, None, None) => Err(Fault::Refused(
                "the channel has no settings of its kind".to_owned(),
            )),
        };
        http::send(&self.dialer, asked?).await
    }
}

/// What tells a message from others, at every attempt the same.
const DELIVERY: HeaderName = HeaderName::from_static("mast-delivery");
/// On a message that may have been sent before.
const REPEATED: HeaderName = HeaderName::from_static("mast-redelivery");
const TIMESTAMP: HeaderName = HeaderName::from_static("mast-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("mast-signature");

fn headers(message: &Message, content_type: &str) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, value(content_type)?);
    headers.insert(DELIVERY, value(&message.id.to_string())?);
    if message.repeated {
        headers.insert(REPEATED, HeaderValue::from_static("1"));
    }
    Ok(headers)
}

fn value(text: &str) -> Result<HeaderValue, Fault> {
    HeaderValue::from_str(text).map_err(|_| Fault::Refused("a header can't be sent".to_owned()))
}

fn secret(secret: Option<&SecretText>) -> Result<&str, Fault> {
    let text = secret.map(SecretText::expose);
    text.ok_or_else(|| {
        Fault::Refused("a secret of the channel is not stored: enter it again".to_owned())
    })
}

fn url(text: &str) -> Result<Url, Fault> {
    let url = Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https"));
    url.ok_or_else(|| Fault::Refused("the URL of the channel is none of http or https".to_owned()))
}

fn of_webhook(webhook: &Webhook, message: &Message, now: Timestamp) -> Result<Asked, Fault> {
    let body = json::webhook(message).to_string();
    let mut headers = headers(message, "application/json")?;
    let seconds = now.millis().div_euclid(1_000).to_string();
    let signed = signature(secret(webhook.key.as_ref())?.as_bytes(), &seconds, &body);
    headers.insert(TIMESTAMP, value(&seconds)?);
    headers.insert(SIGNATURE, value(&signed)?);
    Ok(Asked {
        method: Method::POST,
        url: url(&webhook.url)?,
        headers,
        body,
    })
}

fn of_slack(slack: &Slack, message: &Message) -> Result<Asked, Fault> {
    let headers = headers(message, "application/json")?;
    let body = json!({ "text": text::slack(message) }).to_string();
    Ok(Asked {
        method: Method::POST,
        url: url(secret(slack.url.as_ref())?)?,
        headers,
        body,
    })
}

fn of_http(http: &Http, message: &Message) -> Result<Asked, Fault> {
    let mut headers = headers(message, &http.content_type)?;
    for (name, text) in &http.headers {
        let name = name
            .parse::<HeaderName>()
            .map_err(|_| Fault::Refused("a header can't be sent".to_owned()))?;
        let mut value = value(text.expose())?;
        value.set_sensitive(true);
        headers.insert(name, value);
    }
    let template = match message.notices.len() {
        1 => Some(&http.body),
        _ => http.digest_body.as_ref(),
    };
    let template =
        template.ok_or_else(|| Fault::Refused("the channel has no digest_body".to_owned()))?;
    let body = template::render(
        template,
        Form::of(&http.content_type),
        message,
        &http.secrets,
    );
    let body = body.map_err(|e| Fault::Refused(format!("the template: {e}")))?;
    let method = http
        .method
        .parse()
        .map_err(|_| Fault::Refused("the method of the channel is none".to_owned()))?;
    Ok(Asked {
        method,
        url: url(secret(http.url.as_ref())?)?,
        headers,
        body,
    })
}
