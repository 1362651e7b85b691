//! A sentence in one buffer: its words stay in wire form and are walked in place.
//!
//! A poll reads hundreds of words; one allocation a word would cost more than parsing them. Attribute
//! lookup is a scan, so readers of whole rows should walk [`Sentence::attributes`] once.

use super::length;
use std::borrow::Cow;
use std::fmt;

/// One sentence: words of any bytes, none of them empty.
///
/// An attribute is a word `=name=value`; the value may hold further `=`. Where a name comes twice the
/// first wins.
#[derive(Clone, Default)]
pub struct Sentence {
    wire: Box<[u8]>,
}

impl Sentence {
    /// Builds a sentence; empty words are left out, as they would end it.
    pub fn from_words<I>(words: I) -> Self
    where
        I: IntoIterator,
        I::Item: AsRef<[u8]>,
    {
        let mut wire = Vec::new();
        for word in words {
            put_word(&mut wire, word.as_ref());
        }
        Self {
            wire: wire.into_boxed_slice(),
        }
    }

    /// Takes words in wire form, without the empty word at the end. The decoder has checked them.
    pub(super) fn from_wire(wire: &[u8]) -> Self {
        Self { wire: wire.into() }
    }

    /// All words in order.
    #[must_use]
    pub fn words(&self) -> Words<'_> {
        Words { rest: &self.wire }
    }

    /// The first word: a command's path, or a reply word such as `!re`. Empty if there is none.
    #[must_use]
    pub fn first(&self) -> &[u8] {
        self.words().next().unwrap_or_default()
    }

    /// Attributes as (name, value), in order, repeated names included.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'_> {
        Attributes {
            words: self.words(),
        }
    }

    /// The value of the first attribute of that name. An attribute without a second `=` is empty.
    #[must_use]
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.attributes()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// As [`Sentence::get`], for display: see [`display_text`].
    #[must_use]
    pub fn text(&self, name: impl AsRef<[u8]>) -> Option<Cow<'_, str>> {
        self.get(name).map(display_text)
    }

    /// The value of the first `.tag=` word.
    #[must_use]
    pub fn tag(&self) -> Option<&[u8]> {
        self.words().find_map(|word| word.strip_prefix(b".tag="))
    }

    /// Query words in order, without their `?`.
    pub fn queries(&self) -> impl Iterator<Item = &[u8]> {
        self.words().filter_map(|word| word.strip_prefix(b"?"))
    }

    /// True without words.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    /// Bytes held, which is the size on the wire without the empty word at the end.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.wire.len()
    }

    /// Appends the sentence in wire form, with its end.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.wire);
        out.push(0);
    }
}

impl PartialEq for Sentence {
    fn eq(&self, other: &Self) -> bool {
        // By words: a peer may have used a longer form of a length.
        self.words().eq(other.words())
    }
}

impl Eq for Sentence {}

impl fmt::Debug for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.words().map(display_text))
            .finish()
    }
}

/// Iterator over the words of a [`Sentence`].
#[derive(Clone, Debug)]
pub struct Words<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (length, size) = length::decode(self.rest).ok()??;
        let end = size.checked_add(usize::try_from(length).ok()?)?;
        let word = self.rest.get(size..end)?;
        self.rest = &self.rest[end..];
        Some(word)
    }
}

/// Iterator over the attributes of a [`Sentence`] as (name, value).
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    words: Words<'a>,
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let attribute = self.words.find_map(|word| word.strip_prefix(b"="))?;
        Some(split_pair(attribute))
    }
}

/// Parts `name=value` at the first `=`; without one the value is empty.
pub(crate) fn split_pair(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|&byte| byte == b'=') {
        Some(at) => (&text[..at], &text[at + 1..]),
        None => (text, &[]),
    }
}

/// Bytes of no declared character set as text for people: UTF-8 where valid, else latin-1.
///
/// Routers store the code page of whoever typed, so keep the bytes where exactness matters: two values of different bytes can
/// show alike.
#[must_use]
pub fn display_text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(bytes.iter().map(|&byte| char::from(byte)).collect()),
    }
}

/// The beginning of a text for a message or a log line: a peer decides how long its words are, not how long our lines.
pub(crate) fn display_start(bytes: &[u8], most: usize) -> Cow<'_, str> {
    match bytes.get(..most) {
        None => display_text(bytes),
        // A character cut in two is no reason to show the others as another code page.
        Some(start) => match std::str::from_utf8(start) {
            Err(error) if error.error_len().is_none() => {
                display_text(&start[..error.valid_up_to()]) + "…"
            }
            _ => display_text(start) + "…",
        },
    }
}

/// Appends one word; an empty one is left out, as it would end the sentence.
pub(crate) fn put_word(out: &mut Vec<u8>, word: &[u8]) {
    put_parts(out, &[word]);
}

/// Appends one word made of parts, without joining them elsewhere first.
pub(crate) fn put_parts(out: &mut Vec<u8>, parts: &[&[u8]]) {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    // A word of 4 GiB can't be said on the wire; leaving it out makes the router name what is missing.
    let Ok(announced) = u32::try_from(total) else {
        return;
    };
    if announced == 0 {
        return;
    }
    length::encode(announced, out);
    for part in parts {
        out.extend_from_slice(part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_keep_equals_slashes_dots_and_order() {
        let row = Sentence::from_words([
            "!re",
            "=.id=*6",
            "=comment=a=b=c",
            "=path/with.dots=/x/y",
            "=bare",
            "=empty=",
            ".tag=7",
        ]);
        assert_eq!(row.get(".id"), Some(&b"*6"[..]));
        assert_eq!(row.get("comment"), Some(&b"a=b=c"[..]));
        assert_eq!(row.get("path/with.dots"), Some(&b"/x/y"[..]));
        assert_eq!(row.get("bare"), Some(&b""[..]));
        assert_eq!(row.get("empty"), Some(&b""[..]));
        assert_eq!(row.get("absent"), None);
        assert_eq!(row.tag(), Some(&b"7"[..]));
        assert_eq!(row.attributes().count(), 5);
    }

    #[test]
    fn of_a_repeated_attribute_the_first_wins() {
        let row = Sentence::from_words(["!re", "=name=one", "=name=two"]);
        assert_eq!(row.get("name"), Some(&b"one"[..]));
        assert_eq!(row.attributes().count(), 2);
    }

    #[test]
    fn text_is_utf8_else_latin1() {
        let row = Sentence::from_words([&b"!re"[..], b"=a=\xc3\xa9", b"=b=\x11\xfb\x95"]);
        assert_eq!(row.text("a").as_deref(), Some("é"));
        assert_eq!(row.text("b").as_deref(), Some("\u{11}û\u{95}"));
        assert_eq!(row.get("b"), Some(&b"\x11\xfb\x95"[..]));
    }

    #[test]
    fn empty_words_cannot_split_a_sentence() {
        let sentence = Sentence::from_words(["/a", "", "=b=c"]);
        assert_eq!(sentence, Sentence::from_words(["/a", "=b=c"]));
    }
}
