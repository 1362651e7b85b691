//! The incremental decoder: feed bytes as they come, take whole sentences.
//!
//! Caps are checked against what a peer *announces*, so four bytes can't cost gigabytes. After an error
//! the stream has no known boundary any more: every later call gives the same error.

use super::{Sentence, length};

/// What a peer may send before it is cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one word.
    pub word_bytes: usize,
    /// Bytes of one sentence, lengths included.
    pub sentence_bytes: usize,
    /// Words of one sentence.
    pub sentence_words: usize,
    /// Bytes of all replies a session holds for its caller at one time.
    pub held_bytes: usize,
    /// Of these, bytes held for one command.
    pub command_bytes: usize,
    /// Rows held for one command.
    pub command_rows: usize,
    /// Sentences in a row that answer nothing (an unknown tag, an unknown word): dropped, and the session with them when
    /// there are more.
    pub strays: u64,
}

impl Limits {
    /// For a peer that hasn't logged in, or that we haven't logged in to.
    pub const BEFORE_LOGIN: Self = Self {
        word_bytes: 4 << 10,
        sentence_bytes: 16 << 10,
        sentence_words: 64,
        held_bytes: 64 << 10,
        command_bytes: 64 << 10,
        command_rows: 256,
        strays: 256,
    };

    /// For an open session. Large enough for file contents, long scripts and full routing tables.
    pub const SESSION: Self = Self {
        word_bytes: 1 << 20,
        sentence_bytes: 4 << 20,
        sentence_words: 1 << 16,
        held_bytes: 64 << 20,
        command_bytes: 48 << 20,
        command_rows: 1 << 20,
        strays: 1 << 20,
    };
}

/// Why a stream of bytes can't be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The first byte of a length is one that starts no known form.
    #[error("reserved length byte {byte:#04x}: the peer doesn't speak the RouterOS API")]
    ReservedByte {
        /// The byte found.
        byte: u8,
    },
    /// A word longer than allowed was announced.
    #[error("a word of {bytes} bytes was announced, more than the {cap} allowed")]
    WordTooLong {
        /// Bytes announced.
        bytes: u32,
        /// Bytes allowed.
        cap: usize,
    },
    /// A sentence grew past its cap of bytes.
    #[error("a sentence grew past the {cap} bytes allowed")]
    SentenceTooLong {
        /// Bytes allowed.
        cap: usize,
    },
    /// A sentence grew past its cap of words.
    #[error("a sentence grew past the {cap} words allowed")]
    TooManyWords {
        /// Words allowed.
        cap: usize,
    },
}

/// Sentences out of a stream of bytes. Empty sentences are skipped, as the protocol wants.
#[derive(Debug)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where in `buffer` the unfinished sentence starts.
    start: usize,
    /// Bytes of it already walked: always whole words.
    walked: usize,
    words: usize,
    limits: Limits,
    failed: Option<DecodeError>,
}

