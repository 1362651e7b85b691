//! What is wrong with settings of a channel: everything at once, each thing at its place.

use hyper::header::{HeaderName, HeaderValue};
use mast_schemas::notifications::ChannelKind;
use url::{Host, Url};

use super::{Email, Http, Settings, Webhook};
use crate::guard::Guard;
use crate::render::template::{self, Form};
use crate::secret::SecretText;

/// What is wrong with settings: where, as a JSON pointer, and what would be right.
pub type Fault = (String, String);

/// Longest texts, in bytes.
const HOST_MAX: usize = 253;
const URL_MAX: usize = 2_000;
const SECRET_MAX: usize = 2_000;
const NAME_MAX: usize = 100;
const TEMPLATE_MAX: usize = 10_000;
const ADDRESS_MAX: usize = 254;
/// Most addresses, headers and values.
const TO_MAX: usize = 50;
const PARTS_MAX: usize = 20;
/// Least bytes of a key of signatures.
const KEY_MIN: usize = 16;

impl Settings {
    /// Everything that is wrong with it, as settings of a channel of this kind.
    pub fn faults(&self, kind: ChannelKind, guard: &Guard) -> Vec<Fault> {
        let mut faults = Faults(Vec::new());
        for (named, given) in [
            (ChannelKind::Email, self.email.is_some()),
            (ChannelKind::Webhook, self.webhook.is_some()),
            (ChannelKind::Slack, self.slack.is_some()),
            (ChannelKind::Http, self.http.is_some()),
        ] {
            let what = if named == kind {
                "must be given"
            } else {
                "must be null: the kind is another"
            };
            faults.must(given == (named == kind), &format!("/{named}"), what);
        }
        match kind {
            ChannelKind::Email => self
                .email
                .iter()
                .for_each(|email| email.faults(guard, &mut faults)),
            ChannelKind::Webhook => self
                .webhook
                .iter()
                .for_each(|webhook| webhook.faults(guard, &mut faults)),
            ChannelKind::Slack => {
                let slack = self.slack.iter();
                slack.for_each(|slack| faults.secret_url("/slack/url", slack.url.as_ref(), guard));
            }
            ChannelKind::Http => self
                .http
                .iter()
                .for_each(|http| http.faults(guard, &mut faults)),
        }
        faults.0
    }
}

