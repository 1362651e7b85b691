//! Subjects, plain text, HTML and Slack's text.
//!
//! Traps avoided: 0 is a number and is written as 0, what is not known is written as not known. A name is text in every form: it
//! begins no tag, and mentions nobody in Slack.

use mast_schemas::notifications::Occasion;

use crate::notice::{Message, Notice, written};

/// A line that says what it is about.
pub fn subject(message: &Message) -> String {
    let what = match message.notices.as_slice() {
        [one] => format!("[{}] {}", mark(one), one.content.title),
        several => format!("[{}] {} notifications", message.worst(), several.len()),
    };
    let test = if message.test {
        "Mast test: "
    } else {
        "Mast: "
    };
    let repeated = if message.repeated {
        " (repeated: it may have come before)"
    } else {
        ""
    };
    format!("{test}{what}{repeated}")
}

/// What it is, in a word or two.
fn mark(notice: &Notice) -> String {
    match notice.occasion {
        Occasion::Opened => notice.severity.to_string(),
        Occasion::Escalated => format!("{}, worse than before", notice.severity),
        Occasion::Resolved => "resolved".to_owned(),
    }
}

/// Everything that there is to say of a notice, by name.
pub fn fields(notice: &Notice) -> Vec<(&'static str, String)> {
    let content = &notice.content;
    let count = |n: Option<u64>| n.map_or_else(|| "not known".to_owned(), |n| n.to_string());
    let site = content.site.as_ref().map_or("none", |site| &site.name);
    let mut fields = vec![
        ("What", content.title.clone()),
        ("State", mark(notice)),
        ("Why", content.cause.clone()),
        ("Severity", notice.severity.to_string()),
        ("Site", site.to_owned()),
        (
            "Root",
            format!("{} {}", content.root.kind, content.root.name),
        ),
        ("Devices affected", count(content.devices_affected)),
        ("Clients affected", count(content.clients_affected)),
        ("Began", written(content.opened_at)),
    ];
    fields.extend(content.resolved_at.map(|at| ("Ended", written(at))));
    fields.push(("Incident", notice.incident.to_string()));
    fields
}

/// Plain text.
pub fn plain(message: &Message) -> String {
    let mut text = String::new();
    for notice in &message.notices {
        for (name, value) in fields(notice) {
            text.push_str(&format!("{name:<17} {value}\n"));
        }
        text.push('\n');
    }
    text
}

/// The same as HTML.
pub fn html(message: &Message) -> String {
    let mut text = format!(
        "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"><title>{}</title></head><body>\n",
        escaped(&subject(message))
    );
    for notice in &message.notices {
        text.push_str("<table>\n");
        for (name, value) in fields(notice) {
            text.push_str(&format!(
                "<tr><th align=\"left\">{name}</th><td>{}</td></tr>\n",
                escaped(&value)
            ));
        }
        text.push_str("</table>\n<hr>\n");
    }
    text.push_str("</body></html>\n");
    text
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Text as Slack takes it: these three signs are all that mean something in it that a name could abuse.
pub fn slack(message: &Message) -> String {
    let escaped = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let mut text = escaped(&subject(message));
    for notice in &message.notices {
        text.push('\n');
        if message.notices.len() > 1 {
            text.push_str(&format!(
                "\n[{}] {}: {}",
                mark(notice),
                escaped(&notice.content.title),
                escaped(&notice.content.cause)
            ));
            continue;
        }
        for (name, value) in fields(notice).into_iter().skip(2) {
            text.push_str(&format!("\n{name}: {}", escaped(&value)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use mast_schemas::Timestamp;
    use mast_schemas::notifications::Severity;
    use uuid::Uuid;

    use super::*;

    fn message(notices: Vec<Notice>) -> Message {
        Message {
            id: Uuid::nil(),
            repeated: false,
            test: false,
            notices,
        }
    }

    fn notice() -> Notice {
        let mut notice = Notice::sample(true, Timestamp::from_secs(1_700_000_000));
        notice.severity = Severity::Critical;
        notice.content.title = "<script>&\"x\"</script> <!channel>".to_owned();
        notice
    }

    #[test]
    fn a_message_says_everything_and_zero_is_zero() {
        let text = plain(&message(vec![notice()]));
        for line in [
            "Devices affected  12",
            "Clients affected  0",
            "Site              Hill",
            "Root              site Hill",
            "Began             2023-11-14T22:13:20Z",
            "Ended             2023-11-14T22:13:20Z",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        let sparse = plain(&message(vec![Notice::sample(false, Timestamp(0))]));
        assert!(
            sparse.contains("Clients affected  not known") && !sparse.contains("Ended"),
            "{sparse}"
        );
    }

    #[test]
    fn names_are_text_in_html_and_in_slack() {
        let message = message(vec![notice()]);
        let html = html(&message);
        assert!(
            !html.contains("<script>") && html.contains("&lt;script&gt;&amp;&quot;x&quot;"),
            "{html}"
        );
        let slack = slack(&message);
        assert!(
            !slack.contains('<') && slack.contains("&lt;!channel&gt;"),
            "{slack}"
        );
    }

    #[test]
    fn subjects_say_what_it_is() {
        let mut resolved = notice();
        resolved.occasion = Occasion::Resolved;
        resolved.content.title = "Hill is down".to_owned();
        let mut one = message(vec![resolved.clone()]);
        assert_eq!(subject(&one), "Mast: [resolved] Hill is down");
        one.repeated = true;
        assert!(subject(&one).ends_with("(repeated: it may have come before)"));
        assert_eq!(
            subject(&message(vec![resolved.clone(), notice(), resolved])),
            "Mast: [critical] 3 notifications"
        );
    }
}
