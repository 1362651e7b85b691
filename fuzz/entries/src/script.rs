//! How an input says more than bytes: the first byte picks variants, the next ones how the rest is cut.

/// Choices made by the head of an input.
pub(crate) struct Script<'a> {
    /// Bits to decide variants by.
    pub(crate) choice: u8,
    cuts: &'a [u8],
}

impl<'a> Script<'a> {
    /// Takes the head: a byte of choices, the number of cuts (at most 15) and as many sizes. The rest is the payload.
    pub(crate) fn take(data: &'a [u8]) -> (Self, &'a [u8]) {
        let [choice, cuts, rest @ ..] = data else {
            return (
                Self {
                    choice: 0,
                    cuts: &[],
                },
                &[],
            );
        };
        let (cuts, rest) = rest.split_at(usize::from(cuts % 16).min(rest.len()));
        let choice = *choice;
        (Self { choice, cuts }, rest)
    }

    /// Whether a bit of the choices is set.
    pub(crate) const fn chose(&self, bit: u8) -> bool {
        self.choice >> bit & 1 == 1
    }

    /// The payload in pieces of the sizes given, again and again; whole when none was given.
    pub(crate) fn pieces<'p>(&self, mut payload: &'p [u8]) -> Vec<&'p [u8]> {
        let mut pieces = Vec::new();
        let mut sizes = self.cuts.iter().cycle();
        while !payload.is_empty() {
            let size = sizes
                .next()
                .map_or(payload.len(), |&size| usize::from(size).max(1));
            let (piece, rest) = payload.split_at(size.min(payload.len()));
            pieces.push(piece);
            payload = rest;
        }
        pieces
    }
}

/// Text in which a line is a word and an empty line ends a sentence, in wire form. Lengths are right then, so an input
/// gets to what comes after them.
pub(crate) fn text_to_wire(text: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    let mut words: Vec<&[u8]> = Vec::new();
    for line in text.split(|&byte| byte == b'\n') {
        if line.is_empty() {
            routeros_api::Sentence::from_words(words.drain(..)).encode(&mut wire);
        } else {
            words.push(line);
        }
    }
    if !words.is_empty() {
        routeros_api::Sentence::from_words(words).encode(&mut wire);
    }
    wire
}