impl Email {
    fn faults(&self, guard: &Guard, faults: &mut Faults) {
        let host = Host::parse(&self.host).or_else(|_| Host::parse(&format!("[{}]", self.host)));
        let fits = (1..=HOST_MAX).contains(&self.host.len()) && host.is_ok();
        faults.must(
            fits,
            "/email/host",
            "must be a host name or an IP address alone",
        );
        if let Ok(host) = host {
            faults.reachable("/email/host", &host, guard);
        }
        faults.must(self.port > 0, "/email/port", "must be 1 to 65535");
        let named = self
            .username
            .as_ref()
            .is_none_or(|name| (1..=NAME_MAX * 2).contains(&name.len()));
        faults.must(
            named,
            "/email/username",
            "must be null or have 1 to 200 bytes",
        );
        let together = self.username.is_some() == self.password.is_some();
        faults.must(
            together,
            "/email/password",
            "must be given with username, and not without",
        );
        faults.secret("/email/password", self.password.as_ref());
        faults.must(is_address(&self.from), "/email/from", ADDRESS);
        let name = self.from_name.as_ref();
        let clean = name.is_none_or(|name| {
            (1..=NAME_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
        });
        faults.must(
            clean,
            "/email/from_name",
            "must be null or have 1 to 100 bytes, none a control character",
        );
        let some = (1..=TO_MAX).contains(&self.to.len());
        faults.must(some, "/email/to", "must name 1 to 50 addresses");
        for (n, address) in self.to.iter().enumerate() {
            faults.must(is_address(address), &format!("/email/to/{n}"), ADDRESS);
            let again = self.to[..n]
                .iter()
                .any(|before| before.eq_ignore_ascii_case(address));
            faults.must(!again, &format!("/email/to/{n}"), "is named twice");
        }
    }
}

const ADDRESS: &str = "must be an e-mail address alone, such as noc@example.net";

/// Whether it is an address, and nothing that could end a line or begin another header.
fn is_address(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let of_atoms = |part: &str| {
        let atom = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        !part.is_empty() && part.chars().all(atom)
    };
    let is_domain = matches!(Host::parse(domain), Ok(Host::Domain(parsed)) if parsed.eq_ignore_ascii_case(domain));
    text.len() <= ADDRESS_MAX && local.len() <= 64 && local.split('.').all(of_atoms) && is_domain
}

impl Webhook {
    fn faults(&self, guard: &Guard, faults: &mut Faults) {
        faults.url("/webhook/url", &self.url, guard);
        let long = self
            .key
            .as_ref()
            .is_some_and(|key| key.expose().len() >= KEY_MIN);
        faults.must(long, "/webhook/key", "must be given, with 16 bytes or more");
        faults.secret("/webhook/key", self.key.as_ref());
    }
}

/// Headers that are not a channel's to set.
const RESERVED: &[&str] = &[
    "host",
    "content-length",
    "content-type",
    "transfer-encoding",
    "connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "keep-alive",
    "proxy-connection",
];

/// Whether a header may be set by a channel.
fn is_free(name: &HeaderName) -> bool {
    !RESERVED.contains(&name.as_str()) && !name.as_str().starts_with("mast-")
}

impl Http {
    fn faults(&self, guard: &Guard, faults: &mut Faults) {
        faults.secret_url("/http/url", self.url.as_ref(), guard);
        let known = ["POST", "PUT", "PATCH"].contains(&self.method.as_str());
        faults.must(known, "/http/method", "must be POST, PUT or PATCH");
        let few = self.headers.len() <= PARTS_MAX && self.secrets.len() <= PARTS_MAX;
        faults.must(few, "/http", "must have at most 20 headers and 20 secrets");
        let mut seen = Vec::new();
        for (name, value) in &self.headers {
            let pointer = format!(
                "/http/headers/{}",
                name.replace('~', "~0").replace('/', "~1")
            );
            match name.parse::<HeaderName>() {
                Ok(header) if is_free(&header) && !seen.contains(&header) => seen.push(header),
                Ok(_) => faults.must(false, &pointer, "is set by Mast, or named twice"),
                Err(_) => faults.must(false, &pointer, "is no name of a header"),
            }
            let good = HeaderValue::from_str(value.expose()).is_ok();
            faults.must(good, &pointer, "must be text without line ends");
            faults.secret(&pointer, Some(value));
        }
        for (name, value) in &self.secrets {
            let word = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            let word = word && (1..=NAME_MAX).contains(&name.len());
            let pointer = format!(
                "/http/secrets/{}",
                name.replace('~', "~0").replace('/', "~1")
            );
            faults.must(word, &pointer, "must be named by letters, digits and _");
            faults.secret(&pointer, Some(value));
        }
        let good = self.content_type.len() <= NAME_MAX
            && HeaderValue::from_str(&self.content_type).is_ok();
        faults.must(
            good,
            "/http/content_type",
            "must be a media type, such as application/json",
        );
        let form = Form::of(&self.content_type);
        for (pointer, text, digest) in [
            ("/http/body", Some(&self.body), false),
            ("/http/digest_body", self.digest_body.as_ref(), true),
        ] {
            let Some(text) = text else { continue };
            let short = text.len() <= TEMPLATE_MAX;
            faults.must(short, pointer, "must have at most 10000 bytes");
            if let (true, Err(error)) =
                (short, template::try_out(text, form, &self.secrets, digest))
            {
                faults.must(false, pointer, error.to_string());
            }
        }
    }
}

struct Faults(Vec<Fault>);

impl Faults {
    fn must(&mut self, holds: bool, pointer: &str, what: impl Into<String>) {
        if !holds {
            self.0.push((pointer.to_owned(), what.into()));
        }
    }

    fn secret(&mut self, pointer: &str, secret: Option<&SecretText>) {
        let fits = secret.is_none_or(|secret| (1..=SECRET_MAX).contains(&secret.expose().len()));
        self.must(fits, pointer, "must have 1 to 2000 bytes");
    }

    fn secret_url(&mut self, pointer: &str, url: Option<&SecretText>, guard: &Guard) {
        match url {
            Some(url) => self.url(pointer, url.expose(), guard),
            None => self.must(false, pointer, "must be given"),
        }
    }

    fn url(&mut self, pointer: &str, text: &str, guard: &Guard) {
        let url = Url::parse(text).ok().filter(|_| text.len() <= URL_MAX);
        let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
        let Some(url) = url else {
            return self.must(
                false,
                pointer,
                "must be a URL that begins with https:// or http://",
            );
        };
        let plain = url.username().is_empty() && url.password().is_none();
        self.must(plain, pointer, "must hold no user and password");
        if let Some(host) = url.host() {
            self.reachable(pointer, &host.to_owned(), guard);
        }
    }

