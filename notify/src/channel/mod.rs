//! Where notifications go, as people set it.
//!
//! A secret of a channel comes in with the rest and parts from it at once: [`Settings::public`] is what is stored and shown,
//! [`Settings::secrets`] is what is sealed, and [`Settings::with`] puts both together for who sends, or changes a part.

mod faults;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

pub use self::faults::Fault;

use crate::secret::{SecretText, Secrets};

/// How an SMTP server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmtpTls {
    /// TLS from the begin on port 465; elsewhere STARTTLS, without which nothing is sent.
    #[default]
    Auto,
    /// TLS from the begin.
    Implicit,
    /// STARTTLS, without which nothing is sent.
    Starttls,
    /// In clear, password and all.
    None,
}

/// E-mail over an SMTP server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    #[serde(default = "submission")]
    #[schema(minimum = 1)]
    pub port: u16,
    /// How it is spoken to.
    #[serde(default)]
    pub tls: SmtpTls,
    /// Who signs in; null: nobody.
    #[serde(default)]
    pub username: Option<String>,
    /// With what; never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub password: Option<SecretText>,
    /// Address of the sender.
    pub from: String,
    /// Name of the sender.
    #[serde(default)]
    pub from_name: Option<String>,
    /// Addresses of those who are told.
    #[schema(min_items = 1, max_items = 50)]
    pub to: Vec<String>,
}

const fn submission() -> u16 {
    587
}

/// JSON by POST, signed with HMAC-SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where to.
    pub url: String,
    /// The key of the signature, 16 bytes or more; never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub key: Option<SecretText>,
}

/// An incoming webhook of Slack, or of what takes the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Slack {
    /// Who knows it can write: never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub url: Option<SecretText>,
}

/// Any HTTP request: Teams, Telegram, PagerDuty, Matrix.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Where to; it often holds a token, so it is never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = Password)]
    pub url: Option<SecretText>,
    /// `POST`, `PUT` or `PATCH`.
    #[serde(default = "post")]
    pub method: String,
    /// Headers; their values are never shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub headers: BTreeMap<String, SecretText>,
    /// What the body is; values in it are escaped by it. With `application/json` each `{{ … }}` becomes a JSON value, quotes and all.
    #[serde(default = "json")]
    pub content_type: String,
    /// Template of the body of one notification.
    pub body: String,
    /// Template of the body of several, in `notifications`; null: each is told alone.
    #[serde(default)]
    pub digest_body: Option<String>,
    /// Values for templates, as `{{ secrets.name }}`; never shown.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>)]
    pub secrets: BTreeMap<String, SecretText>,
}

fn post() -> String {
    "POST".to_owned()
}

fn json() -> String {
    "application/json".to_owned()
}

/// What a channel of one kind is set to: the object of that kind, and no other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Of `email`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// Of `webhook`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Webhook>,
    /// Of `slack`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slack: Option<Slack>,
    /// Of `http`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<Http>,
}

impl Settings {
    /// The same without what is secret.
    #[must_use]
    pub fn public(&self) -> Self {
        let mut public = self.clone();
        public.each_secret(|_, secret| *secret = None);
        if let Some(http) = &mut public.http {
            http.headers.clear();
            http.secrets.clear();
        }
        public
    }

    /// What is secret.
    pub fn secrets(&self) -> Secrets {
        let mut secrets = BTreeMap::new();
        self.clone().each_secret(|name, secret| {
            if let Some(secret) = secret.take() {
                secrets.insert(name.to_owned(), secret);
            }
        });
        if let Some(http) = &self.http {
            let headers = http
                .headers
                .iter()
                .map(|(name, v)| (format!("headers/{name}"), v.clone()));
            let values = http
                .secrets
                .iter()
                .map(|(name, v)| (format!("secrets/{name}"), v.clone()));
            secrets.extend(headers.chain(values));
        }
        Secrets(secrets)
    }

    /// With the secrets that are stored.
    #[must_use]
    pub fn with(mut self, secrets: Secrets) -> Self {
        let mut secrets = secrets.0;
        self.each_secret(|name, secret| *secret = secrets.remove(name));
        if let Some(http) = &mut self.http {
            for (name, value) in secrets {
                if let Some(name) = name.strip_prefix("headers/") {
                    http.headers.insert(name.to_owned(), value);
                } else if let Some(name) = name.strip_prefix("secrets/") {
                    http.secrets.insert(name.to_owned(), value);
                }
            }
        }
        self
    }

