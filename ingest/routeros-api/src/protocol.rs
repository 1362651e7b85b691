//! The client's side of a session, without I/O: commands out, bytes in, replies sorted by tag.
//!
//! A tag is registered before its command can be sent, so no reply comes too early. A reply nobody asked
//! for (no tag, unknown tag, unknown word) is counted and dropped: it neither hangs nor shifts the others.
//! `!empty` and `!trap` only announce: a command is over at its `!done`, never before, or every later
//! answer would be taken for the one before it.

use crate::codec::{Decoder, Limits, Sentence, display_start};
use crate::command::Command;
use crate::error::Error;
use std::collections::VecDeque;
use zeroize::Zeroize;

/// What is kept of a message for people.
const MESSAGE_BYTES: usize = 4 << 10;

/// What a log line shows of a word.
const SHOWN_BYTES: usize = 64;

/// A command under way in one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u32);

impl Tag {
    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// A `!trap`: the router's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// 0 missing item or command, 1 argument value, 2 interrupted, 3 scripting, 4 general, 5 API,
    /// 6 terminal, 7 value of `:return`. Often absent, on login failures for one.
    pub category: Option<u8>,
    /// The router's words, at most 4 KiB of them; empty if it sent none.
    pub message: String,
}

impl Trap {
    fn from_sentence(sentence: &Sentence) -> Self {
        let category = sentence.text("category").and_then(|text| text.parse().ok());
        let message = sentence.get("message").unwrap_or_default();
        let message = display_start(message, MESSAGE_BYTES).into_owned();
        Self { category, message }
    }

    /// True for a command that was cancelled.
    #[must_use]
    pub const fn is_interrupted(&self) -> bool {
        matches!(self.category, Some(2))
    }
}

/// A command's whole answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply {
    /// The `!re` sentences in order.
    pub rows: Vec<Sentence>,
    /// The `!done` sentence; it may carry attributes.
    pub done: Sentence,
}

impl Reply {
    /// The value of `=ret=`: a new item's id, a login challenge, a file's name.
    #[must_use]
    pub fn ret(&self) -> Option<&[u8]> {
        self.done.get("ret")
    }
}

/// How a command ended: its answer, or the traps and the rows before them.
pub type Outcome = Result<Reply, (Vec<Trap>, Vec<Sentence>)>;

/// Sentences that answered nothing, by reason. All were dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Strays {
    /// Replies without a tag while no untagged command was under way.
    pub untagged: u64,
    /// Replies with a tag that is not under way.
    pub unknown_tag: u64,
    /// First words that are no known reply.
    pub unknown_word: u64,
}

#[derive(Debug, Default)]
struct Pending {
    tag: u32,
    rows: Vec<Sentence>,
    traps: Vec<Trap>,
    done: Option<Sentence>,
    held_bytes: usize,
}

impl Pending {
    fn outcome(self) -> Outcome {
        let rows = self.rows;
        if self.traps.is_empty() {
            let done = self.done.unwrap_or_default();
            Ok(Reply { rows, done })
        } else {
            Err((self.traps, rows))
        }
    }
}

/// State of one client session.
///
/// ```
/// use routeros_api::{Command, Limits, Session};
/// let mut session = Session::new(Limits::SESSION);
/// let tag = session.submit(&Command::new("/system/identity/print"));
/// assert_eq!(session.outgoing(), b"\x16/system/identity/print\x06.tag=1\0");
/// session.receive(b"\x03!re\x0a=name=ap-1\x06.tag=1\0\x05!done\x06.tag=1\0")?;
/// let reply = session.take(tag).expect("done").expect("no trap");
/// assert_eq!(reply.rows[0].get("name"), Some(&b"ap-1"[..]));
/// # Ok::<(), routeros_api::Error>(())
/// ```
#[derive(Debug)]
pub struct Session {
    decoder: Decoder,
    outgoing: Vec<u8>,
    /// Commands under way or not taken yet, in the order of their tags. One that goes on for days stays in
    /// front, while those after it come and go.
    pending: VecDeque<Pending>,
    next_tag: u32,
    /// The one command without a tag: a login.
    untagged: Option<Pending>,
    held_bytes: usize,
    strays: Strays,
    /// Strays since the last reply that answered something.
    stray_run: u64,
}

impl Session {
    /// A fresh session.
    #[must_use]
    pub const fn new(limits: Limits) -> Self {
        Self {
            decoder: Decoder::new(limits),
            outgoing: Vec::new(),
            pending: VecDeque::new(),
            next_tag: 1,
            untagged: None,
            held_bytes: 0,
            strays: Strays {
                untagged: 0,
                unknown_tag: 0,
                unknown_word: 0,
            },
            stray_run: 0,
        }
    }

