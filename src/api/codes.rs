//! Every code that an answer can carry, with its status and what it means: the one table from which
//! `docs/errors.md` and the API's description have theirs.

use axum::http::StatusCode;

/// A code of a problem.
#[derive(Debug, Clone, Copy)]
pub(super) struct Code {
    /// The stable text.
    pub name: &'static str,
    /// The status that goes with it.
    pub status: u16,
    /// When it is answered, and what to do.
    pub meaning: &'static str,
}

const fn code(name: &'static str, status: u16, meaning: &'static str) -> Code {
    Code { name, status, meaning }
}

/// Every code, in the order of the documentation.
#[rustfmt::skip]
pub(super) const CODES: &[Code] = &[
    code("unauthorized", 401, "no key, one that is not known or not any more, or one that has expired, which only its holder is told. Send `Authorization: Bearer <key>`; the operator's key is in `operator.key` in the data folder"),
    code("forbidden", 403, "the key's scope is not enough: it may only read, or the call is for operators"),
    code("too_many_failures", 429, "too many requests from this address had no valid key. `Retry-After` says when to try again; requests with a valid key are answered meanwhile"),
    code("not_found", 404, "nothing of this kind and id exists, or it belongs to another account than the key"),
    code("no_such_route", 404, "there is nothing at this path"),
    code("method_not_allowed", 405, "the path exists and has other methods; the header `Allow` lists them"),
    code("bad_request", 400, "the path or a header cannot be read; write them in UTF-8, percent-encoded"),
    code("malformed_json", 400, "the body is not JSON; `detail` has line and column"),
    code("invalid_utf8", 400, "the body is not UTF-8; `detail` has the byte"),
    code("body_unreadable", 400, "the connection ended before the body was complete"),
    code("body_too_slow", 408, "the body was not complete within the setting `request_body_s` (60)"),
    code("body_too_large", 413, "the body is larger than the setting `body_bytes_max` (2 MiB)"),
    code("unsupported_media_type", 415, "the call does not take this `Content-Type`"),
    code("invalid_input", 422, "fields or parameters are wrong; `errors` lists each"),
    code("unknown_account", 422, "there is no such account, or it is another than the key's; create it first"),
    code("unknown_event_type", 422, "the event type is not registered"),
    code("key_reused", 422, "the idempotency key belongs to an event that says something else. Taking it would lose an event: use a new key"),
    code("conflict", 409, "somebody else changed or created it meanwhile; read it again"),
    code("event_type_exists", 409, "the name is taken, by a built-in type or by one that was registered"),
    code("event_type_in_use", 409, "a subscription names the event type or uses its fields; `detail` says which. Change that first"),
    code("event_type_built_in", 409, "built-in event types cannot be deleted"),
    code("too_many_event_types", 409, "1,000 event types are registered; delete one that is not used"),
    code("account_exists", 409, "the account's id is taken"),
    code("key_expired", 409, "an expired key cannot be rotated; create another"),
    code("key_in_file", 409, "the key is the file `operator.key`; it is replaced by removing the file while the server is stopped"),
    code("offer_exists", 409, "the offer's id is taken, perhaps by another account: ids of offers are unique on the server"),
    code("too_many_offers", 409, "5,000 offers are kept; delete some"),
    code("too_many_inbound_keys", 409, "10,000 inbound keys are kept, and 100 of one account; delete some"),
    code("too_many_clicks", 429, "more clicks came from this address than the setting `clicks_per_address_per_second` (20) allows; `Retry-After` says when to try again"),
    code("test_run_not_ready", 409, "the link of the test run was not opened yet, the run is finished, or its advertiser has no inbound key; `detail` says which"),
    code("too_many_keys", 409, "10,000 keys are kept; delete some"),
    code("account_being_deleted", 409, "the account's data are being removed; its id can be used again when that is done"),
    code("field_in_use", 409, "a template uses a macro name that would not be declared any more; `detail` says which subscription"),
    code("delivery_decided", 409, "only pending and dead deliveries can be retried or cancelled"),
    code("not_signed", 409, "the subscription does not sign, so that there is no key to replace; set `signing` first"),
    code("order_has_waiting", 409, "`order` cannot change while deliveries wait"),
    code("version_mismatch", 412, "`If-Match` names another version; read the subscription again"),
    code("replay_over", 409, "the replay is done or cancelled already"),
    code("too_many_replays", 429, "100 replays are not over yet; wait for one, or cancel one"),
    code("too_many_tests", 429, "the account had as many tests sent within a minute as the setting `test_sends_per_minute` (60) allows; `Retry-After` says when to try again"),
    code("queue_full", 429, "too many deliveries wait for one subscription; `Retry-After` says when to try again"),
    code("storage_full", 503, "the disk is nearly full; sending goes on, accepting starts again by itself"),
    code("store_unavailable", 503, "the database did not answer. What was asked may be done or not: send it again, events with the same keys"),
    code("store_failed", 503, "a write or sync failed; the server is stopping"),
    code("stopping", 503, "the server is stopping"),
];

