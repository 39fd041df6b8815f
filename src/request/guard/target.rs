//! From text to URL: the one parser that everything uses, so that no two parts can read one text differently.

use url::{ParseError, Url};

use super::policy::{Refused, check_form};

/// Longest URL that is read.
pub const TARGET_BYTES_MAX: usize = 8 * 1024;

/// Reads the URL of a receiver.
///
/// Returns it as it is sent: host in lower-case ASCII, without the dot that may end it, without
/// fragment. Store, show and use this form. Whether its address is sent to is the guard's question.
///
/// # Errors
/// [`Refused`] of kind `BadUrl` for anything but `http` and `https`, for user info, for a missing or
/// impossible host or port, for control characters and for too long a text.
pub fn parse_target(text: &str) -> Result<Url, Refused> {
    if text.len() > TARGET_BYTES_MAX {
        return Err(Refused::bad_url(format!("the URL has {} bytes; at most {TARGET_BYTES_MAX} are sent", text.len())));
    }
    // The parser would drop tabs and line ends without a word.
    if text.contains(|c: char| c.is_ascii_control()) {
        return Err(Refused::bad_url("the URL holds a control character, such as a tab or a line end; remove it or encode it"));
    }
    let mut url = Url::parse(text).map_err(|error| Refused::bad_url(parse_problem(error)))?;
    check_form(&url)?;
    if url.fragment().is_some() {
        url.set_fragment(None);
    }
    if url.host_str().is_some_and(|host| host.ends_with('.')) {
        remove_final_dot(&mut url)?;
    }
    Ok(url)
}

fn remove_final_dot(url: &mut Url) -> Result<(), Refused> {
    let host = url.host_str().and_then(|host| host.strip_suffix('.')).unwrap_or_default().to_owned();
    if host.is_empty() || host.ends_with('.') || url.set_host(Some(&host)).is_err() {
        return Err(Refused::bad_url("the host has an empty part; write it like `tracker.example`"));
    }
    Ok(())
}

fn parse_problem(error: ParseError) -> String {
    match error {
        ParseError::RelativeUrlWithoutBase | ParseError::RelativeUrlWithCannotBeABaseBase => {
            "the URL has no scheme; begin it with `https://`".into()
        }
        ParseError::EmptyHost => "the URL has no host; write one after `https://`".into(),
        ParseError::InvalidPort => "the port is not a number from 1 to 65535".into(),
        ParseError::IdnaError | ParseError::InvalidDomainCharacter => {
            "the host is not a valid name; write it like `tracker.example`".into()
        }
        ParseError::InvalidIpv4Address | ParseError::InvalidIpv6Address => "the host is not a valid IP address".into(),
        other => format!("the URL cannot be read: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::policy::RefusedKind;
    use super::*;

    #[test]
    fn a_target_is_shown_as_it_is_sent() {
        let table = [
            ("https://Tracker.Example/P?Q=1#frag", "https://tracker.example/P?Q=1"),
            ("https://tracker.example.:8443/", "https://tracker.example:8443/"),
            ("http://127.0.0.1./", "http://127.0.0.1/"),
            ("HTTPS://bücher.example", "https://xn--bcher-kva.example/"),
            ("https:\\\\tracker.example\\a?b=\\", "https://tracker.example/a?b=\\"),
            ("  https://tracker.example/a b  ", "https://tracker.example/a%20b"),
            ("https://tracker.example:443/a/../b", "https://tracker.example/b"),
            ("https:tracker.example/x", "https://tracker.example/x"),
        ];
        for (text, expected) in table {
            let url = parse_target(text).unwrap();
            assert_eq!(url.as_str(), expected);
            assert_eq!(parse_target(url.as_str()).unwrap(), url, "reading it again changes nothing");
        }
    }

    #[test]
    fn what_cannot_be_sent_to_is_refused() {
        let long = format!("https://a.example/?q={}", "a".repeat(TARGET_BYTES_MAX));
        for text in [
            "",
            "/relative",
            "tracker.example/x",
            "file:///etc/passwd",
            "FTP://a.example",
            "gopher://a.example",
            "unix:/run/x",
            "javascript:alert(1)",
            "data:,x",
            "https://good.example@127.0.0.1/",
            "https://a:b@c.example/",
            "https://:b@c.example/",
            "https://",
            "https:///",
            "http://?",
            "http://.",
            "http://..",
            "http://a.example..",
            "http://a.example:0/",
            "http://a.example:65536/",
            "http://a.example:x/",
            "http://[::1",
            "http://[fe80::1%25eth0]/",
            "http://1.2.3.4.5/",
            "http://256.1.1.1/",
            "http://xn--a/",
            "http://a b.example/",
            "http://exa\nmple.com/",
            "http://a.example/\t",
            "http://a.example/\0",
            "http://%00/",
            &long,
        ] {
            assert_eq!(parse_target(text).map_err(|refused| refused.kind), Err(RefusedKind::BadUrl), "{text:?}");
        }
    }

    #[test]
    fn a_refusal_never_repeats_query_or_password() {
        for text in [
            "ftp://a.example/?token=geheim",
            "https://u:geheim@a.example/",
            "http://a.example:0/?geheim",
            "geheim",
            "http://a.example/\n?geheim",
        ] {
            assert!(!parse_target(text).unwrap_err().detail.contains("geheim"), "{text}");
        }
    }
}
