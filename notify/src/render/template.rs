//! Templates that tenants write: a small part of Jinja, in a sandbox.
//!
//! A template sees the message and the channel's own values, and nothing else: no files, no other templates, no functions. The
//! traps: names come from devices, so each value is escaped by the form of the body, without the writer's care; and a
//! few lines of a template can ask for more memory than there is (`"x" * 100000000`, a text doubled forty times), so what
//! multiplies or keeps texts is refused, steps are counted and the output is bounded. What is not there is an error, not an
//! empty text, and it is found when the template is written: see [`try_out`].

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use mast_schemas::Timestamp;
use mast_schemas::notifications::{Occasion, Severity};
use minijinja::{AutoEscape, Environment, ErrorKind, Output, State, UndefinedBehavior, Value};
use uuid::Uuid;

use super::json;
use crate::notice::{Message, Notice};
use crate::plan::DIGEST_MOST;
use crate::secret::SecretText;

/// Steps of one rendering.
const FUEL: u64 = 100_000;
/// Bytes of its output.
const OUTPUT_MAX: usize = 256 << 10;
/// Blocks that can be used.
const BLOCKS: &[&str] = &["if", "elif", "else", "endif", "for", "endfor"];

/// What a body is, by which its values are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Each value becomes a JSON value, quotes and all.
    Json,
    /// `&`, `<`, `>` and quotes are escaped.
    Markup,
    /// Percent-encoded.
    UrlEncoded,
    /// As it is.
    Text,
}

impl Form {
    /// By the content type.
    pub fn of(content_type: &str) -> Self {
        let essence = content_type.split(';').next().unwrap_or_default();
        let essence = essence.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/x-www-form-urlencoded" => Self::UrlEncoded,
            e if e.ends_with("/json") || e.ends_with("+json") => Self::Json,
            e if ["/html", "/xml", "+xml"].iter().any(|end| e.ends_with(end)) => Self::Markup,
            _ => Self::Text,
        }
    }
}

/// Why a template gives nothing.
#[derive(Debug, thiserror::Error)]
pub enum TemplateError {
    /// A part of the language that can't be used here.
    #[error("{0} can't be used in a template of a channel: `if`, `for` and values can")]
    Closed(String),
    /// It does not parse, or asks for what is not there.
    #[error("{0}")]
    Jinja(#[from] minijinja::Error),
    /// The message can't be shown to it.
    #[error("the message can't be shown to a template: {0}")]
    Context(serde_json::Error),
    /// It gives no JSON.
    #[error(
        "with {sample} it gives no JSON ({error}); write `{{{{ title }}}}` without quotes around it"
    )]
    NoJson {
        /// With which sample.
        sample: &'static str,
        /// What is wrong.
        error: serde_json::Error,
    },
}

/// Renders a body.
///
/// # Errors
/// What is wrong with the template.
pub fn render(
    text: &str,
    form: Form,
    message: &Message,
    secrets: &BTreeMap<String, SecretText>,
) -> Result<String, TemplateError> {
    check(text)?;
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(20);
    environment.set_auto_escape_callback(move |_| match form {
        Form::Json => AutoEscape::Json,
        Form::Markup => AutoEscape::Html,
        Form::UrlEncoded => AutoEscape::Custom("form".into()),
        Form::Text => AutoEscape::None,
    });
    environment.set_formatter(escape);
    environment.add_filter("upper", |text: String| text.to_uppercase());
    environment.add_filter("lower", |text: String| text.to_lowercase());
    environment.add_filter("first", |text: String, n: usize| {
        text.chars().take(n).collect::<String>()
    });
    environment.add_filter("json", |value: Value| {
        serde_json::to_string(&value)
            .map_err(|_| minijinja::Error::from(ErrorKind::BadSerialization))
    });
    let template = environment.template_from_named_str("template", text)?;
    let mut context = json::context(message);
    let secrets = secrets
        .iter()
        .map(|(name, value)| (name.clone(), value.expose().into()));
    context["secrets"] = serde_json::Value::Object(secrets.collect());
    let mut output = Bounded(Vec::new());
    let context: Value = serde_json::from_value(context).map_err(TemplateError::Context)?;
    template.render_captured_to(context, &mut output)?;
    Ok(String::from_utf8_lossy(&output.0).into_owned())
}

