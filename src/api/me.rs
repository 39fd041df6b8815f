//! What the caller's own key is and may do.

use axum::Json;
use axum::response::IntoResponse;
use schemars::JsonSchema;
use serde::Serialize;

use super::caller::{Accounts, Caller};
use super::keys::KeyJson;
use crate::event::AccountId;

/// What the caller's key is and may do.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Me")]
pub(super) struct MeJson {
    key: KeyJson,
    accounts: AccountsJson,
    /// Whether it may change anything.
    can_write: bool,
}

/// Whose objects the key sees: `all`, or the accounts by name.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "VisibleAccounts")]
enum AccountsJson {
    Every(Every),
    These(Vec<AccountId>),
}

#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
enum Every {
    All,
}

pub(super) async fn show(caller: Caller) -> impl IntoResponse {
    let accounts = match caller.accounts() {
        Accounts::All => AccountsJson::Every(Every::All),
        Accounts::One(account) => AccountsJson::These(vec![account]),
    };
    Json(MeJson { key: KeyJson::of(caller.key()), accounts, can_write: caller.may_write() })
}
