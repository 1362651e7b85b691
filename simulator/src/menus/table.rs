//! The rows of one command's answer: what the device is, what was configured over it, what is asked for.

use std::{collections::BTreeMap, sync::Arc};

use routeros_api::{
    query::{Filter, Proplist},
    server::{ReplyWriter, Request},
};

pub(crate) use super::row::Row;
use super::row::{put_head, put_property};
use crate::{noise::hash, world::config::Changed};

/// Properties whose change alone is not worth telling to who listens.
const VOLATILE: [&[u8]; 15] = [
    b"rx-byte",
    b"tx-byte",
    b"rx-packet",
    b"tx-packet",
    b"rx-drop",
    b"tx-drop",
    b"rx-error",
    b"tx-error",
    b"tx-queue-drop",
    b"age",
    b"uptime",
    b"last-seen",
    b"expires-after",
    b"last-activity",
    b"time",
];

/// What a listener was told: for each row a digest, and whether it is still there.
#[derive(Debug, Default)]
pub(crate) struct Told(BTreeMap<Box<[u8]>, (u64, bool)>);

/// An item by its properties.
pub(crate) type Item = BTreeMap<Vec<u8>, Vec<u8>>;

/// All items of a menu.
pub(crate) type Items = Vec<Item>;

/// How a table is told.
enum Telling<'a> {
    /// To nobody: its items are wanted.
    Into(&'a mut Items),
    /// Every row.
    Whole,
    /// The rows that are not as told; with `quiet` none, but they are noted.
    Changes { told: &'a mut Told, quiet: bool },
}

/// Collects the rows of one command's answer.
pub(crate) struct Table<'a> {
    replies: &'a mut ReplyWriter,
    tag: Option<&'a [u8]>,
    proplist: Arc<Proplist>,
    filter: Filter,
    row: Row,
    rows: usize,
    count_only: bool,
    section: Option<u32>,
    changed: Option<&'a Changed>,
    /// Rows get a comment that is not UTF-8.
    garbled: bool,
    telling: Telling<'a>,
}

impl<'a> Table<'a> {
    /// The answer to a command; `changed` is what was configured in its menu.
    pub(crate) fn new(
        request: &'a Request,
        replies: &'a mut ReplyWriter,
        changed: Option<&'a Changed>,
    ) -> Self {
        let (proplist, filter) = (Arc::new(request.proplist()), filter(request));
        let kept = !filter.is_empty() || changed.is_some();
        Self {
            replies,
            tag: request.tag(),
            row: Row::new(Arc::clone(&proplist), kept),
            proplist,
            filter,
            rows: 0,
            count_only: request.get("count-only").is_some(),
            section: None,
            changed,
            garbled: false,
            telling: Telling::Whole,
        }
    }

    /// The comments of a device that keeps them in whatever bytes they came.
    pub(crate) fn garbled(self, garbled: bool) -> Self {
        Self { garbled, ..self }
    }

    /// One round of a command that repeats itself; its rows tell which.
    pub(crate) fn of_round(self, section: u32) -> Self {
        Self {
            section: Some(section),
            ..self
        }
    }

    /// Only what is not as it was told.
    pub(crate) fn since(self, told: &'a mut Told, quiet: bool) -> Self {
        for (_, there) in told.0.values_mut() {
            *there = false;
        }
        Self {
            row: Row::new(Arc::default(), true),
            telling: Telling::Changes { told, quiet },
            ..self
        }
    }

    /// Nothing is answered: the items are kept.
    pub(crate) fn into_items(self, items: &'a mut Items) -> Self {
        Self {
            row: Row::new(Arc::default(), true),
            telling: Telling::Into(items),
            ..self
        }
    }

    /// Answers one row.
    pub(crate) fn row(&mut self, fill: impl FnOnce(&mut Row)) {
        self.row.begin(self.tag);
        let plain = matches!(self.telling, Telling::Whole)
            && self.filter.is_empty()
            && self.changed.is_none();
        if self.garbled {
            self.row.put_bytes("comment", b"caf\xe9 \xff\xfe\xc0\x80");
        }
        fill(&mut self.row);
        if plain {
            self.rows += 1;
            if !self.count_only {
                if let Some(section) = self.section {
                    self.row.put(".section", section);
                }
                self.row.out.0.push(0);
                self.replies.raw(&self.row.out.0);
            }
            return;
        }
        let mut row = std::mem::take(&mut self.row);
        self.looked_at(&row);
        std::mem::swap(&mut self.row, &mut row);
    }

