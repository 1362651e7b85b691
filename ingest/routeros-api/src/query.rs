//! Queries and property lists, from the router's side: which items and which properties to answer.
//!
//! A query is a stack machine over booleans. The stack begins with endless `true`; an item is answered
//! unless a `false` is left at the end. So several conditions without operations mean "and".

use crate::codec::Sentence;
use std::cmp::Ordering;

/// A compiled query: the `?` words of one command, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Present(Vec<u8>),
    Absent(Vec<u8>),
    Compare(Ordering, Vec<u8>, Vec<u8>),
    Operations(Vec<u8>),
}

impl Filter {
    /// From query words without their `?`, as [`Sentence::queries`] gives them.
    pub fn new<'a>(words: impl IntoIterator<Item = &'a [u8]>) -> Self {
        Self {
            steps: words.into_iter().map(Step::parse).collect(),
        }
    }

    /// The query of a command.
    #[must_use]
    pub fn of(sentence: &Sentence) -> Self {
        Self::new(sentence.queries())
    }

    /// True when it lets every item pass.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// Whether an item passes; `property` looks up its values.
    pub fn matches<'a>(&self, property: impl Fn(&[u8]) -> Option<&'a [u8]>) -> bool {
        let mut stack = Stack::default();
        for step in &self.steps {
            match step {
                Step::Present(name) => stack.push(property(name).is_some()),
                Step::Absent(name) => stack.push(property(name).is_none()),
                Step::Compare(order, name, wanted) => {
                    stack.push(property(name).is_some_and(|held| compare(held, wanted) == *order));
                }
                Step::Operations(operations) => stack.apply(operations),
            }
        }
        stack.passes()
    }
}

impl Step {
    fn parse(word: &[u8]) -> Self {
        let compare = |order, rest: &[u8]| {
            let (name, value) = crate::codec::split_pair(rest);
            Self::Compare(order, name.to_vec(), value.to_vec())
        };
        match word {
            [b'#', operations @ ..] => Self::Operations(operations.to_vec()),
            [b'-', name @ ..] => Self::Absent(name.to_vec()),
            [b'<', rest @ ..] => compare(Ordering::Less, rest),
            [b'>', rest @ ..] => compare(Ordering::Greater, rest),
            [b'=', rest @ ..] => compare(Ordering::Equal, rest),
            rest if rest.contains(&b'=') => compare(Ordering::Equal, rest),
            name => Self::Present(name.to_vec()),
        }
    }
}

/// Numbers and ids (`*4D8`) by value where both are such, else bytes.
fn compare(held: &[u8], wanted: &[u8]) -> Ordering {
    let number = |bytes| {
        let text = std::str::from_utf8(bytes).ok()?;
        match text.strip_prefix('*') {
            Some(id) => i64::from_str_radix(id, 16).ok(),
            None => text.parse::<i64>().ok(),
        }
    };
    match (number(held), number(wanted)) {
        (Some(held), Some(wanted)) => held.cmp(&wanted),
        _ => held.cmp(wanted),
    }
}

/// Booleans above an endless supply of `true`.
#[derive(Default)]
struct Stack(Vec<bool>);

impl Stack {
    /// A query of one command can't be longer than this; a hostile one isn't let grow the stack.
    const MAX: usize = 4096;

    fn push(&mut self, value: bool) {
        if self.0.len() < Self::MAX {
            self.0.push(value);
        }
    }

    fn pop(&mut self) -> bool {
        self.0.pop().unwrap_or(true)
    }

    fn at(&self, index: usize) -> bool {
        self.0.iter().rev().nth(index).copied().unwrap_or(true)
    }

    fn apply(&mut self, operations: &[u8]) {
        let mut index: Option<usize> = None;
        for &byte in operations {
            if byte.is_ascii_digit() {
                let so_far = index.unwrap_or(0).saturating_mul(10);
                index = Some(so_far.saturating_add(usize::from(byte - b'0')));
                continue;
            }
            let copied = index
                .take()
                .map(|index| self.push(self.at(index)))
                .is_some();
            match byte {
                b'!' => {
                    let top = self.pop();
                    self.push(!top);
                }
                b'&' => {
                    let (a, b) = (self.pop(), self.pop());
                    self.push(a && b);
                }
                b'|' => {
                    let (a, b) = (self.pop(), self.pop());
                    self.push(a || b);
                }
                // After an index the dot only ends it.
                b'.' if !copied => self.push(self.at(0)),
                _ => {}
            }
        }
        if let Some(index) = index {
            self.0 = vec![self.at(index)];
        }
    }