    /// Sets the caps for all that is received from now on.
    pub const fn set_limits(&mut self, limits: Limits) {
        self.decoder.set_limits(limits);
    }

    /// Registers a command and queues it for sending.
    pub fn submit(&mut self, command: &Command) -> Tag {
        let tag = self.next_tag;
        self.next_tag = tag.wrapping_add(1);
        self.pending.push_back(Pending {
            tag,
            ..Pending::default()
        });
        command.encode(Some(tag), &mut self.outgoing);
        Tag(tag)
    }

    /// Queues a command without a tag, for the login: its replies are those without a tag.
    /// A command still under way that way is forgotten.
    pub fn submit_untagged(&mut self, command: &Command) {
        if let Some(forgotten) = self.untagged.replace(Pending::default()) {
            self.held_bytes -= forgotten.held_bytes;
        }
        command.encode(None, &mut self.outgoing);
    }

    /// Asks the router to break off a command. That one ends with a trap of category 2; the request
    /// itself ends too, under the tag returned.
    pub fn cancel(&mut self, tag: Tag) -> Tag {
        self.submit(&Command::new("/cancel").attribute("tag", tag.0.to_string()))
    }

    /// Bytes to send.
    #[must_use]
    pub fn outgoing(&self) -> &[u8] {
        &self.outgoing
    }

    /// Forgets the bytes to send, once sent, and wipes them: they may hold a password.
    pub fn sent(&mut self) {
        self.outgoing.zeroize();
        self.outgoing = Vec::new();
    }

