//! What is told, and in which message.

use std::time::SystemTime;

use chrono::{DateTime, SecondsFormat, Utc};
use mast_schemas::notifications::{NotificationContent, Occasion, Root, Severity};
use mast_schemas::{Timestamp, notifications::Named};
use uuid::Uuid;

/// Namespaces of ids that are made of others.
const DELIVERIES: Uuid = Uuid::from_u128(0x6b1c_6f4e_93a5_4d0e_8a17_2f5c_0d3e_9b41);
const DIGESTS: Uuid = Uuid::from_u128(0xd2f7_10b8_5c64_4f1b_9e02_71c8_a6b4_3d95);

/// Id of what a channel is told of a request.
pub fn delivery_id(request: Uuid, channel: Uuid) -> Uuid {
    let name = [*request.as_bytes(), *channel.as_bytes()].concat();
    Uuid::new_v5(&DELIVERIES, &name)
}

/// Id of the message that tells these deliveries, whatever their order.
pub fn digest_id(deliveries: impl IntoIterator<Item = Uuid>) -> Uuid {
    let mut ids: Vec<Uuid> = deliveries.into_iter().collect();
    ids.sort_unstable();
    let name: Vec<u8> = ids.iter().flat_map(|id| *id.as_bytes()).collect();
    Uuid::new_v5(&DIGESTS, &name)
}

/// Something that is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// The delivery.
    pub id: Uuid,
    /// The incident.
    pub incident: Uuid,
    /// What happens to it.
    pub occasion: Occasion,
    /// How bad it is.
    pub severity: Severity,
    /// When.
    pub happened_at: Timestamp,
    /// What there is to tell; clean, see [`Notice::new`].
    pub content: NotificationContent,
}

/// Longest text of a name or a title, in characters.
const TEXT_MAX: usize = 500;

impl Notice {
    /// Takes what a request says. Texts become one line each, of bounded length: names of devices come from devices, and a line
    /// end in one must not begin a header of an e-mail.
    pub fn new(
        id: Uuid,
        incident: Uuid,
        (occasion, severity): (Occasion, Severity),
        happened_at: Timestamp,
        content: NotificationContent,
    ) -> Self {
        let NotificationContent {
            title,
            cause,
            root,
            site,
            ..
        } = &content;
        let content = NotificationContent {
            title: line(title),
            cause: line(cause),
            root: Root {
                kind: line(&root.kind),
                id: line(&root.id),
                name: line(&root.name),
            },
            site: site.as_ref().map(|site| Named {
                id: site.id,
                name: line(&site.name),
            }),
            ..content
        };
        Self {
            id,
            incident,
            occasion,
            severity,
            happened_at,
            content,
        }
    }

    /// One that shows everything that there can be to tell. `full` is without what may be missing, if false.
    pub fn sample(full: bool, happened_at: Timestamp) -> Self {
        Self::sample_of((Occasion::Opened, Severity::Info), full, happened_at)
    }

    /// The same for what else may happen.
    pub fn sample_of(what: (Occasion, Severity), full: bool, happened_at: Timestamp) -> Self {
        let named = |n: u128, name: &str| Named {
            id: Uuid::from_u128(n),
            name: name.to_owned(),
        };
        let content = NotificationContent {
            title: "Test: site \"Hill\" & <north> is down".to_owned(),
            cause: "nothing happened: somebody tries a channel".to_owned(),
            root: Root {
                kind: "site".to_owned(),
                id: Uuid::from_u128(1).to_string(),
                name: "Hill".to_owned(),
            },
            site: full.then(|| named(1, "Hill")),
            devices_affected: full.then_some(12),
            clients_affected: full.then_some(0),
            opened_at: happened_at,
            resolved_at: full.then_some(happened_at),
        };
        Self::new(
            Uuid::from_u128(2),
            Uuid::from_u128(3),
            what,
            happened_at,
            content,
        )
    }
}

/// A text as one line: control characters become spaces.
fn line(text: &str) -> String {
    let is_end = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
    let plain: String = text
        .chars()
        .take(TEXT_MAX)
        .map(|c| if is_end(c) { ' ' } else { c })
        .collect();
    plain.trim().to_owned()
}

/// What is sent at once: one notice, or several as a digest.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// The delivery, or the digest: the same at every attempt.
    pub id: Uuid,
    /// Whether it may have been sent before: the process died and nobody knows.
    pub repeated: bool,
    /// Whether it is for trying a channel only.
    pub test: bool,
    /// At least one; oldest first.
    pub notices: Vec<Notice>,
}

impl Message {
    /// A message for trying a channel.
    pub fn test(id: Uuid, now: SystemTime) -> Self {
        let notice = Notice::sample(true, Timestamp::from_system(now));
        let notice = Notice { id, ..notice };
        Self {
            id,
            repeated: false,
            test: true,
            notices: vec![notice],
        }
    }

    /// The worst that it tells.
    pub fn worst(&self) -> Severity {
        self.notices
            .iter()
            .map(|notice| notice.severity)
            .max()
            .unwrap_or(Severity::Info)
    }
}

/// A time as all messages write it.
pub(crate) fn written(at: Timestamp) -> String {
    let time = DateTime::<Utc>::from_timestamp_micros(at.0).unwrap_or_default();
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_what_they_name_whatever_its_order() {
        let id = Uuid::from_u128;
        assert_eq!(delivery_id(id(1), id(2)), delivery_id(id(1), id(2)));
        assert_ne!(delivery_id(id(1), id(2)), delivery_id(id(2), id(1)));
        assert_eq!(digest_id([id(1), id(2)]), digest_id([id(2), id(1)]));
        assert_ne!(digest_id([id(1)]), digest_id([id(1), id(2)]));
        // What was sent once must keep its name in the next version too.
        assert_eq!(delivery_id(id(1), id(2)).get_version_num(), 5);
    }

    #[test]
    fn texts_are_one_line_each() {
        let mut content = Notice::sample(true, Timestamp(0)).content;
        content.title = "a\r\nBcc: x@example.net\u{2028}b\u{0}".to_owned();
        content.root.name = "n".repeat(1_000);
        let what = (Occasion::Opened, Severity::Info);
        let notice = Notice::new(Uuid::nil(), Uuid::nil(), what, Timestamp(0), content);
        assert_eq!(notice.content.title, "a  Bcc: x@example.net b");
        assert_eq!(notice.content.root.name.len(), TEXT_MAX);
    }
}
