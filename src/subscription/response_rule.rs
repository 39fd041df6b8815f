//! What a receiver's answer must look like: the language of the two response boxes.
//!
//! One text box, one condition on each line, and all of them must hold:
//!
//! | line | holds if |
//! |---|---|
//! | `contains:OK`, or `OK` | the body contains the text |
//! | `exact:OK` | the body, without blanks at both ends, is the text |
//! | `regex:^OK\b` | the pattern is found in the body |
//! | `json:/status=ok` | the body is JSON, and the value at the pointer is this one |
//! | `json:/status` | the same, and there is a value other than `null` and `false` |
//! | `xml:/response/status=ok`, `xml:/response/@code=0` | an element, or an attribute, has this text |
//! | `xml:/response/status` | there is such an element or attribute |
//! | `status:200,204`, `status:2xx`, `status:200-204` | the HTTP status is one of these |
//!
//! Blanks around a line and around its value do not count; a pattern can ask for them (`regex:\s`).
//! Case counts. The caller passes at most the first 64 KiB of a body: JSON or XML that is cut off
//! there is no longer whole and holds no condition. The same is true of JSON nested deeper than 128
//! and of XML with more than 256 attributes on one element.
//!
//! A body is read as UTF-8, as UTF-16 if it starts with that mark, and what is neither is replaced
//! by U+FFFD. Patterns run on the bytes, so that a broken character hides nothing from them.
//! Patterns take linear time and XML may not declare a document type: what a receiver answers can
//! cost time in proportion to its size, never more.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::ops::RangeInclusive;

use regex::bytes::{Regex, RegexBuilder};
use serde_json::Value;

/// The most bytes one box may hold.
pub const RULE_BYTES_MAX: usize = 4096;
/// The most conditions one box may hold.
pub const CONDITIONS_MAX: usize = 16;
/// The most bytes one pattern may have.
pub const REGEX_BYTES_MAX: usize = 1024;

const REGEX_PROGRAM_BYTES_MAX: usize = 1 << 20;
const REGEX_NESTING_MAX: u32 = 50;
const XML_NODES_MAX: u32 = 65_536;
const XML_ATTRIBUTES_MAX: usize = 256;
const SHOWN_CHARACTERS_MAX: usize = 60;

/// Why a text is not a response rule. `line` counts from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResponseRuleError {
    /// There is nothing but blanks.
    #[error("the rule is empty; write what the answer must contain, or use null for no rule")]
    Empty,
    /// The box holds too much text.
    #[error("the rule has {bytes} bytes; use at most {RULE_BYTES_MAX}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The box holds too many conditions.
    #[error("line {line}: this is condition number {number}; use at most {CONDITIONS_MAX} in one rule", number = CONDITIONS_MAX + 1)]
    TooManyConditions {
        /// The first line above the limit.
        line: usize,
    },
    /// A prefix stands alone.
    #[error("line {line}: nothing follows `{prefix}`; write {expected} after it, or remove the line")]
    NoValue {
        /// Where.
        line: usize,
        /// The prefix with its colon.
        prefix: &'static str,
        /// What belongs there.
        expected: &'static str,
    },
    /// A pattern is too long.
    #[error("line {line}: the pattern has {bytes} bytes; use at most {REGEX_BYTES_MAX}")]
    RegexTooLong {
        /// Where.
        line: usize,
        /// Its length.
        bytes: usize,
    },
    /// A pattern cannot be used.
    #[error(
        "line {line}: the pattern `{pattern}` cannot be used: {problem}; correct it, or write `contains:` to look for the text as it is"
    )]
    Regex {
        /// Where.
        line: usize,
        /// The pattern.
        pattern: String,
        /// What the pattern language says.
        problem: String,
    },
    /// Something in a status list is not a status.
    #[error("line {line}: `{value}` is not a status; write a number from 100 to 599, a range like `200-204` or a class like `2xx`")]
    Status {
        /// Where.
        line: usize,
        /// What stands there.
        value: String,
    },
    /// An XML path has an empty or impossible step.
    #[error("line {line}: `{path}` is not an element path; write one like `/response/status` or `/response/@code`")]
    XmlPath {
        /// Where.
        line: usize,
        /// The path.
        path: String,
    },
}

/// A checked response rule. Cheap to clone: patterns are shared.
#[derive(Debug, Clone)]
pub struct ResponseRule {
    conditions: Vec<Condition>,
    hints: Vec<String>,
}