/// Renders it with messages that hold everything, and as little as there can be.
///
/// # Errors
/// What is wrong with the template.
pub fn try_out(
    text: &str,
    form: Form,
    secrets: &BTreeMap<String, SecretText>,
    digest: bool,
) -> Result<(), TemplateError> {
    // What a branch says of an end is found when the template is written, not at the end of the first incident.
    let all = Occasion::ALL.iter().flat_map(|occasion| {
        let severities = Severity::ALL.iter();
        severities.map(move |severity| (*occasion, *severity))
    });
    let samples = [(true, "all there can be"), (false, "no site and no counts")];
    for (what, (full, sample)) in all.flat_map(|what| samples.map(|sample| (what, sample))) {
        let notice = Notice::sample_of(what, full, Timestamp::from_secs(1_700_000_000));
        let notices = vec![notice; if digest { DIGEST_MOST } else { 1 }];
        let message = Message {
            id: Uuid::from_u128(9),
            repeated: false,
            test: true,
            notices,
        };
        let body = render(text, form, &message, secrets)?;
        if form == Form::Json {
            serde_json::from_str::<serde::de::IgnoredAny>(&body)
                .map_err(|error| TemplateError::NoJson { sample, error })?;
        }
    }
    Ok(())
}

fn escape(
    out: &mut Output<'_>,
    state: &mut State<'_, '_>,
    value: &Value,
) -> Result<(), minijinja::Error> {
    if *state.auto_escape() != AutoEscape::Custom("form".into()) {
        return minijinja::escape_formatter(out, state, value);
    }
    if value.is_undefined() {
        return Err(ErrorKind::UndefinedError.into());
    }
    for byte in value.to_string().bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        if plain {
            out.write_char(byte.into())?;
        } else {
            write!(out, "%{byte:02X}")?;
        }
    }
    Ok(())
}

/// An output that has an end.
struct Bounded(Vec<u8>);

