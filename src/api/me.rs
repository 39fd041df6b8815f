//! What the caller's own key is and may do.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::json;

use super::caller::{Accounts, Caller};
use super::keys::key_json;

pub(super) async fn show(caller: Caller) -> impl IntoResponse {
    let accounts = match caller.accounts() {
        Accounts::All => json!("all"),
        Accounts::One(account) => json!([account]),
    };
    Json(json!({"key": key_json(caller.key()), "accounts": accounts, "can_write": caller.may_write()}))
}
