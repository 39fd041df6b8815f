//! A JSON reader that also understands values not yet known.
//!
//! [`JsonMachine`] reads JSON byte by byte without recursion. Besides bytes it accepts values ("some
//! JSON value stands here", "some characters of a string stand here") and repetitions, whose number
//! depends on the event. Because of repetitions it follows several states at once. If every state
//! fails, no event can make the text valid; if none fails and nothing doubtful was met, every event
//! does; otherwise each result has to be checked.

use super::Certainty;

/// Containers may be nested this deep, as most JSON readers accept no more.
const DEPTH_MAX: usize = 120;

/// Repetitions that lead to more states than this are not followed.
const STATES_MAX: usize = 8;

/// Tokens longer than this are numbers, or wrong.
const TOKEN_SHOWN_MAX: usize = 40;

/// What is wrong with the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::template) enum JsonFaultKind {
    /// A text stands in an object without `:` and value; `start` is its opening quote, and `comma`
    /// tells whether a comma follows.
    LoneText {
        start: usize,
        comma: bool,
    },
    /// A character below U+0020 in a string.
    ControlInText(u8),
    BadEscape,
    BadToken(String),
    Unexpected {
        found: Option<char>,
        expected: &'static str,
    },
    /// A value stands where none can, or two values stand side by side.
    UnexpectedValue {
        expected: &'static str,
    },
    TooDeep,
}

/// Why and where the text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::template) struct JsonFault {
    pub(in crate::template) at: usize,
    pub(in crate::template) kind: JsonFaultKind,
}