    fn passes(&self) -> bool {
        self.0.iter().all(|&value| value)
    }
}

/// Which properties a command asked for: `=.proplist=a,b`. Without one, all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proplist {
    names: Option<Vec<Vec<u8>>>,
}

impl Proplist {
    /// From the list's text, names parted by commas.
    #[must_use]
    pub fn new(list: &[u8]) -> Self {
        let names = list
            .split(|&byte| byte == b',')
            .filter(|name| !name.is_empty());
        Self {
            names: Some(names.map(<[u8]>::to_vec).collect()),
        }
    }

    /// The list of a command.
    #[must_use]
    pub fn of(sentence: &Sentence) -> Self {
        sentence
            .get(".proplist")
            .map_or_else(Self::default, Self::new)
    }

    /// Whether a property is to be answered.
    #[must_use]
    pub fn allows(&self, name: impl AsRef<[u8]>) -> bool {
        let name = name.as_ref();
        self.names
            .as_ref()
            .is_none_or(|names| names.iter().any(|known| known == name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ROW: [(&str, &str); 4] = [
        ("type", "ether"),
        ("mtu", "1500"),
        ("name", "ether1"),
        (".id", "*10"),
    ];

    fn passes(query: &[&str]) -> bool {
        let filter = Filter::new(query.iter().map(|word| word.as_bytes()));
        filter.matches(|name| {
            let found = ROW.iter().find(|(known, _)| known.as_bytes() == name);
            found.map(|(_, value)| value.as_bytes())
        })
    }

    #[test]
    fn single_conditions() {
        let cases = [
            ("type=ether", true),
            ("=type=ether", true),
            ("=type=vlan", false),
            ("type", true),
            ("comment", false),
            ("-comment", true),
            ("-type", false),
            (">mtu=900", true),
            ("<mtu=900", false),
            ("<mtu=10000", true),
            (">mtu=1500", false),
            (">.id=*F", true),
            (">.id=*10", false),
            ("<.id=*2", false),
            ("=comment=", false),
        ];
        for (word, expected) in cases {
            assert_eq!(passes(&[word]), expected, "?{word}");
        }
        assert!(passes(&[]));
    }

    #[test]
    fn operations() {
        let cases: [(&[&str], bool); 13] = [
            (&["type=ether", "type=vlan"], false),
            (&["type=ether", "type=vlan", "#|"], true),
            (&["type=ether", "type=vlan", "#&"], false),
            (&["type=vlan", "#!"], true),
            (&["type=ether", "#!"], false),
            (&["type=vlan", "#|"], true),
            (&["type=ether", "name=x", "mtu=1500", "#|!&!"], true),
            (&["type=vlan", "type=ether", "#0"], true),
            (&["type=vlan", "type=ether", "#1"], false),
            (&["type=vlan", "type=ether", "#0.|"], false),
            (&["type=vlan", "type=ether", "#0.||"], true),
            (&["type=vlan", "#.|"], false),
            (&["type=vlan", "#!!"], false),
        ];
        for (words, expected) in cases {
            assert_eq!(passes(words), expected, "{words:?}");
        }
    }

    #[test]
    fn proplists_name_what_is_answered() {
        let command = Sentence::from_words(["/interface/print", "=.proplist=name,mtu"]);
        let list = Proplist::of(&command);
        assert!(list.allows("name") && list.allows("mtu"));
        assert!(!list.allows("type"));
        assert!(Proplist::of(&Sentence::from_words(["/interface/print"])).allows("type"));
    }

    proptest! {
        #[test]
        fn any_words_do_no_harm(
            words in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 0..10),
        ) {
            let filter = Filter::new(words.iter().map(Vec::as_slice));
            filter.matches(|name| (name.len() % 2 == 0).then_some(&b"1"[..]));
        }
    }
}