    /// Names are looked up when they are connected to; an address is known now.
    fn reachable(&mut self, pointer: &str, host: &Host<String>, guard: &Guard) {
        let address = match host {
            Host::Ipv4(address) => (*address).into(),
            Host::Ipv6(address) => (*address).into(),
            Host::Domain(_) => return,
        };
        if let Err(closed) = guard.check(address) {
            self.must(false, pointer, closed.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn settings(value: Value) -> Settings {
        serde_json::from_value(value).unwrap()
    }

    fn pointers(kind: ChannelKind, value: Value) -> Vec<String> {
        let faults = settings(value).faults(kind, &Guard::default());
        faults.into_iter().map(|(pointer, _)| pointer).collect()
    }

    fn all() -> Settings {
        settings(json!({
            "email": { "host": "smtp.example.net", "username": "u", "password": "hunter2", "from": "mast@example.net", "to": ["a@example.net"] },
            "webhook": { "url": "https://example.net/hook", "key": "0123456789abcdef" },
            "slack": { "url": "https://hooks.example.net/T0/secret" },
        }))
    }

    #[test]
    fn secrets_part_from_the_rest_and_come_back() {
        for settings in [
            all(),
            settings(json!({ "http": {
                "url": "https://example.net/secret", "headers": { "Authorization": "Bearer secret" }, "secrets": { "key": "secret" },
                "body": "{\"k\": {{ secrets.key }}}",
            } })),
        ] {
            let public = serde_json::to_string(&settings.public()).unwrap();
            for word in ["hunter2", "0123456789abcdef", "/secret", "Bearer", "T0"] {
                assert!(!public.contains(word), "{word}: {public}");
            }
            assert_eq!(settings.public().with(settings.secrets()), settings);
            assert!(!settings.secrets().names().is_empty());
        }
    }

    #[test]
    fn a_channel_has_the_settings_of_its_kind_and_no_other() {
        assert_eq!(pointers(ChannelKind::Email, json!({})), ["/email"]);
        let faults = all().faults(ChannelKind::Email, &Guard::default());
        let pointers: Vec<_> = faults.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/webhook", "/slack"]);
    }

    #[test]
    fn what_is_wrong_with_e_mail_is_named() {
        let with = |more: Value| {
            let mut email = json!({ "host": "smtp.example.net", "from": "mast@example.net", "to": ["a@example.net"] });
            email
                .as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            pointers(ChannelKind::Email, json!({ "email": email }))
        };
        assert_eq!(with(json!({})), [""; 0]);
        for (more, pointer) in [
            (json!({ "host": "a b" }), "/email/host"),
            (json!({ "host": "127.0.0.1" }), "/email/host"),
            (json!({ "host": "::1" }), "/email/host"),
            (json!({ "host": "2130706433" }), "/email/host"),
            (json!({ "host": "" }), "/email/host"),
            (json!({ "port": 0 }), "/email/port"),
            (json!({ "username": "u" }), "/email/password"),
            (json!({ "password": "p" }), "/email/password"),
            (json!({ "from": "nobody" }), "/email/from"),
            (json!({ "from": "a@b.net\r\nBcc: c@d.net" }), "/email/from"),
            (
                json!({ "from_name": "a\r\nBcc: c@d.net" }),
                "/email/from_name",
            ),
            (json!({ "to": [] }), "/email/to"),
            (json!({ "to": ["a@b.net", "A@b.net"] }), "/email/to/1"),
            (
                json!({ "to": ["a@b.net>\r\nRCPT TO:<c@d.net"] }),
                "/email/to/0",
            ),
        ] {
            assert_eq!(with(more.clone()), [pointer], "{more}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_url_is_named() {
        let with = |url: &str| pointers(ChannelKind::Slack, json!({ "slack": { "url": url } }));
        for good in [
            "https://hooks.example.net/x",
            "http://example.net:8080/",
            "https://8.8.8.8/",
        ] {
            assert_eq!(with(good), [""; 0], "{good}");
        }
        for bad in [
            "",
            "example.net",
            "ftp://example.net",
            "file:///etc/passwd",
            "https://u:p@example.net/",
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::ffff:127.0.0.1]/",
            "http://169.254.169.254/latest",
            "gopher://x",
        ] {
            assert_eq!(with(bad), ["/slack/url"], "{bad}");
        }
        assert_eq!(
            pointers(ChannelKind::Slack, json!({ "slack": {} })),
            ["/slack/url"]
        );
        let short = json!({ "webhook": { "url": "https://example.net/", "key": "short" } });
        assert_eq!(pointers(ChannelKind::Webhook, short), ["/webhook/key"]);
    }

    #[test]
    fn what_is_wrong_with_a_template_is_named() {
        let with = |more: Value| {
            let mut http =
                json!({ "url": "https://example.net/", "body": "{\"text\": {{ title }}}" });
            http.as_object_mut()
                .unwrap()
                .extend(more.as_object().unwrap().clone());
            pointers(ChannelKind::Http, json!({ "http": http }))
        };
        assert_eq!(with(json!({})), [""; 0]);
        for (more, pointer) in [
            (json!({ "method": "GET" }), "/http/method"),
            (json!({ "headers": { "host": "x" } }), "/http/headers/host"),
            (
                json!({ "headers": { "Mast-Delivery": "x" } }),
                "/http/headers/Mast-Delivery",
            ),
            (json!({ "headers": { "a b": "x" } }), "/http/headers/a b"),
            (
                json!({ "headers": { "a": "x\r\nb: y" } }),
                "/http/headers/a",
            ),
            (
                json!({ "headers": { "a": "x", "A": "y" } }),
                "/http/headers/a",
            ),
            (json!({ "secrets": { "a-b": "x" } }), "/http/secrets/a-b"),
            (json!({ "content_type": "a\nb" }), "/http/content_type"),
            (json!({ "body": "{{ titel }}" }), "/http/body"),
            (
                json!({ "body": "{\"text\": \"{{ title }}\"}" }),
                "/http/body",
            ),
            (json!({ "body": "{{ secrets.none }}" }), "/http/body"),
            (json!({ "digest_body": "{{ title }}" }), "/http/digest_body"),
        ] {
            assert_eq!(with(more.clone()), [pointer], "{more}");
        }
    }
}