impl JsonFault {
    /// The message after "the body is not valid JSON: ".
    pub(in crate::template) fn message(&self) -> String {
        match &self.kind {
            JsonFaultKind::LoneText { .. } => {
                "a text stands alone where a `\"key\": value` pair is needed; remove it or give it a value".to_owned()
            }
            JsonFaultKind::ControlInText(b'\n' | b'\r') => {
                "a text in quotes is broken by a line end; join the lines, or write `\\n` for a line end".to_owned()
            }
            JsonFaultKind::ControlInText(byte) => {
                format!("the control character U+{byte:04X} stands in a text; write it as `\\u{byte:04x}`")
            }
            JsonFaultKind::BadEscape => {
                "a backslash in a text must be followed by one of `\" \\ / b f n r t` or `u` and four hex digits; write `\\\\` for a backslash".to_owned()
            }
            JsonFaultKind::BadToken(token) => {
                format!("`{token}` is neither a number nor `true`, `false` or `null`; put text in quotes")
            }
            JsonFaultKind::Unexpected { found: Some(found), expected } => {
                format!("`{found}` stands where {expected} is needed")
            }
            JsonFaultKind::Unexpected { found: None, expected } => format!("it ends where {expected} is needed"),
            JsonFaultKind::UnexpectedValue { expected } => format!("a value stands where {expected} is needed"),
            JsonFaultKind::TooDeep => format!("objects and lists are nested more than {DEPTH_MAX} deep"),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    List,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum At {
    Value,
    ValueOrEnd,
    Key,
    KeyOrEnd,
    Colon,
    /// As `Colon`, where the key is a value outside quotes.
    ColonBehindValue,
    CommaOrEnd,
    Finished,
    Text {
        key: bool,
        escape: InText,
    },
    Token(String),
    /// A value whose characters are not known was written; more characters may belong to it.
    OpenToken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InText {
    Plain,
    Backslash,
    Hex(u8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct State {
    open: Vec<Container>,
    at: At,
}

/// Follows JSON text with gaps. See the module.
#[derive(Debug, Clone)]
pub(in crate::template) struct JsonMachine {
    states: Vec<State>,
    /// The opening quote of the text read last.
    text_start: usize,
    doubtful: bool,
    /// Nothing is known any more; all claims end.
    lost: bool,
}

/// Checks a whole text without gaps.
pub(in crate::template) fn check_json(text: &str) -> Result<(), JsonFault> {
    let mut machine = JsonMachine::default();
    machine.literal(text, |at| at)?;
    machine.finish(text.len()).map(|_| ())
}

impl Default for JsonMachine {
    fn default() -> JsonMachine {
        let start = State { open: Vec::new(), at: At::Value };
        JsonMachine { states: vec![start], text_start: 0, doubtful: false, lost: false }
    }
}

impl JsonMachine {
    /// Reads literal text; `place` gives the offset to report for a byte.
    pub(in crate::template) fn literal(&mut self, text: &str, place: impl Fn(usize) -> usize) -> Result<(), JsonFault> {
        for (at, byte) in text.bytes().enumerate() {
            if self.lost {
                return Ok(());
            }
            self.doubtful |= is_token_byte(byte) && self.states.iter().any(|state| state.at == At::OpenToken);
            let shown = || text[at..].chars().next();
            self.step(place(at), |state| state.byte(byte, shown))?;
        }
        Ok(())
    }

    /// A whole JSON value stands here.
    pub(in crate::template) fn bare_value(&mut self, place: usize) -> Result<(), JsonFault> {
        self.doubtful |= self.states.iter().any(State::makes_value_doubtful);
        self.step(place, State::bare_value)
    }

    /// Escaped characters of a string stand here.
    pub(in crate::template) fn text_value(&mut self) {
        let plain = |state: &State| matches!(state.at, At::Text { escape: InText::Plain, .. });
        self.lost |= !self.states.iter().all(plain);
    }

    /// Anything may stand here.
    pub(in crate::template) fn anything(&mut self) {
        self.lost = true;
    }

    /// `body`, any number of times, with `separator` between.
    pub(in crate::template) fn repeated(
        &mut self,
        mut body: impl FnMut(&mut JsonMachine) -> Result<(), JsonFault>,
        mut separator: impl FnMut(&mut JsonMachine) -> Result<(), JsonFault>,
    ) -> Result<(), JsonFault> {
        let before = self.states.clone();
        let mut reached: Vec<State> = Vec::new();
        body(self)?;
        loop {
            self.states.retain(|state| !reached.contains(state));
            if self.states.is_empty() || self.lost {
                break;
            }
            reached.extend(self.states.iter().cloned());
            if reached.len() > STATES_MAX {
                self.lost = true;
                break;
            }
            // Lists of one item may be all the receiver ever gets, so a fault between items is no proof.
            if separator(self).and_then(|()| body(self)).is_err() {
                self.doubtful = true;
                break;
            }
        }
        reached.extend(before.into_iter().filter(|state| !reached.contains(state)).collect::<Vec<_>>());
        self.states = reached;
        Ok(())
    }

    /// The text ends at `place`.
    pub(in crate::template) fn finish(mut self, place: usize) -> Result<Certainty, JsonFault> {
        if !self.lost {
            self.step(place, State::end)?;
        }
        Ok(if self.lost || self.doubtful { Certainty::Unproven } else { Certainty::Proven })
    }

    /// Moves every state on. Fails if all fail; is doubtful if some do.
    fn step(
        &mut self,
        place: usize,
        mut advance: impl FnMut(&mut State) -> Result<Option<StepNote>, JsonFaultKind>,
    ) -> Result<(), JsonFault> {
        if self.lost {
            return Ok(());
        }
        let mut first = None;
        let mut kept = 0;
        for index in 0..self.states.len() {
            match advance(&mut self.states[index]) {
                Ok(note) => {
                    if note == Some(StepNote::TextBegins) {
                        self.text_start = place;
                    }
                    self.states.swap(kept, index);
                    kept += 1;
                }
                Err(kind) => first = first.or(Some(kind)),
            }
        }
        self.states.truncate(kept);
        if let Some(mut kind) = first {
            if kept == 0 {
                if let JsonFaultKind::LoneText { start, .. } = &mut kind {
                    *start = self.text_start;
                }
                return Err(JsonFault { at: place, kind });
            }
            self.doubtful = true;
        }
        if kept > 1 {
            let mut distinct: Vec<State> = Vec::with_capacity(kept);
            for state in self.states.drain(..) {
                if !distinct.contains(&state) {
                    distinct.push(state);
                }
            }
            self.states = distinct;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StepNote {
    TextBegins,
}

type Step = Result<Option<StepNote>, JsonFaultKind>;

impl State {
    fn byte(&mut self, byte: u8, shown: impl Fn() -> Option<char>) -> Step {
        match &mut self.at {
            At::Text { key, escape } => {
                let key = *key;
                let next = match (*escape, byte) {
                    (InText::Plain, b'"') => return self.text_ends(key),
                    (InText::Plain, b'\\') => InText::Backslash,
                    (InText::Plain, 0..0x20) => return Err(JsonFaultKind::ControlInText(byte)),
                    (InText::Plain, _) => InText::Plain,
                    (InText::Backslash, b'u') => InText::Hex(4),
                    (InText::Backslash, b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => InText::Plain,
                    (InText::Hex(1), _) if byte.is_ascii_hexdigit() => InText::Plain,
                    (InText::Hex(left), _) if byte.is_ascii_hexdigit() => InText::Hex(left - 1),
                    _ => return Err(JsonFaultKind::BadEscape),
                };
                self.at = At::Text { key, escape: next };
                Ok(None)
            }
            At::Token(token) if is_token_byte(byte) => {
                if token.len() < 4096 {
                    token.push(byte as char);
                    return Ok(None);
                }
                Err(bad_token(token))
            }
            At::OpenToken if is_token_byte(byte) => Ok(None),
            At::Token(_) | At::OpenToken => {
                self.token_ends()?;
                self.mark(byte, shown)
            }
            _ => self.mark(byte, shown),
        }
    }

    /// A byte outside texts and tokens.
    fn mark(&mut self, byte: u8, shown: impl Fn() -> Option<char>) -> Step {
        if matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
            return Ok(None);
        }
        let innermost = self.open.last().copied();
        match (byte, &self.at) {
            (b'{', At::Value | At::ValueOrEnd) => self.opens(Container::Object, At::KeyOrEnd),
            (b'[', At::Value | At::ValueOrEnd) => self.opens(Container::List, At::ValueOrEnd),
            (b'"', At::Value | At::ValueOrEnd) => self.text_begins(false),
            (b'"', At::Key | At::KeyOrEnd) => self.text_begins(true),
            (b':', At::Colon | At::ColonBehindValue) => self.goes_to(At::Value),
            (b',', At::CommaOrEnd) if innermost == Some(Container::Object) => self.goes_to(At::Key),
            (b',', At::CommaOrEnd) => self.goes_to(At::Value),
            (b'}', At::CommaOrEnd | At::KeyOrEnd) if innermost == Some(Container::Object) => self.closes(),
            (b']', At::CommaOrEnd | At::ValueOrEnd) if innermost == Some(Container::List) => self.closes(),
            (b',' | b'}', At::Colon) => Err(JsonFaultKind::LoneText { start: 0, comma: byte == b',' }),
            (_, At::Value | At::ValueOrEnd) if is_token_byte(byte) => self.goes_to(At::Token((byte as char).to_string())),
            _ => Err(JsonFaultKind::Unexpected { found: shown(), expected: self.expected() }),
        }
    }

    fn goes_to(&mut self, at: At) -> Step {
        self.at = at;
        Ok(None)
    }

    fn opens(&mut self, container: Container, at: At) -> Step {
        if self.open.len() >= DEPTH_MAX {
            return Err(JsonFaultKind::TooDeep);
        }
        self.open.push(container);
        self.goes_to(at)
    }

    fn closes(&mut self) -> Step {
        self.open.pop();
        self.value_ends()
    }

    fn value_ends(&mut self) -> Step {
        self.goes_to(if self.open.is_empty() { At::Finished } else { At::CommaOrEnd })
    }

    fn text_begins(&mut self, key: bool) -> Step {
        self.at = At::Text { key, escape: InText::Plain };
        Ok(Some(StepNote::TextBegins))
    }

    fn text_ends(&mut self, key: bool) -> Step {
        if key { self.goes_to(At::Colon) } else { self.value_ends() }
    }

    fn token_ends(&mut self) -> Step {
        if let At::Token(token) = &self.at {
            let known = matches!(token.as_str(), "true" | "false" | "null");
            if !known && !crate::template::value::is_json_number(token) {
                return Err(bad_token(token));
            }
        }
        self.value_ends()
    }

    /// Whether a bare value here may be valid or not, depending on the value.
    fn makes_value_doubtful(&self) -> bool {
        // A value may be a list with depth of its own, which the limit on the whole has to see.
        let deep = self.open.len() > DEPTH_MAX - crate::template::escape::CONTAINER_DEPTH_MAX;
        deep || matches!(self.at, At::Token(_) | At::OpenToken | At::Key | At::KeyOrEnd)
    }

    fn bare_value(&mut self) -> Step {
        match self.at {
            At::Value | At::ValueOrEnd | At::Token(_) | At::OpenToken => self.goes_to(At::OpenToken),
            At::Key | At::KeyOrEnd => self.goes_to(At::ColonBehindValue),
            _ => Err(JsonFaultKind::UnexpectedValue { expected: self.expected() }),
        }
    }

    fn end(&mut self) -> Step {
        if matches!(self.at, At::Token(_) | At::OpenToken) {
            self.token_ends()?;
        }
        match self.at {
            At::Finished => Ok(None),
            _ => Err(JsonFaultKind::Unexpected { found: None, expected: self.expected() }),
        }
    }

    fn expected(&self) -> &'static str {
        match (&self.at, self.open.last()) {
            (At::Value, _) => "a value",
            (At::ValueOrEnd, _) => "a value or `]`",
            (At::Key, _) => "a key in quotes",
            (At::KeyOrEnd, _) => "a key in quotes or `}`",
            (At::Colon | At::ColonBehindValue, _) => "`:`",
            (At::Text { .. }, _) => "a closing quote",
            (At::Finished, _) => "the end of the body",
            (_, Some(Container::Object)) => "`,` or `}`",
            (_, _) => "`,` or `]`",
        }
    }
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_')
}

fn bad_token(token: &str) -> JsonFaultKind {
    JsonFaultKind::BadToken(token.chars().take(TOKEN_SHOWN_MAX).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_texts_are_judged_as_serde_json_judges_them() {
        let texts = [
            "",
            " ",
            "1",
            "-0",
            "01",
            "true",
            "nul",
            "\"a\"",
            "\"\\x\"",
            "\"\\u00e\"",
            "\"\\u00e9\"",
            "\"a\nb\"",
            "[]",
            "[1,]",
            "[1 2]",
            "[,]",
            "{}",
            "{\"a\":1}",
            "{\"a\":1,}",
            "{\"a\"}",
            "{\"a\",\"b\":1}",
            "{a:1}",
            "{\"a\":{\"b\":[null,false,1.5e3]}} ",
            "{\"a\":1}}",
            "[[]",
            "1 2",
            "{\"a\" : [ ] }",
            "é",
            "[1.]",
            "\u{feff}1",
        ];
        for text in texts {
            let ours = check_json(text).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(text).is_ok();
            assert_eq!(ours, theirs, "{text:?}");
        }
    }

    #[test]
    fn a_lone_text_is_named_with_its_place() {
        let fault = check_json("{ \"title\",\n\"a\":1}").unwrap_err();
        assert_eq!(fault.kind, JsonFaultKind::LoneText { start: 2, comma: true });
        let fault = check_json("{\"a\":1,\"title\"}").unwrap_err();
        assert_eq!(fault.kind, JsonFaultKind::LoneText { start: 7, comma: false });
    }

    #[test]
    fn values_at_the_end_of_tokens_are_doubtful() {
        let certainty = |before: &str, after: &str| {
            let mut machine = JsonMachine::default();
            machine.literal(before, |at| at)?;
            machine.bare_value(0)?;
            machine.literal(after, |at| at)?;
            machine.finish(0)
        };
        assert_eq!(certainty("[", "]"), Ok(Certainty::Proven));
        assert_eq!(certainty("[-", "]"), Ok(Certainty::Unproven));
        assert_eq!(certainty("[", "e5]"), Ok(Certainty::Unproven));
        assert_eq!(certainty("{", ":1}"), Ok(Certainty::Unproven));
        assert!(certainty("{", "}").is_err());
        assert!(certainty("[1 ", "]").is_err());
        assert!(certainty("[", " 1]").is_err());
    }

    #[test]
    fn repetitions_are_proven_for_any_number() {
        let repeat = |before: &str, body: &'static str, separator: &'static str, after: &str| {
            let mut machine = JsonMachine::default();
            machine.literal(before, |at| at)?;
            machine.repeated(|m| m.literal(body, |at| at), |m| m.literal(separator, |at| at))?;
            machine.literal(after, |at| at)?;
            machine.finish(0)
        };
        assert_eq!(repeat("[", "1", ",", "]"), Ok(Certainty::Proven));
        assert_eq!(repeat("[\"", "x", "\",\"", "\"]"), Ok(Certainty::Proven));
        assert_eq!(repeat("[", "1", " ", "]"), Ok(Certainty::Unproven));
        assert_eq!(repeat("[1,", "2", ",", "]"), Ok(Certainty::Unproven));
        assert_eq!(repeat("{\"a\":", "1", ",", "}"), Ok(Certainty::Unproven));
        assert_eq!(repeat("[1", ",2", "", "]"), Ok(Certainty::Proven));
        assert!(repeat("[", "1,,", ",", "]").is_err());
        assert_eq!(repeat("", "[", "", "1"), Ok(Certainty::Unproven));
        assert_eq!(repeat("\"", "x", "\",\"", "\""), Ok(Certainty::Unproven));
    }

    #[test]
    fn depth_is_limited_without_recursion() {
        assert!(check_json(&"[".repeat(1_000_000)).is_err());
        let deep = format!("{}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX));
        assert!(check_json(&deep).is_ok());
    }
}
