//! Cuts template text into pieces, and the inside of a call into tokens (rules G1 to G5).
//!
//! The lexer never fails and never looks back: whatever is not a macro is text.

use super::ast::{Literal, Path};
use super::macros::Names;
use super::token::{MappedText, Token};

/// What the template level of the grammar knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Literal),
    Path(Path),
    /// `{name(`: from here on the parser asks for tokens. Positions are of `{` and of the name's end.
    CallOpen {
        name: String,
        start: usize,
        name_end: usize,
    },
}

/// Reads one text from front to back.
pub(super) struct Lexer<'a> {
    text: &'a MappedText,
    at: usize,
    /// The catalogue, where `<Name>` counts as a macro; `None` in the text of an XML body (G5).
    angle: Option<&'a dyn Names>,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a MappedText, angle: Option<&'a dyn Names>) -> Lexer<'a> {
        Lexer { text, at: 0, angle }
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    pub(super) fn jump(&mut self, at: usize) {
        self.at = at;
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text.text()[self.at..]
    }

    fn byte(&self, at: usize) -> Option<u8> {
        self.text.text().as_bytes().get(at).copied()
    }

    /// The next piece of template text, or `None` at the end.
    pub(super) fn next_piece(&mut self) -> Option<Piece> {
        let start = self.at;
        let mut literal = Literal::default();
        while self.at < self.text.text().len() {
            let macro_piece = match self.byte(self.at) {
                Some(b'{') => self.brace_macro(),
                Some(b'<') => self.angle_macro(),
                _ => None,
            };
            if let Some((piece, end)) = macro_piece {
                if self.at > start {
                    break;
                }
                self.at = end;
                return Some(piece);
            }
            self.literal_character(&mut literal);
        }
        if self.at == start {
            return None;
        }
        literal.span = self.text.span(start, self.at);
        Some(Piece::Text(literal))
    }

    /// Takes one character, or an escape, into `literal` (G3).
    fn literal_character(&mut self, literal: &mut Literal) {
        let mut characters = self.rest().chars();
        let Some(first) = characters.next() else {
            return;
        };
        let second = if first == '\\' { characters.next() } else { None };
        match second {
            Some(escaped @ ('{' | '}' | '<' | '>')) => {
                self.keep(literal, escaped, self.at + 1);
                self.at += 2;
            }
            Some(other) => {
                self.keep(literal, first, self.at);
                self.keep(literal, other, self.at + 1);
                self.at += 1 + other.len_utf8();
            }
            None => {
                self.keep(literal, first, self.at);
                self.at += first.len_utf8();
            }
        }
    }

    fn keep(&self, literal: &mut Literal, c: char, at: usize) {
        literal.origin.note(literal.text.len(), self.text.offset(at));
        literal.text.push(c);
    }

    /// `{name}`, `{name.name}` or `{name(` at the current place, with the place after it (G1).
    fn brace_macro(&self) -> Option<(Piece, usize)> {
        let start = self.at + 1;
        let (segments, end) = self.path(start)?;
        match self.byte(end) {
            Some(b'}') => {
                let span = self.text.span(start, end);
                Some((Piece::Path(Path { segments, span }), end + 1))
            }
            Some(b'(') if segments.len() == 1 => {
                let name = segments.into_iter().next()?;
                Some((Piece::CallOpen { name, start: self.at, name_end: end }, end + 1))
            }
            _ => None,
        }
    }

    /// `<Name>` at the current place, if the catalogue has the name (G5).
    fn angle_macro(&self) -> Option<(Piece, usize)> {
        let names = self.angle?;
        let start = self.at + 1;
        let end = self.name(start)?;
        let name = &self.text.text()[start..end];
        if self.byte(end) != Some(b'>') || names.kind(name).is_none() {
            return None;
        }
        let span = self.text.span(start, end);
        let segments = vec![name.to_owned()];
        Some((Piece::Path(Path { segments, span }), end + 1))
    }

    /// The end of the name that begins at `start`.
    fn name(&self, start: usize) -> Option<usize> {
        let first = self.byte(start)?;
        if !first.is_ascii_alphabetic() && first != b'_' {
            return None;
        }
        let rest = self.text.text().as_bytes()[start..].iter();
        Some(start + rest.take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count())
    }

    /// The parts of the path that begins at `start`, and its end. A dot without a name after it is left.
    fn path(&self, start: usize) -> Option<(Vec<String>, usize)> {
        let mut end = self.name(start)?;
        let mut segments = vec![self.text.text()[start..end].to_owned()];
        while self.byte(end) == Some(b'.') {
            let Some(next) = self.name(end + 1) else { break };
            segments.push(self.text.text()[end + 1..next].to_owned());
            end = next;
        }
        Some((segments, end))
    }

    /// The next token inside a call, after any blanks, with the place where it begins.
    pub(super) fn next_token(&mut self) -> (Token, usize) {
        while matches!(self.byte(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
        let start = self.at;
        let Some(c) = self.rest().chars().next() else {
            return (Token::End, start);
        };
        if let Some((segments, end)) = self.path(start) {
            self.at = end;
            return (self.name_token(segments, end), start);
        }
        if c == '"' {
            return (self.string(), start);
        }
        self.at += c.len_utf8();
        let token = match c {
            ',' => Token::Comma,
            ')' => Token::CallClose,
            '}' => Token::BraceClose,
            other => Token::Other(other),
        };
        (token, start)
    }

    fn name_token(&mut self, mut segments: Vec<String>, end: usize) -> Token {
        if segments.len() == 1 && self.byte(end) == Some(b'(') {
            self.at = end + 1;
            return Token::CallOpen(segments.pop().unwrap_or_default());
        }
        Token::Path(segments)
    }

    /// A string literal; the current place is its opening quote (G4).
    fn string(&mut self) -> Token {
        let mut decoded = MappedText::builder();
        let mut at = self.at + 1;
        loop {
            let mut characters = self.text.text()[at..].chars();
            let Some(c) = characters.next() else {
                self.at = at;
                return Token::UnterminatedText;
            };
            let offset = self.text.offset(at);
            match (c, characters.next()) {
                ('"', _) => {
                    self.at = at + 1;
                    return Token::Text(decoded.finish(offset));
                }
                ('\\', Some(escaped)) => {
                    match escaped {
                        '"' | '\\' => decoded.push(escaped, offset),
                        'n' => decoded.push('\n', offset),
                        't' => decoded.push('\t', offset),
                        'r' => decoded.push('\r', offset),
                        other => {
                            decoded.push('\\', offset);
                            decoded.push(other, self.text.offset(at + 1));
                        }
                    }
                    at += 1 + escaped.len_utf8();
                }
                _ => {
                    decoded.push(c, offset);
                    at += c.len_utf8();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        let mapped = MappedText::identity(text);
        let mut lexer = Lexer::new(&mapped, None);
        let mut shown = String::new();
        while let Some(piece) = lexer.next_piece() {
            match piece {
                Piece::Text(literal) => shown.push_str(&format!("[{}]", literal.text)),
                Piece::Path(path) => shown.push_str(&format!("<{}>", path.dotted())),
                Piece::CallOpen { name, .. } => shown.push_str(&format!("<{name}(>")),
            }
        }
        shown
    }

    #[test]
    fn a_brace_opens_a_macro_only_before_a_name_and_its_end() {
        assert_eq!(shown("{A}{a.b}{ A}{A }{1}{}{A.}{A.1}"), "<A><a.b>[{ A}{A }{1}{}{A.}{A.1}]");
        assert_eq!(shown("{a.b(x"), "[{a.b(x]");
        assert_eq!(shown("{{A}}"), "[{]<A>[}]");
        assert_eq!(shown("{join("), "<join(>");
    }

    #[test]
    fn backslashes_are_read_in_pairs_from_the_left() {
        assert_eq!(shown(r"\{A\} \\{A} \\\{A} \n\q \"), r"[{A} \\]<A>[ \\{A} \n\q \]");
    }

    #[test]
    fn decoded_text_keeps_the_place_it_came_from() {
        let mapped = MappedText::identity(r#""a\"\{b\n""#);
        let mut lexer = Lexer::new(&mapped, None);
        let (Token::Text(text), 0) = lexer.next_token() else {
            panic!("a string was expected");
        };
        assert_eq!(text.text(), "a\"\\{b\n");
        let offsets: Vec<usize> = (0..=6).map(|at| text.offset(at)).collect();
        assert_eq!(offsets, [1, 2, 4, 5, 6, 7, 9]);
    }
}