#[derive(Debug, Clone)]
enum Condition {
    Contains(String),
    Exact(String),
    Regex(Regex),
    Json { pointer: String, expected: Option<Expected> },
    Xml { path: XmlPath, expected: Option<String> },
    Status { shown: String, ranges: Vec<RangeInclusive<u16>> },
}

/// What a JSON value is compared with: the text as written, and without its quotes if it has them.
#[derive(Debug, Clone)]
struct Expected {
    text: String,
    unquoted: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct XmlPath {
    elements: Vec<String>,
    attribute: Option<String>,
}

impl ResponseRule {
    /// Reads the text of a response box.
    ///
    /// # Errors
    /// [`ResponseRuleError`], which names the line, what is wrong with it and what to write instead.
    pub fn parse(text: &str) -> Result<Self, ResponseRuleError> {
        if text.len() > RULE_BYTES_MAX {
            return Err(ResponseRuleError::TooLong { bytes: text.len() });
        }
        let mut rule = Self { conditions: Vec::new(), hints: Vec::new() };
        for (index, line) in text.lines().enumerate() {
            let (number, line) = (index + 1, line.trim());
            if line.is_empty() {
                continue;
            }
            if rule.conditions.len() == CONDITIONS_MAX {
                return Err(ResponseRuleError::TooManyConditions { line: number });
            }
            rule.hints.extend(hint_for(number, line));
            rule.conditions.push(parse_condition(number, line)?);
        }
        if rule.conditions.is_empty() { Err(ResponseRuleError::Empty) } else { Ok(rule) }
    }

    /// Whether an answer with this status and body, cut to at most 64 KiB, fits every condition.
    #[must_use]
    pub fn matches(&self, status: u16, body: &[u8]) -> bool {
        let body = Body::new(body);
        self.conditions.iter().all(|condition| condition.holds(status, &body))
    }

    /// Each condition in words, and whether it holds for this answer; see [`ResponseRule::matches`].
    #[must_use]
    pub fn conditions(&self, status: u16, body: &[u8]) -> Vec<(String, bool)> {
        let body = Body::new(body);
        self.conditions.iter().map(|condition| (condition.to_string(), condition.holds(status, &body))).collect()
    }

    /// Whether a condition looks at the status: only then may a 4xx or 5xx count as a success.
    #[must_use]
    pub fn names_a_status(&self) -> bool {
        self.conditions.iter().any(|condition| matches!(condition, Condition::Status { .. }))
    }

    /// The rule in words, for the reason of an outcome: ``contains `OK` and status 2xx``.
    #[must_use]
    pub fn describe(&self) -> String {
        self.conditions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
    }

    /// What is allowed here and probably not meant: conditions that can never hold, or always do.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = self.hints.clone();
        for (index, first) in self.conditions.iter().enumerate() {
            warnings.extend(first.warning_alone());
            for second in &self.conditions[index + 1..] {
                if first.excludes(second) || second.excludes(first) {
                    warnings.push(format!("{first} and {second} can never both hold; every line must hold, so keep one of them"));
                }
            }
        }
        warnings
    }
}

fn parse_condition(line: usize, text: &str) -> Result<Condition, ResponseRuleError> {
    let value_after = |prefix: &'static str, expected: &'static str| {
        text.strip_prefix(prefix).map(|value| match value.trim() {
            "" => Err(ResponseRuleError::NoValue { line, prefix, expected }),
            value => Ok(value),
        })
    };
    if let Some(value) = value_after("contains:", "a text") {
        return Ok(Condition::Contains(value?.into()));
    }
    if let Some(value) = value_after("exact:", "a text") {
        return Ok(Condition::Exact(value?.into()));
    }
    if let Some(value) = value_after("regex:", "a pattern") {
        return parse_regex(line, value?);
    }
    if let Some(value) = value_after("json:", "a pointer like `/status`") {
        return Ok(parse_json(value?));
    }
    if let Some(value) = value_after("xml:", "a path like `/response/status`") {
        return parse_xml(line, value?);
    }
    if let Some(value) = value_after("status:", "a status like `200` or `2xx`") {
        return parse_status(line, value?);
    }
    Ok(Condition::Contains(text.into()))
}

fn parse_regex(line: usize, pattern: &str) -> Result<Condition, ResponseRuleError> {
    if pattern.len() > REGEX_BYTES_MAX {
        return Err(ResponseRuleError::RegexTooLong { line, bytes: pattern.len() });
    }
    RegexBuilder::new(pattern)
        .size_limit(REGEX_PROGRAM_BYTES_MAX)
        .dfa_size_limit(REGEX_PROGRAM_BYTES_MAX)
        .nest_limit(REGEX_NESTING_MAX)
        .build()
        .map(Condition::Regex)
        .map_err(|error| ResponseRuleError::Regex { line, pattern: shorten(pattern).into_owned(), problem: regex_problem(&error) })
}

