//! The place reached in XML: text, attribute value, CDATA section, or markup that takes no value.
//!
//! Besides the escape, the position notes what a proof of well-formedness needs to know: how many
//! elements are open, and whether something happened whose effect depends on the values.

use super::{Escape, Misplaced};
use crate::template::error::Code;

/// The kind of markup reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::template) enum XmlMark {
    #[default]
    Text,
    /// In text, behind `&`.
    Entity,
    /// Behind `<`.
    Open,
    /// Behind `<!`, with the number of characters of `--` or `[CDATA[` matched so far.
    Declaration {
        dashes: u8,
        cdata: u8,
    },
    /// In a tag, outside attribute values.
    Tag {
        closing: bool,
        slash: bool,
    },
    Attribute {
        quote: u8,
        entity: bool,
    },
    Cdata {
        brackets: u8,
    },
    Comment {
        dashes: u8,
    },
    Instruction {
        question: bool,
    },
    /// `<!DOCTYPE` and the like, up to its end.
    Doctype,
}

impl XmlMark {
    /// Whether values are written alike in both places.
    pub(in crate::template) fn is_same_place(self, other: XmlMark) -> bool {
        match (self, other) {
            (XmlMark::Text | XmlMark::Entity, XmlMark::Text | XmlMark::Entity) => true,
            (XmlMark::Attribute { quote: left, .. }, XmlMark::Attribute { quote: right, .. }) => left == right,
            (left, right) => std::mem::discriminant(&left) == std::mem::discriminant(&right),
        }
    }
}

/// The place reached in XML text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in crate::template) struct XmlPosition {
    mark: XmlMark,
    depth: i32,
    /// The name being read in a tag begins with `xmlns`: how many of its letters were seen.
    namespace: u8,
    /// A value was written directly before.
    behind_value: bool,
    uncertain: bool,
}

impl XmlPosition {
    pub(in crate::template) fn mark(&self) -> XmlMark {
        self.mark
    }

    /// Elements opened and not yet closed.
    pub(in crate::template) fn depth(&self) -> i32 {
        self.depth
    }

    /// Whether well-formedness may depend on the values seen so far.
    pub(in crate::template) fn is_uncertain(&self) -> bool {
        self.uncertain
    }

    pub(in crate::template) fn set_uncertain(&mut self) {
        self.uncertain = true;
    }

    /// A repetition begins or ends here: brackets before it and behind it form no `]]>` together.
    pub(in crate::template) fn seam(&mut self) {
        if let XmlMark::Cdata { brackets } = &mut self.mark {
            *brackets = 0;
        }
        self.behind_value = true;
    }

    pub(in crate::template) fn advance(&mut self, literal: &str) {
        for byte in literal.bytes() {
            self.byte(byte);
        }
    }

    fn byte(&mut self, byte: u8) {
        if std::mem::take(&mut self.behind_value) && self.mark == XmlMark::Text {
            self.uncertain |= matches!(byte, b'>' | b']');
        }
        self.mark = match self.mark {
            XmlMark::Text | XmlMark::Entity => match byte {
                b'<' => XmlMark::Open,
                b'&' => XmlMark::Entity,
                b';' => XmlMark::Text,
                _ => self.mark,
            },
            XmlMark::Open => match byte {
                b'!' => XmlMark::Declaration { dashes: 0, cdata: 0 },
                b'?' => XmlMark::Instruction { question: false },
                _ => {
                    self.namespace = 0;
                    XmlMark::Tag { closing: byte == b'/', slash: false }
                }
            },
            XmlMark::Declaration { dashes, cdata } => declaration(dashes, cdata, byte),
            XmlMark::Tag { closing, slash } => self.tag(closing, slash, byte),
            XmlMark::Attribute { quote, entity } => match byte {
                _ if byte == quote => XmlMark::Tag { closing: false, slash: false },
                b'&' => XmlMark::Attribute { quote, entity: true },
                b';' => XmlMark::Attribute { quote, entity: false },
                _ => XmlMark::Attribute { quote, entity },
            },
            XmlMark::Cdata { brackets } => match byte {
                b']' => XmlMark::Cdata { brackets: (brackets + 1).min(2) },
                b'>' if brackets == 2 => XmlMark::Text,
                _ => XmlMark::Cdata { brackets: 0 },
            },
            XmlMark::Comment { dashes } => match byte {
                b'-' => XmlMark::Comment { dashes: (dashes + 1).min(2) },
                b'>' if dashes == 2 => XmlMark::Text,
                _ => XmlMark::Comment { dashes: 0 },
            },
            XmlMark::Instruction { question } => match byte {
                b'>' if question => XmlMark::Text,
                _ => XmlMark::Instruction { question: byte == b'?' },
            },
            XmlMark::Doctype => match byte {
                b'>' => XmlMark::Text,
                _ => XmlMark::Doctype,
            },
        };
    }

