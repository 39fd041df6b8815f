//! Where a URL template leads, as far as it says so without an event.

use url::Url;

/// The scheme, host and port of a URL template, which hold no macro. None if they are no URL.
#[must_use]
pub fn literal_target(url_template: &str) -> Option<Url> {
    let text = url_template.trim();
    let authority = text.find("://")? + 3;
    let end = text[authority..].find(['/', '?', '#', '\\']).map_or(text.len(), |offset| authority + offset);
    Url::parse(&text[..end]).ok()
}

/// Whether two URL templates lead to the same scheme, host and port. What is no URL leads nowhere.
pub(super) fn is_same_origin(one: &str, other: &str) -> bool {
    match (literal_target(one), literal_target(other)) {
        (Some(one), Some(other)) => one.origin() == other.origin() && one.scheme() == other.scheme(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        let table = [
            ("https://a.example/x?{SubId1}", "https://A.example:443/y", true),
            ("https://a.example", "http://a.example", false),
            ("https://a.example", "https://a.example:8443", false),
            ("https://a.example", "https://b.example", false),
            ("https://a.example@b.example/", "https://a.example/", false),
            ("{SubId1}", "{SubId1}", false),
        ];
        for (one, other, same) in table {
            assert_eq!(is_same_origin(one, other), same, "{one} {other}");
        }
    }
}