impl Decoder {
    /// An empty decoder; it holds no memory before the first [`Decoder::feed`].
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            buffer: Vec::new(),
            start: 0,
            walked: 0,
            words: 0,
            limits,
            failed: None,
        }
    }

    /// Sets the caps for all that is not decoded yet.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Bytes of memory held for what is not decoded yet. At most twice a sentence's cap and what was fed since the last
    /// sentence was taken, whatever a peer announces.
    #[must_use]
    pub const fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// The caps in force.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Takes in bytes. Take the sentences out before feeding more: only then is memory bounded.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed.is_some() {
            return;
        }
        if self.start > self.buffer.len() / 2 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole sentence, or `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`DecodeError`]; the stream can't be read on, and each later call says the same.
    pub fn next_sentence(&mut self) -> Result<Option<Sentence>, DecodeError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.walk();
        if let Err(error) = result {
            self.failed = Some(error);
            self.buffer = Vec::new();
            self.start = 0;
            self.walked = 0;
        }
        result
    }

    /// True when bytes of an unfinished sentence (or of sentences not yet taken) are held.
    #[must_use]
    pub fn is_mid_sentence(&self) -> bool {
        self.buffer.len() > self.start
    }

    /// Gives memory back while the peer is idle; without effect in the midst of a sentence.
    pub fn release(&mut self) {
        if !self.is_mid_sentence() {
            self.buffer = Vec::new();
            self.start = 0;
        }
    }

    fn walk(&mut self) -> Result<Option<Sentence>, DecodeError> {
        loop {
            let begin = self.start + self.walked;
            let Some((announced, size)) = length::decode(&self.buffer[begin..])? else {
                return Ok(None);
            };
            if announced == 0 {
                let wire = &self.buffer[self.start..begin];
                let sentence = (!wire.is_empty()).then(|| Sentence::from_wire(wire));
                self.start = begin + size;
                self.walked = 0;
                self.words = 0;
                if sentence.is_some() {
                    return Ok(sentence);
                }
                continue;
            }
            let word_end = self.check_caps(announced, size)?;
            if self.buffer.len() - self.start < word_end {
                return Ok(None);
            }
            self.walked = word_end;
            self.words += 1;
        }
    }

    /// Where the announced word would end, counted from the sentence's start.
    fn check_caps(&self, announced: u32, size: usize) -> Result<usize, DecodeError> {
        let word_cap = self.limits.word_bytes;
        let bytes = usize::try_from(announced).unwrap_or(usize::MAX);
        if bytes > word_cap {
            return Err(DecodeError::WordTooLong {
                bytes: announced,
                cap: word_cap,
            });
        }
        let cap = self.limits.sentence_words;
        if self.words >= cap {
            return Err(DecodeError::TooManyWords { cap });
        }
        let word_end = self.walked.saturating_add(size).saturating_add(bytes);
        let cap = self.limits.sentence_bytes;
        if word_end > cap {
            return Err(DecodeError::SentenceTooLong { cap });
        }
        Ok(word_end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(decoder: &mut Decoder) -> Result<Vec<Sentence>, DecodeError> {
        let mut sentences = Vec::new();
        while let Some(sentence) = decoder.next_sentence()? {
            sentences.push(sentence);
        }
        Ok(sentences)
    }

    fn encoded(sentences: &[Vec<Vec<u8>>]) -> Vec<u8> {
        let mut wire = Vec::new();
        for words in sentences {
            Sentence::from_words(words).encode(&mut wire);
        }
        wire
    }

    #[test]
    fn empty_sentences_are_skipped() {
        let mut decoder = Decoder::new(Limits::SESSION);
        decoder.feed(b"\0\0\x03!re\0\0\x05!done\0\0");
        let sentences = all(&mut decoder).unwrap();
        let expected = [
            Sentence::from_words(["!re"]),
            Sentence::from_words(["!done"]),
        ];
        assert_eq!(sentences, expected);
        assert!(!decoder.is_mid_sentence());
    }

    #[test]
    fn longer_forms_of_small_lengths_are_read() {
        let mut decoder = Decoder::new(Limits::SESSION);
        decoder.feed(b"\xf0\0\0\0\x03!re\xc0\0\0");
        assert_eq!(all(&mut decoder).unwrap(), [Sentence::from_words(["!re"])]);
    }

    #[test]
    fn hostile_lengths_are_refused_before_any_byte_of_the_word() {
        let mut decoder = Decoder::new(Limits::SESSION);
        decoder.feed(b"\xf0\xff\xff\xff\xff");
        let error = decoder.next_sentence().unwrap_err();
        assert!(matches!(
            error,
            DecodeError::WordTooLong {
                bytes: u32::MAX,
                ..
            }
        ));
        decoder.feed(b"\x03!re\0");
        assert_eq!(decoder.next_sentence(), Err(error), "an error must stay");
        assert_eq!(decoder.buffer_bytes(), 0, "nothing is kept after an error");
    }

    #[test]
    fn each_cap_is_exact() {
        let limits = Limits {
            word_bytes: 4,
            sentence_bytes: 10,
            sentence_words: 3,
            ..Limits::SESSION
        };
        let read = |wire: &[u8]| {
            let mut decoder = Decoder::new(limits);
            decoder.feed(wire);
            all(&mut decoder).map(|sentences| sentences.len())
        };
        assert_eq!(read(b"\x04abcd\x04abcd\0"), Ok(1));
        assert_eq!(
            read(b"\x05abcde\0"),
            Err(DecodeError::WordTooLong { bytes: 5, cap: 4 })
        );
        assert_eq!(
            read(b"\x04abcd\x04abcd\x01a\0"),
            Err(DecodeError::SentenceTooLong { cap: 10 })
        );
        assert_eq!(read(b"\x01a\x01a\x01a\0"), Ok(1));
        assert_eq!(
            read(b"\x01a\x01a\x01a\x01a\0"),
            Err(DecodeError::TooManyWords { cap: 3 })
        );
    }

    #[test]
    fn an_idle_decoder_holds_no_buffer() {
        let mut decoder = Decoder::new(Limits::SESSION);
        decoder.feed(b"\x03!re\0\x03!r");
        assert_eq!(all(&mut decoder).unwrap().len(), 1);
        decoder.release();
        decoder.feed(b"e\0");
        assert_eq!(
            all(&mut decoder).unwrap().len(),
            1,
            "release must keep a half sentence"
        );
        decoder.release();
        assert_eq!(decoder.buffer_bytes(), 0);
    }

    #[test]
    fn memory_is_for_bytes_that_came_not_for_bytes_announced() {
        let mut decoder = Decoder::new(Limits::SESSION);
        decoder.feed(b"\xcf\xff\xff");
        assert_eq!(decoder.next_sentence(), Ok(None), "a mebibyte may come");
        assert!(decoder.buffer_bytes() < 64);
        let piece = [b'x'; 4 << 10];
        let mut most = 0;
        for _ in 0..8 << 10 {
            decoder.feed(&piece);
            match decoder.next_sentence() {
                Ok(_) => most = most.max(decoder.buffer_bytes()),
                Err(_) => break,
            }
        }
        assert!(
            most <= 2 * (Limits::SESSION.sentence_bytes + piece.len()),
            "{most}"
        );
    }

    fn words() -> impl Strategy<Value = Vec<Vec<u8>>> {
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 1..12)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn sentences_survive_any_cutting(
            sentences in prop::collection::vec(words(), 0..6),
            cuts in prop::collection::vec(1usize..50, 1..20),
        ) {
            let wire = encoded(&sentences);
            let mut decoder = Decoder::new(Limits::SESSION);
            let mut got = Vec::new();
            let mut rest = &wire[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (head, tail) = rest.split_at((*cut).min(rest.len()));
                decoder.feed(head);
                got.extend(all(&mut decoder).unwrap());
                rest = tail;
            }
            let expected: Vec<_> = sentences.iter().map(Sentence::from_words).collect();
            prop_assert_eq!(got, expected);
        }

        #[test]
        fn any_bytes_give_the_same_end_however_cut(
            bytes in prop::collection::vec(any::<u8>(), 0..600),
            cut in 1usize..40,
        ) {
            let mut whole = Decoder::new(Limits::BEFORE_LOGIN);
            whole.feed(&bytes);
            let mut expected = Vec::new();
            let expected_end = loop {
                match whole.next_sentence() {
                    Ok(Some(sentence)) => expected.push(sentence),
                    end => break end,
                }
            };
            let mut pieces = Decoder::new(Limits::BEFORE_LOGIN);
            let mut got = Vec::new();
            let mut end = Ok(None);
            for piece in bytes.chunks(cut) {
                pieces.feed(piece);
                end = loop {
                    match pieces.next_sentence() {
                        Ok(Some(sentence)) => got.push(sentence),
                        end => break end,
                    }
                };
            }
            prop_assert_eq!(got, expected);
            prop_assert_eq!(end, expected_end);
        }
    }
}
