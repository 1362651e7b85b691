//! An e-mail as bytes: plain text and HTML of the same message.
//!
//! Every byte is ASCII and every line is short, so any server takes it as it is. The trap: a text that ends a header. Texts of
//! notices have no line ends, and here whatever is not plain ASCII is encoded on top.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};

use crate::channel::Email;
use crate::notice::Message;
use crate::render::text;

/// Bytes of text in one encoded word: with its frame it fits a line.
const WORD: usize = 45;
/// Characters of a line of base64.
const LINE: usize = 76;
/// Longest header that is written as it is.
const PLAIN: usize = 60;

/// The e-mail of a message. The same message has the same `Message-ID` at every attempt.
pub(super) fn compose(email: &Email, message: &Message, now: DateTime<Utc>) -> Vec<u8> {
    let id = message.id;
    let boundary = format!("mast-{}", id.simple());
    let from = match &email.from_name {
        Some(name) => format!("{} <{}>", encoded(name, true), email.from),
        None => format!("<{}>", email.from),
    };
    let to: Vec<String> = email.to.iter().map(|to| format!("<{to}>")).collect();
    let mut head = vec![
        ("From", from),
        ("To", to.join(",\r\n ")),
        ("Subject", encoded(&text::subject(message), false)),
        ("Date", now.to_rfc2822()),
        ("Message-ID", format!("<{id}@mast>")),
    ];
    if let [one] = message.notices.as_slice() {
        // What is told of one incident is one thread.
        head.push(("References", format!("<{}@mast>", one.incident)));
    }
    head.extend([
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("Mast-Delivery", id.to_string()),
    ]);
    if message.repeated {
        head.push(("Mast-Redelivery", "1".to_owned()));
    }
    head.extend([
        ("MIME-Version", "1.0".to_owned()),
        (
            "Content-Type",
            format!("multipart/alternative;\r\n boundary=\"{boundary}\""),
        ),
    ]);
    let mut bytes: String = head
        .into_iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    for (kind, body) in [
        ("plain", text::plain(message)),
        ("html", text::html(message)),
    ] {
        bytes.push_str(&format!(
            "\r\n--{boundary}\r\nContent-Type: text/{kind}; charset=utf-8\r\nContent-Transfer-Encoding: base64\r\n"
        ));
        let body = STANDARD.encode(body.replace('\n', "\r\n"));
        for line in body.as_bytes().chunks(LINE) {
            bytes.push_str("\r\n");
            bytes.extend(line.iter().map(|byte| char::from(*byte)));
        }
        bytes.push_str("\r\n");
    }
    bytes.push_str(&format!("\r\n--{boundary}--\r\n"));
    bytes.into_bytes()
}

/// A text of a header: as it is, where it is short and plain, else in encoded words (RFC 2047). A name of somebody is plain if it
/// is letters, digits and spaces: other signs mean something there.
fn encoded(text: &str, name: bool) -> String {
    let plain = |c: char| match name {
        true => c.is_ascii_alphanumeric() || c == ' ',
        false => c == ' ' || c.is_ascii_graphic(),
    };
    let is_plain = text.len() <= PLAIN
        && text.chars().all(plain)
        && !text.contains("=?")
        && text.trim() == text;
    if is_plain && !text.is_empty() {
        return text.to_owned();
    }
    let mut words: Vec<String> = vec![String::new()];
    for c in text.chars() {
        if let Some(last) = words
            .last_mut()
            .filter(|last| last.len() + c.len_utf8() <= WORD)
        {
            last.push(c);
        } else {
            words.push(c.to_string());
        }
    }
    let words = words
        .iter()
        .map(|word| format!("=?utf-8?B?{}?=", STANDARD.encode(word)));
    words.collect::<Vec<_>>().join("\r\n ")
}

#[cfg(test)]
mod tests {
    use mast_schemas::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::channel::SmtpTls;
    use crate::notice::Notice;

    fn composed(title: &str, from_name: &str) -> String {
        let mut notice = Notice::sample(true, Timestamp(0));
        notice.content.title = title.to_owned();
        let email = Email {
            host: "smtp.example.net".to_owned(),
            port: 587,
            tls: SmtpTls::Auto,
            username: None,
            password: None,
            from: "mast@example.net".to_owned(),
            from_name: Some(from_name.to_owned()),
            to: vec!["a@example.net".to_owned(), "b@example.net".to_owned()],
        };
        let message = Message {
            id: Uuid::from_u128(7),
            repeated: true,
            test: false,
            notices: vec![notice],
        };
        String::from_utf8(compose(&email, &message, DateTime::UNIX_EPOCH)).unwrap()
    }

    #[test]
    fn the_head_says_who_and_which() {
        let text = composed("Hill is down", "Mast NOC");
        for line in [
            "From: Mast NOC <mast@example.net>",
            "To: <a@example.net>,",
            " <b@example.net>",
            "Message-ID: <00000000-0000-0000-0000-000000000007@mast>",
            "References: <00000000-0000-0000-0000-000000000003@mast>",
            "Mast-Redelivery: 1",
            "Date: Thu, 1 Jan 1970 00:00:00 +0000",
        ] {
            assert!(text.lines().any(|l| l == line), "{line}: {text}");
        }
        assert!(
            composed("x", "a \"b\" <c>").contains("From: =?utf-8?B?"),
            "signs of a name are encoded"
        );
    }

    proptest! {
        #[test]
        fn no_text_breaks_out_of_its_header(title in "\\PC{0,200}|(.|\r|\n){0,100}", name in "(.|\r|\n){1,50}") {
            let plain = composed("x", "x");
            let text = composed(&title, &name);
            let heads = |text: &str| text.split("\r\n\r\n").next().unwrap().lines().filter(|l| !l.starts_with(' '))
                .map(|l| l.split(':').next().unwrap().to_owned()).collect::<Vec<_>>();
            prop_assert_eq!(heads(&text), heads(&plain));
            prop_assert!(text.is_ascii() && text.split("\r\n").all(|line| line.len() <= 100 && !line.contains(['\r', '\n'])));
        }
    }
}
