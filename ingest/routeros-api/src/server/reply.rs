//! Replies in wire form, one call a sentence.

use crate::codec::{Sentence, put_parts, put_word};

/// Queues replies. Each method writes one sentence; `tag` is that of the request.
#[derive(Clone, Debug, Default)]
pub struct ReplyWriter {
    out: Vec<u8>,
}

impl ReplyWriter {
    /// Without replies and without memory.
    #[must_use]
    pub const fn new() -> Self {
        Self { out: Vec::new() }
    }

    /// `!re`: one item with its properties.
    pub fn re<N, V>(&mut self, tag: Option<&[u8]>, properties: impl IntoIterator<Item = (N, V)>)
    where
        N: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        self.begin(b"!re", tag);
        for (name, value) in properties {
            put_parts(&mut self.out, &[b"=", name.as_ref(), b"=", value.as_ref()]);
        }
        self.out.push(0);
    }

    /// `!done`: the end of a command, also after traps and `!empty`.
    pub fn done(&mut self, tag: Option<&[u8]>) {
        self.begin(b"!done", tag);
        self.out.push(0);
    }

    /// `!done` with `=ret=`.
    pub fn done_ret(&mut self, tag: Option<&[u8]>, ret: impl AsRef<[u8]>) {
        self.begin(b"!done", tag);
        put_parts(&mut self.out, &[b"=ret=", ret.as_ref()]);
        self.out.push(0);
    }

    /// `!trap`; let a `done` follow.
    pub fn trap(&mut self, tag: Option<&[u8]>, message: impl AsRef<[u8]>, category: Option<u8>) {
        self.begin(b"!trap", tag);
        if let Some(category) = category {
            put_parts(
                &mut self.out,
                &[b"=category=", category.to_string().as_bytes()],
            );
        }
        put_parts(&mut self.out, &[b"=message=", message.as_ref()]);
        self.out.push(0);
    }

    /// `!empty`, as from 7.18 on where there is no item; let a `done` follow.
    pub fn empty(&mut self, tag: Option<&[u8]>) {
        self.begin(b"!empty", tag);
        self.out.push(0);
    }

    /// `!fatal` with its bare word; close the connection after it.
    pub fn fatal(&mut self, message: impl AsRef<[u8]>) {
        put_word(&mut self.out, b"!fatal");
        put_word(&mut self.out, message.as_ref());
        self.out.push(0);
    }

    /// Any sentence, say one that no real router would send.
    pub fn sentence(&mut self, sentence: &Sentence) {
        sentence.encode(&mut self.out);
    }

    /// Any bytes at all.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// What is queued.
    #[must_use]
    pub fn pending(&self) -> &[u8] {
        &self.out
    }

    /// Forgets what is queued, and its memory.
    pub fn clear(&mut self) {
        self.out = Vec::new();
    }

    fn begin(&mut self, word: &[u8], tag: Option<&[u8]>) {
        put_word(&mut self.out, word);
        if let Some(tag) = tag {
            put_parts(&mut self.out, &[b".tag=", tag]);
        }
    }
}