impl io::Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > OUTPUT_MAX {
            return Err(io::Error::other("the body would be too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Refuses what keeps or multiplies texts.
fn check(text: &str) -> Result<(), TemplateError> {
    let mut rest = text;
    while let Some(begin) = rest.find('{') {
        let tag = &rest[begin..];
        let end = match tag.as_bytes().get(1) {
            Some(b'{') => "}}",
            Some(b'%') => "%}",
            Some(b'#') => {
                rest = tag.split_once("#}").map_or("", |(_, rest)| rest);
                continue;
            }
            _ => {
                rest = &tag[1..];
                continue;
            }
        };
        let inner = &tag[2..];
        let length = code(inner, end)?;
        if end == "%}" {
            let words = inner[..length].trim_start_matches(['-', '+']).trim_start();
            let word: String = words
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if !BLOCKS.contains(&word.as_str()) {
                return Err(TemplateError::Closed(format!("`{{% {word} %}}`")));
            }
        }
        rest = inner.get(length + 2..).unwrap_or_default();
    }
    Ok(())
}

/// Length of the code up to its end, outside of quotes; all of it where there is none, which does not parse later.
fn code(inner: &str, end: &str) -> Result<usize, TemplateError> {
    let (mut quote, mut escaped) = (None, false);
    for (at, c) in inner.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if c == '\\' => escaped = true,
            Some(q) if c == q => quote = None,
            Some(_) => {}
            None if inner[at..].starts_with(end) => return Ok(at),
            None if matches!(c, '"' | '\'') => quote = Some(c),
            None if c == '*' => return Err(TemplateError::Closed("`*`".to_owned())),
            None => {}
        }
    }
    Ok(inner.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(title: &str) -> Message {
        let mut notice = Notice::sample(true, Timestamp(0));
        notice.content.title = title.to_owned();
        Message {
            id: Uuid::nil(),
            repeated: false,
            test: false,
            notices: vec![notice],
        }
    }

    fn rendered(text: &str, form: Form, title: &str) -> Result<String, TemplateError> {
        let secrets = BTreeMap::from([("key".to_owned(), SecretText::new("s"))]);
        render(text, form, &message(title), &secrets)
    }

    #[test]
    fn values_are_escaped_by_the_form_of_the_body() {
        let title = "a\"b\n<c>&d=é";
        for (form, text, body) in [
            (
                Form::Json,
                "{\"t\": {{ title }}, \"n\": {{ clients_affected }}}",
                r#"{"t": "a\"b\n<c>&d=é", "n": 0}"#,
            ),
            (
                Form::Json,
                "[{{ title ~ \": \" ~ secrets.key }}]",
                r#"["a\"b\n<c>&d=é: s"]"#,
            ),
            (
                Form::Markup,
                "<b>{{ title }}</b>",
                "<b>a&quot;b\n&lt;c&gt;&amp;d=é</b>",
            ),
            (
                Form::UrlEncoded,
                "text={{ title }}&n={{ clients_affected }}",
                "text=a%22b%0A%3Cc%3E%26d%3D%C3%A9&n=0",
            ),
            (Form::Text, "{{ title|upper }}", "A\"B\n<C>&D=É"),
            (
                Form::Text,
                "{{ title|json }}{% if site %} at {{ site.name }}{% endif %}",
                "\"a\\\"b\\n<c>&d=é\" at Hill",
            ),
            (
                Form::Text,
                "{# '*' {% set %} #}{{ \"*}}\" }}{ * }",
                "*}}{ * }",
            ),
        ] {
            let given = rendered(text, form, title).unwrap();
            match form {
                Form::Json => {
                    let [given, body] = [given, body.to_owned()]
                        .map(|t| serde_json::from_str::<serde_json::Value>(&t).unwrap());
                    assert_eq!(given, body);
                }
                _ => assert_eq!(given, body, "{text}"),
            }
        }
    }

    #[test]
    fn what_is_not_there_is_an_error() {
        for text in [
            "{{ titel }}",
            "{{ site.nam }}",
            "{{ secrets.none }}",
            "{{ title|shout }}",
            "{{ f() }}",
            "{% if %}",
            "{{ title",
            "{{ title.__class__.x }}",
        ] {
            for form in [Form::Text, Form::Json, Form::UrlEncoded] {
                assert!(rendered(text, form, "x").is_err(), "{text} {form:?}");
            }
        }
    }

    #[test]
    fn no_template_takes_more_than_its_share() {
        let many = "{% for a in notifications %}x{% endfor %}";
        let deep = format!(
            "{}x{}",
            "{% for a in text|json %}".repeat(30),
            "{% endfor %}".repeat(30)
        );
        for text in [
            "{{ \"x\" * 100000000 }}",
            "{% if \"x\" * 99999999 %}{% endif %}",
            "{% set a = title %}",
            "{%- set a = title -%}",
            "{%+ set a = title %}",
            "{% macro m() %}{% endmacro %}",
            "{% include \"/etc/passwd\" %}",
            "{% extends \"x\" %}",
            "{% import \"x\" as y %}",
            "{% filter upper %}{% endfilter %}",
            "{% with a = 1 %}{% endwith %}",
            "{% raw %}{% endraw %}",
            "{% autoescape false %}{% endautoescape %}",
            "{% block x %}{% endblock %}",
            "{{ range(100000) }}",
            &deep,
        ] {
            assert!(rendered(text, Form::Text, "x").is_err(), "{text}");
        }
        assert!(
            rendered(many, Form::Text, "x").is_err(),
            "one notice has no list"
        );
        let notices = vec![Notice::sample(true, Timestamp(0)); 100];
        let digest = Message {
            notices,
            ..message("x")
        };
        let nested = |depth: usize| {
            format!(
                "{}{{{{ text }}}}{}",
                "{% for a in notifications %}".repeat(depth),
                "{% endfor %}".repeat(depth)
            )
        };
        let error = render(&nested(1), Form::Text, &digest, &BTreeMap::new());
        assert!(error.is_err(), "too long");
        let many = nested(4).replace("{{ text }}", "");
        assert!(
            render(&many, Form::Text, &digest, &BTreeMap::new()).is_err(),
            "too many steps"
        );
    }

    #[test]
    fn a_template_is_tried_with_all_and_with_little() {
        let none = BTreeMap::new();
        assert!(try_out("{{ title }}", Form::Json, &none, false).is_ok());
        assert!(
            try_out("{{ site.name }}", Form::Json, &none, false).is_err(),
            "there may be no site"
        );
        assert!(
            try_out(
                "{{ site.name if site else \"none\" }}",
                Form::Json,
                &none,
                false
            )
            .is_ok()
        );
        let quoted = try_out("\"{{ title }}\"", Form::Json, &none, false)
            .unwrap_err()
            .to_string();
        assert!(quoted.contains("without quotes"), "{quoted}");
        let list = "[{% for n in notifications %}{{ n.title }}{% if not loop.last %},{% endif %}{% endfor %}]";
        assert!(try_out(list, Form::Json, &none, true).is_ok());
        assert!(try_out(list, Form::Json, &none, false).is_err());
    }

    #[test]
    fn forms_are_known_by_their_type() {
        for (kind, form) in [
            ("application/json", Form::Json),
            ("Application/JSON; charset=utf-8", Form::Json),
            ("application/cloudevents+json", Form::Json),
            ("text/html", Form::Markup),
            ("application/soap+xml", Form::Markup),
            ("application/x-www-form-urlencoded", Form::UrlEncoded),
            ("text/plain", Form::Text),
            ("", Form::Text),
        ] {
            assert_eq!(Form::of(kind), form, "{kind}");
        }
    }
}
