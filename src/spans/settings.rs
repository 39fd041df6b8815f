//! Where spans go and as whose.

use std::fmt;

use percent_encoding::percent_decode_str;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use url::Url;

/// Where spans go and as whose.
#[derive(Clone)]
pub struct OtlpSettings {
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    /// Attributes of the resource: of this server as a whole.
    pub(super) resource: Vec<Value>,
}

impl fmt::Debug for OtlpSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers hold keys.
        f.debug_struct("OtlpSettings").field("url", &self.url.as_str()).finish_non_exhaustive()
    }
}

/// Why spans cannot be sent. Names no value of a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OtlpError {
    /// It is no URL for this.
    #[error(
        "the collector's URL is none that spans can be sent to; write it like `http://127.0.0.1:4318/v1/traces`, without user and password"
    )]
    Endpoint,
    /// The headers cannot be read.
    #[error("the headers cannot be read; write `name=value` with commas between, values percent-encoded")]
    Headers,
    /// The attributes cannot be read.
    #[error("the attributes cannot be read; write `name=value` with commas between, values percent-encoded")]
    Attributes,
}

impl OtlpSettings {
    /// Reads them: the URL of the collector for traces, headers and attributes of the resource as
    /// `name=value,…` with percent-encoded values, and the name of the service.
    ///
    /// # Errors
    /// [`OtlpError`] that says which cannot be read.
    pub fn new(endpoint: &str, headers: Option<&str>, service: &str, attributes: Option<&str>) -> Result<Self, OtlpError> {
        let url: Url = endpoint.trim().parse().map_err(|_| OtlpError::Endpoint)?;
        let is_plain = url.username().is_empty() && url.password().is_none() && url.host_str().is_some();
        if !matches!(url.scheme(), "http" | "https") || !is_plain {
            return Err(OtlpError::Endpoint);
        }
        let mut map = HeaderMap::new();
        for (name, value) in pairs(headers.unwrap_or_default()).ok_or(OtlpError::Headers)? {
            let name: HeaderName = name.parse().map_err(|_| OtlpError::Headers)?;
            let mut value: HeaderValue = value.parse().map_err(|_| OtlpError::Headers)?;
            value.set_sensitive(true);
            map.append(name, value);
        }
        let attributes = pairs(attributes.unwrap_or_default()).ok_or(OtlpError::Attributes)?;
        let named = attributes.into_iter().filter(|(name, _)| name != "service.name");
        let own = [("service.name", service), ("service.version", env!("CARGO_PKG_VERSION"))];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let resource = own.into_iter().chain(named).map(|(name, value)| json!({"key": name, "value": {"stringValue": value}}));
        Ok(Self { url, headers: map, resource: resource.collect() })
    }
}

/// `name=value` with commas between, values percent-encoded.
fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=')?;
        Some((name.trim().to_owned(), percent_decode_str(value.trim()).decode_utf8().ok()?.into_owned()))
    };
    parts.map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_refused_and_values_are_not_shown() {
        let url = "http://127.0.0.1:4318/v1/traces";
        let read = OtlpSettings::new(url, Some("api-key=a%20b, x=y"), "mine", Some("deployment.environment.name=test")).unwrap();
        assert_eq!((&read.headers["api-key"], read.resource.len()), (&"a b".parse::<HeaderValue>().unwrap(), 3));
        assert!(!format!("{read:?} {:?}", read.headers).contains("a b"));
        for (endpoint, headers, attributes, error) in [
            ("localhost:4318", None, None, OtlpError::Endpoint),
            ("ftp://a.example/", None, None, OtlpError::Endpoint),
            ("http://user:geheim@a.example/v1/traces", None, None, OtlpError::Endpoint),
            (url, Some("geheim"), None, OtlpError::Headers),
            (url, Some("a b=geheim"), None, OtlpError::Headers),
            (url, Some("a=%0ageheim"), None, OtlpError::Headers),
            (url, None, Some("x"), OtlpError::Attributes),
        ] {
            let refused = OtlpSettings::new(endpoint, headers, "mine", attributes).unwrap_err();
            assert_eq!(refused, error);
            assert!(!refused.to_string().contains("geheim"));
        }
    }
}
