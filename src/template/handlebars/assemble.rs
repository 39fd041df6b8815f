//! One pass over marked output: literal text is taken as it stands, values are escaped by place.

use std::borrow::Cow;

use serde_json::Value;

use crate::template::error::{Code, Finding, Span};
use crate::template::escape;
use crate::template::format::Format;
use crate::template::position::{Edges, Position, XmlMark, dot_segment, encode_literal};
use crate::template::render::{OUTPUT_BYTES_MAX, write};
use crate::template::validity::{check_json, check_xml};
use crate::template::value::Scalar;

type Assembly<T> = Result<T, Box<Finding>>;

fn fault<T>(code: Code, span: Span, message: impl Into<String>) -> Assembly<T> {
    Err(Box::new(Finding::new(code, span, message)))
}

/// A piece of marked output.
enum Piece<'o> {
    Literal(&'o str),
    Value { kind: char, tag: usize, text: &'o str },
}

/// Escapes the values in `marked` and checks the result; `spans` has the place of each tag.
pub(super) fn assemble(format: Format, marked: &str, marker: &str, spans: &[Span]) -> Assembly<String> {
    let pieces = pieces(marked, marker);
    let count = pieces.len();
    let mut assembler =
        Assembler { format, position: Position::start(format), out: String::with_capacity(marked.len()), trace: Vec::new() };
    for (index, piece) in pieces.into_iter().enumerate() {
        match piece {
            Piece::Literal(text) => {
                let edges = Edges { first: index == 0, last: index + 1 == count };
                assembler.literal(text, edges)?;
            }
            Piece::Value { kind, tag, text } => {
                let span = spans.get(tag).copied().unwrap_or_default();
                assembler.value(kind, text, span)?;
            }
        }
        if assembler.out.len() > OUTPUT_BYTES_MAX {
            let message = format!("the result is longer than {OUTPUT_BYTES_MAX} bytes; send fewer items or values");
            return fault(Code::OutputTooLarge, assembler.place(assembler.out.len()), message);
        }
    }
    assembler.finish()
}

/// Cuts marked output at its markers.
fn pieces<'o>(marked: &'o str, marker: &str) -> Vec<Piece<'o>> {
    let mut pieces = Vec::new();
    let mut rest = marked;
    while !rest.is_empty() {
        let literal = rest.find(marker).unwrap_or(rest.len());
        if literal > 0 {
            pieces.push(Piece::Literal(&rest[..literal]));
        }
        rest = rest.get(literal + marker.len()..).unwrap_or_default();
        let Some((piece, behind)) = value_piece(rest) else { break };
        pieces.push(piece);
        rest = behind;
    }
    pieces
}

/// `kind`, number, `:`, length, `:`, text.
fn value_piece(rest: &str) -> Option<(Piece<'_>, &str)> {
    let kind = rest.chars().next()?;
    let (tag, rest) = rest[kind.len_utf8()..].split_once(':')?;
    let (length, rest) = rest.split_once(':')?;
    let (text, behind) = rest.split_at_checked(length.parse().ok()?)?;
    let tag = tag.parse().ok()?;
    Some((Piece::Value { kind, tag, text }, behind))
}

struct Assembler {
    format: Format,
    position: Position,
    out: String,
    /// Where each value begins in the result, with the place of its tag.
    trace: Vec<(usize, Span)>,
}

impl Assembler {
    /// The tag nearest before byte `at` of the result.
    fn place(&self, at: usize) -> Span {
        let index = self.trace.partition_point(|(start, _)| *start <= at);
        index.checked_sub(1).and_then(|index| self.trace.get(index)).map_or(Span::default(), |(_, span)| *span)
    }

    fn literal(&mut self, text: &str, edges: Edges) -> Assembly<()> {
        let text = match (&self.position, self.format) {
            (Position::Url(url), _) => Cow::Owned(encode_literal(text, edges, Some(url))),
            (_, Format::Query) => Cow::Owned(encode_literal(text, edges, None)),
            _ => Cow::Borrowed(text),
        };
        if self.format == Format::Header && !escape::is_header_text(&text) {
            let message = "a header value may not hold a line break or another control character; remove it";
            return fault(Code::InvalidHeader, self.place(self.out.len()), message);
        }
        if let Position::Xml(xml) = &self.position
            && matches!(xml.mark(), XmlMark::Cdata { .. })
        {
            escape::xml_cdata_seam(&mut self.out, &text);
        }
        self.position.advance(&text);
        self.out.push_str(&text);
        Ok(())
    }

    fn value(&mut self, kind: char, text: &str, span: Span) -> Assembly<()> {
        self.trace.push((self.out.len(), span));
        let escape = match self.position.escape() {
            Ok(escape) => escape,
            Err(misplaced) => return fault(misplaced.code, span, misplaced.message),
        };
        let raw = kind.is_ascii_uppercase();
        let container: Value;
        let scalar = match kind.to_ascii_lowercase() {
            'n' => Scalar::Missing,
            'd' => Scalar::Number(Cow::Borrowed(text)),
            'b' => Scalar::Boolean(text == "true"),
            'c' => {
                container = serde_json::from_str(text).unwrap_or(Value::Null);
                Scalar::Container(&container)
            }
            _ => Scalar::Text(Cow::Borrowed(text)),
        };
        write(&mut self.out, &scalar, escape, raw, span)
    }

    /// Checks the whole result.
    fn finish(self) -> Assembly<String> {
        if let Position::Url(url) = &self.position
            && let Err(misplaced) = url.finish()
        {
            return fault(misplaced.code, Span::default(), misplaced.message);
        }
        match self.format {
            Format::Url => match dot_segment(&self.out) {
                Some((start, end)) => {
                    let segment = &self.out[start..end];
                    let message = format!("the path segment came out as `{segment}`, which leads to another path; write the path in full");
                    fault(Code::DotSegment, self.place(start), message)
                }
                None => Ok(self.out),
            },
            Format::Json => match check_json(&self.out) {
                Err(invalid) => {
                    let message = format!("the body is not valid JSON: {}", invalid.message());
                    fault(Code::InvalidBody, self.place(invalid.at), message)
                }
                Ok(()) => Ok(self.out),
            },
            Format::Xml => match check_xml(&self.out) {
                Err(invalid) => {
                    let message = format!("the body is not well-formed XML: {}", invalid.message);
                    fault(Code::InvalidBody, self.place(invalid.at), message)
                }
                Ok(()) => Ok(self.out),
            },
            Format::Query | Format::Raw | Format::Header => Ok(self.out),
        }
    }
}