/// The last line of a syntax error says what is wrong; those before it draw the pattern.
fn regex_problem(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(_) => "it grows too large, mostly by counted repetitions like `{1000}`".into(),
        other => {
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default().trim();
            last.strip_prefix("error: ").unwrap_or(last).trim_end_matches('.').into()
        }
    }
}

fn parse_json(value: &str) -> Condition {
    let (pointer, expected) = split_at_equals(value);
    // `data.status` and `status` are accepted for `/data/status` and `/status`; `/` alone names an empty key.
    let pointer = if pointer.starts_with('/') || pointer.is_empty() { pointer.into() } else { format!("/{}", pointer.replace('.', "/")) };
    let expected = expected
        .map(|text| Expected { text: text.into(), unquoted: if text.starts_with('"') { serde_json::from_str(text).ok() } else { None } });
    Condition::Json { pointer, expected }
}

fn parse_xml(line: usize, value: &str) -> Result<Condition, ResponseRuleError> {
    let (path, expected) = split_at_equals(value);
    let mut elements: Vec<String> = path.strip_prefix('/').unwrap_or(path).split('/').map(str::to_owned).collect();
    let attribute = elements.last().and_then(|last| last.strip_prefix('@')).map(str::to_owned);
    if attribute.is_some() {
        elements.pop();
    }
    let is_name = |name: &String| !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || "@[]()*<>&\"'".contains(c));
    if elements.is_empty() || !elements.iter().chain(&attribute).all(is_name) {
        return Err(ResponseRuleError::XmlPath { line, path: shorten(path).into_owned() });
    }
    Ok(Condition::Xml { path: XmlPath { elements, attribute }, expected: expected.map(str::to_owned) })
}

fn split_at_equals(value: &str) -> (&str, Option<&str>) {
    match value.split_once('=') {
        Some((path, expected)) => (path.trim(), Some(expected.trim())),
        None => (value, None),
    }
}

fn parse_status(line: usize, value: &str) -> Result<Condition, ResponseRuleError> {
    let parts: Vec<&str> = value.split([',', ' ', ';']).filter(|part| !part.is_empty()).collect();
    let ranges = parts
        .iter()
        .map(|part| status_range(part).ok_or_else(|| ResponseRuleError::Status { line, value: shorten(part).into_owned() }))
        .collect::<Result<Vec<_>, _>>()?;
    if ranges.is_empty() {
        return Err(ResponseRuleError::Status { line, value: shorten(value).into_owned() });
    }
    Ok(Condition::Status { shown: parts.join(", "), ranges })
}