    fn tag(&mut self, closing: bool, slash: bool, byte: u8) -> XmlMark {
        match byte {
            b'>' => {
                self.depth += match (closing, slash) {
                    (true, _) => -1,
                    (false, true) => 0,
                    (false, false) => 1,
                };
                XmlMark::Text
            }
            b'"' | b'\'' => XmlMark::Attribute { quote: byte, entity: false },
            b' ' | b'\t' | b'\r' | b'\n' => {
                self.namespace = 0;
                XmlMark::Tag { closing, slash: false }
            }
            _ => {
                let wanted = b"xmlns".get(usize::from(self.namespace));
                if self.namespace < 5 {
                    self.namespace = if wanted == Some(&byte) { self.namespace + 1 } else { u8::MAX };
                }
                XmlMark::Tag { closing, slash: byte == b'/' }
            }
        }
    }

    pub(in crate::template) fn value(&mut self) -> Result<Escape, Misplaced> {
        let misplaced = |message| Err(Misplaced { code: Code::MacroInMarkup, message });
        let escape = match &mut self.mark {
            XmlMark::Text => {
                self.uncertain |= self.depth < 1;
                Escape::XmlText
            }
            XmlMark::Entity => {
                self.uncertain = true;
                Escape::XmlText
            }
            XmlMark::Attribute { entity, .. } => {
                self.uncertain |= *entity || self.namespace == 5;
                Escape::XmlAttribute
            }
            XmlMark::Cdata { brackets } => {
                *brackets = 0;
                Escape::XmlCdata
            }
            XmlMark::Comment { .. } => {
                return misplaced("a value may not stand in an XML comment; put it in an element or an attribute");
            }
            XmlMark::Instruction { .. } => {
                return misplaced("a value may not stand in an XML processing instruction; put it in an element or an attribute");
            }
            _ => {
                return misplaced("a value may not stand in a tag outside attribute quotes; put it in an element or an attribute");
            }
        };
        self.behind_value = true;
        Ok(escape)
    }
}

/// Behind `<!`: a comment, a CDATA section, or anything else.
fn declaration(dashes: u8, cdata: u8, byte: u8) -> XmlMark {
    if byte == b'-' && cdata == 0 {
        return match dashes {
            0 => XmlMark::Declaration { dashes: 1, cdata: 0 },
            _ => XmlMark::Comment { dashes: 0 },
        };
    }
    let wanted = b"[CDATA[".get(usize::from(cdata));
    if dashes == 0 && wanted == Some(&byte) {
        return match cdata {
            6 => XmlMark::Cdata { brackets: 0 },
            _ => XmlMark::Declaration { dashes: 0, cdata: cdata + 1 },
        };
    }
    if byte == b'>' { XmlMark::Text } else { XmlMark::Doctype }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn escape_after(text: &str) -> Option<Escape> {
        let mut position = XmlPosition::default();
        position.advance(text);
        position.value().ok()
    }

    #[test]
    fn each_place_has_its_escape() {
        assert_eq!(escape_after("<a>"), Some(Escape::XmlText));
        assert_eq!(escape_after("<a b='"), Some(Escape::XmlAttribute));
        assert_eq!(escape_after("<a b='\"' c=\"'"), Some(Escape::XmlAttribute));
        assert_eq!(escape_after("<a><![CDATA[x]]"), Some(Escape::XmlCdata));
        assert_eq!(escape_after("<a><![CDATA[x]]>"), Some(Escape::XmlText));
        assert_eq!(escape_after("<a b='>'>"), Some(Escape::XmlText));
        assert_eq!(escape_after("<!-- x > -- y --><a>"), Some(Escape::XmlText));
        assert_eq!(escape_after("<?p x > ?><a>"), Some(Escape::XmlText));
    }

    #[test]
    fn markup_takes_no_value() {
        for text in ["<", "</", "<a ", "<a b=", "<!-- ", "<?xml ", "<!DOCTYPE ", "<!", "<![CDA"] {
            assert_eq!(escape_after(text), None, "{text}");
        }
    }

    #[test]
    fn open_elements_are_counted() {
        let mut position = XmlPosition::default();
        position.advance("<a><b x='/'/><c></c><d e='>'>");
        assert_eq!(position.depth(), 2);
    }
}
