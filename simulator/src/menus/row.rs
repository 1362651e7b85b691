//! One row on its way out.
//!
//! Where nothing but the answer needs it, a row is written straight in wire form: a poll is a
//! thousand values, and each copy or look-up of one is paid a thousand times. Where its values are
//! looked at (a query, a change of the configuration, a listener), it is kept by property first.

use std::{
    fmt::{self, Display, Write},
    sync::Arc,
};

use routeros_api::{codec::length, query::Proplist};

/// One row being filled.
#[derive(Default)]
pub(crate) struct Row {
    /// Written straight: a sentence. Kept: values, one after the other.
    pub(super) out: Bytes,
    /// Kept: names, and where their values end.
    ends: Vec<(&'static str, usize)>,
    wanted: Wanted,
    kept: bool,
}

/// Bytes that text can be written to.
#[derive(Default)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Write for Bytes {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

/// Which properties are asked for. Rows of a table put the same names in the same order, so the
/// answer for a name is most often the one after the last.
#[derive(Default)]
struct Wanted {
    proplist: Arc<Proplist>,
    /// Names by their place in memory.
    known: Vec<(*const u8, usize, bool)>,
    next: usize,
}

// The pointers are compared, never followed.
impl Wanted {
    fn allows(&mut self, name: &'static str) -> bool {
        let same = |(at, length, _): &(*const u8, usize, bool)| {
            std::ptr::eq(*at, name.as_ptr()) && *length == name.len()
        };
        if let Some(found) = self.known.get(self.next).filter(|known| same(known)) {
            self.next += 1;
            return found.2;
        }
        if let Some(place) = self.known.iter().position(same) {
            self.next = place + 1;
            return self.known[place].2;
        }
        let allowed = self.proplist.allows(name);
        self.known.push((name.as_ptr(), name.len(), allowed));
        self.next = self.known.len();
        allowed
    }
}

impl Row {
    /// With `kept`, all properties are there to be looked at; else those of the list are written.
    pub(super) fn new(proplist: Arc<Proplist>, kept: bool) -> Self {
        let proplist = if kept { Arc::default() } else { proplist };
        Self {
            wanted: Wanted {
                proplist,
                known: Vec::with_capacity(if kept { 0 } else { 32 }),
                next: 0,
            },
            kept,
            ..Self::default()
        }
    }

    /// Begins anew; a row that is written begins with `!re` and its tag.
    pub(super) fn begin(&mut self, tag: Option<&[u8]>) {
        self.out.0.clear();
        self.ends.clear();
        self.wanted.next = 0;
        if !self.kept {
            put_head(&mut self.out.0, tag);
        }
    }

    /// Adds a property, unless nobody asked for it.
    pub(crate) fn put(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        self.put_with(name, |out| {
            // Writing to memory cannot fail.
            let _ = write!(out, "{value}");
        })
    }

    /// Adds a property of any bytes.
    pub(crate) fn put_bytes(&mut self, name: &'static str, value: &[u8]) -> &mut Self {
        self.put_with(name, |out| out.0.extend_from_slice(value))
    }

    fn put_with(&mut self, name: &'static str, write: impl FnOnce(&mut Bytes)) -> &mut Self {
        if !self.wanted.allows(name) {
            return self;
        }
        if self.kept {
            write(&mut self.out);
            self.ends.push((name, self.out.0.len()));
            return self;
        }
        let start = begin_word(&mut self.out.0, name.as_bytes());
        write(&mut self.out);
        end_word(&mut self.out.0, start);
        self
    }

    /// Adds a property where there is a value.
    pub(crate) fn put_some(
        &mut self,
        name: &'static str,
        value: Option<impl Display>,
    ) -> &mut Self {
        match value {
            Some(value) => self.put(name, value),
            None => self,
        }
    }

    /// Adds constant properties.
    pub(crate) fn put_all(&mut self, properties: &[(&'static str, &str)]) -> &mut Self {
        for (name, value) in properties {
            self.put_bytes(name, value.as_bytes());
        }
        self
    }

    /// What is kept.
    pub(super) fn properties(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        let mut start = 0;
        self.ends.iter().map(move |(name, end)| {
            let value = &self.out.0[start..*end];
            start = *end;
            (*name, value)
        })
    }
}

/// The words that every row begins with.
pub(super) fn put_head(out: &mut Vec<u8>, tag: Option<&[u8]>) {
    out.extend_from_slice(b"\x03!re");
    if let Some(tag) = tag {
        let start = out.len();
        out.push(0);
        out.extend_from_slice(b".tag=");
        out.extend_from_slice(tag);
        end_word(out, start);
    }
}

/// A whole property as a word.
pub(super) fn put_property(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    let start = begin_word(out, name);
    out.extend_from_slice(value);
    end_word(out, start);
}

/// `=name=` behind one byte for the length; gives that byte's place.
fn begin_word(out: &mut Vec<u8>, name: &[u8]) -> usize {
    let start = out.len();
    out.extend_from_slice(b"\0=");
    out.extend_from_slice(name);
    out.push(b'=');
    start
}

/// Writes the length of the word that began at `start`; a long one moves to make room for it.
fn end_word(out: &mut Vec<u8>, start: usize) {
    let bytes = out.len() - start - 1;
    if let Ok(short @ 0..0x80) = u8::try_from(bytes) {
        out[start] = short;
        return;
    }
    let mut long = Vec::with_capacity(5);
    length::encode(u32::try_from(bytes).unwrap_or(u32::MAX), &mut long);
    out.splice(start..=start, long);
}

#[cfg(test)]
mod tests {
    use routeros_api::{Decoder, Limits, Sentence};

    use super::*;

    fn decoded(row: &mut Row) -> Sentence {
        row.out.0.push(0);
        let mut decoder = Decoder::new(Limits::SESSION);
        decoder.feed(&row.out.0);
        decoder.next_sentence().unwrap().unwrap()
    }

    #[test]
    fn words_of_any_length_are_written() {
        for length in [0, 1, 100, 120, 121, 122, 127, 128, 200, 16_383, 20_000] {
            let mut row = Row::new(Arc::default(), false);
            let value = "x".repeat(length);
            row.begin(Some(&vec![b't'; length]));
            row.put("name", &value).put_bytes("comment", b"\xff=");
            let sentence = decoded(&mut row);
            assert_eq!(sentence.get("name"), Some(value.as_bytes()));
            assert_eq!(sentence.get("comment"), Some(&b"\xff="[..]));
            assert_eq!(sentence.tag().map(<[u8]>::len), Some(length));
        }
    }

    #[test]
    fn a_list_holds_in_whatever_order_names_come() {
        let mut row = Row::new(Arc::new(Proplist::new(b"a,c")), false);
        for names in [["a", "b", "c"], ["a", "c", "b"], ["b", "c", "a"]] {
            row.begin(None);
            for name in names {
                row.put(name, 1);
            }
            let sentence = decoded(&mut row);
            assert_eq!(sentence.attributes().count(), 2);
            assert_eq!(sentence.get("b"), None);
        }
    }
}