    /// Takes in what the router sent. Answers that were whole before an error can still be taken.
    ///
    /// # Errors
    /// [`Error::Decode`], [`Error::Fatal`], [`Error::RepliesTooLarge`], [`Error::TooManyRows`], [`Error::TooManyStrays`]:
    /// the session is over.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.decoder.feed(bytes);
        while let Some(sentence) = self.decoder.next_sentence()? {
            self.sort(sentence)?;
        }
        Ok(())
    }

    /// True once the command's `!done` is there.
    #[must_use]
    pub fn is_done(&self, tag: Tag) -> bool {
        self.get(tag).is_some_and(|pending| pending.done.is_some())
    }

    /// True when the command is under way or its answer wasn't taken yet.
    #[must_use]
    pub fn is_known(&self, tag: Tag) -> bool {
        self.get(tag).is_some()
    }

    /// How many rows of the command are held.
    #[must_use]
    pub fn rows(&self, tag: Tag) -> usize {
        self.get(tag).map_or(0, |pending| pending.rows.len())
    }

    /// Takes a finished command's outcome; `None` while under way, or once taken.
    pub fn take(&mut self, tag: Tag) -> Option<Outcome> {
        self.is_done(tag)
            .then(|| self.remove(tag))?
            .map(Pending::outcome)
    }

    /// Takes the rows that a command has given so far, and leaves it under way.
    pub fn take_rows(&mut self, tag: Tag) -> Vec<Sentence> {
        let Some(index) = self.index(tag.0) else {
            return Vec::new();
        };
        let pending = &mut self.pending[index];
        let rows = std::mem::take(&mut pending.rows);
        let bytes: usize = rows.iter().map(held_bytes).sum();
        pending.held_bytes -= bytes;
        self.held_bytes -= bytes;
        rows
    }

    /// Gives up on a command: its rows so far. Replies that still come for it are dropped.
    pub fn abandon(&mut self, tag: Tag) -> Vec<Sentence> {
        self.remove(tag)
            .map_or_else(Vec::new, |pending| pending.rows)
    }

    /// Takes the outcome of the untagged command; `None` while under way.
    pub fn take_untagged(&mut self) -> Option<Outcome> {
        let pending = self.untagged.take_if(|pending| pending.done.is_some())?;
        self.held_bytes -= pending.held_bytes;
        Some(pending.outcome())
    }

    /// True once the untagged command's `!done` is there.
    #[must_use]
    pub fn untagged_is_done(&self) -> bool {
        self.untagged
            .as_ref()
            .is_some_and(|pending| pending.done.is_some())
    }

    /// Bytes held for the caller: what was answered and not taken, each row and trap counted with what it costs besides its
    /// words. At most [`Limits::held_bytes`] and one sentence.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Sentences dropped so far because they answered nothing.
    #[must_use]
    pub const fn strays(&self) -> Strays {
        self.strays
    }

    /// True when the router stopped in the midst of a sentence.
    #[must_use]
    pub fn is_mid_sentence(&self) -> bool {
        self.decoder.is_mid_sentence()
    }

    /// Gives buffers back while idle.
    pub fn release(&mut self) {
        self.decoder.release();
        if self.pending.is_empty() {
            self.pending = VecDeque::new();
        }
    }

    /// Where the command with this tag is. Tags wrap; their order is that from the front one on.
    fn index(&self, tag: u32) -> Option<usize> {
        let first = self.pending.front()?.tag;
        self.pending
            .binary_search_by_key(&tag.wrapping_sub(first), |pending| {
                pending.tag.wrapping_sub(first)
            })
            .ok()
    }

    fn get(&self, tag: Tag) -> Option<&Pending> {
        self.index(tag.0).map(|index| &self.pending[index])
    }

    fn remove(&mut self, tag: Tag) -> Option<Pending> {
        let pending = self.pending.remove(self.index(tag.0)?)?;
        self.held_bytes -= pending.held_bytes;
        Some(pending)
    }

    fn sort(&mut self, sentence: Sentence) -> Result<(), Error> {
        let word = sentence.first();
        if word == b"!fatal" {
            return Err(Error::Fatal {
                message: fatal_message(&sentence),
            });
        }
        let kind = match word {
            b"!re" => Kind::Row,
            b"!done" => Kind::Done,
            b"!trap" => Kind::Trap,
            b"!empty" => Kind::Empty,
            _ => {
                // One line a session: a peer that talks nonsense doesn't get to fill a log with it.
                if self.strays.unknown_word == 0 {
                    let word = display_start(word, SHOWN_BYTES);
                    tracing::debug!(%word, "unknown reply word dropped; further ones are only counted");
                }
                self.strays.unknown_word += 1;
                return self.stray();
            }
        };
        let limits = *self.decoder.limits();
        let Some(pending) = self.addressee(&sentence) else {
            return self.stray();
        };
        let bytes = kind.store(sentence, pending);
        pending.held_bytes += bytes;
        let (rows, of_command) = (pending.rows.len(), pending.held_bytes);
        self.held_bytes += bytes;
        self.stray_run = 0;
        if rows > limits.command_rows {
            let cap = limits.command_rows;
            return Err(Error::TooManyRows { cap });
        }
        for (held, cap) in [
            (of_command, limits.command_bytes),
            (self.held_bytes, limits.held_bytes),
        ] {
            if held > cap {
                return Err(Error::RepliesTooLarge { cap });
            }
        }
        Ok(())
    }

    /// A sentence answered nothing and is dropped.
    fn stray(&mut self) -> Result<(), Error> {
        self.stray_run += 1;
        let cap = self.decoder.limits().strays;
        if self.stray_run > cap {
            return Err(Error::TooManyStrays { cap });
        }
        Ok(())
    }

    /// The command a reply belongs to; counts the reply as stray if there is none.
    fn addressee(&mut self, sentence: &Sentence) -> Option<&mut Pending> {
        let open = |pending: &&mut Pending| pending.done.is_none();
        let Some(tag) = sentence.tag() else {
            let pending = self.untagged.as_mut().filter(open);
            if pending.is_none() {
                self.strays.untagged += 1;
            }
            return pending;
        };
        let number = std::str::from_utf8(tag)
            .ok()
            .and_then(|text| text.parse().ok());
        let index = number.and_then(|number| self.index(number));
        let pending = index
            .and_then(|index| self.pending.get_mut(index))
            .filter(open);
        if pending.is_none() {
            self.strays.unknown_tag += 1;
        }
        pending
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // A login that never got out.
        self.outgoing.zeroize();
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Row,
    Trap,
    Empty,
    Done,
}

impl Kind {
    /// Stores a reply; returns how many bytes that holds.
    fn store(self, sentence: Sentence, pending: &mut Pending) -> usize {
        let bytes = held_bytes(&sentence);
        match self {
            Self::Row => pending.rows.push(sentence),
            Self::Trap => pending.traps.push(Trap::from_sentence(&sentence)),
            Self::Done => pending.done = Some(sentence),
            Self::Empty => return 0,
        }
        bytes
    }
}

/// What holding a sentence counts for.
fn held_bytes(sentence: &Sentence) -> usize {
    /// What it costs beside its bytes, so that endless tiny ones count too.
    const OVERHEAD_BYTES: usize = 32;
    sentence.wire_bytes() + OVERHEAD_BYTES
}

/// The text of a `!fatal`: a bare word, or `=message=` as of a trap.
fn fatal_message(sentence: &Sentence) -> String {
    let text = sentence.get("message").or_else(|| sentence.words().nth(1));
    display_start(text.unwrap_or_default(), MESSAGE_BYTES).into_owned()
}
