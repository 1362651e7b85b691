//! A command to a router, kept in wire form so that a plan can send it again without encoding it anew.
//!
//! The tag is not part of it: the session gives one at each sending.

use crate::codec::{put_parts, put_word};
use std::fmt;
use zeroize::Zeroize;

/// A command: path, attributes, property list, queries.
///
/// ```
/// use routeros_api::Command;
/// let command = Command::new("/interface/print")
///     .proplist(["name", "type", "running"])
///     .query_equals("type", "wlan")
///     .query_equals("type", "wifi")
///     .query_operations("|");
/// assert_eq!(command.path(), "/interface/print");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    path: String,
    wire: Vec<u8>,
}

impl Command {
    /// A command such as `/interface/print`. An empty path would be no command: it becomes `/`, which
    /// the router answers with a trap.
    #[must_use]
    pub fn new(path: impl Into<String>) -> Self {
        let mut path = path.into();
        if path.is_empty() {
            path.push('/');
        }
        let mut wire = Vec::with_capacity(64);
        put_word(&mut wire, path.as_bytes());
        Self { path, wire }
    }

    /// The path it was made with.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Adds `=name=value`. The value may hold any bytes; the name must not hold `=`.
    #[must_use]
    pub fn attribute(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"=", name.as_ref(), b"=", value.as_ref()])
    }

    /// Adds `=.proplist=` with the properties to return. Without it routers compute slow ones too.
    #[must_use]
    pub fn proplist<I>(self, names: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<str>,
    {
        let mut list = String::new();
        for name in names {
            if !list.is_empty() {
                list.push(',');
            }
            list.push_str(name.as_ref());
        }
        self.attribute(".proplist", list)
    }

    /// Query: the property has this value.
    #[must_use]
    pub fn query_equals(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"?=", name.as_ref(), b"=", value.as_ref()])
    }

    /// Query: the property is less than the value.
    #[must_use]
    pub fn query_less(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"?<", name.as_ref(), b"=", value.as_ref()])
    }

    /// Query: the property is greater than the value.
    #[must_use]
    pub fn query_greater(self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"?>", name.as_ref(), b"=", value.as_ref()])
    }

    /// Query: the item has the property.
    #[must_use]
    pub fn query_present(self, name: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"?", name.as_ref()])
    }

    /// Query: the item lacks the property.
    #[must_use]
    pub fn query_absent(self, name: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"?-", name.as_ref()])
    }

    /// Query: applies stack operations such as `|`, `&`, `!` to the answers so far.
    #[must_use]
    pub fn query_operations(self, operations: impl AsRef<[u8]>) -> Self {
        self.parts(&[b"?#", operations.as_ref()])
    }

    /// Adds a word as it is. An empty one is left out.
    #[must_use]
    pub fn word(self, word: impl AsRef<[u8]>) -> Self {
        self.parts(&[word.as_ref()])
    }

    fn parts(mut self, parts: &[&[u8]]) -> Self {
        put_parts(&mut self.wire, parts);
        self
    }

    /// Appends the words and, if given, a tag; then the end of the sentence.
    pub(crate) fn encode(&self, tag: Option<u32>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.wire);
        if let Some(tag) = tag {
            put_parts(out, &[b".tag=", tag.to_string().as_bytes()]);
        }
        out.push(0);
    }
}

impl Drop for Command {
    fn drop(&mut self) {
        // Attributes may be secrets: a login, a new wireless key.
        self.wire.zeroize();
    }
}

impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the attributes: see `drop`.
        f.debug_tuple("Command").field(&self.path).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decoder, Limits, Sentence};

    #[test]
    fn words_go_out_in_order_with_the_tag_last() {
        let command = Command::new("/interface/print")
            .attribute("detail", "")
            .proplist(["name", "mtu"])
            .query_present("comment")
            .query_absent("disabled")
            .query_less("mtu", "1500")
            .query_greater("mtu", "100")
            .query_equals("name", "a=b")
            .query_operations("&|!");
        let mut wire = Vec::new();
        command.encode(Some(42), &mut wire);
        let mut decoder = Decoder::new(Limits::SESSION);
        decoder.feed(&wire);
        let expected = Sentence::from_words([
            "/interface/print",
            "=detail=",
            "=.proplist=name,mtu",
            "?comment",
            "?-disabled",
            "?<mtu=1500",
            "?>mtu=100",
            "?=name=a=b",
            "?#&|!",
            ".tag=42",
        ]);
        assert_eq!(decoder.next_sentence(), Ok(Some(expected)));
    }

    #[test]
    fn attributes_do_not_print() {
        let command = Command::new("/login").attribute("password", "passTest");
        assert_eq!(format!("{command:?}"), "Command(\"/login\")");
    }

    #[test]
    fn an_empty_path_is_still_a_command() {
        let mut wire = Vec::new();
        Command::new("").encode(None, &mut wire);
        assert_eq!(wire, b"\x01/\0");
    }
}