    /// A row of which the values matter.
    fn looked_at(&mut self, row: &Row) {
        let given = row
            .properties()
            .map(|(name, value)| (name.as_bytes(), value));
        let Some(changed) = self.changed else {
            let properties: Vec<_> = given.collect();
            return self.answer(&properties);
        };
        let id = row.properties().find(|(name, _)| *name == ".id");
        let id = id.map_or(&b""[..], |(_, id)| id);
        if changed.is_removed(id) {
            return;
        }
        let mut properties: Vec<_> = given.collect();
        for (name, value) in changed.values(id) {
            match properties.iter_mut().find(|(known, _)| *known == name) {
                Some(property) => property.1 = value,
                None => properties.push((name, value)),
            }
        }
        // What was unset is not there.
        properties.retain(|(name, _)| !changed.is_unset(id, name));
        self.answer(&properties);
    }

    fn answer(&mut self, properties: &[(&[u8], &[u8])]) {
        let held = |name: &[u8]| {
            let found = properties.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| *value)
        };
        let compared = |name: &[u8]| held(name).map(as_flag);
        if !self.filter.is_empty() && !self.filter.matches(compared) {
            return;
        }
        if let Telling::Into(items) = &mut self.telling {
            let owned = properties
                .iter()
                .map(|(name, value)| (name.to_vec(), value.to_vec()));
            items.push(owned.collect());
            return;
        }
        if let Telling::Changes { told, quiet } = &mut self.telling {
            let id = held(b".id").unwrap_or_default();
            let digest = digest(properties);
            let known = told.0.insert(id.into(), (digest, true));
            if *quiet || known.is_some_and(|(before, _)| before == digest) {
                return;
            }
        }
        self.rows += 1;
        if self.count_only {
            return;
        }
        let mut out = Vec::with_capacity(256);
        put_head(&mut out, self.tag);
        let shown = properties
            .iter()
            .filter(|(name, _)| self.proplist.allows(name));
        for (name, value) in shown {
            put_property(&mut out, name, value);
        }
        if let Some(section) = self.section {
            put_property(&mut out, b".section", section.to_string().as_bytes());
        }
        out.push(0);
        self.replies.raw(&out);
    }

    /// What was added to the menu, behind what is there by nature.
    fn added(&mut self) {
        for item in self.changed.into_iter().flat_map(Changed::added) {
            let properties: Vec<_> = item.properties().collect();
            self.answer(&properties);
        }
    }

    /// Ends a round of a command that goes on. Rows that a listener knows and that are gone are
    /// told as dead, unless the menu only ever grows and forgets.
    pub(crate) fn round(mut self, forgets: bool) {
        self.added();
        let Telling::Changes { told, quiet } = self.telling else {
            return;
        };
        let mut dead = Vec::new();
        told.0.retain(|id, (_, there)| {
            if !*there {
                dead.push(id.clone());
            }
            *there
        });
        if quiet || forgets {
            return;
        }
        for id in dead {
            let words: [(&[u8], &[u8]); 2] = [(b".id", &id), (b".dead", b"true")];
            self.replies.re(self.tag, words);
        }
    }

    /// Ends the answer; versions from 7.18 on say `!empty` when there was no row.
    pub(crate) fn done(mut self, says_empty: bool) {
        self.added();
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

/// The query of a command. A flag may be asked for as `yes` or as `true`.
fn filter(request: &Request) -> Filter {
    let words = request.sentence().queries().map(|word| {
        let place = word.iter().rposition(|byte| *byte == b'=');
        let (name, value) = word.split_at(place.map_or(word.len(), |place| place + 1));
        [name, as_flag(value)].concat()
    });
    let words: Vec<Vec<u8>> = words.collect();
    Filter::new(words.iter().map(Vec::as_slice))
}

fn as_flag(value: &[u8]) -> &[u8] {
    match value {
        b"yes" => b"true",
        b"no" => b"false",
        other => other,
    }
}

fn digest(properties: &[(&[u8], &[u8])]) -> u64 {
    let steady = properties
        .iter()
        .filter(|(name, _)| !VOLATILE.contains(name));
    steady.fold(0, |sum, (name, value)| {
        let bytes = name.iter().chain(*value);
        bytes.fold(hash(sum, 1, 0), |sum, byte| {
            (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
        })
    })
}
