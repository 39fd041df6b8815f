//! The functions of the language, apart from `join`: they turn one value into another.
//!
//! Both engines use them: the macro language through `check` and `render`, handlebars through its
//! helpers. `raw` changes how a value is written rather than the value, so it is known here by name
//! only. Status translation, Unix seconds, dates with blanks and hashed identifiers are what
//! receivers need.

use std::borrow::Cow;

use md5::Md5;
use sha2::{Digest, Sha256};

use super::date::{self, DateFormat};
use super::value::Scalar;

/// All functions with the least and the greatest number of arguments.
const SIGNATURES: [(&str, usize, usize, &str); 9] = [
    ("join", 3, 4, "join(list, variable, \"text\" [, \"separator\"])"),
    ("default", 2, 2, "default(x, \"text\")"),
    ("lower", 1, 1, "lower(x)"),
    ("upper", 1, 1, "upper(x)"),
    ("map", 2, usize::MAX, "map(x, \"A=1\", \"*=2\")"),
    ("date", 2, 3, "date(x, \"%Y-%m-%d\" [, \"zone\"])"),
    ("md5", 1, 1, "md5(x)"),
    ("sha256", 1, 1, "sha256(x)"),
    ("raw", 1, 1, "raw(x)"),
];

/// The names of all functions.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SIGNATURES.iter().map(|(name, ..)| *name)
}

/// How a function is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    pub(super) arguments_min: usize,
    pub(super) arguments_max: usize,
    /// For messages: `lower(x)`.
    pub(super) form: &'static str,
}

/// How the function `name` is called, if there is one.
pub(super) fn signature(name: &str) -> Option<Signature> {
    let found = SIGNATURES.iter().find(|(known, ..)| *known == name);
    found.map(|(_, min, max, form)| Signature { arguments_min: *min, arguments_max: *max, form })
}

/// A function with its fixed arguments read; the value it works on comes at render time.
#[derive(Debug, Clone)]
pub(super) enum Function {
    Lower,
    Upper,
    Md5,
    Sha256,
    Map(Mapping),
    Date(DateFormat),
}

/// The pairs of `map`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Mapping {
    pairs: Vec<(String, String)>,
    otherwise: Option<String>,
}

impl Mapping {
    /// Adds `key=value`; `*=value` is used when no key matches. Returns false if there is no `=`.
    pub(super) fn add(&mut self, pair: &str) -> bool {
        let Some((key, value)) = pair.split_once('=') else {
            return false;
        };
        if key == "*" {
            self.otherwise.get_or_insert_with(|| value.to_owned());
        } else {
            self.pairs.push((key.to_owned(), value.to_owned()));
        }
        true
    }

    fn find(&self, text: &str) -> Option<&str> {
        let pair = self.pairs.iter().find(|(key, _)| key == text);
        pair.map(|(_, value)| value).or(self.otherwise.as_ref()).map(String::as_str)
    }
}

/// Why a function has no result for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FunctionError {
    /// The value is a list or an object.
    NotScalar,
    /// `date` cannot read the text; its beginning, fit for a message.
    BadDate(String),
}

/// The beginning of a value, for a message.
fn excerpt(text: &str) -> String {
    let visible = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    visible.take(60).collect()
}

impl Function {
    /// The function applied to `value`. Missing stays missing, except where `map` maps it.
    pub(super) fn apply<'a>(&'a self, value: Scalar<'a>) -> Result<Scalar<'a>, FunctionError> {
        let text = value.text().ok_or(FunctionError::NotScalar)?;
        let result = match self {
            Function::Map(mapping) => {
                return Ok(match mapping.find(text) {
                    Some(mapped) => Scalar::Text(Cow::Borrowed(mapped)),
                    None => value,
                });
            }
            _ if text.is_empty() => return Ok(value),
            Function::Lower => text.to_lowercase(),
            Function::Upper => text.to_uppercase(),
            Function::Md5 => hex(&Md5::digest(text.as_bytes())),
            Function::Sha256 => hex(&Sha256::digest(text.as_bytes())),
            Function::Date(format) => date::reformat(text, format).ok_or_else(|| FunctionError::BadDate(excerpt(text)))?,
        };
        Ok(Scalar::Text(Cow::Owned(result)))
    }
}

/// Whether `default` replaces the value.
pub(super) fn is_absent(value: &Scalar<'_>) -> bool {
    value.text() == Some("")
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(function: &Function, text: &str) -> String {
        let value = function.apply(Scalar::Text(Cow::Borrowed(text))).unwrap();
        value.text().unwrap().to_owned()
    }

    #[test]
    fn hashes_are_lower_case_hex_and_empty_stays_empty() {
        assert_eq!(apply(&Function::Md5, "abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(apply(&Function::Sha256, "abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(apply(&Function::Md5, ""), "");
        assert_eq!(Function::Sha256.apply(Scalar::Missing), Ok(Scalar::Missing));
    }

    #[test]
    fn map_takes_the_first_key_and_falls_back_to_the_star() {
        let mut mapping = Mapping::default();
        assert!(mapping.add("*=2") && mapping.add("A=1") && mapping.add("A=9") && mapping.add("B=x=y"));
        assert!(!mapping.add("C"));
        let map = Function::Map(mapping);
        assert_eq!(["A", "B", "C", ""].map(|text| apply(&map, text)), ["1", "x=y", "2", "2"]);
    }

    #[test]
    fn case_follows_unicode() {
        assert_eq!(apply(&Function::Upper, "straße"), "STRASSE");
        assert_eq!(apply(&Function::Lower, "ÄÖ"), "äö");
    }
}
