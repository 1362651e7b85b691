//! A request as the router sees it.

use crate::codec::{Attributes, Sentence, display_text};
use crate::query::{Filter, Proplist};
use std::borrow::Cow;

/// One command of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    sentence: Sentence,
}

impl Request {
    /// Takes a decoded sentence for a request.
    #[must_use]
    pub const fn new(sentence: Sentence) -> Self {
        Self { sentence }
    }

    /// The command, such as `/interface/print`.
    #[must_use]
    pub fn path(&self) -> Cow<'_, str> {
        display_text(self.sentence.first())
    }

    /// The tag to put on every reply, if the client gave one.
    #[must_use]
    pub fn tag(&self) -> Option<&[u8]> {
        self.sentence.tag()
    }

    /// An attribute's value; of a repeated one the first.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        self.sentence.get(name)
    }

    /// As [`Request::get`], for display.
    #[must_use]
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<Cow<'_, str>> {
        self.sentence.text(name)
    }

    /// All attributes in order.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        self.sentence.attributes()
    }

    /// The query: which items to answer.
    #[must_use]
    pub fn filter(&self) -> Filter {
        Filter::of(&self.sentence)
    }

    /// The property list: which properties to answer.
    #[must_use]
    pub fn proplist(&self) -> Proplist {
        Proplist::of(&self.sentence)
    }

    /// For a `/cancel`: the tag of the command to break off, or `None` inside for all of them.
    /// Both that command and the cancelling then end with a `done` of their own.
    #[must_use]
    pub fn cancels(&self) -> Option<Option<&[u8]>> {
        (self.sentence.first() == b"/cancel").then(|| self.sentence.get("tag"))
    }

    /// The sentence itself.
    #[must_use]
    pub const fn sentence(&self) -> &Sentence {
        &self.sentence
    }
}
