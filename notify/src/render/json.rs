//! Messages as JSON: what a webhook gets, and what templates see.

use serde_json::{Value, json};

use super::text;
use crate::notice::{Message, Notice, written};

/// A notice; its names stay as they are from version to version.
fn notice(notice: &Notice) -> Value {
    let content = &notice.content;
    json!({
        "id": notice.id,
        "incident_id": notice.incident,
        "kind": notice.occasion,
        "severity": notice.severity,
        "happened_at": written(notice.happened_at),
        "title": content.title,
        "cause": content.cause,
        "root": content.root,
        "site": content.site,
        "devices_affected": content.devices_affected,
        "clients_affected": content.clients_affected,
        "opened_at": written(content.opened_at),
        "resolved_at": content.resolved_at.map(written),
    })
}

/// The body of a webhook.
pub fn webhook(message: &Message) -> Value {
    json!({
        "id": message.id,
        "test": message.test,
        "repeated": message.repeated,
        "digest": message.notices.len() > 1,
        "notifications": message.notices.iter().map(notice).collect::<Vec<_>>(),
    })
}

/// What templates see: of one notice its fields, of several `notifications`.
pub fn context(message: &Message) -> Value {
    let mut context = match message.notices.as_slice() {
        [one] => notice(one),
        several => json!({ "notifications": several.iter().map(notice).collect::<Vec<_>>() }),
    };
    context["id"] = json!(message.id);
    context["severity"] = json!(message.worst());
    context["test"] = json!(message.test);
    context["repeated"] = json!(message.repeated);
    context["subject"] = json!(text::subject(message));
    context["text"] = json!(text::plain(message));
    context
}
