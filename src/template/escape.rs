//! Writes values so that they stay values.
//!
//! Each function appends to the result. None of them looks at what the value looks like, except
//! where the language says so: text that is a JSON number stands bare outside JSON strings.

use serde_json::Value;

use super::value::{Scalar, is_json_number};

/// Lists and objects serialised into JSON may be nested this deep.
pub(super) const CONTAINER_DEPTH_MAX: usize = 100;

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// Every byte outside `A–Z a–z 0–9 - . _ ~` as `%XX`.
pub(super) fn percent(out: &mut String, value: &str) {
    let mut start = 0;
    for (at, byte) in value.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            continue;
        }
        // A multi-byte character is never unreserved, so no run is cut inside a character.
        if start < at {
            out.push_str(&value[start..at]);
        }
        out.push('%');
        out.push(HEX[usize::from(byte >> 4)] as char);
        out.push(HEX[usize::from(byte & 15)] as char);
        start = at + 1;
    }
    out.push_str(value.get(start..).unwrap_or_default());
}

/// Inside a JSON string.
pub(super) fn json_string(out: &mut String, value: &str) {
    let mut rest = value;
    loop {
        let plain = json_plain_bytes(rest.as_bytes());
        if plain == rest.len() {
            out.push_str(rest);
            return;
        }
        // The byte found is ASCII, so both sides of it are character boundaries.
        let (before, behind) = rest.split_at(plain);
        out.push_str(before);
        json_escape(out, behind.as_bytes()[0]);
        rest = &behind[1..];
    }
}

fn json_escape(out: &mut String, byte: u8) {
    match byte {
        b'"' => out.push_str("\\\""),
        b'\\' => out.push_str("\\\\"),
        b'\n' => out.push_str("\\n"),
        b'\r' => out.push_str("\\r"),
        b'\t' => out.push_str("\\t"),
        0x08 => out.push_str("\\b"),
        0x0c => out.push_str("\\f"),
        _ => {
            out.push_str("\\u00");
            out.push(HEX[usize::from(byte >> 4)].to_ascii_lowercase() as char);
            out.push(HEX[usize::from(byte & 15)].to_ascii_lowercase() as char);
        }
    }
}

/// How many bytes stand before the first that JSON forbids in a string. Looks at eight at a time:
/// values are the bulk of a body, and this is where rendering spends its time.
fn json_plain_bytes(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let mut done = 0;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut eight = [0; 8];
        eight.copy_from_slice(chunk);
        let eight = u64::from_le_bytes(eight);
        let quote = eight ^ (ONES * b'"' as u64);
        let backslash = eight ^ (ONES * b'\\' as u64);
        // The highest bit of a byte is set where the byte is below 0x20, a quote or a backslash. Bytes
        // behind the first such byte may be marked wrongly; only the first is used.
        let control = eight.wrapping_sub(ONES * 0x20) & !eight;
        let marks = (control | quote.wrapping_sub(ONES) & !quote | backslash.wrapping_sub(ONES) & !backslash) & HIGH;
        if marks != 0 {
            return done + (marks.trailing_zeros() / 8) as usize;
        }
        done += 8;
    }
    let rest = chunks.remainder().iter();
    done + rest.take_while(|byte| **byte >= 0x20 && **byte != b'"' && **byte != b'\\').count()
}

/// Outside a JSON string: one whole JSON value. Returns false for a container nested too deep.
pub(super) fn json_bare(out: &mut String, value: &Scalar<'_>) -> bool {
    match value {
        Scalar::Missing => out.push_str("null"),
        Scalar::Boolean(true) => out.push_str("true"),
        Scalar::Boolean(false) => out.push_str("false"),
        Scalar::Number(digits) => out.push_str(digits),
        Scalar::Text(text) if text.is_empty() => out.push_str("null"),
        Scalar::Text(text) if is_json_number(text) => out.push_str(text),
        Scalar::Text(text) => {
            out.push('"');
            json_string(out, text);
            out.push('"');
        }
        Scalar::Container(value) => return container(out, value),
    }
    true
}

fn container(out: &mut String, value: &Value) -> bool {
    if !is_shallow(value) {
        return false;
    }
    match serde_json::to_string(value) {
        Ok(text) => {
            out.push_str(&text);
            true
        }
        Err(_) => false,
    }
}

