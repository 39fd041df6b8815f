//! From what a browser asks to what it gets: status, headers, bytes.

use super::File;

/// What may be loaded and done by the page. Everything comes from this server; nothing is inline; the page
/// cannot be framed. Source of the directives: <https://www.w3.org/TR/CSP3/>.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
    font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'";

/// What the browser said that matters.
#[derive(Debug, Clone, Copy, Default)]
pub struct Asked<'a> {
    /// The path of the URL, as sent.
    pub path: &'a str,
    /// The header `Accept-Encoding`.
    pub accept_encoding: Option<&'a str>,
    /// The header `If-None-Match`.
    pub if_none_match: Option<&'a str>,
}

/// What to send back. The answer to HEAD is the same without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// 200 or 304.
    pub status: u16,
    /// Headers with lower-case names.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: &'static [u8],
}

/// The answer to a GET; none if there is no such file. `/` is `index.html`.
#[must_use]
pub fn answer(files: &[File], asked: Asked<'_>) -> Option<Answer> {
    let path = asked.path.strip_prefix('/')?;
    let path = if path.is_empty() { "index.html" } else { path };
    let file = files.iter().find(|file| file.path == path)?;
    let (coding, body) = coded(file, asked.accept_encoding.unwrap_or_default());
    // Each form has its own strong tag: a strong tag stands for the same bytes.
    let etag = format!("\"{}{}\"", file.hash, coding.map(|coding| format!("-{coding}")).unwrap_or_default());
    let mut headers = vec![
        ("etag", etag.clone()),
        ("cache-control", cache_control(file.path).to_owned()),
        ("vary", "accept-encoding".to_owned()),
        ("content-security-policy", POLICY.to_owned()),
        ("x-content-type-options", "nosniff".to_owned()),
        ("x-frame-options", "DENY".to_owned()),
        ("referrer-policy", "no-referrer".to_owned()),
        ("cross-origin-opener-policy", "same-origin".to_owned()),
        ("cross-origin-resource-policy", "same-origin".to_owned()),
        ("permissions-policy", "camera=(), geolocation=(), microphone=(), payment=(), usb=()".to_owned()),
    ];
    if asked.if_none_match.is_some_and(|wanted| names(wanted, &etag)) {
        return Some(Answer { status: 304, headers, body: b"" });
    }
    headers.push(("content-type", file.media_type.to_owned()));
    headers.extend(coding.map(|coding| ("content-encoding", coding.to_owned())));
    Some(Answer { status: 200, headers, body })
}

/// Files below `assets/` have a hash in their name, so that they never change; all else is asked for again.
fn cache_control(path: &str) -> &'static str {
    if path.starts_with("assets/") { "public, max-age=31536000, immutable" } else { "no-cache" }
}

/// The smallest form that the browser takes, with its coding.
fn coded(file: &File, accepted: &str) -> (Option<&'static str>, &'static [u8]) {
    [("br", file.brotli), ("gzip", file.gzip)]
        .into_iter()
        .find(|(coding, bytes)| !bytes.is_empty() && bytes.len() < file.plain.len() && accepts(accepted, coding))
        .map_or((None, file.plain), |(coding, bytes)| (Some(coding), bytes))
}

/// Whether an `Accept-Encoding` names a coding and does not rule it out. Source: RFC 9110, section 12.5.3.
fn accepts(accepted: &str, coding: &str) -> bool {
    accepted.split(',').any(|item| {
        let mut parts = item.split(';').map(str::trim);
        let named = parts.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
        let refused = parts.any(|part| {
            part.split_once('=').is_some_and(|(name, value)| name.eq_ignore_ascii_case("q") && value.parse::<f32>().is_ok_and(|q| q <= 0.0))
        });
        named && !refused
    })
}

/// Whether an `If-None-Match` names the tag; it compares weakly. Source: RFC 9110, section 13.1.2.
fn names(wanted: &str, etag: &str) -> bool {
    wanted.trim() == "*" || wanted.split(',').any(|tag| tag.trim().trim_start_matches("W/") == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[File] = &[
        File { path: "index.html", media_type: "text/html; charset=utf-8", hash: "aa", plain: b"<p>page</p>", gzip: b"zip", brotli: b"br" },
        File {
            path: "assets/app-1.js",
            media_type: "text/javascript; charset=utf-8",
            hash: "bb",
            plain: b"x",
            gzip: b"longer",
            brotli: b"",
        },
    ];

    fn asked(path: &str) -> Asked<'_> {
        Asked { path, ..Asked::default() }
    }

    fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
        answer.headers.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn the_root_is_the_page_and_is_asked_for_again() {
        let page = answer(FILES, asked("/")).unwrap();
        assert_eq!((page.status, page.body), (200, &b"<p>page</p>"[..]));
        assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
        assert_eq!(header(&page, "cache-control"), Some("no-cache"));
        assert_eq!(header(&page, "etag"), Some("\"aa\""));
        let script = answer(FILES, asked("/assets/app-1.js")).unwrap();
        assert_eq!(header(&script, "cache-control"), Some("public, max-age=31536000, immutable"));
    }

    #[test]
    fn every_answer_carries_the_policy() {
        for if_none_match in [None, Some("\"aa\"")] {
            let page = answer(FILES, Asked { if_none_match, ..asked("/") }).unwrap();
            let policy = header(&page, "content-security-policy").unwrap();
            assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"));
            assert_eq!(header(&page, "x-content-type-options"), Some("nosniff"));
            assert_eq!(header(&page, "referrer-policy"), Some("no-referrer"));
        }
    }

    #[test]
    fn no_path_leads_out_of_the_table() {
        for path in [
            "",
            "index.html",
            "//index.html",
            "/./index.html",
            "/assets/../index.html",
            "/%69ndex.html",
            "/assets/",
            "/assets",
            "/etc/passwd",
            "/../Cargo.toml",
        ] {
            assert_eq!(answer(FILES, asked(path)), None, "{path}");
        }
    }

    #[test]
    fn a_browser_gets_the_smallest_form_it_takes() {
        let coding = |accepted| {
            let page = answer(FILES, Asked { accept_encoding: Some(accepted), ..asked("/") }).unwrap();
            (header(&page, "content-encoding").map(str::to_owned), header(&page, "etag").unwrap().to_owned())
        };
        assert_eq!(coding("gzip, deflate, br;q=0.8"), (Some("br".into()), "\"aa-br\"".into()));
        assert_eq!(coding("GZIP, br;q=0"), (Some("gzip".into()), "\"aa-gzip\"".into()));
        assert_eq!(coding("br; q=0.0, gzip;q=0, brotli"), (None, "\"aa\"".into()));
        let script = answer(FILES, Asked { accept_encoding: Some("gzip, br"), ..asked("/assets/app-1.js") }).unwrap();
        assert_eq!((header(&script, "content-encoding"), script.body), (None, &b"x"[..]), "a copy that is larger is not sent");
    }

    #[test]
    fn what_the_browser_has_is_not_sent_again() {
        for (wanted, status) in [("\"aa\"", 304), ("W/\"aa\"", 304), ("\"zz\", \"aa\"", 304), ("*", 304), ("\"aa-br\"", 200), ("aa", 200)] {
            let page = answer(FILES, Asked { if_none_match: Some(wanted), ..asked("/") }).unwrap();
            assert_eq!(page.status, status, "{wanted}");
            assert_eq!(page.body.is_empty(), status == 304);
        }
    }
}
