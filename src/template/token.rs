//! Text that remembers where it came from, and the tokens inside a call.
//!
//! The text of a `join` is decoded from a string literal and read again as a template, and a
//! repaired template differs from what the user typed. Findings must still point at the typed
//! text, so every decoded byte carries the offset it came from.

use super::error::Span;

/// Text with the source offset of each of its bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct MappedText {
    text: String,
    /// One entry per byte of `text`, plus one for its end.
    offsets: Vec<u32>,
}

impl MappedText {
    /// The template as typed: every byte is its own origin.
    pub(super) fn identity(source: &str) -> MappedText {
        MappedText { text: source.to_owned(), offsets: (0..=source.len() as u32).collect() }
    }

    /// Empty text, to be filled with [`MappedText::push`] and closed with [`MappedText::finish`].
    pub(super) fn builder() -> MappedText {
        MappedText::default()
    }

    /// Appends one character whose first byte came from `offset`.
    pub(super) fn push(&mut self, c: char, offset: usize) {
        for index in 0..c.len_utf8() {
            self.offsets.push((offset + index) as u32);
        }
        self.text.push(c);
    }

    /// Notes where the text ends in the source.
    pub(super) fn finish(mut self, end: usize) -> MappedText {
        self.offsets.push(end as u32);
        self
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// The source offset of byte `index`; `text().len()` gives the end.
    pub(super) fn offset(&self, index: usize) -> usize {
        self.offsets.get(index).map_or(0, |offset| *offset as usize)
    }

    /// The source range of the bytes `start..end` of this text.
    pub(super) fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.offset(start), self.offset(end))
    }
}

/// Where the bytes of a literal came from: pairs of (offset in the literal, offset in the source)
/// at which the relation changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Origin(Vec<(u32, u32)>);

impl Origin {
    /// All bytes come from one place, or from consecutive places beginning there.
    pub(super) fn at(source: usize) -> Origin {
        Origin(vec![(0, source as u32)])
    }

    /// Notes that the byte `at` of the literal came from `source`.
    pub(super) fn note(&mut self, at: usize, source: usize) {
        if self.0.is_empty() || self.locate(at) != source {
            self.0.push((at as u32, source as u32));
        }
    }

    /// The source offset of byte `at`.
    pub(super) fn locate(&self, at: usize) -> usize {
        let index = self.0.partition_point(|(start, _)| *start as usize <= at);
        match index.checked_sub(1).and_then(|index| self.0.get(index)) {
            Some((start, source)) => *source as usize + (at - *start as usize),
            None => 0,
        }
    }
}

/// What follows inside a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A name, possibly with `.name` parts.
    Path(Vec<String>),
    /// A name directly followed by `(`.
    CallOpen(String),
    /// A string literal, decoded.
    Text(MappedText),
    /// `,`
    Comma,
    /// `)`
    CallClose,
    /// `}`
    BraceClose,
    /// A string literal that the template's end cuts off.
    UnterminatedText,
    /// A character that cannot stand here.
    Other(char),
    /// The end of the text.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origin_follows_jumps() {
        let mut origin = Origin::default();
        origin.note(0, 10);
        origin.note(1, 11);
        origin.note(2, 20);
        origin.note(3, 21);
        assert_eq!([0, 1, 2, 3, 4].map(|at| origin.locate(at)), [10, 11, 20, 21, 22]);
        assert_eq!(origin.0.len(), 2);
    }
}
