//! API keys. A key's text is in the answer that makes it and nowhere else.

use serde_json::{Value, json};

use crate::queue::Key;

/// A key as callers read it.
pub(super) fn key_json(key: &Key) -> Value {
    json!({
        "id": key.id,
        "name": key.name,
        "scope": key.scope,
        "account": key.account,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_use.get(),
        "prefix": key.prefix,
    })
}
