//! Parameters of a report as texts, whatever they came as.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::answer::{Fault, Refusal};

/// Most parameters that are looked at.
const PARAMETERS_MAX: usize = 100;
/// Most bytes of the parameters that are kept in the incoming log, and most characters of one.
const KEPT_BYTES_MAX: usize = 4_096;
const KEPT_CHARACTERS_MAX: usize = 500;
/// What stands in the log where the key was.
const HIDDEN: &str = "(secret)";

/// What a report says, by parameter. An empty value is as none.
#[derive(Debug, Clone, Default)]
pub(in crate::api) struct Given(BTreeMap<String, String>);

impl Given {
    /// The parameters of a query or a form.
    pub fn read_form(text: &[u8]) -> Result<Self, Refusal> {
        let mut given = Self::default();
        for (name, value) in url::form_urlencoded::parse(text) {
            given.put(&name, &value)?;
        }
        Ok(given)
    }

    /// The fields of a JSON object: texts, numbers and booleans.
    pub fn read_json(text: &[u8]) -> Result<Self, Refusal> {
        let malformed = |detail: String| Refusal::unprocessable("malformed_body", detail);
        let text = std::str::from_utf8(text).map_err(|_| malformed("the body is not UTF-8; encode it as UTF-8".into()))?;
        let fields: Map<String, Value> = serde_json::from_str(text)
            .map_err(|error| malformed(format!("the body is not a JSON object of parameters, like `{{\"click_id\":\"…\"}}`: {error}")))?;
        let mut given = Self::default();
        for (name, value) in &fields {
            match value {
                Value::Null => {}
                Value::String(text) => given.put(name, text)?,
                Value::Number(number) => given.put(name, &number.to_string())?,
                Value::Bool(value) => given.put(name, &value.to_string())?,
                Value::Array(_) | Value::Object(_) => {
                    let detail = format!("`{}` is a list or an object; send a text or a number", shortened(name));
                    return Err(Refusal::wrong(vec![Fault::new(name, "wrong_parameter", detail)]));
                }
            }
        }
        Ok(given)
    }

    /// These parameters, and those of `other` that are not among them.
    pub fn or(mut self, other: Self) -> Self {
        for (name, value) in other.0 {
            self.0.entry(name).or_insert(value);
        }
        self
    }

    /// The same with one more parameter.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    fn put(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        if value.trim().is_empty() {
            return Ok(());
        }
        match self.0.get(name) {
            Some(earlier) if earlier != value => {
                let detail = format!("`{}` is given twice with different values; send it once", shortened(name));
                return Err(Refusal::wrong(vec![Fault::new(name, "wrong_parameter", detail)]));
            }
            Some(_) => {}
            None if self.0.len() == PARAMETERS_MAX => {
                let detail = format!("more than {PARAMETERS_MAX} parameters; send those that the offer asks for");
                return Err(Refusal::unprocessable("wrong_parameter", detail));
            }
            None => drop(self.0.insert(name.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The same without `secret`, in lower case: whoever writes the key into a parameter has it nowhere else for that.
    pub fn without(self, secret: &str) -> Self {
        let hidden = |text: String| if text.to_ascii_lowercase().contains(secret) { HIDDEN.to_owned() } else { text };
        Self(self.0.into_iter().map(|(name, value)| (hidden(name), hidden(value))).collect())
    }

    /// The parameters for the incoming log, and whether that is less than came.
    pub fn kept(&self) -> (BTreeMap<String, String>, bool) {
        let (mut kept, mut bytes, mut truncated) = (BTreeMap::new(), 0, false);
        for (name, value) in &self.0 {
            let short: String = value.chars().take(KEPT_CHARACTERS_MAX).collect();
            truncated |= short.len() < value.len();
            bytes += name.len() + short.len();
            if bytes > KEPT_BYTES_MAX {
                return (kept, true);
            }
            kept.insert(name.clone(), short);
        }
        (kept, truncated)
    }
}

/// A name as it can be repeated in an answer.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_and_an_object_say_the_same() {
        let form = Given::read_form(b"click_id=a%20b&price=30.00&flag=true&empty=&price=30.00").unwrap();
        let json = Given::read_json(br#"{"click_id": "a b", "price": 30.00, "flag": true, "empty": null}"#).unwrap();
        assert_eq!(form.0, json.0);
        assert_eq!((form.get("price"), form.get("empty")), (Some("30.00"), None));
        let merged = Given::read_json(br#"{"price": 1}"#).unwrap().or(form);
        assert_eq!((merged.get("price"), merged.get("click_id")), (Some("1"), Some("a b")), "the body wins");
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        let code = |result: Result<Given, Refusal>| result.unwrap_err().code;
        assert_eq!(code(Given::read_form(b"price=1&price=2")), "wrong_parameter");
        assert_eq!(code(Given::read_json(br#"{"price": [1]}"#)), "wrong_parameter");
        for body in [&b"[]"[..], b"", b"{", b"\xff", b"1", b"\"x\""] {
            assert_eq!(code(Given::read_json(body)), "malformed_body");
        }
        let many: String = (0..101).map(|number| format!("p{number}=1&")).collect();
        assert_eq!(code(Given::read_form(many.as_bytes())), "wrong_parameter");
    }

    #[test]
    fn what_is_kept_is_bounded_and_holds_no_key() {
        let long = format!("a={}&b=x-SECRET-y&secret=1", "x".repeat(1_000));
        let (kept, truncated) = Given::read_form(long.as_bytes()).unwrap().without("secret").kept();
        assert!(truncated && kept["a"].len() == KEPT_CHARACTERS_MAX);
        assert_eq!((kept["b"].as_str(), kept.get("secret")), (HIDDEN, None));
        let many: String = (0..90).map(|number| format!("p{number}={}&", "y".repeat(400))).collect();
        let (kept, truncated) = Given::read_form(many.as_bytes()).unwrap().kept();
        assert!(truncated && kept.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() <= KEPT_BYTES_MAX);
    }
}
