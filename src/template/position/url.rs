//! Addresses: literal text, the part in which values may not stand, and dot segments.
//!
//! The scheme, user, host and port must be literal: whoever controls a value must not choose the
//! receiver. What follows is percent-encoded, so a value can never add a segment, a pair or a
//! fragment. A value of `..` needs no encoding and would still climb, hence the check of segments.

use super::{Escape, Misplaced};
use crate::template::error::Code;

/// How far into an address the text has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::template) enum UrlPosition {
    /// Not yet behind `http://` or `https://`; the text so far.
    Scheme(String),
    /// Between `//` and the first of `/`, `?`, `#`; the text between.
    Authority(String),
    /// Behind the authority.
    Rest { is_sound: bool },
    /// The scheme is not one of the two.
    BadScheme,
}

impl Default for UrlPosition {
    fn default() -> UrlPosition {
        UrlPosition::Scheme(String::new())
    }
}

const BAD_SCHEME: Misplaced = Misplaced { code: Code::BadScheme, message: "an address must begin with a literal `http://` or `https://`" };

const BAD_HOST: Misplaced = Misplaced {
    code: Code::BadHost,
    message: "the host of the address is empty, or it or the port cannot be one; write it as in `https://tracker.example/` or `https://tracker.example:8443/`",
};

impl UrlPosition {
    pub(in crate::template) fn advance(&mut self, literal: &str) {
        for c in literal.chars() {
            match self {
                UrlPosition::Scheme(text) => {
                    text.push(c);
                    let known = ["http://", "https://"];
                    if known.iter().any(|scheme| text.eq_ignore_ascii_case(scheme)) {
                        *self = UrlPosition::Authority(String::new());
                    } else if !known.iter().any(|scheme| is_prefix(text, scheme)) {
                        *self = UrlPosition::BadScheme;
                    }
                }
                UrlPosition::Authority(text) => match c {
                    '/' | '?' | '#' => *self = UrlPosition::Rest { is_sound: is_authority(text) },
                    _ => text.push(c),
                },
                UrlPosition::Rest { .. } | UrlPosition::BadScheme => return,
            }
        }
    }

    pub(in crate::template) fn value(&self) -> Result<Escape, Misplaced> {
        match self {
            UrlPosition::Scheme(_) | UrlPosition::BadScheme => Err(BAD_SCHEME),
            UrlPosition::Authority(_) => Err(Misplaced {
                code: Code::MacroInAuthority,
                message: "values may not stand in the user, host or port of an address; write that part literally",
            }),
            UrlPosition::Rest { .. } => Ok(Escape::Percent),
        }
    }

    /// What is wrong with the address, once all its text has been seen.
    pub(in crate::template) fn finish(&self) -> Result<(), Misplaced> {
        match self {
            UrlPosition::Scheme(_) | UrlPosition::BadScheme => Err(BAD_SCHEME),
            UrlPosition::Authority(text) if is_authority(text) => Ok(()),
            UrlPosition::Rest { is_sound: true } => Ok(()),
            UrlPosition::Authority(_) | UrlPosition::Rest { .. } => Err(BAD_HOST),
        }
    }

    /// Whether literal text is still part of scheme or authority, which are kept as typed.
    fn keeps_text(&self) -> bool {
        !matches!(self, UrlPosition::Rest { .. })
    }
}

fn is_prefix(text: &str, scheme: &str) -> bool {
    scheme.get(..text.len()).is_some_and(|start| start.eq_ignore_ascii_case(text))
}

/// Whether this is a host, perhaps with a user and a port, as whoever reads the address will see it.
fn is_authority(text: &str) -> bool {
    text.chars().all(may_stand_in_host) && url::Url::parse(&format!("https://{text}/")).is_ok()
}

fn may_stand_in_host(c: char) -> bool {
    !c.is_control() && !c.is_whitespace() && !"<>\"\\^`{|}".contains(c)
}

/// Which ends of a literal are also ends of the whole text, where blanks are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::template) struct Edges {
    pub(in crate::template) first: bool,
    pub(in crate::template) last: bool,
}