    fn each_secret(&mut self, mut see: impl FnMut(&str, &mut Option<SecretText>)) {
        if let Some(email) = &mut self.email {
            see("password", &mut email.password);
        }
        if let Some(webhook) = &mut self.webhook {
            see("key", &mut webhook.key);
        }
        let slack = self.slack.as_mut().map(|slack| &mut slack.url);
        let http = self.http.as_mut().map(|http| &mut http.url);
        for url in slack.into_iter().chain(http) {
            see("url", url);
        }
    }

    /// Secrets that another server than before would get without whoever changes the channel knowing them, as pointers. The key of a
    /// webhook is none: it is sent to nobody.
    pub fn strays(&self, before: &Self) -> Vec<String> {
        let mut strays = Vec::new();
        if let (Some(now), Some(before)) = (&self.email, &before.email) {
            let in_clear = |email: &Email| email.tls == SmtpTls::None;
            let moved = now.host != before.host || in_clear(now) && !in_clear(before);
            if moved && now.password.is_some() && now.password == before.password {
                strays.push("/email/password".to_owned());
            }
        }
        if let (Some(now), Some(before)) = (&self.http, &before.http)
            && origin(now.url.as_ref()) != origin(before.url.as_ref())
        {
            let kept = |now: &BTreeMap<String, SecretText>,
                        before: &BTreeMap<String, SecretText>,
                        part: &str| {
                let same = now
                    .iter()
                    .filter(|(name, value)| before.get(*name) == Some(value));
                let pointers = same.map(|(name, _)| format!("/http/{part}/{name}"));
                pointers.collect::<Vec<_>>()
            };
            strays.extend(kept(&now.headers, &before.headers, "headers"));
            strays.extend(kept(&now.secrets, &before.secrets, "secrets"));
        }
        strays
    }

    /// Where it leads, for people.
    pub fn target(&self) -> String {
        let host = |url: &Option<SecretText>| {
            let url = url.as_ref().and_then(|url| Url::parse(url.expose()).ok());
            url.and_then(|url| url.host_str().map(str::to_owned))
                .unwrap_or_default()
        };
        if let Some(email) = &self.email {
            return email.to.join(", ");
        }
        if let Some(webhook) = &self.webhook {
            return webhook.url.clone();
        }
        let slack = self.slack.as_ref().map(|slack| host(&slack.url));
        slack
            .or_else(|| self.http.as_ref().map(|http| host(&http.url)))
            .unwrap_or_default()
    }

    /// Whether several can be told in one message.
    pub fn can_digest(&self) -> bool {
        self.http
            .as_ref()
            .is_none_or(|http| http.digest_body.is_some())
    }
}

/// Scheme, host and port of a URL.
fn origin(url: Option<&SecretText>) -> Option<url::Origin> {
    let url = Url::parse(url?.expose()).ok()?;
    Some(url.origin())
}

impl Email {
    /// How the server is spoken to, on its port.
    pub fn is_implicit(&self) -> bool {
        match self.tls {
            SmtpTls::Auto => self.port == 465,
            tls => tls == SmtpTls::Implicit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: serde_json::Value) -> Settings {
        serde_json::from_value(json).unwrap()
    }

    /// Who may change a channel does not get by that what others stored.
    #[test]
    fn a_secret_that_stays_may_not_go_to_another_server() {
        let email = |host: &str, tls: &str, password: &str| {
            of(
                serde_json::json!({ "email": { "host": host, "tls": tls, "username": "u", "password": password,
                "from": "a@example.net", "to": ["b@example.net"] } }),
            )
        };
        let before = email("smtp.example.net", "auto", "secret");
        assert_eq!(
            email("smtp.example.net", "auto", "secret").strays(&before),
            [""; 0]
        );
        for moved in [
            email("evil.example", "auto", "secret"),
            email("smtp.example.net", "none", "secret"),
        ] {
            assert_eq!(moved.strays(&before), ["/email/password"]);
        }
        assert_eq!(
            email("evil.example", "auto", "another").strays(&before),
            [""; 0]
        );
        let http = |url: &str, token: &str| {
            of(
                serde_json::json!({ "http": { "url": url, "headers": { "Authorization": token }, "secrets": { "key": "k" },
                "body": "x" } }),
            )
        };
        let before = http("https://example.net/a", "t");
        assert_eq!(http("https://example.net/b", "t").strays(&before), [""; 0]);
        assert_eq!(
            http("https://evil.example/a", "t").strays(&before),
            ["/http/headers/Authorization", "/http/secrets/key"]
        );
    }
}
