//! What is said of the calls about keys and the audit log.

use super::super::operation::{Operation, Tag};
use super::super::schemas::Text;
use crate::api::audit::EntryJson;
use crate::api::keys::{IssuedKeyJson, KeyJson, NewKeyBody, RotateBody};
use crate::api::me::MeJson;
use crate::clock::Timestamp;
use crate::queue::KeyRef;

const NO_STORE: (&str, &str) = ("Cache-Control", "`no-store`: nobody on the way may keep the key.");

pub(in crate::api) fn me() -> Operation {
    Operation::new("get_me", Tag::Keys, "Read what one's own key is and may do").answers::<MeJson>(200, "The key of the call.")
}

pub(in crate::api) fn list() -> Operation {
    Operation::new("list_keys", Tag::Keys, "List keys").page().lists::<KeyJson>("A page of keys.")
}

pub(in crate::api) fn create() -> Operation {
    Operation::new("create_key", Tag::Keys, "Create a key")
        .describe("The text of the key is in the answer, and never shown again.")
        .takes::<NewKeyBody>("What the key may do. `account` is needed with the scope `account` and not taken with `operator`.")
        .example(r#"{"name": "dashboard of acme", "scope": "read"}"#)
        .answers::<IssuedKeyJson<'static>>(201, "The key, with its text.")
        .with_header(NO_STORE.0, NO_STORE.1)
        .fails(&["unknown_account", "too_many_keys"])
        .writes_store()
}

pub(in crate::api) fn show() -> Operation {
    Operation::new("get_key", Tag::Keys, "Read a key").path::<KeyRef>("id", "The key.").answers::<KeyJson>(200, "The key.")
}

pub(in crate::api) fn delete() -> Operation {
    Operation::new("delete_key", Tag::Keys, "Delete a key")
        .describe("It is not taken from now on.")
        .path::<KeyRef>("id", "The key.")
        .answers_nothing("It is gone.")
        .fails(&["key_in_file"])
        .writes_store()
}

pub(in crate::api) fn rotate() -> Operation {
    Operation::new("rotate_key", Tag::Keys, "Replace a key")
        .describe(
            "Makes a key with the same name, scope and account. The old one is taken for `overlap_s` seconds more, or up to its own end.",
        )
        .path::<KeyRef>("id", "The key that is replaced.")
        .may_take::<RotateBody>("For how long both keys are taken.")
        .example(r#"{"overlap_s": 3600}"#)
        .answers::<IssuedKeyJson<'static>>(201, "The new key, with its text.")
        .with_header(NO_STORE.0, NO_STORE.1)
        .fails(&["key_expired", "key_in_file", "too_many_keys"])
        .writes_store()
}

pub(in crate::api) fn audit() -> Operation {
    Operation::new("list_audit", Tag::Keys, "List who changed what")
        .of_account()
        .query::<KeyRef>("actor", "Only what was done with this key.")
        .query::<Text>("action", "Only this action, such as `subscription.created`.")
        .query::<Text>("object", "Only what was done to the object with this id.")
        .query::<Timestamp>("since", "From this time on.")
        .query::<Timestamp>("until", "Up to this time.")
        .page()
        .lists::<EntryJson>("A page of entries.")
        .reads_store()
}