fn status_range(text: &str) -> Option<RangeInclusive<u16>> {
    let status = |digits: &str| match digits.len() {
        3 if digits.bytes().all(|b| b.is_ascii_digit()) => digits.parse().ok().filter(|status| (100..=599).contains(status)),
        _ => None,
    };
    if let Some((first, last)) = text.split_once('-') {
        return Some(status(first)?..=status(last)?).filter(|range| !range.is_empty());
    }
    match text.as_bytes() {
        [class @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => {
            let first = u16::from(class - b'0') * 100;
            Some(first..=first + 99)
        }
        _ => status(text).map(|status| status..=status),
    }
}

/// A line without a prefix that looks as if it had one.
fn hint_for(line: usize, text: &str) -> Option<String> {
    const NEAR: [(&str, &str); 18] = [
        ("contains", "contains:"),
        ("contain", "contains:"),
        ("text", "contains:"),
        ("body", "contains:"),
        ("exact", "exact:"),
        ("equals", "exact:"),
        ("equal", "exact:"),
        ("regex", "regex:"),
        ("regexp", "regex:"),
        ("re", "regex:"),
        ("json", "json:"),
        ("jsonpath", "json:"),
        ("xml", "xml:"),
        ("xpath", "xml:"),
        ("status", "status:"),
        ("code", "status:"),
        ("http", "status:"),
        ("http_status", "status:"),
    ];
    let (word, rest) = text.split_once(':')?;
    let known = NEAR.iter().find(|(near, _)| word.trim().eq_ignore_ascii_case(near))?.1;
    if text.starts_with(known) || rest.starts_with("//") {
        return None;
    }
    Some(format!("line {line}: `{}:` is no prefix, so the whole line is looked for in the body; did you mean `{known}`?", word.trim()))
}

impl Condition {
    fn holds(&self, status: u16, body: &Body<'_>) -> bool {
        match self {
            Self::Contains(text) => body.text().contains(text.as_str()),
            Self::Exact(text) => body.text().trim() == text,
            Self::Regex(pattern) => pattern.is_match(body.bytes()),
            Self::Json { pointer, expected } => {
                body.json().and_then(|json| json.pointer(pointer)).is_some_and(|value| json_value_fits(value, expected.as_ref()))
            }
            Self::Xml { path, expected } => xml_fits(body.text(), path, expected.as_deref()),
            Self::Status { ranges, .. } => ranges.iter().any(|range| range.contains(&status)),
        }
    }

    fn warning_alone(&self) -> Option<String> {
        match self {
            Self::Regex(pattern) if pattern.is_match(b"") && pattern.is_match(b"\0") => {
                Some(format!("the pattern `{}` fits every body; remove the line or make it narrower", shorten(pattern.as_str())))
            }
            Self::Regex(pattern) if pattern.as_str().len() > 2 && pattern.as_str().starts_with('/') && pattern.as_str().ends_with('/') => {
                Some(format!(
                    "the slashes are part of the pattern `{}`; remove them if they are not in the body",
                    shorten(pattern.as_str())
                ))
            }
            Self::Status { shown, ranges }
                if ranges.iter().all(|range| (300..400).contains(range.start()) && (300..400).contains(range.end())) =>
            {
                Some(format!("status {shown} is a redirect, and a redirect is never booked as delivered"))
            }
            _ => None,
        }
    }

    /// Whether no answer can fit both; knows the plain cases only.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(first), Self::Exact(second)) => first != second,
            (Self::Exact(whole), Self::Contains(part)) => !whole.contains(part.as_str()),
            (Self::Exact(whole), Self::Regex(pattern)) => {
                // The body may have blanks at its ends that the pattern asks for.
                let may_see_blanks =
                    [" ", "\\s", "\\n", "\\r", "\\t", "$", "^", "\\W", "."].iter().any(|mark| pattern.as_str().contains(mark));
                !may_see_blanks && !pattern.is_match(whole.as_bytes())
            }
            (Self::Status { ranges: first, .. }, Self::Status { ranges: second, .. }) => {
                !first.iter().any(|a| second.iter().any(|b| a.start() <= b.end() && b.start() <= a.end()))
            }
            (Self::Status { ranges, .. }, Self::Contains(_) | Self::Exact(_) | Self::Json { .. } | Self::Xml { .. }) => {
                // RFC 9110, 15.3.5 and 15.4.5: these never have a body.
                ranges.iter().all(|range| [204, 304].contains(range.start()) && range.start() == range.end())
            }
            (Self::Json { pointer: first, expected: Some(a) }, Self::Json { pointer: second, expected: Some(b) }) => {
                first == second && a.content() != b.content() && !same_number(a.content(), b.content())
            }
            _ => false,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Contains(text) => write!(f, "contains `{}`", shorten(text)),
            Self::Exact(text) => write!(f, "is exactly `{}`", shorten(text)),
            Self::Regex(pattern) => write!(f, "fits the pattern `{}`", shorten(pattern.as_str())),
            Self::Json { pointer, expected: Some(expected) } => {
                write!(f, "JSON `{}` is `{}`", shorten(pointer), shorten(expected.content()))
            }
            Self::Json { pointer, expected: None } => write!(f, "JSON `{}` is set", shorten(pointer)),
            Self::Xml { path, expected: Some(expected) } => write!(f, "XML `{}` is `{}`", shorten(&path.to_string()), shorten(expected)),
            Self::Xml { path, expected: None } => write!(f, "XML `{}` exists", shorten(&path.to_string())),
            Self::Status { shown, .. } => write!(f, "status {}", shorten(shown)),
        }
    }
}

impl fmt::Display for XmlPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for element in &self.elements {
            write!(f, "/{element}")?;
        }
        self.attribute.iter().try_for_each(|attribute| write!(f, "/@{attribute}"))
    }
}

impl Expected {
    fn content(&self) -> &str {
        self.unquoted.as_deref().unwrap_or(&self.text)
    }
}

fn shorten(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(SHOWN_CHARACTERS_MAX) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

/// A body in the forms that conditions look at, each made when the first of them asks.
struct Body<'a> {
    bytes: Cow<'a, [u8]>,
    text: OnceCell<Cow<'a, str>>,
    json: OnceCell<Option<Value>>,
}

