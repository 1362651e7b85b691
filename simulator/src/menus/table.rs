//! Rows on their way out: built once in a reused scratch, filtered, written in wire form.

use std::fmt::{Display, Write};

use routeros_api::{
    query::{Filter, Proplist},
    server::{ReplyWriter, Request},
};

/// Collects the rows of one command's answer.
pub(crate) struct Table<'a> {
    replies: &'a mut ReplyWriter,
    tag: Option<&'a [u8]>,
    proplist: Proplist,
    filter: Filter,
    row: Row,
    rows: usize,
    count_only: bool,
}

/// One row: property names and where their values end in one text.
#[derive(Default)]
pub(crate) struct Row {
    text: String,
    ends: Vec<(&'static str, usize)>,
    wanted: Proplist,
}

impl Row {
    /// Adds a property, unless nobody asked for it.
    pub(crate) fn put(&mut self, name: &'static str, value: impl Display) -> &mut Self {
        if self.wanted.allows(name) {
            // Writing to a String cannot fail.
            let _ = write!(self.text, "{value}");
            self.ends.push((name, self.text.len()));
        }
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
            self.put(name, value);
        }
        self
    }

    fn properties(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let mut start = 0;
        self.ends.iter().map(move |(name, end)| {
            let value = &self.text[start..*end];
            start = *end;
            (*name, value)
        })
    }
}

impl<'a> Table<'a> {
    pub(crate) fn new(request: &'a Request, replies: &'a mut ReplyWriter) -> Self {
        let (proplist, filter) = (request.proplist(), request.filter());
        // A query may ask about properties that are not to be shown: then all are built.
        let wanted = if filter.is_empty() {
            proplist.clone()
        } else {
            Proplist::default()
        };
        Self {
            replies,
            tag: request.tag(),
            proplist,
            filter,
            row: Row {
                wanted,
                ..Row::default()
            },
            rows: 0,
            count_only: request.get("count-only").is_some(),
        }
    }

    /// Answers one row.
    pub(crate) fn row(&mut self, fill: impl FnOnce(&mut Row)) {
        self.row.text.clear();
        self.row.ends.clear();
        fill(&mut self.row);
        let row = &self.row;
        let held = |name: &[u8]| {
            let found = row.properties().find(|(known, _)| known.as_bytes() == name);
            found.map(|(_, value)| value.as_bytes())
        };
        if !self.filter.is_empty() && !self.filter.matches(held) {
            return;
        }
        self.rows += 1;
        if self.count_only {
            return;
        }
        if self.filter.is_empty() {
            self.replies.re(self.tag, row.properties());
        } else {
            let shown = row
                .properties()
                .filter(|(name, _)| self.proplist.allows(name));
            self.replies.re(self.tag, shown);
        }
    }

    /// Ends the answer; versions from 7.18 on say `!empty` when there was no row.
    pub(crate) fn done(self, says_empty: bool) {
        if self.count_only {
            self.replies.done_ret(self.tag, self.rows.to_string());
            return;
        }
        if self.rows == 0 && says_empty {
            self.replies.empty(self.tag);
        }
        self.replies.done(self.tag);
    }
}