/// The entry of a code.
pub(super) fn find(name: &str) -> Option<&'static Code> {
    CODES.iter().find(|code| code.name == name)
}

/// Whether a problem with this code and status is documented.
pub(super) fn is_known(name: &str, status: StatusCode) -> bool {
    find(name).is_some_and(|code| code.status == status.as_u16())
}

/// Every code with its status.
pub fn error_codes() -> impl Iterator<Item = (&'static str, u16)> {
    CODES.iter().map(|code| (code.name, code.status))
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;
    use std::fs;
    use std::path::{Path, PathBuf};

    use regex::Regex;

    use super::*;

    fn root(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
    }

    #[test]
    fn the_documentation_has_this_table() {
        let mut table = String::from("| code | status | when, and what to do |\n|---|---|---|\n");
        for Code { name, status, meaning } in CODES {
            writeln!(table, "| `{name}` | {status} | {meaning} |").unwrap();
        }
        let file = root("docs/errors.md");
        let page = fs::read_to_string(&file).unwrap();
        let (before, rest) = page.split_once("<!-- codes -->\n").expect("the page has the mark `codes`");
        let (_, after) = rest.split_once("<!-- end codes -->").expect("the page has the mark `end codes`");
        let expected = format!("{before}<!-- codes -->\n{table}<!-- end codes -->{after}");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            fs::write(&file, &expected).unwrap();
        }
        assert!(fs::read_to_string(&file).unwrap() == expected, "docs/errors.md is behind this table; run this test with UPDATE_DOCS=1");
    }

    #[test]
    fn names_are_given_once() {
        let mut names: Vec<_> = CODES.iter().map(|code| code.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), CODES.len());
    }

    #[test]
    fn the_sources_use_these_codes_and_no_others() {
        let status_and_code = Regex::new(r#"StatusCode::([A-Z_]+),\s*(?:code: )?"([a-z_0-9]+)""#).unwrap();
        let unprocessable = Regex::new(r#"unprocessable\("([a-z_0-9]+)""#).unwrap();
        let mut used = Vec::new();
        for entry in fs::read_dir(root("src/api")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let text = text.split("mod tests {").next().unwrap();
                used.extend(status_and_code.captures_iter(text).map(|found| (found[1].to_owned(), found[2].to_owned())));
                used.extend(unprocessable.captures_iter(text).map(|found| ("UNPROCESSABLE_ENTITY".to_owned(), found[1].to_owned())));
            }
        }
        for (status, name) in &used {
            let code = find(name).unwrap_or_else(|| panic!("`{name}` is not in the table of codes"));
            let reason = StatusCode::from_u16(code.status).unwrap().canonical_reason().unwrap();
            assert_eq!(
                reason.to_uppercase().replace(' ', "_").replace("PAYLOAD", "CONTENT"),
                status.replace("PAYLOAD", "CONTENT"),
                "{name}"
            );
        }
        for code in CODES {
            assert!(
                used.iter().any(|(_, name)| name == code.name),
                "nothing answers with `{}` any more; take it out of the table",
                code.name
            );
        }
    }
}