impl<'a> Body<'a> {
    fn new(received: &'a [u8]) -> Self {
        let bytes = match received {
            [0xef, 0xbb, 0xbf, rest @ ..] => Cow::Borrowed(rest),
            [0xff, 0xfe, rest @ ..] => Cow::Owned(utf_16(rest, u16::from_le_bytes).into_bytes()),
            [0xfe, 0xff, rest @ ..] => Cow::Owned(utf_16(rest, u16::from_be_bytes).into_bytes()),
            _ => Cow::Borrowed(received),
        };
        Self { bytes, text: OnceCell::new(), json: OnceCell::new() }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn text(&self) -> &str {
        self.text.get_or_init(|| match &self.bytes {
            Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(bytes).into_owned()),
        })
    }

    fn json(&self) -> Option<&Value> {
        self.json.get_or_init(|| serde_json::from_str(self.text()).ok()).as_ref()
    }
}

fn utf_16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let units = bytes.chunks_exact(2).map(|pair| unit([pair[0], pair[1]]));
    char::decode_utf16(units).map(|character| character.unwrap_or(char::REPLACEMENT_CHARACTER)).collect()
}

fn json_value_fits(value: &Value, expected: Option<&Expected>) -> bool {
    let Some(expected) = expected else {
        return !matches!(value, Value::Null | Value::Bool(false));
    };
    match value {
        Value::String(text) => *text == expected.text || expected.unquoted.as_ref() == Some(text),
        Value::Number(number) => {
            let digits = number.to_string();
            digits == expected.text || same_number(&digits, &expected.text)
        }
        Value::Bool(flag) => expected.text == if *flag { "true" } else { "false" },
        Value::Null => expected.text == "null",
        Value::Array(_) | Value::Object(_) => false,
    }
}

/// Whether two plain decimal texts are the same number: `1`, `1.0` and `01` are. No exponents.
fn same_number(first: &str, second: &str) -> bool {
    plain_decimal(first).is_some_and(|first| plain_decimal(second) == Some(first))
}

/// Sign, digits before and digits after the point, without the zeros that do not count.
fn plain_decimal(text: &str) -> Option<(bool, &str, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, part) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = whole.bytes().chain(part.bytes()).all(|b| b.is_ascii_digit());
    if whole.is_empty() || !all_digits {
        return None;
    }
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    Some((negative && !(whole.is_empty() && part.is_empty()), whole, part))
}

fn xml_fits(text: &str, path: &XmlPath, expected: Option<&str>) -> bool {
    if !attributes_are_few(text) {
        return false;
    }
    let options = roxmltree::ParsingOptions { allow_dtd: false, nodes_limit: XML_NODES_MAX, ..Default::default() };
    let Ok(document) = roxmltree::Document::parse_with_options(text, options) else {
        return false;
    };
    let root = document.root_element();
    let mut level = if path.elements.first().is_some_and(|first| *first == root.tag_name().name()) { vec![root] } else { vec![] };
    for name in &path.elements[1..] {
        level = level.iter().flat_map(|node| node.children()).filter(|node| node.is_element() && node.tag_name().name() == name).collect();
    }
    let fits = |found: &str| expected.is_none_or(|expected| found.trim() == expected);
    match &path.attribute {
        Some(name) => level.iter().flat_map(|node| node.attributes()).any(|attribute| attribute.name() == name && fits(attribute.value())),
        None => level.iter().any(|node| {
            let content: String = node.descendants().filter(|inner| inner.is_text()).filter_map(|inner| inner.text()).collect();
            fits(&content)
        }),
    }
}

/// Whether no element has more attributes than the limit. The parser compares each with all others.
///
/// Counts quoted values between `<` and the next `>` outside quotes.
fn attributes_are_few(text: &str) -> bool {
    let (mut in_tag, mut quote, mut values) = (false, None, 0);
    for byte in text.bytes() {
        match (in_tag, quote, byte) {
            (false, _, b'<') => (in_tag, values) = (true, 0),
            (true, None, b'>') => in_tag = false,
            (true, None, b'"' | b'\'') => {
                quote = Some(byte);
                values += 1;
                if values > XML_ATTRIBUTES_MAX {
                    return false;
                }
            }
            // No value may hold `<`; seen here, it was a quote in a comment or text section that misled us.
            (true, Some(_), b'<') => (quote, values) = (None, 0),
            (true, Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests;