/// Literal text as it stands in an address or a query.
///
/// Line breaks go, with the blanks around them; so do blanks at the ends of the whole text. What an
/// address may not hold is percent-encoded; `%XX` stays, a lone `%` becomes `%25`. `position` is
/// `None` for a query, and otherwise the place before the literal: host names are left as typed.
pub(in crate::template) fn encode_literal(literal: &str, edges: Edges, position: Option<&UrlPosition>) -> String {
    let joined = join_lines(literal, edges);
    let kept = kept_prefix(&joined, position);
    let mut encoded = joined[..kept].to_owned();
    let rest = &joined[kept..];
    for (at, c) in rest.char_indices() {
        let stands = match c {
            '%' => rest.as_bytes().get(at + 1..at + 3).is_some_and(|hex| hex.iter().all(u8::is_ascii_hexdigit)),
            _ => c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&'()*+,;=".contains(c),
        };
        if stands {
            encoded.push(c);
        } else {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    encoded
}

/// How many bytes of `text` belong to scheme and authority.
fn kept_prefix(text: &str, position: Option<&UrlPosition>) -> usize {
    let Some(position) = position else { return 0 };
    let mut position = position.clone();
    for (at, c) in text.char_indices() {
        if !position.keeps_text() {
            return at;
        }
        position.advance(c.encode_utf8(&mut [0; 4]));
    }
    text.len()
}

fn join_lines(literal: &str, edges: Edges) -> String {
    let mut joined = String::with_capacity(literal.len());
    let mut rest = literal;
    while !rest.is_empty() {
        let word = rest.find([' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        joined.push_str(&rest[..word]);
        rest = &rest[word..];
        let blank = rest.find(|c| !matches!(c, ' ' | '\t' | '\r' | '\n')).unwrap_or(rest.len());
        let at_first = edges.first && joined.is_empty();
        let at_last = edges.last && blank == rest.len();
        if !at_first && !at_last && !rest[..blank].contains(['\r', '\n']) {
            joined.push_str(&rest[..blank]);
        }
        rest = &rest[blank..];
    }
    joined
}

/// The first path segment of `url` that is `.` or `..`, also in percent-encoded form.
///
/// Backslashes count as slashes and line breaks and tabs as nothing, because `raw` may insert them
/// and clients read them so. Returns the byte range of the segment.
pub(in crate::template) fn dot_segment(url: &str) -> Option<(usize, usize)> {
    let authority = url.find("://")? + 3;
    let path = authority + url[authority..].find(['/', '?', '#', '\\'])?;
    let end = url[path..].find(['?', '#']).map_or(url.len(), |at| path + at);
    let mut start = path;
    for segment in url[path..end].split(['/', '\\']) {
        if is_dots(segment) {
            return Some((start, start + segment.len()));
        }
        start += segment.len() + 1;
    }
    None
}

fn is_dots(segment: &str) -> bool {
    if segment.len() > 64 || !segment.bytes().all(|b| matches!(b, b'.' | b'%' | b'2' | b'e' | b'E' | b'\t' | b'\r' | b'\n')) {
        return false;
    }
    let plain: String = segment.chars().filter(|c| !matches!(c, '\t' | '\r' | '\n')).collect();
    let plain = plain.to_ascii_lowercase().replace("%2e", ".");
    plain == "." || plain == ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(text: &str) -> UrlPosition {
        let mut position = UrlPosition::default();
        position.advance(text);
        position
    }

    #[test]
    fn values_stand_only_behind_the_authority() {
        let code = |text: &str| after(text).value().err().map(|misplaced| misplaced.code);
        assert_eq!(code(""), Some(Code::BadScheme));
        assert_eq!(code("ftp://h/"), Some(Code::BadScheme));
        assert_eq!(code("https:/h/"), Some(Code::BadScheme));
        assert_eq!(code("https://h"), Some(Code::MacroInAuthority));
        assert_eq!(code("https://u:"), Some(Code::MacroInAuthority));
        assert_eq!(code("HTTPS://h?"), None);
        assert_eq!(code("http://h/p"), None);
    }

    #[test]
    fn hosts_must_be_there_and_plain() {
        let code = |text: &str| after(text).finish().err().map(|misplaced| misplaced.code);
        assert_eq!(code("https://h"), None);
        assert_eq!(code("https://bücher.example:8080/x"), None);
        for text in [
            "https:///x",
            "https://",
            "https://a:b/x",
            "https://a::80/x",
            "https://a:99999/",
            "https://t)ps:://x",
            "https://[::1/x",
            "https://u@/x",
        ] {
            assert_eq!(code(text), Some(Code::BadHost), "{text}");
        }
        assert_eq!(code("https://u:p@[::1]:8080?x"), None);
        assert_eq!(code(r"https://good.example\@evil.example/"), Some(Code::BadHost));
        assert_eq!(code("https://a b/"), Some(Code::BadHost));
        assert_eq!(code("https"), Some(Code::BadScheme));
    }

    #[test]
    fn literals_are_joined_and_encoded() {
        let whole = Edges { first: true, last: true };
        let query = |text: &str| encode_literal(text, whole, None);
        assert_eq!(query("  a=1\n  &b=x y\t\n"), "a=1&b=x%20y");
        assert_eq!(query("%4g%41%"), "%254g%41%25");
        assert_eq!(query("é\\|^"), "%C3%A9%5C%7C%5E");
        let start = UrlPosition::default();
        let url = encode_literal(" https://bücher.ex\n ample/ü", whole, Some(&start));
        assert_eq!(url, "https://bücher.example/%C3%BC");
        let inner = encode_literal(" a ", Edges::default(), None);
        assert_eq!(inner, "%20a%20");
    }

    #[test]
    fn dot_segments_are_found_in_every_spelling() {
        for bad in ["/..", "/a/../b", "/.", "/a/./b", "/%2e%2E/x", "/.%2e?x", "/a\\..\\b", "/.\t./x"] {
            assert!(dot_segment(&format!("https://h{bad}")).is_some(), "{bad}");
        }
        for good in ["", "/", "/a..b", "/...", "/.a", "?x=/../", "#/../", "/a/b.c", "/%2e%2e%2e"] {
            assert!(dot_segment(&format!("https://h{good}")).is_none(), "{good}");
        }
    }
}