/// Whether `value` is nested at most [`CONTAINER_DEPTH_MAX`] deep; looks without recursion.
fn is_shallow(value: &Value) -> bool {
    let mut open: Vec<(&Value, usize)> = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        if depth > CONTAINER_DEPTH_MAX {
            return false;
        }
        match value {
            Value::Array(list) => open.extend(list.iter().map(|inner| (inner, depth + 1))),
            Value::Object(object) => open.extend(object.values().map(|inner| (inner, depth + 1))),
            _ => {}
        }
    }
    true
}

/// In the text of an element.
pub(super) fn xml_text(out: &mut String, value: &str) {
    xml(out, value, false);
}

/// In an attribute value.
pub(super) fn xml_attribute(out: &mut String, value: &str) {
    xml(out, value, true);
}

fn xml(out: &mut String, value: &str, attribute: bool) {
    let mut start = 0;
    for (at, c) in value.char_indices() {
        let written = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&apos;",
            '\r' => "&#13;",
            '\t' if attribute => "&#9;",
            '\n' if attribute => "&#10;",
            c if is_xml_character(c) => continue,
            _ => "\u{fffd}",
        };
        out.push_str(&value[start..at]);
        out.push_str(written);
        start = at + c.len_utf8();
    }
    out.push_str(&value[start..]);
}

/// In a CDATA section; `out` ends in that section. `]]>` is split, also when its brackets were
/// written before.
pub(super) fn xml_cdata(out: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\r' => out.push_str("]]>&#13;<![CDATA["),
            '>' if out.ends_with("]]") => out.push_str("]]><![CDATA[>"),
            c if is_xml_character(c) => out.push(c),
            _ => out.push('\u{fffd}'),
        }
    }
}

/// Literal text of a CDATA section behind a value: keeps the value's last brackets and the literal's
/// first characters from forming `]]>` together.
pub(super) fn xml_cdata_seam(out: &mut String, literal: &str) {
    let forms_end = (literal.starts_with('>') && out.ends_with("]]")) || (literal.starts_with("]>") && out.ends_with(']'));
    if forms_end {
        out.push_str("]]><![CDATA[");
    }
}

/// The characters XML 1.0 allows.
fn is_xml_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether `value` may stand in a header.
pub(super) fn is_header_text(value: &str) -> bool {
    !value.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl Fn(&mut String, &str), value: &str) -> String {
        let mut out = String::new();
        write(&mut out, value);
        out
    }

    #[test]
    fn percent_keeps_only_unreserved_characters() {
        assert_eq!(written(percent, "aZ9-._~"), "aZ9-._~");
        assert_eq!(written(percent, " +é%/"), "%20%2B%C3%A9%25%2F");
        assert_eq!(written(percent, "é"), "%C3%A9");
    }

    #[test]
    fn json_strings_escape_what_json_forbids() {
        assert_eq!(written(json_string, "\"\\\n\u{1}\u{1f}\u{7f}é"), "\\\"\\\\\\n\\u0001\\u001f\u{7f}é");
    }

    #[test]
    fn every_byte_is_judged_alike_at_every_place() {
        for byte in 0..=0x7f_u8 {
            for at in 0..20 {
                let mut text = "x".repeat(20).into_bytes();
                text[at] = byte;
                let text = String::from_utf8(text).unwrap();
                let expected = serde_json::to_string(&text).unwrap();
                assert_eq!(format!("\"{}\"", written(json_string, &text)), expected);
            }
        }
    }

    #[test]
    fn xml_replaces_forbidden_characters() {
        assert_eq!(written(xml_text, "\u{0}\u{b}\u{fffe}a\r\n\t"), "\u{fffd}\u{fffd}\u{fffd}a&#13;\n\t");
        assert_eq!(written(xml_attribute, "\r\n\t"), "&#13;&#10;&#9;");
    }

    #[test]
    fn cdata_never_ends_early() {
        assert_eq!(written(xml_cdata, "]]>"), "]]]]><![CDATA[>");
        assert_eq!(written(xml_cdata, "a\rb"), "a]]>&#13;<![CDATA[b");
        let mut out = "]]".to_owned();
        xml_cdata_seam(&mut out, ">x");
        assert_eq!(out, "]]]]><![CDATA[");
        let mut out = "x]".to_owned();
        xml_cdata_seam(&mut out, "]]>");
        assert_eq!(out, "x]");
    }

    #[test]
    fn deep_containers_are_refused() {
        let mut value = Value::Null;
        for _ in 0..CONTAINER_DEPTH_MAX {
            value = Value::Array(vec![value]);
        }
        assert!(!json_bare(&mut String::new(), &Scalar::Container(&value)));
    }
}
